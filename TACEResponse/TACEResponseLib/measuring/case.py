"""Case -> everything the models look at: radiomics features, the patch, the lesions.

One pass, the same for training and for prediction, so that both see the same numbers.
`ModelInputs` is the form in which many patients reach the models.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.cases import Case, bounding_box
from TACEResponseLib.cases.lesions import Lesions, measure_lesions
from TACEResponseLib.errors import FeatureError, Problem
from TACEResponseLib.progress import Progress, silent
from TACEResponseLib.radiomics import extract_row
from TACEResponseLib.settings import PatchSettings, RadiomicsSettings

from .patch import Patch, largest_layer_patch

#: What `measure_scan` tells of a CT, in the order of `ModelInputs.scans`.
SCAN = ("tumour_hu", "surroundings_hu", "pixel_mm", "slice_mm")
#: Width of the frame around the tumour's box that is its surroundings.
SURROUNDINGS_MM = 10.0


@dataclass(frozen=True)
class Measurements:
    """One patient measured.

    row: the columns of `radiomics.extract_row`; empty when `feature_problem` says why the features
    cannot be computed on this case (for example LoG on three slices). scan: values of `SCAN` by name.
    patch: None when not asked.
    """

    patient_id: str
    row: dict[str, float | str]
    lesions: Lesions
    scan: dict[str, float]
    patch: Patch | None = None
    feature_problem: Problem | None = None


def measure(
    case: Case,
    radiomics: RadiomicsSettings,
    patch: PatchSettings | None,
    *,
    engine: str = "fast",
    threads: int = 1,
    only: Collection[str] | None = None,
    features_required: bool = True,
    progress: Progress = silent,
) -> Measurements:
    """Measure a case. `only`: just these feature columns (prediction needs a few of 1130).

    Raises FeatureError when a feature cannot be computed and `features_required`; otherwise the
    error becomes `feature_problem` and the rest is measured all the same.
    """
    row, problem = {}, None
    progress("measure lesions", 0, 3)
    lesions, scan = measure_lesions(case), measure_scan(case)
    picture = largest_layer_patch(case, patch) if patch is not None else None
    progress("measure texture", 1, 3)
    try:
        row = extract_row(case, radiomics, engine=engine, threads=threads, only=only)
    except FeatureError as error:
        if features_required:
            raise
        problem = error.problem
    progress("measure texture", 2, 3)
    return Measurements(case.patient_id, row, lesions, scan, picture, problem)


def measure_scan(case: Case) -> dict[str, float]:
    """How the CT was taken, as far as its voxels tell: median HU in and around the tumour, voxel size."""
    image, mask = (sitk.GetArrayViewFromImage(volume) for volume in (case.image, case.mask))
    frame = [round(SURROUNDINGS_MM / spacing) for spacing in case.spacing_mm[::-1]]
    near = tuple(
        slice(max(part.start - width, 0), part.stop + width)
        for part, width in zip(bounding_box(mask), frame, strict=True)
    )
    inside = mask[near] > 0
    tumour_hu = float(np.median(image[near][inside]))
    around = image[near][~inside]
    return {
        "tumour_hu": tumour_hu,
        "surroundings_hu": float(np.median(around)) if around.size else tumour_hu,
        "pixel_mm": min(case.spacing_mm),
        "slice_mm": max(case.spacing_mm),
    }


@dataclass(frozen=True)
class ModelInputs:
    """What the models look at, n patients.

    features: (n, p) float64, columns named by `feature_names`. pixels: (n, size, size, 3) float32 in
    [0, 1], None without images. diameters_mm: (n,) largest axial diameter, None when unknown. scans:
    (n, len(SCAN)) values of `measure_scan`, None without images.
    """

    patient_ids: tuple[str, ...]
    feature_names: tuple[str, ...]
    features: np.ndarray = field(repr=False)
    pixels: np.ndarray | None = field(default=None, repr=False)
    diameters_mm: np.ndarray | None = field(default=None, repr=False)
    scans: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.patient_ids)

    def rows(self, index: np.ndarray) -> "ModelInputs":
        """The patients at the positions `index`."""
        return ModelInputs(
            tuple(self.patient_ids[i] for i in index),
            self.feature_names,
            self.features[index],
            None if self.pixels is None else self.pixels[index],
            None if self.diameters_mm is None else self.diameters_mm[index],
            None if self.scans is None else self.scans[index],
        )

    def columns(self, names: Sequence[str]) -> np.ndarray:
        """The features called `names` as (n, len(names)), in that order."""
        position = {name: column for column, name in enumerate(self.feature_names)}
        missing = [name for name in names if name not in position]
        if missing:
            raise FeatureError(
                f"{len(missing)} features that the model needs were not extracted",
                expected=", ".join(missing[:3]),
                remedy="extract them with the settings of the bundle",
            )
        return self.features[:, [position[name] for name in names]]


def stack(measurements: Sequence[Measurements], feature_names: Sequence[str]) -> ModelInputs:
    """The measurements of several patients as one ModelInputs, features in the given order."""
    patches = [m.patch for m in measurements]
    return ModelInputs(
        patient_ids=tuple(m.patient_id for m in measurements),
        feature_names=tuple(feature_names),
        features=np.array([[m.row[name] for name in feature_names] for m in measurements], dtype=float),
        pixels=None if None in patches else np.stack([p.pixels for p in patches]),
        diameters_mm=np.array([m.lesions.largest_diameter_mm for m in measurements]),
        scans=np.array([[m.scan[name] for name in SCAN] for m in measurements]),
    )
