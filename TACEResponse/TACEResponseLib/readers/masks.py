"""Mask files of every format, opened once: their segments' names, and the chosen ones as voxels.

A labelmap keeps its labels and has no names. `.seg.nrrd` and DICOM SEG have named segments on a
grid of their own, an RTSTRUCT has contours that are filled on the CT's grid.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from TACEResponseLib.cases import choose_segments
from TACEResponseLib.messages.errors import MaskError, Problem
from TACEResponseLib.messages.language import tr

from .dicom import is_dicom
from .dicom_seg import open_segmentation
from .rtstruct import is_structure_set, open_structure_set
from .seg_nrrd import segments_of, union_of
from .volumes import existing, open_volume


@dataclass(frozen=True)
class Mask:
    """Labels on the file's own grid, or 0/1 where a segment was chosen by name.

    segment: the chosen names, empty for a labelmap. cropped_is_normal: the format stores only the
    tumour's box. warnings: what is odd about the mask.
    """

    labels: sitk.Image
    segment: str = ""
    cropped_is_normal: bool = False
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class MaskFile:
    """An open mask file.

    names: its segments, each once, empty for a labelmap. by_number: numbers in `names` -> 0/1 mask of
    their union (the labelmap for none), and what is odd about it.
    """

    path: Path
    names: list[str]
    by_number: Callable[[list[int]], tuple[sitk.Image, list[Problem]]]
    cropped_is_normal: bool

    def voxels(self, names: list[str]) -> tuple[sitk.Image, list[Problem]]:
        """0/1 mask of the union of the segments that are called so, and what is odd about it."""
        return self.by_number([number for number, name in enumerate(self.names) if name in names])

    def read(self, segment: str | None = None) -> Mask:
        """The labelmap, or the segment that is called so (`"all"`: their union); MaskError else."""
        if self.names:
            chosen = choose_segments(self.names, segment)
            labels, warnings = self.voxels(chosen)
            return Mask(labels, ", ".join(chosen), self.cropped_is_normal, tuple(warnings))
        if segment is not None:
            raise MaskError(
                tr("the mask's format has no segment names"),
                field="mask",
                expected=tr('a segment named "{segment}"', segment=segment),
                received=tr("a labelmap"),
                remedy=tr("choose the tumour by its label instead"),
            )
        labels, warnings = self.by_number([])
        return Mask(labels, warnings=tuple(warnings))


def open_mask(path: Path, image: sitk.Image | None = None) -> MaskFile:
    """Open a labelmap, `.seg.nrrd`, DICOM SEG or RTSTRUCT.

    image: the CT, on which an RTSTRUCT's contours are filled. Raises InputError when the file is
    missing or damaged, MaskError when it is no segmentation.
    """
    path = existing(Path(path), "mask")
    if is_dicom(path):
        of_contours = is_structure_set(path)
        names, by_number = open_structure_set(path, image) if of_contours else open_segmentation(path)
        return MaskFile(path, distinct(names), by_number, not of_contours)
    admitted = open_volume(path, "mask")
    labels, notes = admitted.volume, list(admitted.notes)
    segments = segments_of(labels)
    places = [place for _, place in segments]
    return MaskFile(
        path,
        distinct([name for name, _ in segments]),
        lambda numbers: (union_of(labels, [places[n] for n in numbers]) if places else labels, notes),
        bool(segments),
    )


def list_segments(path: str | os.PathLike) -> list[str]:
    """Names of the segments in a `.seg.nrrd`, DICOM SEG or RTSTRUCT; empty for a plain labelmap."""
    return open_mask(Path(path)).names


def distinct(names: list[str]) -> list[str]:
    """The names trimmed; one that is there twice, or empty, gets the number of its segment, from 1."""
    trimmed = [name.strip() for name in names]
    often = Counter(trimmed)
    return [
        name if name and often[name] == 1 else f"{name} (segment {number})".strip()
        for number, name in enumerate(trimmed, start=1)
    ]
