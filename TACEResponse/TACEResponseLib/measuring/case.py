"""Case -> everything the models look at: radiomics features, the patch, the lesions.

One pass, the same for training and for prediction, so that both see the same numbers.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.cases import Case, bounding_box
from TACEResponseLib.cases.lesions import Lesions, measure_lesions
from TACEResponseLib.messages.errors import FeatureError, Problem
from TACEResponseLib.messages.language import tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.radiomics import extract_row
from TACEResponseLib.settings import PatchSettings, RadiomicsSettings

from .patch import Patch, largest_layer_patch

#: What `measure_scan` tells of a CT, in the order of `PatientTable.scans`.
SCAN = ("tumour_hu", "surroundings_hu", "pixel_mm", "slice_mm")
#: Width of the frame around the tumour's box that is its surroundings.
SURROUNDINGS_MM = 10.0


@dataclass(frozen=True)
class Measurements:
    """One patient measured.

    row: the columns of `radiomics.extract_row`; empty when `feature_problem` says why the features
    cannot be computed on this case (for example LoG on three slices). scan: values of `SCAN` by name.
    patch: None when not asked. phase: of contrast, that the vessels or else the name of the scan tell;
    "" where none does.
    """

    patient_id: str
    row: dict[str, float | str]
    lesions: Lesions
    scan: dict[str, float]
    patch: Patch | None = None
    feature_problem: Problem | None = None
    phase: str = ""


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
    progress(tr("measure lesions"), 0, 3)
    lesions, scan = measure_lesions(case), measure_scan(case)
    picture = largest_layer_patch(case, patch) if patch is not None else None
    progress(tr("measure texture"), 1, 3)
    try:
        row = extract_row(case, radiomics, engine=engine, threads=threads, only=only)
    except FeatureError as error:
        if features_required:
            raise
        problem = error.problem
    progress(tr("measure texture"), 2, 3)
    phase = case.provenance.get("image", {}).get("phase", "")
    return Measurements(case.patient_id, row, lesions, scan, picture, problem, phase)


def image_hash(case: Case) -> str:
    """SHA-1 of the CT's voxels in hexadecimal digits, as it stands in the diagnostics of a feature table."""
    from TACEResponseLib.radiomics.diagnostics import sha1_of_image  # needs packages, measuring sizes none

    return sha1_of_image(case)


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
