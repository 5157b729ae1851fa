"""Where each patient lies in a figure, so that one can be found in several of them.

A patient is marked by the answer of the headline model.
"""

from typing import TYPE_CHECKING

import numpy as np

from TACEResponseLib.messages.language import mark, tr
from TACEResponseLib.models.combination import title
from TACEResponseLib.statistics.crossvalidation import comparable_scores

from .drawing import GREY, Mark
from .study import OUTCOMES, Scored, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def marks_on_curve(study: Study, group: Scored, panel: "Axes") -> list[Mark]:
    """A mark a patient on the headline's ROC curve, where the patient's own score is the cut-off."""
    name = study.model.headline
    ranking = group.ranking[name]
    if group.out_of_fold is not None:
        ranking = comparable_scores(ranking, group.out_of_fold.folds[0])
    return _marks(name, group, panel, *on_curve(group.labels, ranking, group.roc(name)))


def on_curve(
    labels: np.ndarray, ranking: np.ndarray, curve: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) x and (n,) y of n patients on a ROC curve from (0, 0) to (1, 1).

    labels: (n,) 0/1. ranking: (n,) scores. On the way along the curve x + y grows from 0 to 2: a
    patient lies where it is the share of others plus the share of responders with a higher score, a
    patient of the same score (the own one, too) counted half. On the curve of the ranking itself this is
    the middle of the patient's own step.
    """
    higher = (ranking[None, :] > ranking[:, None]) + 0.5 * (ranking[None, :] == ranking[:, None])
    way = higher[:, labels == 0].mean(axis=1) + higher[:, labels == 1].mean(axis=1)
    x, y = curve
    return np.interp(way, x + y, x), np.interp(way, x + y, y)


def draw_patients(study: Study, group: Scored, panel: "Axes") -> list[Mark]:
    """Draw a stroke a patient at the headline's probability, responders above and others below; the marks."""
    name = study.model.headline
    probabilities = group.probabilities[name]
    heights = np.where(group.labels == 1, 1.0, 0.0)
    panel.plot(probabilities, heights, "|", color=GREY, ms=6, mew=0.7, alpha=0.7, zorder=1)
    return _marks(name, group, panel, probabilities, heights)


def _marks(name: str, group: Scored, panel: "Axes", x: np.ndarray, y: np.ndarray) -> list[Mark]:
    """A mark a patient at (n,) x and (n,) y of a panel, with what the model of this name said."""
    by, outcomes = title(name), [tr(OUTCOMES[word]) for word in group.patients.outcome.words]
    patients = zip(group.patients.table.patient_ids, x, y, outcomes, group.probabilities[name], strict=True)
    said = mark("{patient}: {outcome}, {model} {said:.3f}")
    return [
        Mark(who, panel, float(at_x), float(at_y), tr(said, patient=who, outcome=outcome, model=by, said=p))
        for who, at_x, at_y, outcome, p in patients
    ]
