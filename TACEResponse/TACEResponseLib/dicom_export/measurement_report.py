"""The answer as a Comprehensive 3D SR with a measurement report (DICOM PS3.16, TID 1500).

What has a number or a code stands in the measurement group of the tumour, which points at its
segment and through it at the slices; what is a sentence stands under "Qualitative Evaluations".
Where DICOM, SNOMED CT or UCUM have no code, one of our own is used (`99TACERESPONSE`).
"""

from typing import TYPE_CHECKING

import numpy as np
import pydicom
from highdicom import sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.seg import Segmentation
from highdicom.sr import CodedConcept, RelationshipTypeValues
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from TACEResponseLib import __version__

from .instances import REPORT_SERIES, Identifiers, common_attributes
from .segmentation import LABEL, SEGMENT
from .source import Source

if TYPE_CHECKING:
    from TACEResponseLib.answer.prediction import Prediction

SCHEME = "99TACERESPONSE"
PERCENT = CodedConcept("%", "UCUM", "percent")
COUNT = CodedConcept("{lesions}", "UCUM", "lesions")
MILLIMETRE, MILLILITRE = CodedConcept("mm", "UCUM", "millimeter"), CodedConcept("mL", "UCUM", "milliliter")
NUMBER_OF_LESIONS = CodedConcept("246206008", "SCT", "Number of lesions")
QUALITATIVE_EVALUATIONS = CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
CONTAINS = RelationshipTypeValues.CONTAINS


def own(value: str, meaning: str) -> CodedConcept:
    """A concept that no public scheme has."""
    return CodedConcept(value, SCHEME, meaning)


PROBABILITY = own("probability", "Probability of objective response (mRECIST CR or PR)")
LOWEST, HIGHEST = (
    own("lower-bound", "Lower bound of probability"),
    own("upper-bound", "Upper bound of probability"),
)
ANSWER = own("answer", "Predicted response to first TACE")
KINDS = {
    "above": own("above", "Above the cut-off"),
    "below": own("below", "Below the cut-off"),
    "undecided": own("undecided", "Undecided"),
}
BANNER, HEADLINE, CLASS = own("banner", "Read first"), own("headline", "Answer"), own("class", "Class")
SIMILARITY = own("similarity", "Similarity to the training cases")
VERDICTS = {
    "inside": own("inside", "Inside"),
    "at the edge": own("edge", "At the edge"),
    "outside": own("outside", "Outside"),
}
POSSIBLE = own("possible", "Outcome that cannot be excluded")
OUTCOMES = {
    "response": own("response", "Response (CR or PR)"),
    "no response": own("no-response", "No response (SD or PD)"),
}
CERTAINTY, AGREEMENT = own("certainty", "Certainty"), own("agreement", "Agreement of the models")
OUTLINE, PROGRAM = own("outline", "Outline"), own("outline-program", "Outline proposed by")  # not a text
WARNING, STATEMENT = own("warning", "Warning"), own("statement", "Statement on use")


def measurement_report(
    prediction: "Prediction",
    source: Source,
    tumour: np.ndarray,
    segmentation: Segmentation,
    identifiers: Identifiers,
) -> sr.Comprehensive3DSR:
    """The report, complete and unverified, preliminary as all research is."""
    with_tumour = [header for header, layer in zip(source.headers, tumour, strict=True) if layer.any()]
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(prediction)),
        procedure_reported=codes.SCT.ComputedTomography,
        imaging_measurements=[_tumour_group(prediction, segmentation, with_tumour, identifiers)],
        title=codes.DCM.ImagingMeasurementReport,
    )
    content[0].ContentSequence.append(_evaluations(prediction))
    return sr.Comprehensive3DSR(
        evidence=[*with_tumour, segmentation],
        content=content[0],
        series_instance_uid=identifiers.report_series,
        series_number=REPORT_SERIES,
        sop_instance_uid=identifiers.report,
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[CodingSchemeIdentificationItem(SCHEME, name="TACEResponse")],
        **common_attributes(prediction, "report"),
    )


def _observer(prediction: "Prediction") -> sr.ObserverContext:
    """The program with its model; the same model is the same observer everywhere."""
    uid = generate_uid(entropy_srcs=["TACEResponse", __version__, prediction.bundle_id])
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=uid, name="TACEResponse", model_name=prediction.bundle_id, manufacturer_name="TACEResponse"
    )
    return sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)


def _tumour_group(
    prediction: "Prediction",
    segmentation: Segmentation,
    slices: list[pydicom.Dataset],
    identifiers: Identifiers,
) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    """TID 1411: the tumour with its `slices`, what was measured in it, and the answer."""
    images = [sr.SourceImageForSegmentation(each.SOPClassUID, each.SOPInstanceUID) for each in slices]
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(identifiers.tracking, LABEL),
        referenced_segment=sr.ReferencedSegment(
            segmentation.SOPClassUID, segmentation.SOPInstanceUID, SEGMENT, source_images=images
        ),
        finding_category=codes.SCT.MorphologicallyAbnormalStructure,
        finding_type=codes.SCT.NeoplasmPrimary,
        finding_sites=[sr.FindingSite(codes.SCT.Liver)],
        measurements=[*_answer(prediction), *_size(prediction)],
        qualitative_evaluations=_verdicts(prediction),
    )


def _answer(prediction: "Prediction") -> list[sr.Measurement]:
    """The headline with its instability and threshold, each saying which model gave it."""
    from TACEResponseLib.answer.words import model_title

    model = sr.AlgorithmIdentification(
        name=model_title(prediction.headline),
        version=prediction.bundle_id,
        parameters=[prediction.statement(), *(f"{n} {v}" for n, v in prediction.versions.items())],
        manufacturer="TACEResponse",
    )
    certainty = prediction.certainty
    numbers = [(PROBABILITY, prediction.fused), (codes.DCM.ThresholdValue, prediction.threshold)]
    if certainty.instability is not None:
        numbers[1:1] = zip((LOWEST, HIGHEST), certainty.instability, strict=True)
    return [sr.Measurement(name, round(100 * v, 2), PERCENT, algorithm_id=model) for name, v in numbers]


def _size(prediction: "Prediction") -> list[sr.Measurement]:
    lesions = prediction.lesions
    return [
        sr.Measurement(NUMBER_OF_LESIONS, lesions.number, COUNT),
        # The longest axial diameter of any lesion, as mRECIST measures it.
        sr.Measurement(codes.SCT.LongAxis, round(lesions.largest_diameter_mm, 2), MILLIMETRE),
        sr.Measurement(codes.SCT.Volume, round(lesions.volume_ml, 3), MILLILITRE),
    ]


def _verdicts(prediction: "Prediction") -> list[sr.QualitativeEvaluation]:
    """What is one of a few answers, as codes."""
    kind = prediction.reading().kind
    possible = () if kind == "outside" else prediction.certainty.conformal
    return [
        *([sr.QualitativeEvaluation(ANSWER, KINDS[kind])] if kind in KINDS else []),
        sr.QualitativeEvaluation(SIMILARITY, VERDICTS[prediction.similarity.verdict]),
        *(sr.QualitativeEvaluation(POSSIBLE, OUTCOMES[name]) for name in possible),
    ]


def _evaluations(prediction: "Prediction") -> sr.ContainerContentItem:
    """TID 1500, "Qualitative Evaluations": what is a sentence, the statement on use first."""
    read, certainty = prediction.reading(), prediction.certainty
    sure = [(CERTAINTY, certainty.sentence()), (AGREEMENT, certainty.agreement)]
    sentences = [
        (STATEMENT, prediction.statement()),
        (BANNER, read.banner),
        (HEADLINE, read.headline),
        (CLASS, read.verdict),
        (SIMILARITY, prediction.similarity.sentence()),
        *(sure if read.kind != "outside" else []),
        (OUTLINE, prediction.outline.history()),
        (PROGRAM, prediction.outline.program),
        *_scores(prediction),
        *((WARNING, text) for text in prediction.warnings),
    ]
    container = sr.ContainerContentItem(QUALITATIVE_EVALUATIONS, relationship_type=CONTAINS)
    container.ContentSequence = sr.ContentSequence(
        [sr.TextContentItem(name, text, relationship_type=CONTAINS) for name, text in sentences if text]
    )
    return container


def _scores(prediction: "Prediction") -> list[tuple[CodedConcept, str]]:
    """Every clinical score with its group and what it was developed to predict."""
    return [
        (own(score.name, score.title), f"{score.text} (developed to predict {score.built_for})")
        for score in prediction.clinical_scores
    ]
