"""How the models were judged, for the text of the methods: only what this run did."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from TACEResponseLib.messages.language import listed, several, tr
from TACEResponseLib.statistics.small_classes import FEW, FEWEST_FOR_TEST

from .headline import SIGNIFICANT, planned_rival
from .methods import final_selection
from .study import Scored, Study, fewest_of_a_class

if TYPE_CHECKING:
    from TACEResponseLib.training.outlines import TwoOutlines


def evaluation(study: Study) -> Iterable[str]:
    """The sentences of the part, one after the other."""
    if study.record is not None:
        yield _cross_validation(study)
    yield from _comparisons(study)
    if study.outlines is not None:
        yield from _second_outline(study.outlines)
    yield tr(
        "The threshold is that of the largest Youden index [@youden1950] of the out-of-fold probabilities. "
        "Proportions have Wilson's intervals [@wilson1927]. Calibration is described by slope, intercept and "
        "Brier score [@brier1950], use by decision curves [@vickers2006]. AUTHORS: the reporting "
        "guideline, for example TRIPOD+AI [@collins2024], which the report has filled in."
    )


def _cross_validation(study: Study) -> str:
    settings = study.model.settings
    done = {
        tr("harmonisation"): settings.harmonisation == "combat",
        tr("selection"): final_selection(study) is not None,
        tr("tuning"): settings.classifiers == "tuned",
        tr("models"): True,
        tr("fusion"): len(study.singles) < len(study.models),
    }
    return tr(
        "Performance in the training cohort was estimated by {folds}-fold cross-validation, stratified "
        "by response ({repeats}, seed {seed}). These were fitted without the fold that they were judged on: "
        "{fitted}, calibration and threshold. Patients were "
        "compared within a fold; the AUC is the mean over folds and repeats [@bates2024], its 95 % "
        "confidence interval is Newcombe's [@newcombe2006] at the effective number of patients, which "
        "counts the covariance of the folds.",
        folds=settings.folds,
        repeats=several(settings.repeats, "1 repeat", "{n} repeats"),
        seed=settings.seed,
        fitted=listed(step for step, there in done.items() if there),
    )


def _comparisons(study: Study) -> Iterable[str]:
    """The intervals of the AUCs, and of the tests only those that were made."""
    planned = [group for group in study.with_auc if planned_rival(study, group) is not None]
    compared = study.with_auc if len(study.models) > 1 else planned
    if any(group.out_of_fold is not None for group in compared):
        yield tr("AUCs were compared within the folds by a paired test that counts the same covariance.")
    if study.external is not None and not study.fitted:
        yield tr("The external cohort was looked at once, after training.")
    for group in study.with_auc:
        if group.out_of_fold is None:
            yield _new_patients(group, group in compared)
    if any(group.testable for group in planned):
        yield tr(
            "One comparison was planned beforehand: with the {rival} as measured (two-sided, significant "
            "below {level:g}).",
            rival=tr(study.rival),
            level=SIGNIFICANT,
        )
    if len(study.models) > 1 and any(group.testable for group in compared):
        yield tr("The p-values of all pairs of models were adjusted after Holm [@holm1979].")


def _new_patients(group: Scored, compared: bool) -> str:
    """How AUCs of patients without folds were compared, which depends on the smaller class."""
    if not compared:
        return tr("AUCs of the external patients have Newcombe's intervals [@newcombe2006].")
    if not group.testable:
        return tr(
            "AUCs of the external patients have Newcombe's intervals [@newcombe2006] and were not compared "
            "by a test: fewer than {fewest} patients of a class.",
            fewest=FEWEST_FOR_TEST,
        )
    if fewest_of_a_class(group.labels) < FEW:
        return tr(
            "AUCs of the external patients have Newcombe's intervals [@newcombe2006] and were compared by an "
            "exchange of ranks [@bandos2005], since a class has fewer than {few} patients.",
            few=FEW,
        )
    return tr(
        "AUCs of the external patients have Newcombe's intervals [@newcombe2006] and were compared by "
        "DeLong's paired test [@delong1988]."
    )


def _second_outline(found: "TwoOutlines") -> Iterable[str]:
    """What was compared between two outlines of the same patients."""
    yield several(
        len(found.patient_ids),
        "1 patient was measured a second time, with the outline of the column {column}.",
        "{n} patients were measured a second time, with the outlines of the column {column}.",
        column=found.column,
    )
    means = {
        tr("Dice coefficient"): True,
        tr("change of the probability"): True,
        tr("change of the side of the cut-off"): True,
        tr("paired difference of the AUCs"): found.difference is not None,
        tr("ICC of every feature [@mcgraw1996]"): found.agreement is not None,
    }
    yield tr(
        "The two outlines were compared by: {means}.",
        means=listed(name for name, there in means.items() if there),
    )
