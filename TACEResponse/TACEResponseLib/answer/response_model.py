"""ResponseModel: from measurements to probabilities, the one class that knows the order of steps.

Training is honest by construction: `fit` splits the training patients into stratified folds, does
everything that sees a label inside each fold (selection, the five classical models, the network),
and keeps the out-of-fold scores. Fusion, calibration and thresholds are fitted on those scores
alone; the members that are shipped are then fitted once on all training patients.

This room knows arrays and Cases, no files; `bundle` writes it to disk.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from TACEResponseLib import __version__
from TACEResponseLib.cases import Case
from TACEResponseLib.cases.lesions import Lesions
from TACEResponseLib.clinical.scores import ClinicalValues, TumourBurden, clinical_scores
from TACEResponseLib.errors import FeatureError, Problem, SettingsError
from TACEResponseLib.measuring.case import SCAN, Measurements, ModelInputs, measure, stack
from TACEResponseLib.models.fusion import FUSIONS
from TACEResponseLib.progress import Progress, silent, within
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.discrimination import check_labels, youden_threshold
from TACEResponseLib.training.fit import Members, fit_members
from TACEResponseLib.training.out_of_fold import (
    Combination,
    TrainingRecord,
    combine,
    fit_combinations,
    score_out_of_fold,
)

from .certainty import Certainty, agreement, conformal_set, jackknife_interval
from .prediction import TITLES, Prediction, title
from .similarity import FEATURES, NETWORK, Similarity, TrainingSpread

_UNKNOWN_EXTRACTION = Problem(
    "extraction",
    "the model's features come from a table that does not say how they were extracted",
    field="features",
    expected="features measured as in training",
    received="features measured with the default settings",
    remedy="do not rely on the answer; train from images, or from a table with its diagnostics columns",
    severity="warning",
)
#: Enough for an average over patients; few enough to stay small in a bundle.
BACKGROUND_PATIENTS = 100


@dataclass(frozen=True)
class ResponseModel:
    """A trained model: members, their fusions and thresholds, and what they were trained on.

    combinations: name -> the calibration of one model or the fusion of several. thresholds: name ->
    Youden's cut on out-of-fold probabilities. training_range: feature name (and
    `diameter_mm`) -> smallest and largest training value. background: (m, selected) features of at
    most BACKGROUND_PATIENTS training patients, nameless and shuffled: what an explanation compares
    a patient with. training_images: SHA-1 of the CTs, in no order of patients. extraction_known:
    whether the features are those of `settings.radiomics`; a table need not say how they came about.
    """

    settings: TrainingSettings
    members: Members
    combinations: Mapping[str, Combination]
    thresholds: Mapping[str, float]
    headline: str
    training_range: Mapping[str, tuple[float, float]]
    training_ids: tuple[str, ...]
    background: np.ndarray = field(repr=False)
    spread: TrainingSpread = field(repr=False)
    out_of_fold: Mapping[str, np.ndarray] = field(repr=False)
    labels: np.ndarray = field(repr=False)
    fold_members: tuple[Members, ...] = field(default=(), repr=False)
    training_images: tuple[str, ...] = field(default=(), repr=False)
    engine: str = "fast"
    extraction_known: bool = True
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
        image_hashes: Sequence[str] = (),
        engine: str = "fast",
        extraction_known: bool = True,
        demonstration: bool = False,
        jobs: int = 1,
        progress: Progress = silent,
    ) -> tuple["ResponseModel", TrainingRecord]:
        """Train on n patients; the record holds the out-of-fold scores of all of them.

        labels: (n,) 1 responder, 0 not. reliable: features that two readers agree on (label-free,
        so outside the folds); all of them when None. image_hashes: of the patients' CTs, where known.
        Raises TrainingError, SettingsError for a headline that is no model.
        """
        if settings.fusion.headline not in {*TITLES, *FUSIONS}:
            raise SettingsError(
                "no model has the name of the headline",
                field="headline",
                expected=", ".join(dict.fromkeys((*TITLES, *FUSIONS))),
                received=settings.fusion.headline,
            )
        check_labels(labels, settings.folds)
        names = reliable if reliable is not None else inputs.feature_names
        out_of_fold, of_folds = score_out_of_fold(inputs, labels, names, settings, jobs, progress)
        final = fit_members(
            inputs, labels, names, settings, settings.seed, jobs, within("final fit", progress)
        )
        heard = {n: c for n, c in final.members.classifiers.items() if n not in out_of_fold.mute}
        members = dataclasses.replace(final.members, classifiers=heard)
        scores = {name: values[0] for name, values in out_of_fold.scores.items()}
        combinations = fit_combinations(scores, labels, settings)
        headline = settings.fusion.headline if settings.fusion.headline in combinations else "all"
        fold_members = tuple(
            fitted.members.only({*combinations[headline].models, "size"})
            for fitted in of_folds[: settings.folds]
        )
        model = cls(
            settings=settings,
            members=members,
            combinations=combinations,
            thresholds={n: youden_threshold(labels, p) for n, p in out_of_fold.probabilities.items()},
            headline=headline,
            training_range=_training_range(inputs, (members, *fold_members)),
            training_ids=inputs.patient_ids,
            training_images=tuple(sorted({sha1 for sha1 in image_hashes if sha1})),
            background=_background(inputs, members.selected, settings.seed),
            spread=TrainingSpread.of(_compared(inputs, members), settings.seed),
            out_of_fold=out_of_fold.probabilities,
            labels=labels,
            fold_members=fold_members,
            engine=engine,
            extraction_known=extraction_known,
            demonstration=demonstration,
        )
        record = TrainingRecord(
            out_of_fold=out_of_fold,
            resubstitution=model.probabilities(inputs),
            selection=final.selection,
            fold_selected=tuple(fitted.members.selected for fitted in of_folds),
            learning_curve=final.learning_curve,
            warnings=tuple(dict.fromkeys(w for fitted in (*of_folds, final) for w in fitted.warnings)),
        )
        return model, record

    def fitted(self, patient_ids: Sequence[str], image_hashes: Sequence[str] = ()) -> tuple[str, ...]:
        """Those of the patients, sorted, whom the model was trained on: by ID, or by the CT's hash."""
        hashes = [*image_hashes, *[""] * (len(patient_ids) - len(image_hashes))]
        known, images = set(self.training_ids), set(self.training_images)
        pairs = zip(patient_ids, hashes, strict=True)
        return tuple(sorted(p for p, sha1 in pairs if p in known or (sha1 and sha1 in images)))

    @property
    def needed(self) -> tuple[str, ...]:
        """Features that some model looks at: the selected ones first, then those of the folds."""
        return _needed((self.members, *self.fold_members))

    def probabilities(self, inputs: ModelInputs) -> dict[str, np.ndarray]:
        """Name -> (n,) probability of response, for every combination whose models can answer."""
        return combine(self.combinations, self.members.scores(inputs))

    def of_folds(self, inputs: ModelInputs, combination: str) -> np.ndarray:
        """(folds, n) probabilities by a combination of the folds' models; () where they cannot answer."""
        combined = self.combinations[combination]
        scores = [members.scores(inputs) for members in self.fold_members]
        able = [of_one for of_one in scores if set(combined.models) <= set(of_one)]
        return np.array([combined.probability(of_one) for of_one in able])

    def predict(
        self,
        case: Case,
        *,
        clinical: ClinicalValues | None = None,
        lesions: int | None = None,
        diameter_mm: float | None = None,
        measured: Measurements | None = None,
        engine: str | None = None,
        threads: int = 2,
        progress: Progress = silent,
    ) -> Prediction:
        """The answer for one case; measures only what the model needs.

        clinical: laboratory values and findings for the clinical scores, which are NA without them.
        lesions, diameter_mm: number of lesions and largest diameter for those scores, where the user
        knows better than the mask. measured: what `measure` of this model found in this case, so that it
        is not measured again. Where the radiomics features cannot be computed (LoG on three
        slices, for example) the models without them answer and a warning says so; FeatureError when
        none is left, InputError for a number or diameter that cannot be.
        """
        engine = engine or self.engine
        measured = measured or self.measure(case, engine=engine, threads=threads, progress=progress)
        burden = TumourBurden.from_lesions(measured.lesions, lesions, diameter_mm)
        progress("predict", 2, 3)
        inputs = stack([measured], self.needed if measured.feature_problem is None else ())
        probabilities = {name: float(p[0]) for name, p in self.probabilities(inputs).items()}
        headline = self._headline_of(probabilities, measured.feature_problem)
        responder = probabilities[headline] > self.thresholds[headline]
        similarity = self.similarity(inputs, phase=_phase(case))
        warnings = [
            *case.warnings,
            *_about_missing_features(measured.feature_problem, headline),
            *([] if self.extraction_known else [_UNKNOWN_EXTRACTION]),
            *_about_similarity(similarity),
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
            responder=responder,
            lesions=measured.lesions,
            similarity=similarity,
            certainty=self._certainty(inputs, probabilities, headline, responder),
            clinical_scores=clinical_scores(clinical or ClinicalValues(), burden),
            warnings=tuple(str(dataclasses.replace(w, patient_id="")) for w in warnings),
            checked=_CHECKED,
            versions={"tace-response": __version__, "engine": engine},
            patch=measured.patch,
        )

    def measure(
        self, case: Case, *, engine: str | None = None, threads: int = 2, progress: Progress = silent
    ) -> Measurements:
        """What the model looks at in a case, and no more; `feature_problem` says why features are missing."""
        return measure(
            case,
            self.settings.radiomics,
            self.settings.patch if self.members.network is not None else None,
            engine=engine or self.engine,
            threads=threads,
            only=self.needed,
            features_required=False,
            progress=progress,
        )

    def similarity(self, inputs: ModelInputs, phase: str = "") -> Similarity:
        """How the one patient in `inputs` compares with the training patients, as far as it was measured."""
        compared = {n: v[0] for n, v in _compared(inputs, self.members).items() if n in self.spread.spreads}
        return self.spread.compare(compared, self.members.selected, phase)

    def _certainty(
        self, inputs: ModelInputs, probabilities: Mapping[str, float], headline: str, responder: bool
    ) -> Certainty:
        of_folds = self.of_folds(inputs, headline)
        fused = probabilities[headline]
        low, high = jackknife_interval(fused, of_folds[:, 0]) if len(of_folds) > 1 else (None, None)
        single = {n: p for n, p in probabilities.items() if len(self.combinations[n].models) == 1}
        return Certainty(
            low=low,
            high=high,
            conformal=conformal_set(fused, self.out_of_fold[headline], self.labels),
            agreement=agreement(single, self.thresholds, responder, TITLES),
        )

    def _headline_of(self, probabilities: Mapping[str, float], problem: Problem | None) -> str:
        for name in (self.headline, "cnn+size", "cnn"):
            if name in probabilities:
                return name
        if problem is not None:
            raise FeatureError.from_problem(problem)
        raise FeatureError("no model of the bundle can answer for this case", expected=self.headline)


_CHECKED = (
    "image and mask on one grid",
    "mask not empty, one label",
    "intensities are HU",
    "features, picture, size and scan compared with the training cases",
    "bundle whole, self-test reproduced",
)


def _background(inputs: ModelInputs, selected: tuple[str, ...], seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).permutation(len(inputs))[:BACKGROUND_PATIENTS]
    return inputs.columns(selected)[rows]


def _training_range(inputs: ModelInputs, everyone: tuple[Members, ...]) -> dict[str, tuple[float, float]]:
    names = _needed(everyone)
    columns = dict(zip(names, inputs.columns(names).T, strict=True))
    if inputs.diameters_mm is not None:
        columns["diameter_mm"] = inputs.diameters_mm
    return {name: (float(values.min()), float(values.max())) for name, values in columns.items()}


def _needed(everyone: tuple[Members, ...]) -> tuple[str, ...]:
    """The features that some of these members selected, each once."""
    return tuple(dict.fromkeys(name for members in everyone for name in members.selected))


def _compared(inputs: ModelInputs, members: Members) -> dict[str, np.ndarray]:
    """What similarity is judged by: measure name -> (n, k) numbers, or (n,); only what was measured."""
    compared = {}
    if members.selected and inputs.features.size:
        compared[FEATURES] = inputs.columns(members.selected)
    if members.network is not None and inputs.pixels is not None:
        maps = len(members.network.blocks[-1].bias)
        # Where on the layer a map answers is of no interest here, how strongly it does is.
        seen = members.network.penultimate(inputs.pixels)
        compared[NETWORK] = seen.reshape(len(inputs), -1, maps).mean(axis=1)
    if inputs.diameters_mm is not None:
        compared["diameter_mm"] = inputs.diameters_mm
    if inputs.scans is not None:
        compared |= dict(zip(SCAN, inputs.scans.T, strict=True))
    return compared


def _phase(case: Case) -> str:
    """The phase of contrast that the vessels, or else the name of the scan told, "" where none did."""
    return case.provenance.get("image", {}).get("phase", "")


def _about_missing_features(problem: Problem | None, headline: str) -> list[Problem]:
    if problem is None:
        return []
    remedy = f"the answer rests on {title(headline)} alone"
    return [dataclasses.replace(problem, severity="warning", remedy=remedy)]


def _about_similarity(similarity: Similarity) -> list[Problem]:
    if similarity.verdict == "inside":
        return []
    where = "outside" if similarity.verdict == "outside" else "at the edge of"
    return [
        Problem(
            "outside_training",
            f"the case lies {where} what the model was trained on",
            expected="a case like the training cases",
            received="; ".join(similarity.reasons),
            remedy="do not rely on the answer" if where == "outside" else "take the answer with care",
            severity="warning",
        )
    ]


def _about_dropped(lesions: Lesions) -> list[Problem]:
    if not lesions.dropped:
        return []
    pieces = "piece" if lesions.dropped == 1 else "pieces"
    message = f"{lesions.dropped} {pieces} of the mask below 0.01 mL not counted as lesions"
    return [Problem("mask", message, remedy="remove stray voxels", severity="warning")]
