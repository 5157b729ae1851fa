"""`ResponseModel`: a trained model, and how it answers for one case.

It knows the order of steps from a Case to a Prediction: measure what the model looks at, score,
combine, compare with the training patients, and say how sure that is. It knows arrays and Cases, no
files; `training.model` fits it, `bundle` writes it to disk.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from TACEResponseLib import __version__
from TACEResponseLib.cases import Case
from TACEResponseLib.clinical.items import ClinicalValues, TumourBurden
from TACEResponseLib.clinical.scores import clinical_scores
from TACEResponseLib.measuring.case import Measurements, measure
from TACEResponseLib.measuring.patient_table import PatientTable, stack
from TACEResponseLib.messages.errors import FeatureError, Problem
from TACEResponseLib.messages.language import mark, tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.models.calibrated import CalibratedFit
from TACEResponseLib.models.combination import Combination, combine, title
from TACEResponseLib.models.fold_models import FoldModels
from TACEResponseLib.models.learners import LEARNERS
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.outcome import Outcome

from . import remarks
from .certainty import Certainty, agreement, conformal_set
from .comparing import compared, compared_features
from .prediction import Prediction
from .similarity import Similarity, TrainingSpread

UNSAVED = "unsaved"
#: What was looked at before answering; the last one only of a model that came from a bundle.
CHECKED = (
    mark("image and mask on one grid"),
    mark("mask not empty, one label"),
    mark("intensities are HU"),
    mark("features, picture, size and scan compared with the training cases"),
)
CHECKED_BUNDLE = mark("bundle whole, self-test reproduced")


@dataclass(frozen=True)
class TrainingPatients:
    """What a model keeps of the n patients that it was trained on.

    out_of_fold: model or fusion -> (n,) probabilities by models, fusion and calibration that had not seen
    the patient. conformal: the same models with the shipped calibration, what a new patient's
    probability is compared with; it says nothing about calibration. image_hashes: SHA-1 of the CTs, in
    no order of patients. folds: (n,) the fold, counted from 0, that held the patient out; None where that
    is not known, as in bundles written before it was kept and in updated models. outlines: source of the
    mask (`cases.outline`) -> patients, of those whose source is known.
    """

    patient_ids: tuple[str, ...]
    outcome: Outcome
    out_of_fold: Mapping[str, np.ndarray] = field(repr=False)
    conformal: Mapping[str, np.ndarray] = field(repr=False)
    image_hashes: tuple[str, ...] = field(default=(), repr=False)
    folds: np.ndarray | None = field(default=None, repr=False)
    outlines: Mapping[str, int] = field(default_factory=dict)

    def among(self, patient_ids: Sequence[str], image_hashes: Sequence[str] = ()) -> tuple[str, ...]:
        """Those of other patients, sorted, who are these: by ID, or by the CT's hash where it is known."""
        hashes = [*image_hashes, *[""] * (len(patient_ids) - len(image_hashes))]
        known, images = set(self.patient_ids), set(self.image_hashes)
        pairs = zip(patient_ids, hashes, strict=True)
        return tuple(sorted(p for p, sha1 in pairs if p in known or (sha1 and sha1 in images)))

    def with_other_images(self, patient_ids: Sequence[str], image_hashes: Sequence[str]) -> tuple[str, ...]:
        """Those of other patients, sorted, whose CT is known and is none of these; () where one here is not.

        The CT of a patient that was resampled is another one, too: none of them is surely somebody else.
        """
        if not self.knows_every_image:
            return ()
        pairs = zip(patient_ids, image_hashes, strict=True)
        return tuple(sorted(p for p, sha1 in pairs if sha1 and sha1 not in self.image_hashes))

    @property
    def knows_every_image(self) -> bool:
        """Whether each patient's CT is known; not where rows of one patient share one."""
        return len(self.image_hashes) >= len(self.patient_ids)


@dataclass(frozen=True)
class Origin:
    """The model from which an updated one comes: the bundle, its thresholds, and where it was updated.

    Its combinations are those of the updated model without their `update`. training: how many of the
    training patients are its own, the first ones; the others are those of the update. centers: of these.
    """

    bundle_id: str
    thresholds: Mapping[str, float]
    training: int
    centers: tuple[str, ...] = ()


@dataclass(frozen=True)
class ResponseModel:
    """A trained model: what was fitted on all training patients, and what its answers are judged by.

    models: steps and models. combinations: name -> the calibration of one model or the fusion of
    several. thresholds: name -> cut on probabilities. headline: the combination shown first.
    training: the patients. training_range: feature (and `diameter_mm`) -> smallest and largest value.
    background: some training patients, nameless and shuffled, as the models of features see them:
    what an explanation compares a patient with. spread: what similarity compares with. fold_fits: of
    the K folds, the models of the headline with their own calibration. extraction_known: whether the
    features are those of `settings.radiomics`; a table need not say how they came about. identity: of
    the bundle. origin: of a model that was updated at another hospital, None for one as it was trained.
    """

    settings: TrainingSettings
    models: FoldModels
    combinations: Mapping[str, Combination]
    thresholds: Mapping[str, float]
    headline: str
    training: TrainingPatients = field(repr=False)
    training_range: Mapping[str, tuple[float, float]] = field(repr=False)
    background: PatientTable = field(repr=False)
    spread: TrainingSpread = field(repr=False)
    fold_fits: tuple[CalibratedFit, ...] = field(default=(), repr=False)
    engine: str = "fast"
    extraction_known: bool = True
    demonstration: bool = False
    identity: str = UNSAVED
    origin: Origin | None = None

    @property
    def needed(self) -> tuple[str, ...]:
        """Features that some model looks at, each once: those of the final fit first."""
        everyone = (self.models, *(fit.models for fit in self.fold_fits))
        return tuple(dict.fromkeys(name for fitted in everyone for name in fitted.features))

    @property
    def needs_picture(self) -> bool:
        """Whether some model looks at the picture of the largest slice."""
        return any(LEARNERS[name].needs == "pixels" for name in self.models.models)

    def probabilities(self, table: PatientTable) -> dict[str, np.ndarray]:
        """Name -> (n,) probability of response, for every combination whose models can answer."""
        return combine(self.combinations, self.models.scores(table))

    def ranking(self, table: PatientTable) -> dict[str, np.ndarray]:
        """Name -> (n,) what an AUC is computed from: a model's own scores, a fusion's probability."""
        scores = self.models.scores(table)
        return {name: scores.get(name, values) for name, values in combine(self.combinations, scores).items()}

    def of_folds(self, table: PatientTable, combination: str) -> np.ndarray:
        """(folds, n) probabilities by a combination of each fold's own; none where one cannot answer."""
        answers = [fit.probabilities(table) for fit in self.fold_fits]
        if not all(combination in of_fold for of_fold in answers):
            return np.empty((0, len(table)))
        return np.array([of_fold[combination] for of_fold in answers]).reshape(-1, len(table))

    def measure(
        self, case: Case, *, engine: str | None = None, threads: int = 2, progress: Progress = silent
    ) -> Measurements:
        """What the model looks at in a case, and no more; `feature_problem` says why features are missing."""
        return measure(
            case,
            self.settings.radiomics,
            self.settings.patch if self.needs_picture else None,
            engine=engine or self.engine,
            threads=threads,
            only=self.needed,
            features_required=False,
            progress=progress,
        )

    def predict(
        self,
        case: Case,
        *,
        clinical: ClinicalValues | None = None,
        lesions: int | None = None,
        diameter_mm: float | None = None,
        center: str = "",
        measured: Measurements | None = None,
        engine: str | None = None,
        threads: int = 2,
        progress: Progress = silent,
    ) -> Prediction:
        """The answer for one case; measures only what the model needs.

        clinical: laboratory values and findings for the clinical scores, which are NA without them.
        lesions, diameter_mm: number of lesions and largest diameter for those scores, where the user
        knows better than the mask. center: the patient's hospital, for a model that harmonises between
        hospitals. measured: what `measure` of this model found in this case, so that it is not measured
        again. Where the radiomics features cannot be computed (LoG on three slices, for example) the
        models without them answer and a warning says so; FeatureError when none is left or the centre
        is not known to the model, InputError for a number or diameter that cannot be.
        """
        engine = engine or self.engine
        measured = measured or self.measure(case, engine=engine, threads=threads, progress=progress)
        burden = TumourBurden.from_lesions(measured.lesions, lesions, diameter_mm)
        progress(tr("predict"), 2, 3)
        table = stack([measured], self.needed if measured.feature_problem is None else (), [center])
        probabilities = {name: float(p[0]) for name, p in self.probabilities(table).items()}
        headline = self._headline_of(probabilities, measured.feature_problem)
        responder = probabilities[headline] > self.thresholds[headline]
        similarity = self.similarity(table, phase=measured.phase)
        warnings = [
            *case.warnings,
            *remarks.about_missing_features(measured.feature_problem, title(headline)),
            *remarks.about_extraction(self.extraction_known),
            *remarks.about_similarity(similarity),
            *remarks.about_outline(case.outline, self.training.outlines),
            *remarks.about_dropped(measured.lesions),
        ]
        progress(tr("predict"), 3, 3)
        return Prediction(
            patient_id=case.patient_id,
            bundle_id=self.identity,
            demonstration=self.demonstration,
            probabilities=probabilities,
            headline=headline,
            fused=probabilities[headline],
            threshold=self.thresholds[headline],
            responder=responder,
            training_share=float(self.training.outcome.labels.mean()),
            lesions=measured.lesions,
            similarity=similarity,
            certainty=self._certainty(table, probabilities, headline, responder),
            clinical_scores=clinical_scores(clinical or ClinicalValues(), burden),
            warnings=tuple(str(dataclasses.replace(w, patient_id="")) for w in warnings),
            checked=tuple(map(tr, CHECKED if self.identity == UNSAVED else (*CHECKED, CHECKED_BUNDLE))),
            versions={"tace-response": __version__, "engine": engine},
            patch=measured.patch,
            outline=case.outline,
        )

    def similarity(self, table: PatientTable, phase: str = "") -> Similarity:
        """How the one patient in `table` compares with the training patients, as far as it was measured."""
        found = compared(table, self.models)
        known = {name: values[0] for name, values in found.items() if name in self.spread.spreads}
        unknown = {name: values[0] for name, values in found.items() if name not in known}
        around_hu = unknown.get("surroundings_hu")
        return self.spread.compare(known, compared_features(self.models), phase, around_hu)

    def _certainty(
        self, table: PatientTable, probabilities: Mapping[str, float], headline: str, responder: bool
    ) -> Certainty:
        of_folds, known = self.of_folds(table, headline)[:, 0], self.training
        single = {n: p for n, p in probabilities.items() if not self.combinations[n].is_fusion}
        return Certainty(
            of_folds=tuple(map(float, of_folds)),
            conformal=conformal_set(probabilities[headline], known.conformal[headline], known.outcome.labels),
            agreement=agreement(single, self.thresholds, responder),
        )

    def _headline_of(self, probabilities: Mapping[str, float], problem: Problem | None) -> str:
        """The headline, or the combination of most models that can answer without features."""
        if self.headline in probabilities:
            return self.headline
        wanted = self.combinations[self.headline].models
        left = {n: c for n, c in self.combinations.items() if n in probabilities and c.models[0] in wanted}
        if left:
            return max(left, key=lambda name: len(left[name].models))
        if problem is not None:
            raise FeatureError.from_problem(problem)
        raise FeatureError(tr("no model of the bundle can answer for this case"), expected=self.headline)
