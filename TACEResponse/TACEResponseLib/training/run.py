"""A training run: measure, compare two readers, fit, and say how stable the choice of features is.

`train_on_cohort` and `train_on_features` differ only in where the numbers come from; after that
there is one road. The external validation cohort is looked at once, at the end.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from TACEResponseLib.answer.response_model import ResponseModel
from TACEResponseLib.cohorts.enough import require_enough
from TACEResponseLib.cohorts.table import Cohort
from TACEResponseLib.measuring.cohort import measure_patients
from TACEResponseLib.measuring.patient_table import PatientTable, stack
from TACEResponseLib.messages.errors import Problem, TrainingError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.messages.progress import Progress, silent, within
from TACEResponseLib.radiomics import feature_names
from TACEResponseLib.radiomics.parameters import recorded_settings
from TACEResponseLib.selection.elimination import bootstrap_frequency
from TACEResponseLib.selection.reliability import ReliabilityTable, reliable_features
from TACEResponseLib.settings import TrainingSettings

from . import refusals
from .centers import HeldOutCenter
from .controls import Controls
from .inputs import Labelled, measured_patients, tabled_patients
from .model import TrainingRecord, fit_response_model
from .stability import Refits


@dataclass(frozen=True)
class Trained:
    """Everything a training run ends with.

    external: the validation cohort, None without one. left_out: patient -> why it was not used.
    stability: feature -> share of bootstrap resamples that choose it. warnings: what else went
    otherwise than asked, such as a second outline that could not be measured. refits, controls, by_center:
    of `stability.refit`, `controls.negative_controls` and `centers.hold_out_centers`, None or empty where
    they were not asked for.
    """

    model: ResponseModel
    record: TrainingRecord
    reliability: ReliabilityTable | None
    training: Labelled
    external: Labelled | None
    left_out: Mapping[str, Problem]
    stability: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    refits: Refits | None = None
    controls: Controls | None = None
    by_center: tuple[HeldOutCenter, ...] = ()

    @property
    def usable(self) -> PatientTable:
        """The training patients with the features that two readers agree on, or all without readers."""
        table = self.training.table
        return table if self.reliability is None else table.columns(self.reliability.kept_features)


def train_on_cohort(
    cohort: Cohort,
    settings: TrainingSettings,
    *,
    engine: str = "fast",
    jobs: int = 1,
    store: Path | None = None,
    demonstration: bool = False,
    progress: Progress = silent,
) -> Trained:
    """Measure every patient of the cohort and train on its training part.

    store: folder that keeps finished measurements, so that a rerun goes on. A patient who cannot be
    measured or has no label is left out and named. Raises TrainingError when too few are left, when
    no outline of a second reader can be measured, or when one CT stands under several IDs; TableError
    for what would give figures that are too good, see `refusals.require_believable`.
    """
    cohort = _checked_before_the_work(cohort, settings)
    patch = settings.patch if settings.network is not None else None
    how = {"engine": engine, "jobs": jobs, "store": store, "progress": progress}
    marked = {p.patient_id for p in cohort.part(training=True)}
    unlabelled = cohort.unlabelled(settings.outcome)
    measured, left_out = measure_patients(cohort.patients, settings.radiomics, patch, **how)
    left_out |= unlabelled
    usable = [p for p in cohort.patients if p.patient_id not in left_out]
    training = [p for p in usable if p.patient_id in marked]
    if not training:
        raise TrainingError(
            tr("no patient is left to train on"),
            expected=tr("patients whose column cohort is training or empty"),
            received=tr("{n} patients, {left_out} left out", n=len(cohort.patients), left_out=len(left_out)),
            remedy=str(next(iter(left_out.values()), tr("check the cohort table"))),
        )
    second = [p for p in training if p.mask_reader2 is not None]
    again, unread = measure_patients(second, settings.radiomics, None, reader=2, **how)
    names = feature_names(settings.radiomics)
    second_reader = stack(list(again.values()), names) if again else None
    refusals.require_second_reading(second, again, unread)
    everyone = measured_patients(usable, measured, names, settings.outcome)
    trained_on = np.array([p.patient_id in marked for p in usable])
    return _fit(
        everyone.rows(trained_on),
        None if trained_on.all() else everyone.rows(~trained_on),
        second_reader,
        left_out,
        settings,
        warnings=[refusals.unread_outline(problem) for problem in unread.values()],
        engine=engine,
        jobs=jobs,
        demonstration=demonstration,
        progress=progress,
    )


def train_on_features(
    features: Path,
    labels: Path,
    settings: TrainingSettings,
    *,
    jobs: int = 1,
    progress: Progress = silent,
) -> Trained:
    """Train the models of features on a table and its labels; there are no images, so no CNN.

    features: CSV with `patient_id` and a column a feature. Its diagnostics, where it has them, say how
    the features of a new patient must be extracted. labels: CSV with `patient_id, label` and, where
    there is one, `cohort`, `center`, `group`, clinical columns and the number of `lesions`. Raises
    TableError naming row and column, and for what would give figures that are too good, see
    `refusals.require_believable`; patients without features or without a label are left out and named.
    """
    found = tabled_patients(features, labels, settings.outcome)
    recorded = recorded_settings(found.rows)
    if recorded is not None:
        settings = dataclasses.replace(settings, radiomics=recorded)
    how = {"extraction_known": recorded is not None, "jobs": jobs, "progress": progress}
    warnings = [] if recorded is not None else [refusals.unrecorded_extraction(features.name)]
    how |= {"warnings": warnings, "file": features.name}
    return _fit(found.training, found.external, None, found.left_out, settings, **how)


def _checked_before_the_work(cohort: Cohort, settings: TrainingSettings) -> Cohort:
    """The cohort with its labels.

    Raises TrainingError or DependencyError for what can be known before anything is measured.
    """
    refusals.require_response(cohort.outcome)
    cohort = cohort.labelled_by(settings.outcome)
    require_enough(cohort, settings.folds)
    if settings.network is not None:
        from TACEResponseLib.models.network.framework import choose_backend

        choose_backend(settings.network.backend)
    return cohort


def _fit(
    training: Labelled,
    external: Labelled | None,
    second_reader: PatientTable | None,
    left_out: Mapping[str, Problem],
    settings: TrainingSettings,
    *,
    jobs: int,
    progress: Progress,
    warnings: Sequence[Problem] = (),
    file: str = "",
    **how,
) -> Trained:
    usable, reliability = training.table, None
    if second_reader is not None:
        # No label is read for this choice, so it may stand outside the folds.
        reliability = reliable_features(usable, second_reader, settings.reliability)
        usable = usable.columns(_reliable_names(reliability, settings))
    beside = None if external is None else external.table
    refusals.require_own_images(training.table, beside)
    suspicious = refusals.require_believable(training.table, training.outcome, beside, file)
    model, record = fit_response_model(
        usable, training.outcome, settings, jobs=jobs, progress=progress, **how
    )
    useless = map(refusals.uninformative, record.out_of_fold.uninformative)
    warnings = (*warnings, *suspicious, *record.warnings, *useless)
    stability = {}
    chosen = record.final.steps.get("select")
    if chosen is not None and settings.selection.bootstraps:
        # How often resamples of the training patients choose a feature; nothing is chosen by it.
        stability = bootstrap_frequency(
            usable.features,
            usable.feature_names,
            training.outcome.labels,
            settings.selection,
            size=chosen.selection.size,
            seed=settings.seed,
            jobs=jobs,
            progress=within(tr("stability"), progress),
        )
    return Trained(model, record, reliability, training, external, left_out, stability, warnings)


def _reliable_names(reliability: ReliabilityTable, settings: TrainingSettings) -> tuple[str, ...]:
    asked = settings.reliability
    if not reliability.kept_features:
        raise TrainingError(
            tr("the two readers agree on no feature"),
            expected=tr("{form} above {threshold}", form=asked.form, threshold=asked.threshold),
            received=tr("{n} features below", n=len(reliability.features)),
            remedy=tr("check that both masks show the same tumours"),
        )
    return reliability.kept_features
