"""Each centre held out in turn: the whole training on the other centres, tried on the one left out.

Internal-external validation (Steyerberg and Harrell, J Clin Epidemiol 2016;69:245). It asks what a model
of some hospitals is worth at another; folds that mix the hospitals do not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from TACEResponseLib.messages.errors import Problem, TrainingError
from TACEResponseLib.messages.language import listed, several, tr
from TACEResponseLib.messages.progress import Progress, within
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.intervals import FEWEST_FOR_AUC

from .inputs import Labelled
from .model import fit_response_model


@dataclass(frozen=True)
class HeldOutCenter:
    """One centre with what a model of all the others says of its patients.

    patients: m of this centre. trained_on: number of patients of the others. probabilities, ranking: name
    of a model or fusion -> (m,). headline: that of the model, which is another where one could not be fitted.
    """

    center: str
    patients: Labelled
    trained_on: int
    probabilities: Mapping[str, np.ndarray]
    ranking: Mapping[str, np.ndarray]
    headline: str


def hold_out_centers(
    patients: Labelled, settings: TrainingSettings, jobs: int, progress: Progress
) -> tuple[tuple[HeldOutCenter, ...], tuple[Problem, ...]]:
    """Fit once without each centre, and say why a centre could not be held out.

    Raises TrainingError when there are fewer than two named centres.
    """
    centers = np.array(patients.table.centers)
    names = sorted(set(centers.tolist()) - {""})
    if len(names) < 2:
        raise TrainingError(
            tr("no centre can be held out"),
            field="center",
            expected=tr("the names of two centres or more in the column center"),
            received=listed(names) or tr("none"),
            remedy=tr("fill the column, or train without --by-center"),
        )
    found, problems = [], []
    for result in _each(patients, centers, names, settings, jobs, progress):
        (problems if isinstance(result, Problem) else found).append(result)
    return tuple(found), tuple(problems)


def _each(
    patients: Labelled,
    centers: np.ndarray,
    names: list[str],
    settings: TrainingSettings,
    jobs: int,
    progress: Progress,
) -> Iterator[HeldOutCenter | Problem]:
    for name in names:
        own, rest = patients.rows(centers == name), patients.rows(centers != name)
        fewest = min(own.outcome.responders, len(own) - own.outcome.responders)
        if fewest < FEWEST_FOR_AUC:
            responders = several(own.outcome.responders, "1 responder", "{n} responders")
            patients_here = several(len(own), "1 patient", "{n} patients")
            received = tr("{responders} of {patients}", responders=responders, patients=patients_here)
            yield _not_held_out(name, tr("{n} responders and others", n=FEWEST_FOR_AUC), received)
            continue
        stage = within(tr("without centre {name}", name=name), progress)
        try:
            yield _held_out(name, own, rest, settings, jobs, stage)
        except TrainingError as error:
            yield _not_held_out(name, error.problem.expected, error.problem.message)


def _held_out(
    name: str, own: Labelled, rest: Labelled, settings: TrainingSettings, jobs: int, progress: Progress
) -> HeldOutCenter:
    model, _ = fit_response_model(rest.table, rest.outcome, settings, jobs=jobs, progress=progress)
    answers = model.probabilities(own.table), model.ranking(own.table)
    return HeldOutCenter(name, own, len(rest), *answers, model.headline)


def _not_held_out(name: str, expected: str, received: str) -> Problem:
    return Problem(
        "training",
        tr("the centre {name} was not held out", name=name),
        field="center",
        expected=expected,
        received=received,
        severity="warning",
    )
