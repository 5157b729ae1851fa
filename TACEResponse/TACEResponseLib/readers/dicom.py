"""One acquisition of a DICOM series to a volume in HU, with the geometry checked from the headers.

pydicom reads the headers, SimpleITK (GDCM) the pixels with slope and intercept applied. What the
libraries let pass - duplicate slices, gaps, a tilted gantry - is checked here and is a
GeometryError that lists positions. Which acquisition it is stands in `acquisitions`. pydicom is
imported where a DICOM file is read: other volumes do without it and its memory.
"""

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.errors import GeometryError, InputError

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
#: Slices may be off their even spacing by this share of it (rounding in headers).
SPACING_TOLERANCE = 0.02
#: Sideways drift of a stack in mm above which its gantry was tilted.
LARGEST_DRIFT_MM = 0.5
#: A compressed slice holds at most this many bytes for one of its file; more is a damaged header,
#: for which no memory is taken.
MOST_PACKED = 1000
UNDEFINED_LENGTH = 0xFFFFFFFF
#: Value representations whose length has four bytes, behind two that are empty.
LONG_VRS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
#: What pydicom, beside its own error, and highdicom raise on files whose bytes are not what DICOM says.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
HEADER_TAGS = [
    "AcquisitionNumber",
    "AcquisitionTime",
    "BitsAllocated",
    "Columns",
    "ContentTime",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "PatientID",
    "PixelSpacing",
    "Rows",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesDescription",
    "SeriesInstanceUID",
    "SeriesNumber",
    "StudyInstanceUID",
    "TemporalPositionIdentifier",
]


@dataclass(frozen=True)
class Slice:
    """What decides where one DICOM slice belongs. Position, orientation and pixel spacing are LPS, in mm."""

    path: Path
    patient_id: str
    instance_uid: str
    series_uid: str
    study_uid: str
    series_number: str
    description: str
    acquisition: str
    temporal_position: str
    time: str
    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    pixel_spacing: tuple[float, ...]
    rows_columns: tuple[int, int]

    @property
    def depth_mm(self) -> float:
        """Position along the slice's own normal."""
        rows, columns = self.orientation[:3], self.orientation[3:]
        return float(np.dot(self.position, np.cross(rows, columns)))


def is_dicom(path: Path) -> bool:
    """Whether the file carries DICOM's preamble; the name does not matter."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        stream.seek(128)
        return stream.read(4) == b"DICM"


@contextlib.contextmanager
def reading_dicom(path: Path, field: str = "image") -> Iterator[None]:
    """Turn what the libraries raise on a damaged file into an InputError, and keep them quiet."""
    from pydicom.errors import InvalidDicomError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (InvalidDicomError, *DAMAGE):
            raise damaged(path, field) from None
        except OSError as error:
            if error.errno is None:  # pydicom's own, for a tag that is cut off
                raise damaged(path, field) from None
            raise InputError(
                "the file cannot be opened", field=field, file=path.name, received=error.strerror
            ) from None


def dicom_files(folder: Path) -> list[Path]:
    """Every DICOM file below `folder`; InputError for one that is called `.dcm` and is none."""
    files = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if is_dicom(path):
            files.append(path)
        elif path.suffix.lower() == ".dcm":
            raise damaged(path)
    return files


def read_slice(path: Path) -> Slice | None:
    """The header of one file; None when it is no image slice. Raises InputError when damaged."""
    import pydicom

    with reading_dicom(path), path.open("rb") as stream:
        header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=HEADER_TAGS)
        kinds = {str(header.get("SOPClassUID")), str(header.file_meta.get("MediaStorageSOPClassUID"))}
        if SEGMENTATION in kinds or ("ImagePositionPatient" not in header and CT_IMAGE not in kinds):
            return None
        position = tuple(float(v) for v in header.ImagePositionPatient)
        orientation = tuple(float(v) for v in header.ImageOrientationPatient)
        if len(position) != 3 or len(orientation) != 6 or not _is_right_angled(orientation):
            raise ValueError
        rows_columns = (int(header.Rows), int(header.Columns))
        pixels = rows_columns[0] * rows_columns[1] * int(header.BitsAllocated) // 8
        syntax = header.file_meta.TransferSyntaxUID
        packed = syntax.is_compressed or syntax.is_deflated
        if pixels > path.stat().st_size * (MOST_PACKED if packed else 1):
            raise ValueError
        if not syntax.is_deflated:
            _require_whole_elements(stream, syntax)

        def text(name: str) -> str:
            return str(header.get(name) or "")

        return Slice(
            path=path,
            patient_id=text("PatientID"),
            instance_uid=str(header.SOPInstanceUID),
            series_uid=str(header.SeriesInstanceUID),
            study_uid=text("StudyInstanceUID"),
            series_number=text("SeriesNumber"),
            description=text("SeriesDescription"),
            acquisition=text("AcquisitionNumber"),
            temporal_position=text("TemporalPositionIdentifier"),
            time=text("AcquisitionTime") or text("ContentTime"),
            position=position,
            orientation=orientation,
            rows_columns=rows_columns,
            pixel_spacing=tuple(float(v) for v in header.get("PixelSpacing") or ()),
        )


def _require_whole_elements(stream: BinaryIO, syntax) -> None:
    """Raise ValueError unless the elements from here on, pixels first, end where the file ends.

    GDCM takes gigabytes of memory for an element that claims a length it has not. syntax: pydicom's UID.
    """
    order = "<" if syntax.is_little_endian else ">"
    end = stream.seek(0, io.SEEK_CUR)
    size = stream.seek(0, io.SEEK_END)
    first = True
    while end < size:
        stream.seek(end)
        group, element = struct.unpack(f"{order}HH", stream.read(4))
        if first and (group, element) != (0x7FE0, 0x0010):
            raise ValueError
        first, kind = False, stream.read(2)
        if group == 0xFFFE or syntax.is_implicit_VR:  # items have no VR
            stream.seek(end + 4)
            (length,) = struct.unpack(f"{order}I", stream.read(4))
        elif kind in LONG_VRS:
            (length,) = struct.unpack(f"{order}xxI", stream.read(6))
        else:
            (length,) = struct.unpack(f"{order}H", stream.read(2))
        # What has no length of its own (packed pixels) is items that have.
        end = stream.tell() + (0 if length == UNDEFINED_LENGTH else length)
    if first or end > size:
        raise ValueError


def read_stack(slices: list[Slice], folder: Path) -> sitk.Image:
    """The volume of the slices in HU, after checking that they form one even, untilted stack.

    Raises GeometryError with positions, InputError naming a damaged file.
    """
    slices = in_order(slices, folder)
    try:
        image = sitk.ReadImage([str(s.path) for s in slices])
    except RuntimeError:
        raise damaged(_first_unreadable(slices)) from None
    if len(slices) > 1:
        # The distance between positions, not SliceThickness: slices may overlap or leave gaps.
        positions = np.array([s.position for s in slices])
        step_mm = float(np.linalg.norm(positions[-1] - positions[0]) / (len(slices) - 1))
        image.SetSpacing((*image.GetSpacing()[:2], step_mm))
    return image


def in_order(slices: list[Slice], folder: Path) -> list[Slice]:
    """The slices along their normal; GeometryError unless they are one even, untilted stack."""
    if any(len(s.pixel_spacing) != 2 for s in slices):
        raise _uneven(folder, "its slices do not say how large their pixels are", "a pixel size", "none")
    orientations = np.array([s.orientation for s in slices])
    if np.abs(orientations - orientations[0]).max() > 1e-3:
        raise _uneven(folder, "its slices point in different directions", "one orientation", "several")
    sizes = sorted({s.rows_columns for s in slices})
    if len(sizes) > 1:
        received = " and ".join(f"{rows} x {columns}" for rows, columns in sizes[:3])
        raise _uneven(folder, "its slices have different numbers of pixels", "one size", received)
    spacings = sorted({s.pixel_spacing for s in slices})
    if not np.allclose(spacings, spacings[0], rtol=1e-4):
        received = " and ".join(" x ".join(f"{v:g}" for v in pair) for pair in spacings[:3])
        raise _uneven(folder, "its slices have pixels of different sizes", "one pixel size", f"{received} mm")
    slices = sorted(slices, key=lambda s: s.depth_mm)
    if len(slices) < 2:
        return slices
    depth = np.array([s.depth_mm for s in slices])
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
    normal = np.cross(orientations[0, :3], orientations[0, 3:])
    drift = np.subtract(slices[-1].position, slices[0].position)
    sideways_mm = float(np.linalg.norm(drift - (drift @ normal) * normal))
    if sideways_mm > LARGEST_DRIFT_MM:
        received = f"slices move {sideways_mm:.1f} mm sideways over the stack"
        raise _uneven(folder, "the gantry was tilted", "slices stacked along their normal", received)
    return slices


def _is_right_angled(orientation: tuple[float, ...]) -> bool:
    rows, columns = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.array([np.linalg.norm(rows), np.linalg.norm(columns)])
    return bool(np.abs(lengths - 1).max() < 1e-2 and abs(rows @ columns) < 1e-2)


def _first_unreadable(slices: list[Slice]) -> Path:
    """The file that GDCM stumbles over, so that the message names the right one."""
    for each in slices:
        try:
            sitk.ReadImage(str(each.path))
        except RuntimeError:
            return each.path
    return slices[0].path


def _uneven(folder: Path, message: str, expected: str, received: str) -> GeometryError:
    return GeometryError(
        message,
        field="image",
        file=folder.name,
        expected=expected,
        received=received,
        remedy="export one complete, untilted series",
    )


def damaged(path: Path, field: str = "image") -> InputError:
    """The error for a file whose bytes are not DICOM where they say so."""
    return InputError(
        "the DICOM file is damaged",
        field=field,
        file=path.name,
        expected="a whole DICOM file",
        received=f"{path.stat().st_size} bytes that pydicom and GDCM cannot read",
        remedy="fetch it again from the archive",
    )
