"""Mutations of DICOM: a series of slices, a segmentation, and contours."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from scenes import contours_of, write_dicom_seg, write_dicom_series, write_rtstruct
from TACEResponseLib.readers import read_case

from .cases import Case, choose, cut, flipped
from .volumes import IMAGE, MASS, SEGMENTS, is_scene, mask, written


@functools.cache
def material() -> dict[str, bytes]:
    """Every file of the scene by its name."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        slices = write_dicom_series(folder / "series", IMAGE)
        write_dicom_seg(folder / "seg.dcm", slices, SEGMENTS)
        write_rtstruct(folder / "contours.dcm", {"Mass": contours_of(IMAGE, MASS)})
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.dcm"))}
    numbers = {}
    return {name: _with_numbered_uids(content, numbers) for name, content in files.items()}


_WHEN = {"DA": "20200101", "TM": "120000", "DT": "20200101120000"}


def _with_numbered_uids(content: bytes, numbers: dict[str, str]) -> bytes:
    """The file with its drawn identifiers numbered, so that a seed is the same bytes on every day."""

    def number(_, element) -> None:
        if element.VR == "UI" and element.value and not str(element.value).startswith("1.2.840.10008."):
            element.value = numbers.setdefault(str(element.value), f"2.25.{1000 + len(numbers)}")
        elif element.VR in _WHEN and element.value:
            element.value = _WHEN[element.VR]

    data = parsed(content)
    data.walk(number)
    data.file_meta.walk(number)
    return _save(data)


def parsed(content: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))


def boundaries(content: bytes) -> list[int]:
    """Where elements begin, as far as they are known: preamble, prefix, group 2, and every pixel's start."""
    places = [128, 132]
    for tag in (
        b"\x08\x00\x16\x00",
        b"\x18\x00\x50\x00",
        b"\x20\x00\x32\x00",
        b"\x28\x00\x10\x00",
        b"\xe0\x7f\x10\x00",
    ):
        place = content.find(tag)
        places += [place, place + 8, place + 12] if place > 0 else []
    return places


def series(folder: Path, rng: np.random.Generator) -> Case:
    """A CT series: files, order, tags, units and transfer syntaxes."""
    files = {n.partition("/")[2]: c for n, c in material().items() if n.startswith("series/")}
    names = sorted(files)
    one = choose(rng, names)
    kind = choose(rng, list(_SERIES))
    must_read, said = _SERIES[kind](files, names, one, rng)
    place = folder / "series"
    place.mkdir()
    for name, content in files.items():
        (place / name).write_bytes(content)
    (folder / "mask.nrrd").write_bytes(mask())
    read = lambda: read_case("P", place, folder / "mask.nrrd", label=2)
    return Case(f"{kind} {said}".strip(), read, is_scene, must_read)


def _save(data: pydicom.Dataset) -> bytes:
    stream = pydicom.filebase.DicomBytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _cut(files, names, one, rng):
    files[one], said = cut(files[one], rng, boundaries(files[one]))
    return False, said


def _drop(files, names, one, rng):
    # One at an end leaves a whole, shorter CT: only one between two others is missed.
    inner = choose(rng, names[1:-1])
    del files[inner]
    return False, inner


def _copy(files, names, one, rng):
    files[f"copy of {one}"] = files[one]
    return True, one


def _rename(files, names, one, rng):
    contents = [files.pop(name) for name in names]
    for number, content in zip(rng.permutation(len(contents)), contents, strict=True):
        files[f"IM{number:05d}"] = content
    return True, ""


def _number(files, names, one, rng):
    for name, number in zip(names, rng.permutation(len(names)), strict=True):
        data = parsed(files[name])
        data.InstanceNumber = int(number) + 1
        files[name] = _save(data)
    return True, ""


def _syntax(files, names, one, rng):
    syntax = choose(
        rng, [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless]
    )
    for name in names if rng.integers(2) else [one]:
        data = parsed(files[name])
        if syntax == RLELossless:
            data.compress(RLELossless)
            files[name] = _save(data)
            continue
        if syntax == ExplicitVRBigEndian:
            data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
        fresh = pydicom.Dataset()  # pydicom does not turn the bytes of one that was read
        for element in data:
            fresh.add(element)
        fresh.file_meta = data.file_meta
        fresh.file_meta.TransferSyntaxUID = syntax
        files[name] = _save(fresh)
    return True, syntax.name


def _units(files, names, one, rng):
    """Other stored numbers with the slope and intercept that make the same HU of them."""
    slope, intercept = choose(rng, [(1, -1000), (0.5, -1024), (2, -1024), (1, -2048), (-1, 3000)])
    for name in names if rng.integers(2) else [one]:
        data = parsed(files[name])
        hu = np.frombuffer(data.PixelData, "<u2").astype(int) - 1024
        if slope == 2 and (hu % 2).any():
            continue
        data.PixelData = np.round((hu - intercept) / slope).astype("<u2").tobytes()
        data.RescaleSlope, data.RescaleIntercept = slope, intercept
        files[name] = _save(data)
    return False, f"slope {slope} intercept {intercept}"


def _no_units(files, names, one, rng):
    tag = choose(rng, ["RescaleSlope", "RescaleIntercept"])
    data = parsed(files[one])
    delattr(data, tag)
    files[one] = _save(data)
    return False, f"{tag} of {one}"


def _tag(files, names, one, rng):
    """One slice says something else than the others, or than its bytes."""
    data = parsed(files[one])
    tag, value = choose(rng, [
        ("Rows", 47), ("Columns", 57), ("Rows", 0), ("BitsAllocated", 8), ("PixelRepresentation", 1),
        ("PixelSpacing", [0.8, 0.75]), ("ImageOrientationPatient", [0, 1, 0, 1, 0, 0]),
        ("ImagePositionPatient", [-120.5, -60.25, 411.1]), ("SeriesInstanceUID", "2.25.999"),
        ("Modality", "MR"), ("SamplesPerPixel", 3), ("NumberOfFrames", 2), ("RescaleIntercept", -24),
        ("BitsStored", 12), ("PhotometricInterpretation", "MONOCHROME1"),
    ])  # fmt: skip
    setattr(data, tag, value)
    files[one] = _save(data)
    # 12 of 16 bits hold what is written here, and signed 16 bits too.
    return False, f"{tag} {value} of {one}"


def _text(files, names, one, rng):
    """Names of the patient and the series in another character set: the same CT."""
    charset, name = choose(
        rng, [("ISO_IR 192", "病^人"), ("GB18030", "李^伟"), ("ISO_IR 144", "Иванов"), ("", "A")]
    )
    for each in names:
        data = parsed(files[each])
        data.SpecificCharacterSet, data.PatientName = charset, name
        files[each] = _save(data)
    return True, charset


_SERIES = {
    "cut": _cut, "drop": _drop, "copy": _copy, "rename": _rename, "number": _number, "syntax": _syntax,
    "units": _units, "no units": _no_units, "tag": _tag, "text": _text,
}  # fmt: skip


_SEG_TAGS = (
    ("Rows", 47),
    ("Columns", 55),
    ("NumberOfFrames", 3),
    ("NumberOfFrames", 99),
    ("BitsAllocated", 8),
    ("SegmentationType", "FRACTIONAL"),
    ("Modality", "CT"),
)


def seg(folder: Path, rng: np.random.Generator) -> Case:
    """A DICOM segmentation: its bytes, its frames and what it says of them."""
    content, must_read = material()["seg.dcm"], False
    kind = choose(rng, ["cut", "tag", "frames", "name", "segment", "numbers"])
    if kind == "cut":
        content, said = cut(content, rng, boundaries(content))
    else:
        data, said = parsed(content), kind
        if kind == "tag":
            tag, value = choose(rng, _SEG_TAGS)
            setattr(data, tag, value)
            said = f"{tag} {value}"
        elif kind == "frames":
            frames = data.PerFrameFunctionalGroupsSequence
            del frames[int(rng.integers(len(frames)))]
        elif kind == "name":
            data.SegmentSequence[1].SegmentLabel, must_read = " Mass ", True
        elif kind == "segment":
            frame = choose(rng, data.PerFrameFunctionalGroupsSequence)
            frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber = choose(rng, [3, 65535])
        else:
            data.SegmentSequence[1].SegmentNumber = choose(rng, [1, 3])
        content = _save(data)
    return _with_mask(folder, "seg.dcm", content, said, must_read)


def rtstruct(folder: Path, rng: np.random.Generator) -> Case:
    """Contours: their order, numbers and places."""
    content, must_read = material()["contours.dcm"], False
    kind = choose(
        rng, ["cut", "order", "reverse", "start", "odd", "letters", "number", "missing", "number of points"]
    )
    if kind == "cut":
        content, said = cut(content, rng, boundaries(content))
        return _with_mask(folder, "contours.dcm", content, said, must_read)
    data = parsed(content)
    contours = data.ROIContourSequence[0].ContourSequence
    one = choose(rng, contours)
    points = np.reshape([float(v) for v in one.ContourData], (-1, 3))
    if kind == "order":
        data.ROIContourSequence[0].ContourSequence = [contours[i] for i in rng.permutation(len(contours))]
        must_read = True
    elif kind == "reverse":
        one.ContourData, must_read = points[::-1].ravel().tolist(), True
    elif kind == "start":
        one.ContourData, must_read = np.roll(points, 3 * int(rng.integers(9)), axis=0).ravel().tolist(), True
    elif kind == "odd":
        one.ContourData = points.ravel().tolist()[:-1]
    elif kind == "letters":
        one.ContourData = points.ravel().tolist()
        return _with_mask(folder, "contours.dcm", _with_letters(_save(data), points), kind, False)
    elif kind == "number":
        data.ROIContourSequence[0].ReferencedROINumber = 9
    elif kind == "missing":
        del one.ContourData
    else:
        one.NumberOfContourPoints = 3
    return _with_mask(folder, "contours.dcm", _save(data), kind, must_read)


def _with_letters(content: bytes, points: np.ndarray) -> bytes:
    return content.replace(str(points[0, 0]).encode(), b"x" * len(str(points[0, 0])), 1)


def _with_mask(folder: Path, name: str, content: bytes, said: str, must_read: bool) -> Case:
    (folder / name).write_bytes(content)
    (folder / "ct.nrrd").write_bytes(written("ct.nrrd"))
    read = lambda: read_case("P", folder / "ct.nrrd", folder / name, segment="Mass")
    return Case(said, read, is_scene, must_read)


__all__ = ["flipped", "rtstruct", "seg", "series"]
