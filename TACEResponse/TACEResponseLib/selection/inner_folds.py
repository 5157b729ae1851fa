"""The folds inside a selection: which patients judge the features that the others ranked."""

from collections.abc import Sequence

import numpy as np

from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import tr


def stratified_folds(labels: np.ndarray, folds: int, seed: int, groups: Sequence[str] = ()) -> np.ndarray:
    """The fold (n,), 0 to folds - 1, in which each patient is held out; classes spread evenly.

    groups: (n,) names; rows of one name stay in one fold. Raises TrainingError with fewer groups than
    folds.
    """
    if len(set(groups)) < len(groups):
        return _grouped_folds(labels, folds, seed, groups)
    random = np.random.default_rng(seed)
    fold_of = np.empty(len(labels), dtype=int)
    dealt = 0
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        fold_of[members] = (np.arange(len(members)) + dealt) % folds
        dealt += len(members)  # go on where the last class ended: fold sizes differ by one at most
    return fold_of


def _grouped_folds(labels: np.ndarray, folds: int, seed: int, groups: Sequence[str]) -> np.ndarray:
    """As `stratified_folds`; a fold may hold one class alone, since it is judged by its accuracy."""
    from sklearn.model_selection import StratifiedGroupKFold

    fold_of = np.empty(len(labels), dtype=int)
    if len(set(groups)) < folds:
        raise TrainingError(
            tr("there are fewer groups than folds of the selection"),
            field="group",
            expected=tr("at least {n} groups", n=folds),
            received=str(len(set(groups))),
            remedy=tr("add patients, or take fewer folds"),
        )
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, groups)
    for fold, (_, held_out) in enumerate(parts):
        fold_of[held_out] = fold
    return fold_of
