"""Is this case like the training cases? A verdict that is right about held-out cases by construction.

Every case is compared with the training cases in a few measures: the distance of its selected
features and of what the network's last layer sees (Mahalanobis; Lee et al., NeurIPS 2018), the
tumour's size, its HU and its surroundings' HU, and the voxel size. Each measure is divided by the
value that one in twenty training cases exceeds, and the largest of them is the case's distance. Its
two cuts are what 5 % and 15 % of the training cases exceed when they are measured from the others
(ten parts in turn), so that about 5 % of held-out cases from the same source are "outside" whatever
the number of measures. No label is looked at.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from TACEResponseLib.messages.errors import BundleError
from TACEResponseLib.messages.language import listed, mark, tr

from .phases import phase_title

#: Shares of cases from the training cases' own source that are "outside", and at least at the edge.
OUTSIDE_SHARE, EDGE_SHARE = 0.05, 0.15
#: Share of the training cases from which on a phase of contrast counts as theirs.
SMALLEST_PHASE_SHARE = 0.05
#: The phase without contrast, on which a tumour's enhancement cannot be seen at all.
NATIVE = "native"
#: Median HU around a tumour in the liver, whatever the phase; for models whose training patients came from
#: a table, which does not tell what lay around their tumours.
AROUND_IN_LIVER_HU = (-50.0, 300.0)
#: Parts in which training cases are measured from the others.
PARTS = 10
#: Names of the vectors, which are compared by Mahalanobis distance.
FEATURES, NETWORK = "features", "network"
SURROUNDINGS = "surroundings_hu"
#: Measures in words, and the smallest spread that counts: below it a difference is not one.
TITLES = {
    FEATURES: mark("radiomics features"),
    NETWORK: mark("picture of the largest slice"),
    "diameter_mm": mark("tumour diameter in mm"),
    "tumour_hu": mark("median HU in the tumour"),
    SURROUNDINGS: mark("median HU around the tumour"),
    "pixel_mm": mark("pixel size in mm"),
    "slice_mm": mark("slice distance in mm"),
}
SMALLEST_SPREAD = {
    "diameter_mm": 1.0,
    "tumour_hu": 2.0,
    SURROUNDINGS: 2.0,
    "pixel_mm": 0.02,
    "slice_mm": 0.25,
}
EDGE = "at the edge"  # not a text: the code of a verdict
Verdict = Literal["inside", "at the edge", "outside"]  # not a text
#: Verdicts as an answer to "is this patient similar to the training patients?".
SIMILAR: dict[Verdict, str] = {"inside": mark("yes"), EDGE: mark("at the edge"), "outside": mark("no")}


@dataclass(frozen=True)
class Measure:
    """One comparison. ratio: 1 where "outside" begins. text: value and training values in words."""

    name: str
    title: str
    value: float
    ratio: float
    text: str


@dataclass(frozen=True)
class Similarity:
    """The verdict on one case. distance: the largest ratio of `measures`, 1 where "outside" begins.

    reasons: why it is not inside. beyond_range: every selected feature outside the range of the
    training cases, farthest first, whatever the verdict.
    """

    verdict: Verdict
    distance: float
    reasons: tuple[str, ...]
    measures: tuple[Measure, ...]
    beyond_range: tuple[str, ...] = ()

    def sentence(self) -> str:
        """ "Similar to training patients: at the edge (tumour diameter 96 mm, training 22 to 90 mm)"."""
        if not self.reasons:
            return self.in_short()
        return tr("{text} ({reasons})", text=self.in_short(), reasons=self.because())

    def in_short(self) -> str:
        """ "Similar to training patients: at the edge"."""
        return tr("Similar to training patients: {verdict}", verdict=tr(SIMILAR[self.verdict]))

    def because(self) -> str:
        """The reasons in one line, "" where there are none."""
        return tr("; ").join(self.reasons)

    def to_json(self) -> dict:
        """JSON types; a distance is rounded to three decimals."""
        return {
            "verdict": self.verdict,
            "distance": round(self.distance, 3),
            "reasons": list(self.reasons),
            "features_beyond_range": list(self.beyond_range),
            "measures": {m.name: {"value": m.value, "ratio": round(m.ratio, 3)} for m in self.measures},
        }


@dataclass(frozen=True)
class Spread:
    """How one measure of k numbers lies in the training cases.

    centre, scale: (k,) medians and robust standard deviations. shift: (k,) mean and precision: (k, k)
    inverse covariance of the scaled numbers after `asinh`, which keeps a heavy tail from hiding
    everything else. lows, highs: (k,) ranges.
    """

    centre: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    precision: np.ndarray
    lows: np.ndarray
    highs: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, smallest: float) -> "Spread":
        """From the training cases (n, k); a scale is at least `smallest`."""
        centre = np.median(values, axis=0)
        # The median deviation of a column that is mostly constant is 0: then its SD must do.
        deviation = 1.4826 * np.median(np.abs(values - centre), axis=0)
        deviation = np.where(deviation > 0, deviation, values.std(axis=0))
        scale = np.maximum(np.where(deviation > 0, deviation, 1.0), smallest)
        from sklearn.covariance import LedoitWolf  # only training needs it

        standard = np.arcsinh((values - centre) / scale)
        covariance = LedoitWolf().fit(standard)
        # A single number that never varies has no covariance; its scale says what a difference is.
        precision = covariance.precision_ if values.shape[1] > 1 else np.ones((1, 1))
        shift = covariance.location_ if values.shape[1] > 1 else np.zeros(1)
        return cls(centre, scale, shift, precision, values.min(axis=0), values.max(axis=0))

    def distance(self, values: np.ndarray) -> np.ndarray:
        """(n, k) -> (n,) Mahalanobis distances; for one number its absolute scaled deviation."""
        if values.shape[1] == 1:
            return np.abs((values - self.centre) / self.scale)[:, 0]
        away = np.arcsinh((values - self.centre) / self.scale) - self.shift
        return np.sqrt(np.einsum("ni,ij,nj->n", away, self.precision, away))

    def to_json(self) -> dict:
        """Lists of numbers."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, content: Mapping) -> "Spread":
        """What `to_json` wrote."""
        return cls(**{name: np.array(content[name], dtype=float) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class TrainingSpread:
    """What new cases are compared with: a `Spread` and the value where "outside" begins by measure.

    edge: the distance at which "at the edge" begins. phases: of contrast, that a training case in
    twenty or more has; () where nobody knows.
    """

    spreads: Mapping[str, Spread]
    limits: Mapping[str, float]
    edge: float
    phases: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, measures: Mapping[str, np.ndarray], seed: int, phases: Sequence[str] = ()
    ) -> "TrainingSpread":
        """From the training cases: measure name -> (n, k) numbers, or (n,) for a single one.

        phases: (n,) of contrast, "" where a case does not tell.
        """
        measures = {name: _columns(values) for name, values in measures.items()}
        distances = {name: _from_the_others(name, values, seed) for name, values in measures.items()}
        # Within one spread nothing is unusual, even where the training cases do not vary at all.
        usual = {name: max(_exceeded_by(values, OUTSIDE_SHARE), 1.0) for name, values in distances.items()}
        largest = np.max([distances[name] / usual[name] for name in measures], axis=0)
        cut = max(_exceeded_by(largest, OUTSIDE_SHARE), 1.0)
        return cls(
            spreads={name: _spread(name, values) for name, values in measures.items()},
            limits={name: float(usual[name] * cut) for name in measures},
            edge=float(min(_exceeded_by(largest, EDGE_SHARE) / cut, 1.0)),
            phases=_usual_phases(phases),
        )

    def compare(
        self,
        measures: Mapping[str, np.ndarray],
        feature_names: tuple[str, ...],
        phase: str = "",
        around_hu: float | None = None,
    ) -> Similarity:
        """The verdict on one case: measure name -> (k,) numbers or one; what is missing is not compared.

        feature_names: of the numbers in `features`. phase: of contrast, where it is known; a CT in a
        phase that the training cases do not have is at best at the edge, without contrast outside.
        around_hu: median around the tumour, where the training cases do not say theirs: what does not lie
        in a liver is outside.
        """
        found = [
            self._measure(name, np.atleast_1d(np.asarray(values, dtype=float)))
            for name, values in measures.items()
        ]
        found = sorted(found, key=lambda measure: -measure.ratio)
        reasons = [measure.text for measure in found if measure.ratio > self.edge]
        distance = max((measure.ratio for measure in found), default=0.0)
        if phase and self.phases and phase not in self.phases:
            distance = max(distance, 1.001 if phase == NATIVE else self.edge * 1.001)
            usual = tr(" and ").join(map(phase_title, self.phases))
            reasons.append(tr("{phase} phase, training {usual}", phase=phase_title(phase), usual=usual))
        low, high = AROUND_IN_LIVER_HU
        if around_hu is not None and not low <= around_hu <= high:
            distance = max(distance, 1.001)
            measure = tr(TITLES[SURROUNDINGS])
            told = {"measure": measure, "value": around_hu, "low": low, "high": high}
            reasons.append(tr("{measure} {value:.4g}, in a liver {low:g} to {high:g}", **told))
        verdict = "outside" if distance > 1 else EDGE if distance > self.edge else "inside"
        beyond = self._beyond_range(measures.get(FEATURES), feature_names)
        return Similarity(verdict, float(distance), tuple(reasons), tuple(found), beyond)

    def _beyond_range(self, values: np.ndarray | None, names: tuple[str, ...]) -> tuple[str, ...]:
        if values is None:
            return ()
        spread = self.spreads[FEATURES]
        beyond = np.flatnonzero((values < spread.lows) | (values > spread.highs))
        away = np.abs(values - spread.centre) / spread.scale
        return tuple(
            _beside_training(names[n], values[n], spread.lows[n], spread.highs[n])
            for n in sorted(beyond, key=lambda n: -away[n])
        )

    def _measure(self, name: str, values: np.ndarray) -> Measure:
        spread = self.spreads[name]
        if len(values) != len(spread.centre):
            raise BundleError(
                tr("the training cases of the bundle have other measures than the case"),
                file="similarity.json",
                expected=tr("{n} numbers of {measure}", n=len(spread.centre), measure=name),
                received=str(len(values)),
            )
        distance = float(spread.distance(values[None])[0])
        ratio, title = distance / self.limits[name], tr(TITLES[name])
        if len(values) == 1:
            text = _beside_training(title, values[0], spread.lows[0], spread.highs[0])
            return Measure(name, title, float(values[0]), ratio, text)
        text = tr("{measure}: {ratio:.1f} times the limit", measure=title, ratio=ratio)
        return Measure(name, title, distance, ratio, text)

    def to_json(self) -> dict:
        """A dictionary of JSON types that `from_json` turns back into an equal object."""
        spreads = {name: spread.to_json() for name, spread in self.spreads.items()}
        return {
            "spreads": spreads,
            "limits": dict(self.limits),
            "edge": self.edge,
            "phases": list(self.phases),
        }

    @classmethod
    def from_json(cls, content: Mapping) -> "TrainingSpread":
        """What `to_json` wrote; BundleError when a part is missing or no number."""
        try:
            spreads = {name: Spread.from_json(spread) for name, spread in content["spreads"].items()}
            limits = {name: float(content["limits"][name]) for name in spreads}
            edge = float(content["edge"])
            # Bundles of before did not say; their cases were arterial, and compared as such.
            phases = tuple(map(str, content.get("phases", ("arterial",))))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                tr("the spread of the training cases cannot be read"),
                file="similarity.json",
                received=repr(error),
            ) from None
        unknown = sorted(set(spreads) - set(TITLES))
        if unknown or not all(limit > 0 for limit in limits.values()):
            raise BundleError(
                tr("the spread of the training cases has foreign parts"),
                file="similarity.json",
                expected=listed(TITLES),
                received=listed(unknown) or tr("a limit that is not above 0"),
            )
        return cls(spreads, limits, edge, phases)


def _beside_training(measure: str, value: float, low: float, high: float) -> str:
    """A value beside those of the training cases, in words."""
    told = {"measure": measure, "value": value, "low": low, "high": high}
    return tr("{measure} {value:.4g}, training {low:.4g} to {high:.4g}", **told)


def _usual_phases(phases: Sequence[str]) -> tuple[str, ...]:
    """The phases that one case in twenty or more has, the commonest first."""
    counts = Counter(phase for phase in phases if phase)
    return tuple(p for p, count in counts.most_common() if count >= SMALLEST_PHASE_SHARE * counts.total())


def _columns(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    return values.reshape(len(values), -1)


def _spread(name: str, values: np.ndarray) -> Spread:
    return Spread.of(values, SMALLEST_SPREAD.get(name, 0.0))


def _from_the_others(name: str, values: np.ndarray, seed: int) -> np.ndarray:
    """(n,) distances of every case from the training cases of the other parts."""
    part = np.random.default_rng(seed).permutation(len(values)) % min(PARTS, len(values))
    distances = np.empty(len(values))
    for number in np.unique(part):
        others = _spread(name, values[part != number])
        distances[part == number] = others.distance(values[part == number])
    return distances


def _exceeded_by(values: np.ndarray, share: float) -> float:
    """The value that a new case exceeds with probability `share` at most (conformal: n + 1 cases)."""
    rank = min(int(np.ceil((len(values) + 1) * (1 - share))), len(values))
    return float(np.sort(values)[rank - 1])
