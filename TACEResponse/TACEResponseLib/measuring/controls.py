"""Negative controls: cases in which there is nothing to be found but what the control leaves there.

A model that does as well on them has not looked at the tumour's texture. The idea of measuring a
region that cannot know the answer is that of the READII project (Bratman and Haibe-Kains labs); the
code and the choices are ours:

- `shuffled_voxels`: voxels inside the tumour change places. Shape and the distribution of HU stay,
  texture goes. The surroundings are left alone, so filters that reach over the edge see them.
- `moved_region`: a region of the same shape elsewhere, with its own HU. Shape stays, everything else
  is another tissue of the same patient and scan. The place is the nearest one of which three quarters
  look like the tumour's surroundings (median HU of the frame around it, plus or minus 40 HU: liver,
  where the tumour lies in liver), which does not touch the tumour, and which lies in the body. Where
  no place is that alike, as for a tumour that fills the liver, the most alike place in the body.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.signal import fftconvolve

from TACEResponseLib.cases import Case, bounding_box
from TACEResponseLib.messages.errors import MaskError
from TACEResponseLib.messages.language import mark, tr

from .case import measure_scan

#: Raised when a control makes another case of the same case than before.
CONTROLS_VERSION = 1
#: HU within which tissue looks like the surroundings; noise of a CT has an SD of 10 to 25 HU.
ALIKE_HU = 40.0
#: Share of a place that must look so, and share that must be body.
LEAST_ALIKE, LEAST_BODY = 0.75, 0.99
#: Below it is air, lung or bowel gas.
LEAST_BODY_HU = -200.0
#: Free of the region around the tumour, beyond the reach of most filters.
GAP_MM = 5.0
#: Step of the search, and how many places are looked at closely.
STEP_MM, MOST_PLACES = 4.0, 200
#: By how much the share of body on the coarse grid may be wrong.
SLACK = 0.03


def shuffled_voxels(case: Case) -> Case:
    """The case with the voxels of its tumour in random order; the same patient gives the same order."""
    voxels = sitk.GetArrayFromImage(case.image)
    inside = sitk.GetArrayViewFromImage(case.mask) > 0
    seed = int.from_bytes(hashlib.sha256(case.patient_id.encode()).digest()[:8], "big")
    voxels[inside] = np.random.default_rng(seed).permutation(voxels[inside])
    image = sitk.GetImageFromArray(voxels)
    image.CopyInformation(case.image)
    return _controlled(case, "shuffled_voxels", image=image)


def moved_region(case: Case) -> Case:
    """The case with its mask moved off the tumour; see the module for where to.

    Raises MaskError when no place in the body holds the shape.
    """
    mask = sitk.GetArrayViewFromImage(case.mask) > 0
    box = bounding_box(mask)
    shape = mask[box]
    taken = _taken(mask, case.spacing_mm[::-1])
    voxels = sitk.GetArrayViewFromImage(case.image)
    surroundings_hu = measure_scan(case)["surroundings_hu"]
    alike, body = np.abs(voxels - surroundings_hu) <= ALIKE_HU, voxels > LEAST_BODY_HU
    best, best_share = None, 0.0
    for corner in _places(alike, body, taken, box, shape, case.spacing_mm[::-1]):
        there = tuple(slice(first, first + size) for first, size in zip(corner, shape.shape, strict=True))
        if body[there][shape].mean() < LEAST_BODY:
            continue
        share = float(alike[there][shape].mean())
        if best is None or share > best_share:
            best, best_share = there, share
        if share >= LEAST_ALIKE:
            break
    if best is None:
        raise MaskError(
            tr("no other place in the body holds a region of the tumour's shape"),
            patient_id=case.patient_id,
            field="mask",
            expected=tr("a place inside the CT that does not touch the tumour"),
            received=tr("a region of {size} voxels", size=" x ".join(map(str, shape.shape[::-1]))),
            remedy=tr("the patient is left out of this control"),
        )
    moved = np.zeros(mask.shape, dtype=np.uint8)
    moved[best][shape] = 1
    region = sitk.GetImageFromArray(moved)
    region.CopyInformation(case.mask)
    return _controlled(case, "moved_region", mask=region)


#: Name of a control -> the case that it makes of a case.
CONTROLS: dict[str, Callable[[Case], Case]] = {
    "shuffled_voxels": shuffled_voxels,
    "moved_region": moved_region,
}
#: The same names in words.
IN_WORDS = {"shuffled_voxels": mark("shuffled voxels"), "moved_region": mark("moved region")}


def _controlled(case: Case, name: str, **changes) -> Case:
    return dataclasses.replace(case, provenance={**case.provenance, "control": name}, **changes)


def _taken(mask: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
    """(k, j, i) bool: the tumour and the gap around it."""
    gap = [int(np.ceil(GAP_MM / spacing)) for spacing in spacing_mm]
    near = tuple(
        slice(max(part.start - width, 0), part.stop + width)
        for part, width in zip(bounding_box(mask), gap, strict=True)
    )
    taken = np.zeros(mask.shape, dtype=bool)
    distance_mm = ndimage.distance_transform_edt(~mask[near], sampling=spacing_mm)
    taken[near] = distance_mm <= GAP_MM
    return taken


def _places(
    alike: np.ndarray,
    body: np.ndarray,
    taken: np.ndarray,
    box: tuple[slice, ...],
    shape: np.ndarray,
    spacing_mm: tuple[float, ...],
) -> Iterator[tuple[int, ...]]:
    """First corners (k, j, i) of places worth a close look, on a coarse grid.

    First those that seem alike enough, the nearest first, then the others, the most alike first. Every
    place lies inside the array.
    """
    step = [max(1, round(STEP_MM / spacing)) for spacing in spacing_mm]
    weights = _coarse(shape, step)[::-1, ::-1, ::-1]
    share, in_body = (
        fftconvolve(_coarse(of, step), weights / weights.sum(), "valid") for of in (alike, body)
    )
    # Blocks that hold a voxel of both: none means that no voxel overlaps.
    overlap = fftconvolve((_coarse(taken, step) > 0).astype(float), (weights > 0).astype(float), "valid")
    corners = np.stack(np.meshgrid(*map(np.arange, share.shape), indexing="ij"), axis=-1) * step
    inside = (corners + shape.shape <= alike.shape).all(axis=-1)
    start = np.array([part.start for part in box])
    away_mm = np.sqrt((((corners - start) * spacing_mm) ** 2).sum(axis=-1))
    possible = inside & (in_body >= LEAST_BODY - SLACK) & (overlap < 0.5)
    found = np.flatnonzero(possible)
    good = share.ravel()[found] >= LEAST_ALIKE
    order = np.lexsort((away_mm.ravel()[found], np.where(good, 0.0, -share.ravel()[found]), ~good))
    for place in found[order][:MOST_PLACES]:
        yield tuple(int(n) for n in corners.reshape(-1, 3)[place])


def _coarse(values: np.ndarray, step: list[int]) -> np.ndarray:
    """Means of blocks of `step` voxels; an incomplete block at the end is filled up with nothing."""
    padding = [(0, -size % width) for size, width in zip(values.shape, step, strict=True)]
    padded = np.pad(values.astype(np.float32), padding)
    blocks = [part for size, width in zip(padded.shape, step, strict=True) for part in (size // width, width)]
    return padded.reshape(blocks).mean(axis=(1, 3, 5))
