"""Enhanced and legacy-converted DICOM images: one file with many slices, each frame read as one.

What a frame does not say itself stands in the group that all share. Frames may lie in any order,
and a volume may be spread over several files (a concatenation).
"""

from pathlib import Path

from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import tr

from .dicom_open import (
    LABEL_MAP,
    SEGMENTATION,
    reading_dicom,
    require_possible_pixels,
    require_whole_elements,
    syntax_of,
)
from .slices import Slice, about_file, kinds_of, placed, read_slice, scaled, text_of, words_of


def read_slices(path: Path) -> list[Slice]:
    """The slices of one file: one, the frames of a multi-frame image, or none. InputError when damaged."""
    one = read_slice(path)
    return read_frames(path) if one is None else [one]


def read_frames(path: Path) -> list[Slice]:
    """The frames of an Enhanced or legacy-converted image as slices, in whatever order they lie.

    Empty for a file that is none. Raises InputError for a file that is damaged, or a frame that does
    not say where it lies.
    """
    import pydicom

    tags = ["SOPClassUID", "NumberOfFrames"]
    with reading_dicom(path), path.open("rb") as stream:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True)
        if "NumberOfFrames" not in header or kinds_of(header) & {SEGMENTATION, LABEL_MAP}:
            return []
        header = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
        groups = header.get("PerFrameFunctionalGroupsSequence")
        if not groups:
            return []
        if len(groups) != int(header.NumberOfFrames):
            raise ValueError
        require_possible_pixels(header, path, len(groups))
        require_whole_elements(stream, syntax_of(header))
        shared = (header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
        file = {**about_file(header, path), "part": _part(header)}
        kind = words_of(header, "ImageType")
        return [_frame(number, group, shared, file, kind, path) for number, group in enumerate(groups)]


def _frame(number: int, group, shared, file: dict, image_type: tuple[str, ...], path: Path) -> Slice:
    """One frame: what its own group says, and what the shared one says for all."""

    def part(name: str):
        return next((g[name][0] for g in (group, shared) if g.get(name)), {})

    position = part("PlanePositionSequence").get("ImagePositionPatient")
    orientation = part("PlaneOrientationSequence").get("ImageOrientationPatient")
    if not position or not orientation:
        raise InputError(
            tr("a frame of the CT does not say where it lies"),
            field="image",
            file=path.name,
            expected=tr("ImagePositionPatient and ImageOrientationPatient of every frame"),
            received=tr("frame {number} without an orientation", number=number + 1)
            if position
            else tr("frame {number} without a position", number=number + 1),
            remedy=tr("export the series as single slices"),
        )
    content = part("FrameContentSequence")
    time = text_of(content, "FrameAcquisitionDateTime") or text_of(content, "FrameReferenceDateTime")
    return Slice(
        **file,
        **placed(position, orientation, part("PixelMeasuresSequence").get("PixelSpacing")),
        **scaled(part("PixelValueTransformationSequence")),
        acquisition=text_of(content, "FrameAcquisitionNumber"),
        temporal_position=text_of(content, "TemporalPositionIndex"),
        time=time[8:],
        image_type=words_of(part("CTImageFrameTypeSequence"), "FrameType") or image_type,
        frame=number,
        stack=text_of(content, "StackID"),
    )


def _part(header) -> tuple[int, int] | None:
    """Which part of a concatenation a file is, and of how many (0: it does not say)."""
    number = header.get("InConcatenationNumber")
    return None if number is None else (int(number), int(header.get("InConcatenationTotalNumber") or 0))
