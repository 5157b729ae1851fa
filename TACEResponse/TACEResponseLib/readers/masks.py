"""Mask files of every format, opened once: their segments' names, and the chosen ones as voxels.

A labelmap keeps its labels and has no names. `.seg.nrrd` and DICOM SEG have named segments on a
grid of their own, an RTSTRUCT has contours that are filled on the CT's grid.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from TACEResponseLib.cases import choose_segments
from TACEResponseLib.errors import MaskError, Problem

from .dicom import is_dicom
from .dicom_seg import open_segmentation
from .rtstruct import is_structure_set, open_structure_set
from .volumes import existing, read_volume


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
    """An open mask file. names: its segments, empty for a labelmap. voxels: names -> 0/1 mask."""

    path: Path
    names: list[str]
    voxels: Callable[[list[str]], tuple[sitk.Image, list[Problem]]]
    cropped_is_normal: bool

    def read(self, segment: str | None = None) -> Mask:
        """The labelmap, or the segment that is called so (`"all"`: their union); MaskError else."""
        if self.names:
            chosen = choose_segments(self.names, segment)
            labels, warnings = self.voxels(chosen)
            return Mask(labels, ", ".join(chosen), self.cropped_is_normal, tuple(warnings))
        if segment is not None:
            raise MaskError(
                "the mask's format has no segment names",
                field="mask",
                expected=f'a segment named "{segment}"',
                received="a labelmap",
                remedy="choose the tumour by its label instead",
            )
        labels, _ = self.voxels([])
        return Mask(labels)


def open_mask(path: Path, image: sitk.Image | None = None) -> MaskFile:
    """Open a labelmap, `.seg.nrrd`, DICOM SEG or RTSTRUCT.

    image: the CT, on which an RTSTRUCT's contours are filled. Raises InputError when the file is
    missing or damaged, MaskError when it is no segmentation.
    """
    path = existing(Path(path), "mask")
    if is_dicom(path):
        opened, cropped = (
            (open_structure_set(path, image), False)
            if is_structure_set(path)
            else (open_segmentation(path), True)
        )
        return MaskFile(path, *opened, cropped)
    labels = read_volume(path, "mask")
    segments = _segments_of_nrrd(labels)
    if not segments:
        return MaskFile(path, [], lambda _: (labels, []), False)
    return MaskFile(
        path, list(segments), lambda names: (_union(labels, [segments[n] for n in names]), []), True
    )


def list_segments(path: str | os.PathLike) -> list[str]:
    """Names of the segments in a `.seg.nrrd`, DICOM SEG or RTSTRUCT; empty for a plain labelmap."""
    return open_mask(Path(path)).names


def _segments_of_nrrd(mask: sitk.Image) -> dict[str, tuple[int, int]]:
    """Segment name -> (layer, label value) as Slicer writes them into a `.seg.nrrd` header."""
    segments: dict[str, tuple[int, int]] = {}
    number = 0
    while mask.HasMetaDataKey(f"Segment{number}_ID"):

        def entry(key: str, default: str, prefix: str = f"Segment{number}_") -> str:
            return mask.GetMetaData(prefix + key) if mask.HasMetaDataKey(prefix + key) else default

        name = entry("Name", entry("ID", ""))
        segments[name] = (int(entry("Layer", "0")), int(entry("LabelValue", str(number + 1))))
        number += 1
    return segments


def _union(mask: sitk.Image, places: list[tuple[int, int]]) -> sitk.Image:
    """0/1 mask of the given (layer, label value) pairs; overlapping segments lie in layers."""
    several_layers = mask.GetNumberOfComponentsPerPixel() > 1
    inside = None
    for layer, value in places:
        labels = sitk.VectorIndexSelectionCast(mask, layer) if several_layers else mask
        segment = labels == value
        inside = segment if inside is None else inside | segment
    return inside
