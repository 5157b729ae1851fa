"""From the DICOM files of HCC-TACE-Seg, however they lie on disk, to a cohort folder.

For each patient: the expert segmentation names the scan it was drawn on; its segment "Mass" is the
tumour; a tumour segmentation by the second group (radiologist-corrected before automatic) on the
same scan is the second reader, and both kinds are further outlines. A patient whose files do not fit
is named, and the rest go on.
"""

import csv
import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import SimpleITK as sitk

from TACEResponseLib.cases import Case, make_case
from TACEResponseLib.messages.errors import InputError, Problem, TACEResponseError
from TACEResponseLib.messages.language import listed, mark, tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.readers import measure_opened, propose_arterial
from TACEResponseLib.readers.acquisitions import Acquisition, group_slices
from TACEResponseLib.readers.masks import open_mask
from TACEResponseLib.readers.phases import phase_warning, provenance_of_phase
from TACEResponseLib.storage import WRITING, make_folder, whole_file

from . import hcc_tace_seg
from .scan import Collection, SegmentationFile, scan

#: Raised when the files of a laid-out patient change their meaning; older ones are then made anew.
LAYOUT_VERSION = 2
PROVENANCE = "provenance.json"
ANNOTATED = "annotated"
TUMOUR_SEGMENT = "Mass"
#: How the second group's series are described; corrected ones come first.
SECOND_GROUP, CORRECTED = "AIMI", "corrected"
#: Columns of the second group's outlines, beside `mask_reader2`: a network's, and those that a radiologist
#: corrected.
BY_PROGRAM, BY_RADIOLOGIST = "mask_automatic", "mask_corrected"
_TUMOUR_WORDS = re.compile(r"tumou?r|mass|lesion|neoplasm|carcinoma", re.I)


@dataclass(frozen=True)
class Layout:
    """The cohort's table, how many patients it holds, and why others are not in it."""

    table: Path
    patients: int
    problems: tuple[Problem, ...]


def lay_out(
    source: Path,
    clinical: Path,
    out: Path,
    *,
    label: str = "reader1",
    phase: str = ANNOTATED,
    progress: Progress = silent,
) -> Layout:
    """Turn the DICOM files below `source` into a cohort folder `out` with a `cohort.csv`.

    label: one of `hcc_tace_seg.LABELS`. phase: `annotated` takes the scan that the tumour was drawn
    on, a name from `phases.PHASES` the scan of the same study that shows it. Patients that are
    there already from the same files are kept. Raises InputError when there is nothing to lay out
    or `out` cannot be written.
    """
    table = hcc_tace_seg.read_clinical(clinical)
    make_folder(out)
    collection = scan(source, progress)
    patients = sorted(set(collection.slices) | set(collection.segmentations))
    if not patients:
        raise InputError(
            tr("the folder holds no DICOM files of the collection"),
            field="from",
            file=source.name,
            expected=tr("CT slices and segmentations"),
            received=tr("none"),
            remedy=tr("choose the folder that the collection was downloaded to"),
        )
    rows, problems = [], list(collection.problems)
    for done, patient_id in enumerate(patients):
        progress(tr("laying out"), done, len(patients))
        try:
            if patient_id not in table or not re.fullmatch(r"\w[\w.-]*", patient_id):
                raise InputError(tr("the clinical table has no row of this patient"), file=clinical.name)
            notes = _lay_out_patient(patient_id, collection, phase, out / patient_id)
        except TACEResponseError as error:
            problems.append(error.about(patient_id=patient_id).problem)
            continue
        problems += notes
        rows.append(_row(patient_id, out, table[patient_id], label))
    progress(tr("laying out"), len(patients), len(patients))
    write_table(out / "cohort.csv", rows)
    write_text(out / "SOURCE.txt", tr(_SOURCE, doi=hcc_tace_seg.DOI))
    return Layout(out / "cohort.csv", len(rows), tuple(problems))


def _lay_out_patient(patient_id: str, collection: Collection, phase: str, folder: Path) -> list[Problem]:
    """Write one patient's folder, whole or not at all; hands back what there is to say."""
    segmentations = collection.segmentations[patient_id]
    expert = _expert(segmentations)
    acquisitions = group_slices(collection.slices[patient_id])
    acquisition = _annotated(expert, acquisitions)
    if phase != ANNOTATED:
        acquisition = _of_phase(phase, expert, acquisition, acquisitions)
    second = _second_readers(segmentations, acquisition)
    recipe = {
        "layout": LAYOUT_VERSION,
        "segmentation": expert.instance_uid,
        "ct": sorted(s.instance_uid for s in acquisition.slices),
        "second_reader": [s.instance_uid for s in second],
    }
    if _is_laid_out(folder, recipe):
        return []
    case, notes = _case(patient_id, expert, acquisition)
    found = {name: _second_case(case, of) for name, of in _by_kind(second).items()}
    further = {name: of for name, (of, _) in found.items() if of is not None}
    second_notes = [note for _, notes_of in found.values() for note in notes_of]
    if further:
        further["mask_reader2"] = further.get(BY_RADIOLOGIST) or further[BY_PROGRAM]
    temporary = folder.with_name(f"{WRITING}{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    sitk.WriteImage(case.image, str(temporary / "image.nrrd"), True, 1)
    sitk.WriteImage(case.mask, str(temporary / "mask.nrrd"), True, 1)
    provenance = {"recipe": recipe, **case.provenance}
    for name, other in further.items():
        sitk.WriteImage(other.mask, str(temporary / f"{name}.nrrd"), True, 1)
        provenance[name] = other.provenance["mask"]
    write_text(temporary / PROVENANCE, json.dumps(provenance, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    return [*notes, *second_notes]


def _is_laid_out(folder: Path, recipe: Mapping[str, object]) -> bool:
    """Whether an earlier run made the folder from the same files; the record is written last."""
    try:
        return json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))["recipe"] == recipe
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _expert(segmentations: Sequence[SegmentationFile]) -> SegmentationFile:
    """The collection's own segmentation: the one with a segment "Mass"."""
    experts = [s for s in segmentations if TUMOUR_SEGMENT in s.segments]
    if len(experts) != 1:
        raise InputError(
            tr("more than one expert segmentation is here")
            if experts
            else tr("no expert segmentation is here"),
            field="mask",
            expected=tr('one DICOM SEG with a segment "{segment}"', segment=TUMOUR_SEGMENT),
            received=listed(f"{s.path.name} ({listed(s.segments)})" for s in segmentations) or tr("none"),
            remedy=tr("fetch the patient's segmentations again"),
        )
    return experts[0]


def _annotated(expert: SegmentationFile, acquisitions: Sequence[Acquisition]) -> Acquisition:
    """The scan that the segmentation was drawn on; by its vessels where several are possible."""
    hits = Counter(
        {a.choice: sum(s.instance_uid in expert.instances for s in a.slices) for a in acquisitions}
    )
    most = max(hits.values(), default=0)
    fitting = [a for a in acquisitions if hits[a.choice] == most and most > 0]
    if not fitting:
        fitting = [a for a in acquisitions if a.series_uid in expert.series]
    if len(fitting) > 1:
        arterial, _ = propose_arterial(fitting, expert.path.parent, open_mask(expert.path))
        fitting = [arterial] if arterial is not None else fitting
    if len(fitting) != 1:
        raise InputError(
            tr("the CT of the segmentation is not here")
            if not fitting
            else tr("the segmentation may belong to several scans"),
            field="image",
            file=expert.path.name,
            expected=tr("series {series}", series=listed(sorted(expert.series)) or tr("unknown")),
            received=tr("; ").join(a.title for a in fitting or acquisitions) or tr("no CT of this patient"),
            remedy=tr("fetch the patient's CT again"),
        )
    return fitting[0]


def _of_phase(
    phase: str, expert: SegmentationFile, annotated: Acquisition, acquisitions: Sequence[Acquisition]
) -> Acquisition:
    """The scan of the annotated one's study whose vessels look like `phase`."""
    opened, seen = open_mask(expert.path), {}
    for each in acquisitions:
        if each.slices[0].study_uid == annotated.slices[0].study_uid:
            vessels = measure_opened(opened, each.read(each.slices[0].path.parent)[0])
            seen[each.choice] = (each, vessels)
    fitting = [each for each, vessels in seen.values() if vessels is not None and vessels.phase == phase]
    if len(fitting) != 1:
        raise InputError(
            tr("more than one scan looks like the {phase} phase", phase=tr(phase))
            if fitting
            else tr("no scan looks like the {phase} phase", phase=tr(phase)),
            field="image",
            expected=tr("one scan"),
            received=tr("; ").join(
                tr("{scan}: {vessels}", scan=each.title, vessels=vessels or tr("no vessels"))
                for each, vessels in seen.values()
            ),
            remedy=tr("take the annotated scan"),
        )
    return fitting[0]


def _case(patient_id: str, expert: SegmentationFile, acquisition: Acquisition) -> tuple[Case, list[Problem]]:
    """The patient's case, and the warnings to hand on."""
    admitted, source = acquisition.open(acquisition.slices[0].path.parent)
    image = admitted.volume
    opened = open_mask(expert.path, image)
    mask = opened.read(TUMOUR_SEGMENT)
    vessels = measure_opened(opened, image)
    source |= provenance_of_phase(vessels, acquisition.description)
    case = make_case(
        patient_id,
        image,
        mask.labels,
        label=1,
        cropped_is_normal=True,
        provenance={"image": source, "mask": {"file": expert.path.name, "segment": mask.segment}},
        warnings=(*admitted.notes, *mask.warnings, *phase_warning(vessels, acquisition.description)),
    )
    return case, [
        TACEResponseError.from_problem(w).about(patient_id=patient_id).problem for w in case.warnings
    ]


def _second_readers(
    segmentations: Sequence[SegmentationFile], acquisition: Acquisition
) -> list[SegmentationFile]:
    """The second group's segmentations of this scan, the corrected ones first."""
    instances = {s.instance_uid for s in acquisition.slices}
    of_scan = [
        s
        for s in segmentations
        if SECOND_GROUP in s.description
        and any(_TUMOUR_WORDS.search(name) for name in s.segments)
        and (instances & s.instances or (not s.instances and acquisition.series_uid in s.series))
    ]
    return sorted(of_scan, key=lambda s: (CORRECTED not in s.description, s.instance_uid))


def _by_kind(second: Sequence[SegmentationFile]) -> dict[str, list[SegmentationFile]]:
    """Column of the cohort's table -> the second group's segmentations that can fill it."""
    corrected = [s for s in second if CORRECTED in s.description]
    return {BY_RADIOLOGIST: corrected, BY_PROGRAM: [s for s in second if s not in corrected]}


def _second_case(case: Case, second: Sequence[SegmentationFile]) -> tuple[Case | None, list[Problem]]:
    """The case with the first usable mask of the second group, and why others were not used."""
    notes = []
    for segmentation in second:
        try:
            opened = open_mask(segmentation.path, case.image)
            names = [name for name in opened.names if _TUMOUR_WORDS.search(name)]
            labels, _ = opened.voxels(names)
            source = {
                "file": segmentation.path.name,
                "series_description": segmentation.description,
                "segment": ", ".join(names),
            }
            other = make_case(
                case.patient_id,
                case.image,
                labels,
                label=1,
                cropped_is_normal=True,
                provenance={"image": case.provenance["image"], "mask": source},
            )
        except TACEResponseError as error:
            problem = error.about(patient_id=case.patient_id, file=segmentation.path.name).problem
            notes.append(replace(problem, field="mask_reader2", severity="warning"))
        else:
            return other, notes
    return None, notes


def _row(patient_id: str, out: Path, clinical: Mapping[str, str], label: str) -> dict[str, str]:
    """The patient's row of `cohort.csv`."""
    responder, response = hcc_tace_seg.response_of(clinical, label)
    columns = ("mask_reader2", BY_PROGRAM, BY_RADIOLOGIST)
    files = {name: f"{patient_id}/{name}.nrrd" for name in columns}
    return {
        "patient_id": patient_id,
        "image": f"{patient_id}/image.nrrd",
        "mask": f"{patient_id}/mask.nrrd",
        **{name: file if (out / file).is_file() else "" for name, file in files.items()},
        "label": "" if responder is None else str(responder),
        "response": response,
        "cohort": "training",
        "center": "HCC-TACE-Seg",
        **hcc_tace_seg.clinical_values(clinical),
    }


def write_table(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """A cohort's table with a row a patient; the header alone without any."""
    text = io.StringIO()
    columns = list(rows[0]) if rows else ["patient_id", "image", "mask", "label"]
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())


def write_text(path: Path, text: str) -> None:
    """A text file, whole or not at all."""
    with whole_file(path) as stream:
        stream.write(text.encode("utf-8"))


_SOURCE = mark("""\
The images, segmentations and clinical values in this folder are those of HCC-TACE-Seg
(The Cancer Imaging Archive, https://doi.org/{doi}), licence CC BY 4.0. Volumes were made
from its DICOM files; mask_automatic (a network's), mask_corrected (by a radiologist after it) and
mask_reader2 (the second where it is there, the first else) come from the analysis result
bamf_aimi_annotations of the Imaging Data Commons (https://doi.org/10.5281/zenodo.8345959), licence CC BY
4.0. Cite both.
""")
