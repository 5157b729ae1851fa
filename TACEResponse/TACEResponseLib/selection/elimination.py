"""Recursive feature elimination as caret's `rfe` with `rfFuncs` does it, and how stable it is.

Kuhn, J Stat Softw 2008;28(5), and the code of caret 6.0: each fold ranks all features once, by a
random forest's permutation importance on the fold's training part; smaller sizes keep the top of
that ranking, refit, and are judged by the accuracy on the held-out part. What follows from the
importances is deterministic and stands in functions of its own (`elimination_order`,
`accuracy_curve`, `best_size`, `tolerated_size`, `mean_importance`, `pick`), so that it can be fed
another program's importances and give that program's answer. The choice is unstable on cohorts of
this size: read it with `Selection.frequency` and `bootstrap_frequency` beside it.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import mark, several, tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.settings import SelectionSettings

from .forest import ForestData, grow_and_vote
from .inner_folds import stratified_folds

STAGE = mark("select features")


@dataclass(frozen=True)
class Selection:
    """The chosen features and everything they were chosen by.

    chosen: names, most important first. sizes: (m,) ascending subset sizes tried. accuracy: (m,)
    mean over folds of the held-out accuracy; accuracy_sd: (m,) its SD (ddof 1). size: how many the
    rule chose. importance: name -> mean importance over folds and sizes at which the feature was
    still in (it orders `chosen`). rankings: the order of all candidates in every fold. frequency:
    name -> share of folds that rank it within `size`. dropped: name -> why it was no candidate.
    folds: (n,) the fold in which each patient was held out.
    """

    chosen: tuple[str, ...]
    sizes: np.ndarray
    accuracy: np.ndarray
    accuracy_sd: np.ndarray
    size: int
    importance: dict[str, float]
    rankings: tuple[tuple[str, ...], ...]
    frequency: dict[str, float]
    dropped: dict[str, str]
    folds: np.ndarray


def eliminate(
    features: np.ndarray,
    names: Sequence[str],
    labels: np.ndarray,
    settings: SelectionSettings,
    *,
    seed: int,
    groups: Sequence[str] = (),
    jobs: int = 1,
    progress: Progress = silent,
) -> Selection:
    """Choose features on these patients, and on these only.

    features: (n, p) finite numbers. names: p. labels: (n,) 0 or 1. groups: (n,) names; rows of one name
    stay in one fold. jobs: threads; the numbers do not depend on it. `settings.number` is a maximum:
    with fewer candidates all of them are kept.

    Raises TrainingError when a class has fewer patients than there are folds, when a feature is
    not a finite number, or when no feature varies.
    """
    features, labels = _checked(features, names, labels, settings.folds)
    kept, dropped = candidates(features, names, settings.max_correlation)
    candidate_names = tuple(names[k] for k in kept)
    folds = stratified_folds(labels, settings.folds, seed, groups)
    sizes = subset_sizes(settings.sizes, len(kept))
    importances, accuracy = _run_folds(
        features[:, kept], labels, folds, sizes, settings.trees, seed, jobs, progress
    )
    mean, sd = accuracy_curve(accuracy)
    size = _chosen_size(settings, sizes, mean)
    orders = np.array([elimination_order(row) for row in importances])
    overall = mean_importance(importances, sizes)
    frequency = np.bincount(orders[:, :size].ravel(), minlength=len(kept)) / settings.folds
    return Selection(
        chosen=pick(overall, candidate_names, size),
        sizes=sizes,
        accuracy=mean,
        accuracy_sd=sd,
        size=size,
        importance=dict(zip(candidate_names, overall.tolist(), strict=True)),
        rankings=tuple(tuple(candidate_names[k] for k in order) for order in orders),
        frequency=dict(zip(candidate_names, frequency.tolist(), strict=True)),
        dropped=dropped,
        folds=folds,
    )


def candidates(
    features: np.ndarray, names: Sequence[str], max_correlation: float
) -> tuple[np.ndarray, dict[str, str]]:
    """Columns worth ranking (indices) and, by name, why each other one is not, in English. Uses no labels.

    Dropped are constant columns and, below `max_correlation` 1, a column whose absolute Pearson
    correlation with an earlier kept column exceeds it.
    """
    varies = np.ptp(features, axis=0) > 0
    dropped = {names[k]: "constant" for k in np.flatnonzero(~varies)}
    kept = np.flatnonzero(varies)
    if max_correlation < 1:
        correlation = np.abs(np.atleast_2d(np.corrcoef(features[:, kept], rowvar=False)))
        independent: list[int] = []
        for k in range(len(kept)):
            close = [other for other in independent if correlation[k, other] > max_correlation]
            if close:
                nearest = max(close, key=lambda other: correlation[k, other])
                reason = f"correlated {correlation[k, nearest]:.3f} with {names[kept[nearest]]}"
                dropped[names[kept[k]]] = reason
            else:
                independent.append(k)
        kept = kept[independent]
    return kept, dropped


def subset_sizes(sizes: tuple[int, ...], features: int) -> np.ndarray:
    """Ascending distinct sizes up to the number of features, which is always among them."""
    return np.unique([size for size in sizes if size < features] + [features])


def elimination_order(importance: np.ndarray) -> np.ndarray:
    """Indices by descending importance (p,); equal ones stay in column order, as in R's `order`."""
    return np.argsort(-importance, kind="stable")


def accuracy_curve(accuracy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD (ddof 1) over folds of accuracy (folds, sizes)."""
    return accuracy.mean(axis=0), accuracy.std(axis=0, ddof=1)


def best_size(sizes: np.ndarray, accuracy: np.ndarray) -> int:
    """The smallest of the sizes (ascending) at which the mean accuracy is highest."""
    return int(sizes[np.argmax(accuracy)])


def tolerated_size(sizes: np.ndarray, accuracy: np.ndarray, tolerance_percent: float) -> int:
    """The smallest size whose accuracy is within `tolerance_percent` of the best (pickSizeTolerance)."""
    best = accuracy.max()
    if best == 0:  # no percentage of nothing
        return int(sizes.min())
    loss_percent = (best - accuracy) / best * 100
    return int(sizes[loss_percent <= tolerance_percent].min())


def mean_importance(importances: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Mean importance (p,) over all rows that caret keeps: each fold at each size still holding it.

    importances: (folds, p). A fold in which a feature survives to a smaller size counts more often.
    """
    folds, features = importances.shape
    position = np.empty((folds, features), dtype=int)
    for fold, row in enumerate(importances):
        position[fold, elimination_order(row)] = np.arange(features)
    rows = (sizes[:, None, None] > position).sum(axis=0)
    return (importances * rows).sum(axis=0) / rows.sum(axis=0)


def pick(importance: np.ndarray, names: Sequence[str], size: int) -> tuple[str, ...]:
    """The `size` most important names, most important first, equal ones alphabetical (pickVars)."""
    return tuple(name for _, name in sorted(zip(-importance, names, strict=True))[:size])


def bootstrap_frequency(
    features: np.ndarray,
    names: Sequence[str],
    labels: np.ndarray,
    settings: SelectionSettings,
    *,
    size: int,
    seed: int,
    jobs: int = 1,
    progress: Progress = silent,
) -> dict[str, float]:
    """Name -> share of `settings.bootstraps` resamples whose forest ranks it within `size`.

    Each resample draws as many patients of each class as there are, with replacement, and keeps
    the distinct ones (about 63 %): a patient kept twice would be in and out of the bag at once and
    flatter every feature. Shapes and errors as in `eliminate`.
    """
    features, labels = _checked(features, names, labels, 2)
    kept, _ = candidates(features, names, settings.max_correlation)
    columns = features[:, kept]

    def top_of(resample: int) -> np.ndarray:
        random = np.random.default_rng((seed, resample))
        classes = [np.flatnonzero(labels == label) for label in (0, 1)]
        drawn = np.concatenate([np.unique(random.choice(members, len(members))) for members in classes])
        votes = grow_and_vote(
            ForestData(columns[drawn]),
            labels[drawn],
            columns[:0],
            trees=settings.trees,
            seed=_seed(seed, resample),
            importance=True,
        )
        return elimination_order(votes.importance.mean(axis=1))[:size]

    counts, resamples = np.zeros(len(names)), range(settings.bootstraps)
    for top in _each(top_of, resamples, jobs, progress, 0, len(resamples)):
        counts[kept[top]] += 1
    return dict(zip(names, (counts / max(1, settings.bootstraps)).tolist(), strict=True))


def _run_folds(
    features: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    sizes: np.ndarray,
    trees: int,
    seed: int,
    jobs: int,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    """Importances (folds, p) of the forests on all features, held-out accuracy (folds, sizes).

    Every forest is grown once: the one that ranks a fold also gives its accuracy at full size.
    """
    count = int(folds.max()) + 1
    training = [ForestData(features[folds != fold]) for fold in range(count)]

    def forest(fold: int, chosen: np.ndarray, importance: bool):
        held_out = folds == fold
        votes = grow_and_vote(
            training[fold].subset(chosen),
            labels[~held_out],
            features[np.ix_(held_out, chosen)],
            trees=trees,
            seed=_seed(seed, fold, len(chosen)),
            importance=importance,
        )
        return votes, vote_accuracy(votes.held_out, labels[held_out], labels[~held_out].mean())

    everything = np.arange(features.shape[1])
    steps = count * len(sizes)
    full = list(_each(lambda fold: forest(fold, everything, True), range(count), jobs, progress, 0, steps))
    importances = np.array([votes.importance.mean(axis=1) for votes, _ in full])
    orders = [elimination_order(row) for row in importances]
    tasks = [(fold, size) for size in sizes[:-1][::-1] for fold in range(count)]

    def smaller(task: tuple[int, int]) -> float:
        fold, size = task
        return forest(fold, orders[fold][:size], False)[1]

    accuracy = np.empty((count, len(sizes)))
    accuracy[:, -1] = [right for _, right in full]
    rights = _each(smaller, tasks, jobs, progress, count, steps)
    for (fold, size), right in zip(tasks, rights, strict=True):
        accuracy[fold, np.searchsorted(sizes, size)] = right
    return importances, accuracy


def vote_accuracy(votes: np.ndarray, labels: np.ndarray, prevalence: float) -> float:
    """Share of patients whose majority vote is right; an even vote goes to the commoner class.

    R breaks an even vote at random; here the same forest always gives the same accuracy.
    """
    predicted = np.where(votes == 0.5, prevalence > 0.5, votes > 0.5)
    return float((predicted == labels).mean())


def _each(work: Callable, items: Sequence, jobs: int, progress: Progress, done: int, total: int) -> Iterator:
    """`work(item)` for every item, results in order, on `jobs` threads; speaks after each one.

    Threads serve, since a forest releases the interpreter lock. `progress` may raise: what has not
    begun is then dropped.
    """
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        try:
            for result in pool.map(work, items):
                done += 1
                progress(tr(STAGE), done, total)
                yield result
        finally:
            pool.shutdown(cancel_futures=True)


def _seed(*path: int) -> int:
    """A 64-bit seed of its own for every place in the work, whatever the order it is done in."""
    return int(np.random.SeedSequence(path).generate_state(1, np.uint64)[0])


def _chosen_size(settings: SelectionSettings, sizes: np.ndarray, accuracy: np.ndarray) -> int:
    if settings.rule == "number":
        return min(settings.number, int(sizes[-1]))
    if settings.rule == "best":
        return best_size(sizes, accuracy)
    return tolerated_size(sizes, accuracy, settings.tolerance_percent)


def _checked(
    features: np.ndarray, names: Sequence[str], labels: np.ndarray, folds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Features as floats and labels as 0/1 integers, or a TrainingError that names the fault."""
    features, labels = np.asarray(features, dtype=float), np.asarray(labels)
    if features.shape != (len(labels), len(names)):
        raise TrainingError(
            tr("features, names and labels do not belong together"),
            expected=tr("{patients} patients x {names} names", patients=len(labels), names=len(names)),
            received=" x ".join(map(str, features.shape)),
        )
    if not np.isin(labels, (0, 1)).all():
        raise TrainingError(tr("a label is neither 0 nor 1"), field="label", received=str(np.unique(labels)))
    bad = np.flatnonzero(~np.isfinite(features).all(axis=0))
    if bad.size:
        raise TrainingError(
            tr("a feature holds values that are not finite numbers"),
            field=names[bad[0]],
            received=several(bad.size, "1 such feature", "{n} such features"),
            remedy=tr("extract the feature again or leave it out"),
        )
    labels = labels.astype(int)
    smallest = np.bincount(labels, minlength=2).min()
    if smallest < folds:
        raise TrainingError(
            tr("a class has fewer patients than there are folds"),
            field="label",
            expected=tr("at least {n} patients of each class", n=folds),
            received=f"{smallest}",
            remedy=tr("take fewer folds or more patients"),
        )
    if not (np.ptp(features, axis=0) > 0).any():
        received = several(len(names), "1 feature", "{n} features")
        raise TrainingError(tr("no feature varies between the patients"), received=received)
    return features, labels
