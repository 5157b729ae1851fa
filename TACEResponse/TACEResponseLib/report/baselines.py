"""The clinical scores as baselines: how well each tells responders, beside the model on the same patients.

Nothing of a score is fitted: its cut-offs are published and its direction (a worse group responds
less) is fixed beforehand. So it needs no fold, and one figure a cohort is an honest one.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from TACEResponseLib.clinical.items import read_values
from TACEResponseLib.clinical.scores import (
    DEFINITIONS,
    ClinicalScore,
    Definition,
    clinical_scores,
    item_in_words,
)
from TACEResponseLib.messages.language import listed, mark, tr
from TACEResponseLib.statistics.crossvalidation import comparable_scores
from TACEResponseLib.statistics.intervals import auc_newcombe
from TACEResponseLib.statistics.small_classes import paired_comparison

from .performance import PART_OF_PATIENTS
from .study import Scored, Study, has_auc
from .table import Table

if TYPE_CHECKING:
    from TACEResponseLib.training.inputs import Labelled

NOTE = mark(
    "Published scores, grouped as published, a worse group counted as less response. Nothing is fitted, so "
    "no fold is needed. Most were developed to predict survival. Patients: those with every item; "
    "a missing item makes a score NA and never counts as zero points. Model beside: AUC of the headline "
    "model on the same patients; p by a paired test, not adjusted for the number of scores. No AUC "
    "where all patients are in one group. {part} Sources: {sources}."
)


def baseline_tables(study: Study) -> tuple[Table, ...]:
    """The tables of this room, in the order of the page."""
    return (baseline_table(study),)


def baseline_table(study: Study) -> Table:
    """AUC for response of every clinical score, beside the headline model's on the same patients."""
    rows = [
        _row(study, group, definition, [of[k] for of in patients])
        for group in study.scored
        for patients in [patient_scores(group.patients)]
        for k, definition in enumerate(DEFINITIONS)
    ]
    known = any(row["n"] for row in rows)
    sources = tr("; ").join(tr("{label}: {text}", label=tr(d.title), text=tr(d.source)) for d in DEFINITIONS)
    return Table(
        "clinical_scores",
        tr("Clinical scores as baselines: AUC for response"),
        rows if known else [],
        tr(NOTE, sources=sources, part=tr(PART_OF_PATIENTS)),
        "" if known else tr("no patient has the values that a score needs"),
    )


def patient_scores(patients: "Labelled") -> list[tuple[ClinicalScore, ...]]:
    """Every score of each of n patients; a cell that cannot be read counts as missing."""
    table = patients.table
    return [
        clinical_scores(read_values(row)[0], burden)
        for row, burden in zip(table.clinical, table.burdens, strict=True)
    ]


def response_ranking(scores: Sequence[ClinicalScore]) -> np.ndarray:
    """(n,) the place of each patient's group, higher meaning response more likely; nan for NA."""
    return np.array([np.nan if score.level is None else -score.level for score in scores])


def missing_items(scores: Sequence[ClinicalScore]) -> str:
    """What keeps patients from a score, most often first: "INR (12), albumin (3)"."""
    counts = Counter(item for score in scores for item in score.missing)
    return listed(
        tr("{item} ({count})", item=item_in_words(item), count=count) for item, count in counts.most_common()
    )


def _row(study: Study, group: Scored, definition: Definition, scores: Sequence[ClinicalScore]) -> dict:
    ranking, name = response_ranking(scores), study.model.headline
    known = np.isfinite(ranking)
    row = {
        "score": tr(definition.title),
        "built_for": tr(definition.built_for),
        "cohort": group.part,
        "n": int(known.sum()),
        "responders": int(group.labels[known].sum()),
        **_interval("auc", None),
        **_interval("model_beside", None),
        "p": None,
        "missing_items": missing_items(scores),
    }
    if not has_auc(group.labels[known]):
        return row
    labels, model = group.labels[known], group.ranking[name][known]
    if group.out_of_fold is not None:
        model = comparable_scores(group.ranking[name], group.out_of_fold.folds[0])[known]
    auc = auc_newcombe(labels, ranking[known])
    row |= _interval("model_beside", auc_newcombe(labels, model))
    if auc.ci_low is None:
        return row  # everybody in one group: an area of one half by definition, no finding
    pair = paired_comparison(labels, model, ranking[known], (name, definition.title))
    return row | _interval("auc", auc) | {"p": None if pair is None else pair.p}


def _interval(name: str, auc) -> dict:
    values = (None, None, None) if auc is None else (auc.auc, auc.ci_low, auc.ci_high)
    return dict(zip((name, f"{name}_ci_low", f"{name}_ci_high"), values, strict=True))
