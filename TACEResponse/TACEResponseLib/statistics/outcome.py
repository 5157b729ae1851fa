"""`Outcome`: what is predicted, with everything that depends on its kind.

Today there is one kind, response or no response. Whether labels are valid, how patients are split
into folds, where the threshold lies and which figure is the metric are asked here; no other room
of the training asks what a label is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import listed, mark, several, tr

from .discrimination import auc_delong, youden_threshold

#: With fewer patients of a class than this no figure of a fold means anything.
FEWEST_PER_CLASS = 10
#: Fewest of a class that a fit without two of the folds must have.
FEWEST_IN_A_FIT = 5
RESPONDER, NON_RESPONDER = "responder", "non-responder"
#: mRECIST categories and whether they count as objective response.
RESPONSES = {"CR": 1, "PR": 1, "SD": 0, "PD": 0}
#: What the labels of a cohort say unless its table names another outcome.
OBJECTIVE_RESPONSE = mark("objective response (mRECIST CR or PR)")


def fewest_per_class(folds: int) -> int:
    """Patients of a class that a training in 3 folds or more needs; the nested fits leave two folds out."""
    return max(FEWEST_PER_CLASS, folds, int(np.ceil(FEWEST_IN_A_FIT * folds / (folds - 2))))


def _why_so_many(folds: int) -> tuple[str, str]:
    """What is expected and the remedy, marked texts: other folds are one where they would need fewer."""
    fewest = fewest_per_class(folds)
    if fewest == FEWEST_PER_CLASS:
        expected = mark("at least {n} responders and {n} non-responders to train on")
        return expected, mark("add patients, or check the labels")
    if fewest == folds:
        expected = mark(
            "at least {n} responders and {n} non-responders to train on, one for each of {folds} folds"
        )
        return expected, mark("add patients, take fewer folds, or check the labels")
    expected = mark(
        "at least {n} responders and {n} non-responders to train on in {folds} folds (fewer folds need more "
        "patients: a nested fit leaves two folds out)"
    )
    return expected, mark("add patients, take more folds, or check the labels")


@dataclass(frozen=True)
class Outcome:
    """The response of n patients, in the order of their PatientTable.

    labels: (n,) int, 1 responder (mRECIST CR or PR), 0 not. readers: (n, r) the same by each of
    several readers, NaN where a reader gave none; None with one reader. softened: whether models that
    can are to learn from the share of the readers, and not from the labels. Raises TrainingError for any
    other label.
    """

    labels: np.ndarray
    readers: np.ndarray | None = field(default=None, repr=False)
    softened: bool = True

    #: In English words, for manifests, and for pages through `tr`.
    POSITIVE = mark("responder (mRECIST CR or PR)")

    def __post_init__(self):
        labels = np.asarray(self.labels)
        if labels.ndim != 1 or not np.isin(labels, (0, 1)).all():
            raise TrainingError(
                tr("a label is neither 0 nor 1"), field="label", received=str(np.unique(labels)[:5])
            )
        object.__setattr__(self, "labels", labels.astype(int))

    @classmethod
    def read(
        cls, labels: Sequence[int], readings: Sequence[tuple[int | None, ...]], softened: bool
    ) -> "Outcome":
        """Labels (n) with what each of several readers said, None where one said nothing."""
        if not readings or not all(len(of) > 1 for of in readings):
            return cls(np.array(labels, dtype=int), None, softened)
        said = [[np.nan if label is None else label for label in of] for of in readings]
        return cls(np.array(labels, dtype=int), np.array(said, dtype=float), softened)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def responders(self) -> int:
        """How many of the patients respond."""
        return int(self.labels.sum())

    @property
    def classes(self) -> tuple[int, ...]:
        """The labels that exist, whether or not a patient has them."""
        return (0, 1)

    @property
    def soft(self) -> np.ndarray:
        """(n,) share of the readers who saw a response; the labels with one reader, or not softened."""
        if self.readers is None or not self.softened:
            return self.labels.astype(float)
        return np.nanmean(self.readers, axis=1)

    @property
    def words(self) -> np.ndarray:
        """(n,) texts: RESPONDER or NON_RESPONDER."""
        return np.where(self.labels == 1, RESPONDER, NON_RESPONDER)

    def rows(self, index: np.ndarray) -> "Outcome":
        """The patients at the positions `index`, or where it is True."""
        readers = None if self.readers is None else self.readers[index]
        return Outcome(self.labels[index], readers, self.softened)

    def check(self, folds: int) -> None:
        """Raise TrainingError when a class has too few patients for so many folds, 3 or more.

        The nested fits leave two folds out.
        """
        counts = np.bincount(self.labels, minlength=2)
        fewest = fewest_per_class(folds)
        if counts.min() < fewest:
            expected, remedy = _why_so_many(folds)
            raise TrainingError(
                tr("too few patients of one class"),
                field="label",
                expected=tr(expected, n=fewest, folds=folds),
                received=listed(
                    (
                        several(counts[1], "1 responder", "{n} responders"),
                        several(counts[0], "1 non-responder", "{n} non-responders"),
                    )
                ),
                remedy=tr(remedy),
            )

    def splits(self, folds: int, repeats: int, seed: int, groups: Sequence[str] = ()) -> np.ndarray:
        """(repeats, n) folds as by `split`, drawn anew in each repeat."""
        return np.array([self.split(folds, seed + repeat, groups) for repeat in range(repeats)])

    def split(self, folds: int, seed: int, groups: Sequence[str] = ()) -> np.ndarray:
        """(n,) the fold, 0 to folds - 1, that holds each patient out; classes are spread evenly.

        groups: (n,) names; rows of one name stay in one fold.
        """
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

        parted = len(set(groups)) < len(groups)
        if parted:
            splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        else:
            splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
        fold_of = np.empty(len(self.labels), dtype=int)
        parts = splitter.split(self.labels, self.labels, groups if parted else None)
        for fold, (_, held_out) in enumerate(parts):
            fold_of[held_out] = fold
        if any(len(np.unique(self.labels[fold_of == fold])) < 2 for fold in range(folds)):
            raise TrainingError(
                tr("a fold holds patients of one class only"),
                field="group",
                expected=tr("responders and non-responders in each fold"),
                received=tr("{n} groups in {folds} folds", n=len(set(groups)), folds=folds),
                remedy=tr("take fewer folds, or more patients"),
            )
        return fold_of

    def threshold(self, probabilities: np.ndarray) -> float:
        """The cut on probabilities (n,) above which a patient is called a responder (Youden)."""
        return youden_threshold(self.labels, probabilities)

    def metric(self, scores: np.ndarray) -> float:
        """How well scores (n,) rank the patients: the AUC, 1 perfect, 0.5 chance."""
        return auc_delong(self.labels, scores).auc
