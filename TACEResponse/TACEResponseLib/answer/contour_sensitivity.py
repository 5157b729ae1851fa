"""How sensitive is the answer to the contour? The mask grown, shrunk and varied at random, predicted again.

Growing and shrinking move the border by whole distances in mm (signed distance map with the voxel
size). Jittering moves it by smooth random amounts, about 1 mm in standard deviation and 5 mm in
extent, as a second reader's outline would: seeded, so that the same case gives the same spread.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import distance_transform_edt, gaussian_filter

from TACEResponseLib.cases import Case, bounding_box
from TACEResponseLib.measuring.case import Measurements
from TACEResponseLib.messages.errors import TACEResponseError
from TACEResponseLib.messages.language import listed, several, tr
from TACEResponseLib.messages.progress import Progress, silent

from .numbers import percent
from .response_model import ResponseModel

#: How far the border is moved outwards (or inwards, below 0), in mm.
SHIFTS_MM = (1.0, -1.0, 2.0, -2.0)
#: Jittered outlines, their standard deviation and the extent of a wave, in mm.
JITTERS, JITTER_MM, WAVE_MM = 6, 1.0, 5.0
#: Room around the tumour for growing and for three deviations of jitter.
MARGIN_MM = 5.0


@dataclass(frozen=True)
class Variant:
    """One other outline: its name, volume in mL, probability of response and class.

    responder: None where no side of the cut-off is told, as for a case outside the training data.
    problem: why it has no answer (a small tumour may vanish when shrunk), "" when it has one.
    """

    name: str
    volume_ml: float
    probability: float | None
    responder: bool | None
    problem: str = ""


@dataclass(frozen=True)
class ContourSensitivity:
    """The answers by outline; the first variant is the outline as it was drawn."""

    variants: tuple[Variant, ...]

    @property
    def lowest(self) -> float:
        """The lowest probability of response."""
        return min(v.probability for v in self.variants if v.probability is not None)

    @property
    def highest(self) -> float:
        """The highest probability of response."""
        return max(v.probability for v in self.variants if v.probability is not None)

    @property
    def changes_class(self) -> bool:
        """Whether some other outline gives the other class."""
        return len({v.responder for v in self.variants if v.responder is not None}) > 1

    def sentence(self) -> str:
        """The spread in words."""
        answered = [v for v in self.variants if v.probability is not None]
        sided = [v for v in answered if v.responder is not None]
        turned = [v.name for v in sided if v.responder != sided[0].responder]
        spread = several(
            len(answered) - 1,
            "With 1 other outline the answer lies between {low} and {high}",
            "With {n} other outlines the answer lies between {low} and {high}",
            low=percent(self.lowest),
            high=percent(self.highest),
        )
        if turned:
            return tr("{spread}; the class changes with: {outlines}", spread=spread, outlines=listed(turned))
        return tr("{spread}, same class", spread=spread) if sided else spread

    def to_json(self) -> dict:
        """JSON types."""
        return {
            "lowest": self.lowest,
            "highest": self.highest,
            "changes_class": self.changes_class,
            "variants": [dataclasses.asdict(v) for v in self.variants],
        }


def contour_sensitivity(
    model: ResponseModel,
    case: Case,
    *,
    measured: Measurements | None = None,
    threads: int = 2,
    progress: Progress = silent,
) -> ContourSensitivity:
    """Predict the case with its own and ten other outlines; an outline without answer says why.

    measured: what `ResponseModel.measure` found with the outline as it was drawn; measured here when None.
    Raises what `model.predict` raises for the outline as it was drawn.
    """
    variants = []
    outlines = list(_outlines(case, model.settings.seed))
    for done, (name, outlined) in enumerate(outlines):
        progress(tr("contour"), done, len(outlines))
        if not sitk.GetArrayViewFromImage(outlined.mask).any():
            variants.append(Variant(name, 0.0, None, None, tr("the tumour vanishes")))
            continue
        try:
            known = {"measured": measured} if outlined is case and measured is not None else {}
            prediction = model.predict(outlined, threads=threads, **known)
            side = prediction.responder if prediction.reading().has_side else None
            variants.append(Variant(name, prediction.lesions.volume_ml, prediction.fused, side))
        except TACEResponseError as error:
            if not variants:
                raise
            variants.append(Variant(name, _volume_ml(outlined), None, None, error.problem.message))
    progress(tr("contour"), len(outlines), len(outlines))
    return ContourSensitivity(tuple(variants))


def _outlines(case: Case, seed: int) -> Iterator[tuple[str, Case]]:
    """Name and case with another mask; one that is empty, or fills the CT's edge, stays as it comes out."""
    yield tr("as drawn"), case
    corner, outside_mm = _distance_from_border(case)
    for shift_mm in SHIFTS_MM:
        name = tr("grown by {mm:g} mm" if shift_mm > 0 else "shrunk by {mm:g} mm", mm=abs(shift_mm))
        yield name, _with_border(case, corner, outside_mm <= shift_mm)
    random = np.random.default_rng(seed)
    spacing_mm = np.array(case.spacing_mm)[::-1]
    for number in range(1, JITTERS + 1):
        waves = gaussian_filter(random.standard_normal(outside_mm.shape), WAVE_MM / spacing_mm)
        shift_mm = JITTER_MM * waves / waves.std()
        yield (
            tr("random variation {number}", number=number),
            _with_border(case, corner, outside_mm <= shift_mm),
        )


def _distance_from_border(case: Case) -> tuple[tuple[int, ...], np.ndarray]:
    """First voxel (i, j, k) of the box around the tumour, and the box: mm outside the border, < 0 inside."""
    voxels = sitk.GetArrayViewFromImage(case.mask)
    margins = [int(np.ceil(MARGIN_MM / spacing)) + 1 for spacing in case.spacing_mm[::-1]]
    box = [
        slice(max(part.start - margin, 0), min(part.stop + margin, size))
        for part, margin, size in zip(bounding_box(voxels), margins, voxels.shape, strict=True)
    ]
    inside = voxels[tuple(box)] > 0
    spacing_mm = case.spacing_mm[::-1]
    outside_mm = _to_surface_mm(~inside, spacing_mm) - _to_surface_mm(inside, spacing_mm)
    return tuple(part.start for part in reversed(box)), outside_mm


def _to_surface_mm(voxels: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
    """Distance of the centre of every voxel in `voxels` from the border with the others, 0 elsewhere.

    The border lies half a voxel before the nearest other centre, measured in that direction: half
    a slice is more than a millimetre.
    """
    nearest = distance_transform_edt(voxels, spacing_mm, return_distances=False, return_indices=True)
    squares, steps = np.zeros(voxels.shape), np.zeros(voxels.shape)
    for axis, (place, spacing) in enumerate(zip(nearest, spacing_mm, strict=True)):
        own = np.arange(voxels.shape[axis]).reshape([-1 if n == axis else 1 for n in range(voxels.ndim)])
        along = ((place - own) * spacing) ** 2
        squares += along
        steps += along * spacing**2
    centres = np.sqrt(squares)
    return np.where(voxels, centres - np.sqrt(steps) / np.maximum(centres, 1e-9) / 2, 0.0)


def _with_border(case: Case, corner: tuple[int, ...], inside: np.ndarray) -> Case:
    voxels = np.zeros(case.mask.GetSize()[::-1], dtype=np.uint8)
    i, j, k = corner
    depth, height, width = inside.shape
    voxels[k : k + depth, j : j + height, i : i + width] = inside
    mask = sitk.GetImageFromArray(voxels)
    mask.CopyInformation(case.mask)
    return dataclasses.replace(case, mask=mask)


def _volume_ml(case: Case) -> float:
    voxel_ml = float(np.prod(case.spacing_mm)) / 1000
    return float(sitk.GetArrayViewFromImage(case.mask).sum()) * voxel_ml
