"""A random forest for two classes that grows 500 trees on 139 patients in hundredths of a second.

It follows Breiman's program as R's `randomForest` (4.7) runs it for classification: bootstrap of
the patients, floor(sqrt(p)) features tried at a node, Gini, trees grown until their leaves are
pure, one vote a tree, and the importance of a feature as the loss of out-of-bag accuracy when its
values are permuted, per class, divided by its standard error over the trees (Breiman, Machine
Learning 2001;45:5). It exists for the elimination only, which grows hundreds of forests whose
trees nobody keeps; the random forest that is stored in a bundle is scikit-learn's, whose overhead
per tree is larger than the work at this number of patients.
"""

from dataclasses import dataclass

import numpy as np

from TACEResponseLib.compiled import compiled

#: Below this, a standard error counts as zero and the importance is left unscaled, as in R.
ZERO_ERROR = np.finfo(float).eps


@dataclass(frozen=True)
class ForestVotes:
    """What a forest says; it keeps no trees.

    held_out: (n_test,) share of trees voting for class 1. out_of_bag: (n,) the same over the trees
    that did not see the patient, NaN for a patient whom every tree saw. importance: (p, 2)
    decrease in accuracy on class 0 and on class 1 over its standard error; None when not asked for.
    """

    held_out: np.ndarray
    out_of_bag: np.ndarray
    importance: np.ndarray | None


class ForestData:
    """Training features prepared once for many forests: columns contiguous, sorted and ranked."""

    def __init__(self, features: np.ndarray):
        self.columns = np.ascontiguousarray(features.T, dtype=np.float64)
        self.order = np.argsort(self.columns, axis=1, kind="stable").astype(np.int32)
        ordered = np.take_along_axis(self.columns, self.order, axis=1)
        steps = np.diff(ordered, axis=1, prepend=ordered[:, :1]) != 0
        self.ranks = np.empty_like(self.order)
        np.put_along_axis(self.ranks, self.order, steps.cumsum(axis=1).astype(np.int32), axis=1)

    def subset(self, chosen: np.ndarray) -> "ForestData":
        """The same patients with the features `chosen` (indices, in that order) only."""
        part = object.__new__(ForestData)
        part.columns, part.order, part.ranks = self.columns[chosen], self.order[chosen], self.ranks[chosen]
        return part


def grow_and_vote(
    data: ForestData,
    labels: np.ndarray,
    held_out: np.ndarray,
    *,
    trees: int,
    seed: int,
    importance: bool = False,
) -> ForestVotes:
    """Grow `trees` trees on `data` (n patients, p features) and let them vote on `held_out`.

    labels: (n,) 0 or 1. held_out: (n_test, p). seed: 0 to 2**64 - 1; the same seed gives the same
    votes on any machine and in any thread. Releases the interpreter lock while it works.
    """
    features = len(data.columns)
    votes, seen, sums, squares = _forest(
        data.columns,
        data.order,
        data.ranks,
        np.ascontiguousarray(labels, dtype=np.int64),
        np.ascontiguousarray(held_out, dtype=np.float64),
        trees,
        max(1, int(np.sqrt(features))),
        np.uint64(seed),
        importance,
    )
    unseen = np.where(seen[0] > 0, seen[0], 1)
    out_of_bag = np.where(seen[0] > 0, seen[1] / unseen, np.nan)
    return ForestVotes(votes / trees, out_of_bag, _scaled(sums, squares, trees) if importance else None)


def _scaled(sums: np.ndarray, squares: np.ndarray, trees: int) -> np.ndarray:
    """Mean decrease over its standard error; unscaled where the error vanishes (R's rule)."""
    mean = sums / trees
    error = np.sqrt(np.maximum(squares / trees - mean**2, 0) / trees)
    return mean / np.where(error < ZERO_ERROR, 1, error)


@compiled
def _random(state):
    """The next number in [0, 1) of a splitmix64 stream, held in state[0]."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@compiled
def _forest(columns, order, ranks, labels, held_out, trees, mtry, seed, with_importance):
    """All trees, one after the other; only votes and importances outlive a tree."""
    features, patients = columns.shape
    state = np.empty(1, np.uint64)
    state[0] = seed
    pool = np.arange(features)
    votes = np.zeros(held_out.shape[0])
    seen = np.zeros((2, patients))
    sums, squares = np.zeros((features, 2)), np.zeros((features, 2))
    for _ in range(trees):
        weights = np.zeros(patients, np.int64)
        for _ in range(patients):
            weights[int(_random(state) * patients)] += 1
        tree = _grow(columns, order, ranks, labels, weights, pool, mtry, state)
        for i in range(held_out.shape[0]):
            votes[i] += _vote_row(tree, held_out[i])
        outside = np.flatnonzero(weights == 0)
        right = np.zeros(2)
        for i in outside:
            vote = _vote(tree, columns, i, -1, i)
            seen[0, i] += 1
            seen[1, i] += vote
            right[labels[i]] += vote == labels[i]
        if with_importance:
            _permute(tree, columns, labels, outside, right, state, sums, squares)
    return votes, seen, sums, squares


@compiled
def _vote_row(tree, row):
    feature, threshold, child, leaf_vote = tree
    node = 0
    while feature[node] >= 0:
        node = child[node] + (row[feature[node]] > threshold[node])
    return leaf_vote[node]


@compiled
def _vote(tree, columns, patient, permuted, donor):
    """The tree's class for a patient whose feature `permuted` has the donor's value (-1: none)."""
    feature, threshold, child, leaf_vote = tree
    node = 0
    while feature[node] >= 0:
        f = feature[node]
        value = columns[f, donor if f == permuted else patient]
        node = child[node] + (value > threshold[node])
    return leaf_vote[node]


@compiled
def _permute(tree, columns, labels, outside, right, state, sums, squares):
    """Add this tree's loss of accuracy per class for every feature that it uses."""
    used = np.unique(tree[0])
    outside_of = np.zeros(2)
    for i in outside:
        outside_of[labels[i]] += 1
    donors = outside.copy()
    for f in used:
        if f < 0:
            continue
        for last in range(len(donors) - 1, 0, -1):
            other = int(_random(state) * (last + 1))
            donors[last], donors[other] = donors[other], donors[last]
        still = np.zeros(2)
        for position in range(len(outside)):
            i = outside[position]
            still[labels[i]] += _vote(tree, columns, i, f, donors[position]) == labels[i]
        for c in range(2):
            if outside_of[c] > 0:
                loss = (right[c] - still[c]) / outside_of[c]
                sums[f, c] += loss
                squares[f, c] += loss * loss


@compiled
def _grow(columns, order, ranks, labels, weights, pool, mtry, state):
    """One tree as arrays over its nodes: feature (-1 in a leaf), threshold, left child, vote.

    The right child follows the left one. A patient goes left when the value is at most the
    threshold. weights: how often the bootstrap drew each patient.
    """
    members = np.flatnonzero(weights)
    count = 2 * len(members) + 1
    feature, child = np.full(count, -1), np.zeros(count, np.int64)
    threshold, leaf_vote = np.zeros(count), np.zeros(count, np.int64)
    start, stop = np.zeros(count, np.int64), np.zeros(count, np.int64)
    home = np.full(len(weights), -1)  # the node where each patient is now
    home[members] = 0
    stop[0], nodes, node = len(members), 1, 0
    scratch = np.empty(len(weights), np.int64)
    while node < nodes:
        total = ones = 0
        for position in range(start[node], stop[node]):
            total += weights[members[position]]
            ones += weights[members[position]] * labels[members[position]]
        leaf_vote[node] = 2 * ones > total or (2 * ones == total and _random(state) < 0.5)
        if 0 < ones < total:
            best, cut = _best_split(
                columns, order, ranks, labels, weights, members[start[node] : stop[node]],
                home, node, total, ones, pool, mtry, state, scratch,
            )  # fmt: skip
            if best >= 0:
                feature[node], threshold[node], child[node] = best, cut, nodes
                middle = _partition(members, start[node], stop[node], columns[best], cut)
                start[nodes], stop[nodes] = start[node], middle
                start[nodes + 1], stop[nodes + 1] = middle, stop[node]
                home[members[start[node] : middle]] = nodes
                home[members[middle : stop[node]]] = nodes + 1
                nodes += 2
        node += 1
    return feature[:nodes], threshold[:nodes], child[:nodes], leaf_vote[:nodes]


@compiled
def _partition(members, start, stop, column, cut):
    """Bring the members at most `cut` to the front of start..stop; where the others begin."""
    middle = start
    for position in range(start, stop):
        i = members[position]
        if column[i] <= cut:
            members[position], members[middle] = members[middle], i
            middle += 1
    return middle


@compiled
def _best_split(
    columns, order, ranks, labels, weights, members, home, node, total, ones, pool, mtry, state, scratch
):
    """Feature and threshold with the smallest Gini impurity among `mtry` drawn; -1 if none splits.

    total, ones: weight of the node's members and of those in class 1. Equal splits are chosen among
    at random, as in R.
    """
    best, cut, best_purity, ties = -1, 0.0, -1.0, 0
    for draw in range(mtry):
        other = draw + int(_random(state) * (len(pool) - draw))
        pool[draw], pool[other] = pool[other], pool[draw]
        f = pool[draw]
        _sorted_members(order[f], ranks[f], members, home, node, scratch)
        left = left_ones = 0
        for position in range(len(members) - 1):
            i, following = scratch[position], scratch[position + 1]
            left += weights[i]
            left_ones += weights[i] * labels[i]
            if ranks[f, i] == ranks[f, following]:
                continue
            purity = _purity(left, left_ones) + _purity(total - left, ones - left_ones)
            if purity < best_purity:
                continue
            ties = 1 if purity > best_purity else ties + 1
            if ties == 1 or _random(state) * ties < 1:
                low, high = columns[f, i], columns[f, following]
                middle = low + (high - low) / 2
                best, best_purity, cut = f, purity, middle if middle < high else low
    return best, cut


@compiled
def _purity(total, ones):
    """Sum of squared class weights over their sum; the larger over both sides, the lower the Gini."""
    zeros = total - ones
    return (zeros * zeros + ones * ones) / total


@compiled
def _sorted_members(order, ranks, members, home, node, scratch):
    """Write the node's members in ascending order of the feature into `scratch`.

    A large node reads them off the order of all patients; a small one sorts its few by insertion.
    """
    if len(members) * len(members) > 4 * len(order):
        found = 0
        for i in order:
            if home[i] == node:
                scratch[found] = i
                found += 1
        return
    for position in range(len(members)):
        i = members[position]
        slot = position
        while slot > 0 and ranks[scratch[slot - 1]] > ranks[i]:
            scratch[slot] = scratch[slot - 1]
            slot -= 1
        scratch[slot] = i
