"""What lies in a folder of DICOM files: CT slices and segmentations by patient, from the headers."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pydicom

from TACEResponseLib.messages.errors import Problem, TACEResponseError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.readers.dicom import SEGMENTATION, Slice, is_dicom, read_slice, reading_dicom


@dataclass(frozen=True)
class SegmentationFile:
    """A DICOM SEG and what it was drawn on: instance and series UIDs that it refers to."""

    path: Path
    patient_id: str
    description: str
    instance_uid: str
    instances: frozenset[str]
    series: frozenset[str]
    segments: tuple[str, ...]


@dataclass
class Collection:
    """What lies in a folder, by patient; problems name the files that cannot be read."""

    slices: dict[str, list[Slice]] = field(default_factory=lambda: defaultdict(list))
    segmentations: dict[str, list[SegmentationFile]] = field(default_factory=lambda: defaultdict(list))
    problems: list[Problem] = field(default_factory=list)


def scan(source: Path, progress: Progress = silent) -> Collection:
    """Read the headers of every DICOM file below `source`."""
    collection = Collection()
    files = sorted(p for p in source.rglob("*") if is_dicom(p) or p.suffix.lower() == ".dcm")
    for done, path in enumerate(files):
        if done % 100 == 0:
            progress(tr("reading headers"), done, len(files))
        try:
            segmentation = read_references(path)
            if segmentation is not None:
                collection.segmentations[segmentation.patient_id].append(segmentation)
                continue
            each = read_slice(path)
        except TACEResponseError as error:
            collection.problems.append(error.problem)
            continue
        if each is not None:
            collection.slices[each.patient_id].append(each)
    progress(tr("reading headers"), len(files), len(files))
    return collection


def read_references(path: Path) -> SegmentationFile | None:
    """What a DICOM SEG was drawn on; None for any other DICOM file, InputError when damaged."""
    with reading_dicom(path, "mask"):
        kind = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
        if kind.get("SOPClassUID") != SEGMENTATION:
            return None
        header = pydicom.dcmread(path, stop_before_pixels=True)
        series = header.get("ReferencedSeriesSequence") or []
        return SegmentationFile(
            path=path,
            patient_id=str(header.PatientID),
            description=str(header.get("SeriesDescription", "")),
            instance_uid=str(header.SOPInstanceUID),
            instances=frozenset(
                str(instance.ReferencedSOPInstanceUID)
                for item in series
                for instance in item.get("ReferencedInstanceSequence") or []
            ),
            series=frozenset(str(item.SeriesInstanceUID) for item in series),
            segments=tuple(str(item.SegmentLabel) for item in header.SegmentSequence),
        )
