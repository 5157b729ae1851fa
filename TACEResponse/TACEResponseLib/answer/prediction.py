"""Prediction: the answer for one patient, with everything that must stand beside it.

Made by `response_model`, shown by the panel, the page and the DICOM report, kept as
`prediction.json`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from TACEResponseLib.cases.lesions import Lesions
from TACEResponseLib.cases.outline import UNKNOWN, Outline
from TACEResponseLib.clinical.scores import ClinicalScore
from TACEResponseLib.measuring.patch import Patch
from TACEResponseLib.messages.language import mark, tr

from .certainty import Certainty
from .notebook import as_html, in_short
from .reading import Reading, read
from .similarity import Similarity

#: The sentence that every output of a model trained on synthetic images repeats.
DEMONSTRATION = mark("This model was trained on synthetic images and is not for patients.")
#: The sentence of every other one.
RESEARCH_USE = mark("For research use only; not a medical device.")


@dataclass(frozen=True)
class Prediction:
    """The answer for one patient; `to_json` is the content of `prediction.json`.

    probabilities: name -> probability of response (CR + PR) in [0, 1], for single models
    and fusions. fused: the headline among them. threshold: its cut-off, in [0, 1]. responder: fused above
    threshold, which says nothing for a case outside the training data: see `reading`. similarity: to the
    training patients. certainty: instability, conformal set, agreement. clinical_scores: every score of
    `clinical.scores`, NA where an item is missing. checked: what was looked at before answering, in
    words. training_share: of responders among the training patients, None where it is not known.
    patch: what the network saw. outline: who made the mask.
    """

    patient_id: str
    bundle_id: str
    demonstration: bool
    probabilities: Mapping[str, float]
    headline: str
    fused: float
    threshold: float
    responder: bool
    lesions: Lesions
    similarity: Similarity
    certainty: Certainty
    clinical_scores: tuple[ClinicalScore, ...]
    warnings: tuple[str, ...]
    checked: tuple[str, ...]
    versions: Mapping[str, str]
    training_share: float | None = None
    patch: Patch | None = field(default=None, repr=False, compare=False)
    outline: Outline = UNKNOWN

    FORMAT_VERSION = 1

    def __repr__(self) -> str:
        return in_short(self)

    def _repr_html_(self) -> str:
        """The answer in a notebook, without the patient's ID."""
        return as_html(self)

    def statement(self) -> str:
        """The sentence that must stand wherever this answer is shown."""
        return tr(DEMONSTRATION if self.demonstration else RESEARCH_USE)

    def reading(self) -> Reading:
        """How the answer is to be read: banner, headline and class, the same in every output."""
        return read(self.fused, self.threshold, self.training_share, self.certainty, self.similarity)

    def to_json(self) -> dict:
        """JSON types, keys stable across versions of the format; no class for a case outside."""
        reading = self.reading()
        return {
            "format_version": self.FORMAT_VERSION,
            "statement": self.statement(),
            "patient_id": self.patient_id,
            "bundle_id": self.bundle_id,
            "demonstration": self.demonstration,
            "probabilities": dict(self.probabilities),
            "headline": self.headline,
            "fused": self.fused,
            "threshold": self.threshold,
            "responder": self.responder if reading.has_side else None,
            "training_share": self.training_share,
            "reading": reading.to_json(),
            "similarity": self.similarity.to_json(),
            "certainty": self.certainty.to_json(),
            "lesions": self.lesions.to_json(),
            "outline": self.outline.to_json(),
            "clinical_scores": [score.to_json() for score in self.clinical_scores],
            "warnings": list(self.warnings),
            "checked": list(self.checked),
            "versions": dict(self.versions),
        }
