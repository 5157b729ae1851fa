"""ResponseModel: from measurements to probabilities, the one class that knows the order of steps.

Training is honest by construction: `fit` splits the training patients into stratified folds, does
everything that sees a label inside each fold (selection, the five classical models, the network),
and keeps the out-of-fold scores. Fusion, calibration and thresholds are fitted on those scores
alone; the members that are shipped are then fitted once on all training patients.

This room knows arrays and Cases, no files; `bundle` writes it to disk.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from . import __version__
from .cases import Case
from .clinical import Lesions
from .errors import FeatureError, Problem
from .evaluation import youden_threshold
from .measurements import ModelInputs, measure
from .members import Members, fit_members
from .out_of_fold import (
    Combination,
    TrainingRecord,
    check_labels,
    combine,
    fit_combinations,
    score_out_of_fold,
)
from .patches import Patch
from .progress import Progress, silent, within
from .settings import TrainingSettings

#: Models in words; a fusion is the words of its models.
TITLES = {
    "size": "tumour size",
    "linear": "linear model",
    "logistic": "logistic model",
    "svm": "support vector machine",
    "gbm": "gradient boosting",
    "random_forest": "random forest",
    "cnn": "CNN",
    "all": "all models",
}
#: Enough for an average over patients; few enough to stay small in a bundle.
BACKGROUND_PATIENTS = 100
#: The sentence that every output of a model trained on synthetic images repeats.
DEMONSTRATION = "This model was trained on synthetic images and is not for patients."


def title(combination: str) -> str:
    """A model or fusion in words: `cnn+random_forest` is "CNN + random forest"."""
    return " + ".join(TITLES.get(name, name) for name in combination.split("+"))


@dataclass(frozen=True)
class Prediction:
    """The answer for one patient; `to_json` is the content of `prediction.json`.

    probabilities: name -> probability of response (CR + PR) in [0, 1], for single models
    and fusions. fused: the headline among them. responder: fused above threshold. checked:
    what was looked at before answering, in words. patch: what the network saw.
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
    warnings: tuple[str, ...]
    checked: tuple[str, ...]
    versions: Mapping[str, str]
    patch: Patch | None = field(default=None, repr=False, compare=False)

    FORMAT_VERSION = 1

    def statement(self) -> str:
        """The sentence that must stand wherever this answer is shown."""
        return DEMONSTRATION if self.demonstration else "For research use only; not a medical device."

    def to_json(self) -> dict:
        """JSON types, keys stable across versions of the format."""
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
            "responder": self.responder,
            "lesions": self.lesions.to_json(),
            "warnings": list(self.warnings),
            "checked": list(self.checked),
            "versions": dict(self.versions),
        }


@dataclass(frozen=True)
class ResponseModel:
    """A trained model: members, their fusions and thresholds, and what they were trained on.

    combinations: name -> the calibration of one model or the fusion of several. thresholds: name ->
    Youden's cut on out-of-fold probabilities. training_range: feature name (and
    `diameter_mm`) -> smallest and largest training value. background: (m, selected) features of at
    most BACKGROUND_PATIENTS training patients, nameless and shuffled: what an explanation compares
    a patient with.
    """

    settings: TrainingSettings
    members: Members
    combinations: Mapping[str, Combination]
    thresholds: Mapping[str, float]
    headline: str
    training_range: Mapping[str, tuple[float, float]]
    training_ids: tuple[str, ...]
    background: np.ndarray = field(repr=False)
    engine: str = "fast"
    demonstration: bool = False
    identity: str = "unsaved"

    @classmethod
    def fit(
        cls,
        inputs: ModelInputs,
        labels: np.ndarray,
        settings: TrainingSettings,
        *,
        reliable: tuple[str, ...] | None = None,
        engine: str = "fast",
        demonstration: bool = False,
        jobs: int = 1,
        progress: Progress = silent,
    ) -> tuple["ResponseModel", TrainingRecord]:
        """Train on n patients; the record holds the out-of-fold scores of all of them.

        labels: (n,) 1 responder, 0 not. reliable: features that two readers agree on (label-free,
        so outside the folds); all of them when None. Raises TrainingError.
        """
        check_labels(labels, settings.folds)
        names = reliable if reliable is not None else inputs.feature_names
        out_of_fold, fold_selected = score_out_of_fold(inputs, labels, names, settings, jobs, progress)
        members, selection, learning_curve = fit_members(
            inputs, labels, names, settings, settings.seed, jobs, within("final fit", progress)
        )
        heard = {n: c for n, c in members.classifiers.items() if n not in out_of_fold.mute}
        members = dataclasses.replace(members, classifiers=heard)
        mean_scores = {name: values.mean(axis=0) for name, values in out_of_fold.scores.items()}
        combinations = fit_combinations(mean_scores, labels, settings)
        headline = settings.fusion.headline
        model = cls(
            settings=settings,
            members=members,
            combinations=combinations,
            thresholds={n: youden_threshold(labels, p) for n, p in out_of_fold.probabilities.items()},
            headline=headline if headline in combinations else "all",
            training_range=_training_range(inputs, members.selected),
            training_ids=inputs.patient_ids,
            background=_background(inputs, members.selected, settings.seed),
            engine=engine,
            demonstration=demonstration,
        )
        record = TrainingRecord(
            out_of_fold, model.probabilities(inputs), selection, fold_selected, learning_curve
        )
        return model, record

    def probabilities(self, inputs: ModelInputs) -> dict[str, np.ndarray]:
        """Name -> (n,) probability of response, for every combination whose models can answer."""
        return combine(self.combinations, self.members.scores(inputs))

    def predict(
        self, case: Case, *, engine: str | None = None, threads: int = 2, progress: Progress = silent
    ) -> Prediction:
        """The answer for one case; measures only what the model needs.

        Where the radiomics features cannot be computed (LoG on three slices, for example) the
        models without them answer and a warning says so; FeatureError when none is left.
        """
        engine = engine or self.engine
        measured = measure(
            case,
            self.settings.radiomics,
            self.settings.patch if self.members.network is not None else None,
            engine=engine,
            threads=threads,
            only=self.members.selected,
            features_required=False,
            progress=progress,
        )
        progress("predict", 2, 3)
        inputs = ModelInputs(
            patient_ids=(case.patient_id,),
            feature_names=tuple(measured.row),
            features=np.array([list(measured.row.values())], dtype=float),
            pixels=None if measured.patch is None else measured.patch.pixels[None],
            diameters_mm=np.array([measured.lesions.largest_diameter_mm]),
        )
        probabilities = {name: float(p[0]) for name, p in self.probabilities(inputs).items()}
        headline = self._headline_of(probabilities, measured.feature_problem)
        warnings = [
            *case.warnings,
            *_about_missing_features(measured.feature_problem, headline),
            *self._outside_training(inputs),
            *_about_dropped(measured.lesions),
        ]
        progress("predict", 3, 3)
        return Prediction(
            patient_id=case.patient_id,
            bundle_id=self.identity,
            demonstration=self.demonstration,
            probabilities=probabilities,
            headline=headline,
            fused=probabilities[headline],
            threshold=self.thresholds[headline],
            responder=probabilities[headline] > self.thresholds[headline],
            lesions=measured.lesions,
            warnings=tuple(str(dataclasses.replace(w, patient_id="")) for w in warnings),
            checked=_CHECKED,
            versions={"tace-response": __version__, "engine": engine},
            patch=measured.patch,
        )

    def _headline_of(self, probabilities: Mapping[str, float], problem: Problem | None) -> str:
        for name in (self.headline, "cnn+size", "cnn"):
            if name in probabilities:
                return name
        if problem is not None:
            raise FeatureError.from_problem(problem)
        raise FeatureError("no model of the bundle can answer for this case", expected=self.headline)

    def _outside_training(self, inputs: ModelInputs) -> list[Problem]:
        """One warning for the features, one for the size, when they leave the training range."""
        values = dict(zip(inputs.feature_names, inputs.features[0], strict=True))
        beyond = {n: _spans_beyond(v, *self.training_range[n]) for n, v in values.items()}
        beyond = {name: spans for name, spans in beyond.items() if spans > 0}
        notes = []
        care = {"severity": "warning", "remedy": "take the answer with care"}
        if beyond:
            worst = max(beyond, key=beyond.get)
            low, high = self.training_range[worst]
            message = (
                f"{len(beyond)} of {len(values)} features lie outside the range of the training patients, "
                f"farthest {worst}"
            )
            expected, received = f"{low:.4g} to {high:.4g}", f"{values[worst]:.4g}"
            notes.append(Problem("outside_training", message, "features", expected, received, **care))
        low, high = self.training_range.get("diameter_mm", (0, float("inf")))
        diameter_mm = inputs.diameters_mm[0]
        if not low <= diameter_mm <= high:
            message = "the tumour's diameter lies outside the range of the training patients"
            expected, received = f"{low:.0f} to {high:.0f} mm", f"{diameter_mm:.0f} mm"
            notes.append(Problem("outside_training", message, "mask", expected, received, **care))
        return notes


_CHECKED = (
    "image and mask on one grid",
    "mask not empty, one label",
    "intensities are HU",
    "features and size compared with the training range",
    "bundle whole, self-test reproduced",
)


def _background(inputs: ModelInputs, selected: tuple[str, ...], seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).permutation(len(inputs))[:BACKGROUND_PATIENTS]
    return inputs.columns(selected)[rows]


def _training_range(inputs: ModelInputs, selected: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    chosen = inputs.columns(selected)
    columns = dict(zip(selected, chosen.T, strict=True))
    if inputs.diameters_mm is not None:
        columns["diameter_mm"] = inputs.diameters_mm
    return {name: (float(values.min()), float(values.max())) for name, values in columns.items()}


def _spans_beyond(value: float, low: float, high: float) -> float:
    """How far a value lies outside a range, in widths of the range; 0 inside or within rounding."""
    beyond = max(low - value, value - high)
    width = max(high - low, 1e-9 * max(abs(low), abs(high), 1e-300))
    return beyond / width if beyond > 1e-9 * max(abs(low), abs(high)) else 0.0


def _about_missing_features(problem: Problem | None, headline: str) -> list[Problem]:
    if problem is None:
        return []
    remedy = f"the answer rests on {title(headline)} alone"
    return [dataclasses.replace(problem, severity="warning", remedy=remedy)]


def _about_dropped(lesions: Lesions) -> list[Problem]:
    if not lesions.dropped:
        return []
    pieces = "piece" if lesions.dropped == 1 else "pieces"
    message = f"{lesions.dropped} {pieces} of the mask below 0.01 mL not counted as lesions"
    return [Problem("mask", message, remedy="remove stray voxels", severity="warning")]
