"""DICOM folders and DICOM SEG files to volumes, with the geometry checked from the headers.

pydicom reads the headers, SimpleITK (GDCM) the pixels with slope and intercept applied, highdicom
the segmentation. What the libraries let pass - duplicate slices, gaps, a tilted gantry, two series
in one folder - is checked here and is a GeometryError or InputError that lists positions.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.errors import InvalidDicomError

from .cases import choose_segments
from .errors import GeometryError, InputError, MaskError

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
#: Slices may be off their even spacing by this share of it (rounding in headers).
SPACING_TOLERANCE = 0.02
HEADER_TAGS = [
    "AcquisitionNumber",
    "GantryDetectorTilt",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "Modality",
    "Rows",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesDescription",
    "SeriesInstanceUID",
    "StudyInstanceUID",
]


def is_dicom(path: Path) -> bool:
    """Whether the file carries DICOM's preamble; the name does not matter."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        stream.seek(128)
        return stream.read(4) == b"DICM"


def list_series(folder: Path) -> dict[str, list[tuple[Path, pydicom.Dataset]]]:
    """Image series below `folder`: SeriesInstanceUID -> (file, header) of each slice."""
    series = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if not is_dicom(path):
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=HEADER_TAGS)
        except (InvalidDicomError, EOFError, ValueError, KeyError):
            raise _damaged(path) from None
        if "ImagePositionPatient" in header and header.get("SOPClassUID") != SEGMENTATION:
            series[str(header.SeriesInstanceUID)].append((path, header))
    return dict(series)


def read_series(folder: Path, wanted: str | None = None) -> tuple[sitk.Image, dict]:
    """The volume of one DICOM series in HU, and its identity as JSON types.

    wanted: SeriesInstanceUID, or a part of the description, where the folder holds several.
    """
    uid, slices = _choose_series(folder, list_series(folder), wanted)
    slices = _in_order(folder, slices)
    try:
        image = sitk.ReadImage([str(path) for path, _ in slices])
    except RuntimeError:
        raise _damaged(slices[0][0]) from None
    first = slices[0][1]
    spacing = list(image.GetSpacing())
    if len(slices) > 1:
        # The distance between positions, not SliceThickness: slices may overlap or leave gaps.
        positions = np.array([header.ImagePositionPatient for _, header in slices], dtype=float)
        spacing[2] = float(np.linalg.norm(positions[-1] - positions[0]) / (len(slices) - 1))
        image.SetSpacing(spacing)
    return image, {
        "folder": folder.name,
        "series_uid": uid,
        "series_description": str(first.get("SeriesDescription", "")),
        "slices": len(slices),
    }


def segment_names(path: Path) -> list[str]:
    """Labels of the segments of a DICOM SEG file, in order of their numbers."""
    return [str(item.SegmentLabel) for item in _open_segmentation(path).SegmentSequence]


def read_segmentation(path: Path, wanted: str | None) -> tuple[sitk.Image, str]:
    """One segment (or the union for `"all"`) of a DICOM SEG as a 0/1 volume, and its name.

    Frames may be sparse, stacked by segment or overlapping; fractional ones count from 0.5.
    """
    segmentation = _open_segmentation(path)
    names = [str(item.SegmentLabel) for item in segmentation.SegmentSequence]
    chosen = choose_segments(names, wanted)
    numbers = [
        int(item.SegmentNumber) for item in segmentation.SegmentSequence if str(item.SegmentLabel) in chosen
    ]
    try:
        volume = segmentation.get_volume(segment_numbers=numbers)
    except (RuntimeError, ValueError) as error:
        raise GeometryError(
            "the segmentation's frames do not form a volume",
            field="mask",
            file=path.name,
            expected="evenly spaced parallel frames",
            received=str(error).splitlines()[0][:200],
            remedy="export the segmentation again",
        ) from None
    inside = (np.asarray(volume.array) >= 0.5).any(axis=-1).astype(np.uint8)
    mask = sitk.GetImageFromArray(inside)
    _set_geometry(mask, np.asarray(volume.affine, dtype=float))
    return mask, ", ".join(chosen)


def _set_geometry(image: sitk.Image, affine: np.ndarray) -> None:
    """Give `image`, whose array axes are (frame, row, column), the LPS affine of those indices."""
    # SimpleITK indexes x, y, z = column, row, frame.
    axes = affine[:3, [2, 1, 0]]
    spacing = np.linalg.norm(axes, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((axes / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())


def _open_segmentation(path: Path):
    import highdicom

    try:
        dataset = pydicom.dcmread(path)
        if dataset.get("SOPClassUID") != SEGMENTATION:
            raise MaskError(
                "the DICOM file is not a segmentation",
                field="mask",
                file=path.name,
                expected="Modality SEG",
                received=f"Modality {dataset.get('Modality', 'unknown')}",
                remedy="choose a DICOM SEG, or a labelmap in NIfTI or NRRD",
            )
        return highdicom.seg.Segmentation.from_dataset(dataset, copy=False)
    except (InvalidDicomError, EOFError, AttributeError, KeyError, ValueError):
        raise _damaged(path, "mask") from None


def _choose_series(folder: Path, series: dict, wanted: str | None):
    """One (uid, slices) of `series`: the only one, or the one that `wanted` names."""
    if not series:
        raise InputError(
            "the folder holds no DICOM slices",
            field="image",
            file=folder.name,
            expected="one CT series",
            received=f"{sum(1 for p in folder.rglob('*') if p.is_file())} other files",
            remedy="choose the folder of the CT series, or a volume file",
        )

    def description(uid: str) -> str:
        return str(series[uid][0][1].get("SeriesDescription", "")) or "no description"

    chosen = list(series)
    if wanted is not None:
        chosen = [u for u in series if u == wanted or wanted.casefold() in description(u).casefold()]
    if len(chosen) != 1:
        listed = "; ".join(f"{description(u)} ({len(series[u])} slices, {u})" for u in series)
        raise InputError(
            "the folder holds several series" if wanted is None else f'"{wanted}" names no single series',
            field="image",
            file=folder.name,
            expected="one series, or a choice",
            received=listed,
            remedy="name the series by its description or its UID",
        )
    return chosen[0], series[chosen[0]]


def _in_order(folder: Path, slices: list) -> list:
    """The slices along their normal, after checking that they form one even, untilted stack."""
    headers = [header for _, header in slices]
    orientations = np.array([header.ImageOrientationPatient for header in headers], dtype=float)
    if np.abs(orientations - orientations[0]).max() > 1e-3:
        raise _uneven(folder, "its slices point in different directions", "one orientation", "several")
    normal = np.cross(orientations[0, :3], orientations[0, 3:])
    positions = np.array([header.ImagePositionPatient for header in headers], dtype=float)
    depth = positions @ normal
    order = np.argsort(depth, kind="stable")
    slices, depth, positions = [slices[n] for n in order], depth[order], positions[order]
    if len(slices) < 2:
        return slices
    steps = np.diff(depth)
    spacing = float(np.median(steps))
    doubled = depth[1:][steps < 1e-3]
    if doubled.size:
        received = f"{doubled.size} positions twice, the first at {doubled[0]:.2f} mm"
        raise _uneven(folder, "the series holds slices twice", "every position once", received)
    odd = np.flatnonzero(np.abs(steps - spacing) > SPACING_TOLERANCE * spacing)
    if odd.size:
        where = ", ".join(f"{steps[n]:.2f} mm after {depth[n]:.2f} mm" for n in odd[:5])
        raise _uneven(folder, "slices are missing or unevenly spaced", f"{spacing:.2f} mm everywhere", where)
    drift = positions[-1] - positions[0]
    sideways_mm = float(np.linalg.norm(drift - (drift @ normal) * normal))
    if sideways_mm > 0.5:
        received = f"slices move {sideways_mm:.1f} mm sideways over the stack"
        raise _uneven(folder, "the gantry was tilted", "slices stacked along their normal", received)
    return slices


def _uneven(folder: Path, message: str, expected: str, received: str) -> GeometryError:
    return GeometryError(
        message,
        field="image",
        file=folder.name,
        expected=expected,
        received=received,
        remedy="export one complete, untilted series",
    )


def _damaged(path: Path, field: str = "image") -> InputError:
    return InputError(
        "the DICOM file is damaged",
        field=field,
        file=path.name,
        expected="a whole DICOM file",
        received=f"{path.stat().st_size} bytes that pydicom and GDCM cannot read",
        remedy="fetch it again from the archive",
    )
