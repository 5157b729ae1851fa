"""From patients and their outcome to a `ResponseModel`: out of fold first, then the final fit.

Training is honest by construction: everything that sees a label is fitted inside the fold, and the
out-of-fold scores are kept. Fusion, calibration and thresholds are fitted on those scores alone; the
models that are shipped are then fitted once on all training patients.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from TACEResponseLib.answer.comparing import to_compare_with
from TACEResponseLib.answer.response_model import ResponseModel, TrainingPatients
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import Problem, SettingsError
from TACEResponseLib.messages.language import listed, tr
from TACEResponseLib.messages.progress import Progress, silent, within
from TACEResponseLib.models.calibrated import CalibratedFit
from TACEResponseLib.models.combination import ALL, combine, fit_combinations, fusions_of
from TACEResponseLib.models.fold_models import FoldModels
from TACEResponseLib.models.learners import LEARNERS, configured
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.outcome import Outcome

from .fit import fit_models
from .out_of_fold import OutOfFold, score_out_of_fold


@dataclass(frozen=True)
class TrainingRecord:
    """What happened in training, for the report; nothing of it is needed to predict.

    resubstitution: combination name -> (n,) probabilities of the shipped model on its own training
    patients, shown only beside the out-of-fold ones. final: the fit on all of them, with the details
    of selection and network. fold_selected: the features chosen in each fold. warnings: what went
    otherwise than asked.
    """

    out_of_fold: OutOfFold
    resubstitution: Mapping[str, np.ndarray]
    final: FoldModels
    fold_selected: tuple[tuple[str, ...], ...]
    warnings: tuple[Problem, ...] = ()


def fit_response_model(
    table: PatientTable,
    outcome: Outcome,
    settings: TrainingSettings,
    *,
    engine: str = "fast",
    extraction_known: bool = True,
    demonstration: bool = False,
    jobs: int = 1,
    progress: Progress = silent,
) -> tuple[ResponseModel, TrainingRecord]:
    """Train on n patients; the record holds the out-of-fold scores of all of them.

    The table's features are those that may be used, such as the ones that two readers agree on. Raises
    TrainingError, SettingsError for a headline that is no model.
    """
    _check_headline(settings)
    outcome.check(settings.folds)
    folds = outcome.splits(settings.folds, settings.repeats, settings.seed, table.groups)
    out_of_fold, fits = score_out_of_fold(table, outcome, folds, settings, jobs, progress)
    final = fit_models(table, outcome, settings, settings.seed, jobs, within(tr("final fit"), progress))
    models = final.without(out_of_fold.uninformative)
    scores = {name: values[0] for name, values in out_of_fold.scores.items()}
    combinations = fit_combinations(scores, outcome, settings.fusion, out_of_fold.folds[0])
    headline = next(n for n in (settings.fusion.headline, ALL, *combinations) if n in combinations)
    beside = {*combinations[headline].models, "size"}
    fold_fits = tuple(
        CalibratedFit(*of_fold).only(beside)
        for of_fold in zip(fits[: settings.folds], out_of_fold.fold_combinations, strict=True)
    )
    answers, own = (combine(combinations, of) for of in (scores, models.scores(table)))
    how = (settings.seed, settings.background)
    kept = to_compare_with(table, models, [fit.models for fit in fold_fits], *how)
    images = tuple(sorted({sha1 for sha1 in table.image_hashes if sha1}))
    model = ResponseModel(
        settings=settings,
        models=models,
        combinations=combinations,
        thresholds={name: of.shipped for name, of in out_of_fold.thresholds.items()},
        headline=headline,
        training=TrainingPatients(
            table.patient_ids,
            outcome,
            out_of_fold.probabilities,
            answers,
            images,
            out_of_fold.folds[0],
            dict(sorted(Counter(filter(None, table.outlines)).items())),
        ),
        training_range=kept.training_range,
        background=kept.background,
        spread=kept.spread,
        fold_fits=fold_fits,
        engine=engine,
        extraction_known=extraction_known,
        demonstration=demonstration,
    )
    record = TrainingRecord(
        out_of_fold=out_of_fold,
        resubstitution=own,
        final=final,
        fold_selected=tuple(fitted.selected for fitted in fits),
        warnings=tuple(dict.fromkeys(w for fitted in (*fits, final) for w in fitted.warnings)),
    )
    return model, record


def _check_headline(settings: TrainingSettings) -> None:
    """Raise SettingsError for a headline that no model and no fusion has as its name."""
    configured(settings)
    known = (*LEARNERS, *fusions_of(LEARNERS))
    if settings.fusion.headline not in known:
        raise SettingsError(
            tr("no model has the name of the headline"),
            field="headline",
            expected=listed(known),
            received=settings.fusion.headline,
        )
