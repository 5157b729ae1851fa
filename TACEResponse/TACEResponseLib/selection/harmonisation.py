"""ComBat: brings every feature to one mean and spread between the training centres.

Johnson, Li & Rabinovic, Biostatistics 2007;8:118, parametric empirical Bayes: scanner and protocol
of a centre shift and stretch a feature; how much is estimated feature by feature and drawn towards
the centre's other features, since a centre has few patients. No label is read. Where centres differ
in their patients, too, that difference goes with the scanner's: a share of responders that differs
between centres costs discrimination.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import BundleError, FeatureError, TrainingError
from TACEResponseLib.messages.language import listed, tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.outcome import Outcome

from .step import FittedStep, Step

#: Fewest patients of a centre in one fit: below this its spread is not known.
FEWEST_OF_A_CENTER = 4
#: Largest relative change of an estimate at which the iteration ends, and its longest run.
CONVERGED, MOST_ROUNDS = 1e-12, 1000


@dataclass(frozen=True)
class Harmonised(FittedStep):
    """features: p names. centers: c names. mean, sd: (p,) over all patients. shift: (c, p) of a
    centre's patients in units of `sd`; stretch: (c, p) their spread in the same units, above 0.
    """

    features: tuple[str, ...]
    centers: tuple[str, ...]
    mean: np.ndarray
    sd: np.ndarray
    shift: np.ndarray
    stretch: np.ndarray

    def transform(self, table: PatientTable) -> PatientTable:
        """The patients with their features as if all came from one centre.

        A table with some of the features will do. Raises FeatureError for a patient whose centre was
        not among those of the fit: how its scanner shifts a feature is not known.
        """
        foreign = [n for n, center in enumerate(table.centers) if center not in self.centers]
        if foreign:
            raise FeatureError(
                tr("the features cannot be harmonised, since the patient's centre is not known to the model"),
                field="center",
                patient_id=table.patient_ids[foreign[0]],
                expected=listed(self.centers),
                received=table.centers[foreign[0]] or tr("no centre"),
                remedy=tr("name one of these centres, or train without harmonisation"),
            )
        at = {name: n for n, name in enumerate(self.features)}
        columns = np.array([at[name] for name in table.feature_names], dtype=int)
        of = np.array([self.centers.index(center) for center in table.centers], dtype=int)
        standard = (table.features - self.mean[columns]) / self.sd[columns]
        rows = np.ix_(of, columns)
        standard = (standard - self.shift[rows]) / self.stretch[rows]
        return replace(table, features=standard * self.sd[columns] + self.mean[columns])

    def to_json(self) -> dict:
        """Names and lists of numbers."""
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "sd", "shift", "stretch")}
        return {"features": list(self.features), "centers": list(self.centers), **arrays}


@dataclass(frozen=True)
class Harmonise(Step):
    """The step as a whole; it has no settings but whether it is wanted."""

    name: str = "harmonise"

    def configured(self, settings: TrainingSettings) -> "Harmonise | None":
        """Where the settings ask for ComBat."""
        return self if settings.harmonisation == "combat" else None

    def fit(
        self, table: PatientTable, outcome: Outcome, seed: int, jobs: int = 1, progress: Progress = silent
    ) -> Harmonised:
        """Estimate shift and stretch of every centre; the outcome is not looked at.

        Raises TrainingError for fewer than two centres, or one with fewer than FEWEST_OF_A_CENTER.
        """
        centers, of = np.unique(np.array(table.centers), return_inverse=True)
        counts = np.bincount(of)
        if len(centers) < 2 or "" in centers or counts.min() < FEWEST_OF_A_CENTER:
            raise TrainingError(
                tr("features cannot be harmonised between these centres"),
                field="center",
                expected=tr(
                    "two centres or more, each with {n} patients of every fold", n=FEWEST_OF_A_CENTER
                ),
                received=listed(
                    tr("{center}: {n}", center=center or tr("no centre"), n=n)
                    for center, n in zip(centers, counts, strict=True)
                ),
                remedy=tr("fill the column center, join small centres, or train without harmonisation"),
            )
        mean, sd, standard = _standardised(table.features, of)
        estimates = [_of_center(standard[of == center]) for center in range(len(centers))]
        shift, stretch = (np.array(part) for part in zip(*estimates, strict=True))
        return Harmonised(table.feature_names, tuple(map(str, centers)), mean, sd, shift, stretch)

    def from_json(self, content: Mapping) -> Harmonised:
        """What `Harmonised.to_json` gave."""
        try:
            arrays = (np.array(content[n], dtype=float) for n in ("mean", "sd", "shift", "stretch"))
            fitted = Harmonised(
                tuple(map(str, content["features"])), tuple(map(str, content["centers"])), *arrays
            )
            shape = (len(fitted.centers), len(fitted.features))
            whole = fitted.shift.shape == fitted.stretch.shape == shape
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(tr("the harmonisation cannot be read"), received=repr(error)) from None
        if not whole or not (fitted.stretch > 0).all() or not (fitted.sd > 0).all():
            raise BundleError(tr("the parts of the harmonisation do not belong together"))
        return fitted


def _standardised(features: np.ndarray, of: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (p,), spread within centres (p,) and standardised features (n, p); `of`: (n,) centre.

    A feature that does not vary within centres keeps a spread of 1, and is left as it is.
    """
    means = np.array([features[of == center].mean(axis=0) for center in np.unique(of)])
    mean = (np.bincount(of) / len(of)) @ means
    variance = ((features - means[of]) ** 2).mean(axis=0)
    varies = variance > 1e-24 * np.maximum(np.abs(mean), 1e-300) ** 2
    sd = np.where(varies, np.sqrt(variance), 1.0)
    return mean, sd, np.where(varies, (features - mean) / sd, 0.0)


def _of_center(standard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift and stretch (p,) of a centre from its standardised features (n, p); 0 and 1 of a constant one."""
    shift, stretch = np.zeros(standard.shape[1]), np.ones(standard.shape[1])
    varies = np.ptp(standard, axis=0) > 0
    if varies.any():
        shift[varies], variance = _empirical_bayes(standard[:, varies])
        stretch[varies] = np.sqrt(variance)
    return shift, stretch


def _empirical_bayes(standard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift and variance (p,) of standardised features (n, p), each drawn towards the others.

    The shift has a normal prior, the variance an inverse gamma one, both by the moments of all
    features; the two conditional means are taken in turn until they stay.
    """
    n, (own_shift, own_variance) = len(standard), (standard.mean(axis=0), standard.var(axis=0, ddof=1))
    if standard.shape[1] < 2 or not np.ptp(own_shift) > 0 or not np.ptp(own_variance) > 0:
        return own_shift, own_variance  # every feature says the same: nothing to draw towards
    middle, spread = own_shift.mean(), own_shift.var(ddof=1)
    mean, squared = own_variance.mean(), own_variance.var(ddof=1)
    shape, scale = (2 * squared + mean**2) / squared, (mean * squared + mean**3) / squared
    shift, variance = own_shift, own_variance
    for _ in range(MOST_ROUNDS):
        last_shift, last_variance = shift, variance
        shift = (n * spread * own_shift + variance * middle) / (n * spread + variance)
        squares = ((standard - shift) ** 2).sum(axis=0)
        variance = (0.5 * squares + scale) / (n / 2 + shape - 1)
        stays = np.abs(shift - last_shift) <= CONVERGED * np.abs(last_shift)
        if (stays & (np.abs(variance - last_variance) <= CONVERGED * last_variance)).all():
            break
    return shift, variance
