"""Predictions as a page or an archive meets them: from the shortest to one with everything in it."""

import numpy as np
from TACEResponseLib.answer.certainty import Certainty
from TACEResponseLib.answer.prediction import Prediction
from TACEResponseLib.answer.similarity import Measure, Similarity
from TACEResponseLib.cases.lesions import Lesions
from TACEResponseLib.clinical.items import ClinicalValues, TumourBurden
from TACEResponseLib.clinical.scores import clinical_scores
from TACEResponseLib.clinical.values import Measured
from TACEResponseLib.measuring.patch import Patch

MODELS = {
    "linear": 0.61,
    "logistic": 0.66,
    "svm": 0.58,
    "gbm": 0.81,
    "random_forest": 0.74,
    "cnn": 0.69,
    "size": 0.35,
    "cnn+size": 0.63,
    "cnn+random_forest": 0.72,
    "all": 0.7,
}


def an_answer(**changes) -> Prediction:
    """A likely responder of a demonstration model, two lesions, nothing unusual."""
    parts = {
        "patient_id": "Zoë 0012",
        "bundle_id": "peng2021-0123456789ab",
        "demonstration": True,
        "probabilities": {"cnn": 0.69, "random_forest": 0.74, "cnn+random_forest": 0.72},
        "headline": "cnn+random_forest",
        "fused": 0.72,
        "threshold": 0.55,
        "responder": True,
        "lesions": Lesions((47.2, 12.5), (52.3, 1.02), 0),
        "similarity": Similarity("inside", 0.4, (), (Measure("diameter_mm", "diameter", 47.2, 0.4, ""),)),
        "certainty": Certainty((0.58, 0.7, 0.71, 0.75, 0.84), ("response",), "All 2 models agree"),
        "clinical_scores": clinical_scores(ClinicalValues(), TumourBurden(2, (4.72, 1.25))),
        "warnings": (),
        "checked": ("image and mask on one grid", "intensities are HU"),
        "versions": {"tace-response": "0.1.0", "engine": "fast"},
    }
    return Prediction(**{**parts, **changes})


def a_full_answer(**changes) -> Prediction:
    """Everything that can stand beside an answer, at once: seven models, every score, many warnings."""
    diameters_mm = (96.4, 41.0, 22.8, 12.5)
    values = ClinicalValues(
        albumin_g_l=Measured(31.0),
        bilirubin_umol_l=Measured(28.0),
        afp_ng_ml=Measured(200, ">"),
        inr=Measured(1.3),
        ascites="mild",
        encephalopathy=0,
        vascular_invasion=False,
        spread=False,
    )
    reasons = (
        "tumour diameter in mm 96.4, training 12.1 to 90.3",
        "radiomics features at 1.3 times the usual distance, 7 of 20 outside the training range, "
        "farthest wavelet-HHL_glszm_SizeZoneNonUniformityNormalized",
    )
    warnings = (
        "12 % of the tumour is at padding value -3024 HU. Look at the CT; take another reconstruction.",
        "The mask is shifted by 0.21 mm, less than half a voxel. It was moved onto the CT's grid by nearest "
        "neighbour; look at the outline.",
        "The tumour's diameter lies outside the range of the training patients. Expected 12 to 90 mm; "
        "received 96 mm. Take the answer with care.",
        "7 of 20 features lie outside the range of the training patients, farthest "
        "wavelet-HHL_glszm_SizeZoneNonUniformityNormalized. Expected 0.1234 to 0.5678; received 0.9876. "
        "Take the answer with care.",
        "The CT looks portal venous (aorta 152 HU, portal vein 168 HU). Use the arterial phase.",
        "3 pieces of the mask below 0.01 mL not counted as lesions. Remove stray voxels.",
    )
    parts = {
        "probabilities": MODELS,
        "lesions": Lesions(diameters_mm, (412.3, 30.1, 5.2, 0.9), 3),
        "similarity": Similarity("outside", 1.31, reasons, ()),
        "certainty": Certainty(
            (0.31, 0.6, 0.74, 0.8, 0.93),
            ("response", "no response"),
            "6 of 7 models lie above their thresholds; on the other side: tumour size (35 %)",
        ),
        "clinical_scores": clinical_scores(values, TumourBurden(4, tuple(d / 10 for d in diameters_mm))),
        "warnings": warnings,
        "checked": (
            "image and mask on one grid",
            "mask not empty, one label",
            "intensities are HU",
            "features and size compared with the training range",
            "bundle whole, self-test reproduced",
        ),
        "versions": {"tace-response": "0.1.0", "engine": "fast"},
        "patch": Patch(
            np.random.default_rng(0).random((64, 64, 3), dtype=np.float32),
            30,
            (0.0, 0.0, 0.0),
            99.2,
            2.5,
            7000.0,
        ),
    }
    return an_answer(**{**parts, **changes})
