"""DICOM SEG to masks: any segment by name, through highdicom.

Frames may be sparse, stacked segment by segment, overlapping, fractional or a labelmap; the
positions in the file decide where a frame lies, never its number.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.messages.errors import GeometryError, InputError, MaskError, Problem
from TACEResponseLib.messages.language import listed, tr

from .dicom_open import LABEL_MAP, SEGMENTATION, UNDEFINED_LENGTH, reading_dicom, syntax_of
from .gate import Claims, admit

#: A voxel of a fractional segment counts as inside from this share or probability on.
INSIDE_FROM = 0.5


def open_segmentation(path: Path):
    """Names of the segments in order, and numbers in that list -> (their union as 0/1, no warnings).

    Raises MaskError when the file is no segmentation, InputError when it is damaged. The reading
    raises GeometryError when the frames do not form a volume.
    """
    with reading_dicom(path, "mask"):
        segmentation = _open(path)
        described = [s for s in segmentation.SegmentSequence if int(s.SegmentNumber) > 0]  # 0: background
        segments = [(str(s.SegmentLabel), int(s.SegmentNumber)) for s in described]

    def voxels(chosen: list[int]) -> tuple[sitk.Image, list[Problem]]:
        return _union(path, segmentation, [segments[n][1] for n in chosen]), []

    return [name for name, _ in segments], voxels


def _union(path: Path, segmentation, numbers: list[int]) -> sitk.Image:
    """The union of the numbered segments of an open segmentation, 0/1."""
    with reading_dicom(path, "mask"):
        if segmentation.get_volume_geometry(allow_missing_positions=True) is None:
            raise GeometryError(
                tr("the segmentation's frames do not form a volume"),
                field="mask",
                file=path.name,
                expected=tr("evenly spaced parallel frames"),
                received=tr("frames at uneven positions or in several directions"),
                remedy=tr("export the segmentation again"),
            )
        volume = segmentation.get_volume(segment_numbers=numbers)
    inside = (np.asarray(volume.array) >= INSIDE_FROM).any(axis=-1).astype(np.uint8)
    mask = sitk.GetImageFromArray(inside)
    _set_geometry(mask, np.asarray(volume.affine, dtype=float))
    planes, rows, columns = volume.spatial_shape[0], int(segmentation.Rows), int(segmentation.Columns)
    return admit(mask, Claims(path, "mask", (columns, rows, planes))).volume


def _open(path: Path):
    import highdicom
    import pydicom

    dataset = pydicom.dcmread(path, force=True)
    if dataset.get("SOPClassUID") not in (SEGMENTATION, LABEL_MAP):
        raise MaskError(
            tr("the DICOM file is not a segmentation"),
            field="mask",
            file=path.name,
            expected=tr("a DICOM SEG or RTSTRUCT"),
            received=tr("Modality {modality}", modality=dataset.get("Modality", tr("unknown"))),
            remedy=tr("choose a DICOM SEG or RTSTRUCT, or a labelmap in NIfTI or NRRD"),
        )
    _require_frames(dataset, path)
    _require_segments(dataset, path)
    return highdicom.seg.Segmentation.from_dataset(dataset, copy=False)


def _require_frames(dataset, path: Path) -> None:
    """InputError unless every frame is described and the pixels are of so many; ValueError if cut off.

    The libraries cut frames out of a stream that is not theirs, and leave out those that nobody describes.
    """
    if _is_cut_off(dataset):
        raise ValueError
    frames = int(dataset.NumberOfFrames)
    described = len(dataset.PerFrameFunctionalGroupsSequence)
    if described != frames:
        raise _contradicting(
            path,
            tr("{n} frames", n=frames),
            tr("{n} that say where they lie", n=described),
        )
    fractions = str(dataset.get("SegmentationType", "")) != "BINARY"
    bits, size = int(dataset.BitsAllocated), int(dataset.Rows) * int(dataset.Columns)
    if bits not in ((8, 16) if fractions else (1, 8)):
        raise _contradicting(
            path,
            tr("{kind} pixels", kind=dataset.SegmentationType),
            tr("{bits} bits for each", bits=bits),
        )
    syntax, needed = syntax_of(dataset), (size * frames * bits + 7) // 8
    held = len(dataset.PixelData)
    plain = not syntax.is_compressed or syntax.is_deflated
    if plain and held - needed not in (0, needed % 2):
        expected = tr(
            "{needed} bytes for {n} frames of {rows} x {columns}",
            needed=needed,
            n=frames,
            rows=dataset.Rows,
            columns=dataset.Columns,
        )
        raise _contradicting(path, expected, tr("{n} bytes", n=held))


def _is_cut_off(dataset) -> bool:
    """Whether the file ends before its pixels do, or without any."""
    pixels = dataset.get_item("PixelData")  # as it stands in the file, with the length that it claims
    claimed = getattr(pixels, "length", None)
    return pixels is None or (claimed not in (None, UNDEFINED_LENGTH) and len(pixels.value) < claimed)


def _require_segments(dataset, path: Path) -> None:
    """Raise InputError when two segments have one number, or a frame is of none of them."""
    count = Counter(int(segment.SegmentNumber) for segment in dataset.SegmentSequence)
    if max(count.values(), default=0) > 1:
        numbers = listed(map(str, sorted(n for n, often in count.items() if often > 1)))
        raise _contradicting(
            path, tr("a number of its own for every segment"), tr("number {numbers} twice", numbers=numbers)
        )
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [{}])[0]
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence, start=1):
        named = group.get("SegmentIdentificationSequence") or shared.get("SegmentIdentificationSequence")
        segment = int(named[0].ReferencedSegmentNumber) if named else None
        if segment is not None and segment not in count:
            numbers = listed(map(str, sorted(count)))
            received = tr("frame {number} of segment {segment}", number=number, segment=segment)
            raise _contradicting(path, tr("frames of segments {numbers}", numbers=numbers), received)


def _contradicting(path: Path, expected: str, received: str) -> InputError:
    return InputError(
        tr("the segmentation contradicts itself"),
        field="mask",
        file=path.name,
        expected=expected,
        received=received,
        remedy=tr("export the segmentation again"),
    )


def _set_geometry(image: sitk.Image, affine: np.ndarray) -> None:
    """Give `image`, whose array axes are (frame, row, column), the LPS affine of those indices."""
    # SimpleITK indexes x, y, z = column, row, frame.
    axes = affine[:3, [2, 1, 0]]
    spacing = np.linalg.norm(axes, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((axes / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
