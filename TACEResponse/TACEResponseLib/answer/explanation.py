"""What speaks for and against response in one patient: shares of the features, and the network's map.

The headline of a model adds up the scores of its members on the log-odds scale. The part that its
members that look at features add is a function of them; Shapley values share the distance of
that part from its mean over the bundle's background patients among the features. Where the members'
probabilities are averaged instead (`FusionSettings.method` is `mean`) the shared quantity is the
part of the probability. The network's part is a map of the CT: the fall of its own log-odds when a
place is hidden.

`attribution` has the methods, knows no model and no case; here they meet one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import SimpleITK as sitk
from scipy.special import expit

from TACEResponseLib.cases import Case
from TACEResponseLib.measuring.case import Measurements
from TACEResponseLib.measuring.patient_table import PatientTable, stack
from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.messages.language import tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.models.combination import Combination

from .attribution import attention_map, map_on_ct, shapley_values
from .response_model import ResponseModel


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why the headline of a model says what it says of one patient.

    contributions: feature name -> its share, largest first whatever its sign; above 0 it speaks for
    response. They sum to `total - base`: `total` is what the classical members add to the headline
    for this patient, `base` the mean of that over the background patients. standard_errors: of the
    shares, 0 where they are exact. values: feature name -> the patient's value. unit: of all these.
    members: the classical members that are shared; empty, as the contributions then are, when the
    headline has none or the features cannot be measured, which `problem` says. network_map: float32
    on the grid of the CT, the network's log-odds of response by place, 0 off the layer that it saw;
    None without a network.
    """

    patient_id: str
    headline: str
    members: tuple[str, ...]
    unit: Literal["log-odds", "probability"]
    contributions: Mapping[str, float]
    standard_errors: Mapping[str, float]
    values: Mapping[str, float]
    base: float
    total: float
    network_map: sitk.Image | None
    problem: Problem | None = None


def explain(
    model: ResponseModel,
    case: Case,
    *,
    measured: Measurements | None = None,
    center: str = "",
    threads: int = 2,
    progress: Progress = silent,
) -> Explanation:
    """Explain the model's headline for a case.

    measured: what `ResponseModel.measure` found in the case; measured here when None. center: the
    patient's hospital, as `predict` takes it. Costs some ten
    thousand rows of the classical members and two hundred passes of the network; nothing is drawn that
    the model's seed does not fix. Raises what `measure` raises
    for a case, except FeatureError, which becomes `problem`.
    """
    steps = lambda stage, done, total: progress(stage, done, total + 2)
    measured = measured or model.measure(case, threads=threads, progress=steps)
    combination = model.combinations[model.headline]
    members = () if measured.feature_problem else model_names_with_features(model, combination)
    progress(tr("share among features"), 3, 5)
    names = explained_features(model, members)
    patient = stack([measured], model.needed if members else (), [center])
    row = model.models.transformed(patient).columns(names).features[0]
    shares, errors, base, total = _shares(model, combination, members, row)
    progress(tr("map of the network"), 4, 5)
    network_map = None
    if measured.patch is not None:
        values = attention_map(model.models.models["cnn"].network, measured.patch)
        network_map = map_on_ct(values, measured.patch, case.image)
    progress(tr("map of the network"), 5, 5)
    named = dict(zip(names, zip(shares, errors, strict=True), strict=True))
    largest_first = sorted(named, key=lambda name: -abs(named[name][0]))
    return Explanation(
        patient_id=case.patient_id,
        headline=model.headline,
        members=members,
        unit="probability" if combination.fusion.method == "mean" else "log-odds",
        contributions={name: float(named[name][0]) for name in largest_first},
        standard_errors={name: float(named[name][1]) for name in largest_first},
        values={name: float(measured.row[name]) for name in largest_first},
        base=base,
        total=total,
        network_map=network_map,
        problem=measured.feature_problem,
    )


def model_names_with_features(model: ResponseModel, combination: Combination) -> tuple[str, ...]:
    """The models of a combination that look at radiomics features, in its order."""
    return tuple(name for name in combination.models if model.models.models[name].features)


def _shares(
    model: ResponseModel, combination: Combination, members: tuple[str, ...], row: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Share and standard error of every selected feature, the background's mean, the patient's sum."""
    if not members:
        return np.empty(0), np.empty(0), 0.0, 0.0
    shared = shapley_values(
        lambda rows: part_of_features(model, combination, members, rows),
        row,
        model.background.columns(explained_features(model, members)).features,
        seed=model.settings.seed,
    )
    return shared.values, shared.standard_error, shared.base, shared.score


def explained_features(model: ResponseModel, members: tuple[str, ...]) -> tuple[str, ...]:
    """The columns among which an answer is shared: every feature that one of the members looks at."""
    return tuple(dict.fromkeys(name for member in members for name in model.models.models[member].features))


def part_of_features(
    model: ResponseModel, combination: Combination, members: tuple[str, ...], rows: np.ndarray
) -> np.ndarray:
    """What `members` add to a combination for (n, p) features: (n,) log-odds or probability.

    The columns of rows are `explained_features`. With the parts of the other members, and the
    intercept of `stacking`, these sum to the logit (or, for `mean`, to the probability) that the
    combination answers, before an isotonic curve bends it. The slope of an update at another hospital is
    in them where they are log-odds.
    """
    table = PatientTable(tuple(map(str, range(len(rows)))), explained_features(model, members), rows)
    fusion, parts = combination.fusion, np.zeros(len(rows))
    for name in members:
        at = combination.models.index(name)
        term = (model.models.models[name].score(table) - fusion.means[at]) / fusion.scales[at]
        term = term * fusion.slopes[at]
        if fusion.method == "mean":
            term = expit(term + fusion.intercepts[at]) / len(combination.models)
        parts += term
    if combination.update is None or fusion.method == "mean":
        return parts
    return combination.update.slope * parts
