"""How much a patient's probability depends on who happened to be in the training cohort.

Arrays of probabilities in, frozen dataclasses out. The models are those of the whole pipeline
fitted again to bootstrap samples of the cohort (Riley & Collins, Biom J 2023;65:2200302). What they
show is instability; it is no interval that holds the true probability.
"""

from dataclasses import dataclass

import numpy as np

from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import tr

#: Exponents tried for a learning curve, and the fewest sizes that can tell them apart.
EXPONENTS, FEWEST_SIZES = np.arange(0.1, 1.501, 0.05), 4


@dataclass(frozen=True)
class Instability:
    """Instability of n patients' probabilities over B bootstrap models.

    low, high: (n,) percentiles of the bootstrap models' probabilities that hold `level` of them.
    mape: (n,) mean absolute difference to the original model's probability ("mean absolute
    prediction error"); mean_mape: over patients. changed_class: (n,) share of bootstrap models that
    call the patient otherwise than the original ("classification instability index");
    mean_changed_class: over patients. threshold: a patient above it is called a responder.
    models: B.
    """

    low: np.ndarray
    high: np.ndarray
    mape: np.ndarray
    changed_class: np.ndarray
    mean_mape: float
    mean_changed_class: float
    threshold: float
    level: float
    models: int


def instability(
    bootstrap: np.ndarray, original: np.ndarray, threshold: float, level: float = 0.95
) -> Instability:
    """Instability from probabilities of B bootstrap models (B, n) and of the original model (n,).

    Raises TrainingError when the arrays do not belong together, for fewer than two models, and for
    anything that is no probability.
    """
    bootstrap, original = np.asarray(bootstrap, dtype=float), np.asarray(original, dtype=float)
    _check(bootstrap, original)
    mape = np.abs(bootstrap - original).mean(axis=0)
    changed = ((bootstrap > threshold) != (original > threshold)).mean(axis=0)
    low, high = np.quantile(bootstrap, (0.5 - level / 2, 0.5 + level / 2), axis=0)
    return Instability(
        low=low,
        high=high,
        mape=mape,
        changed_class=changed,
        mean_mape=float(mape.mean()),
        mean_changed_class=float(changed.mean()),
        threshold=float(threshold),
        level=level,
        models=len(bootstrap),
    )


def _check(bootstrap: np.ndarray, original: np.ndarray) -> None:
    if (
        bootstrap.ndim != 2
        or original.ndim != 1
        or bootstrap.shape[1:] != original.shape
        or not original.size
    ):
        raise TrainingError(
            tr("the probabilities of bootstrap models and of the original do not belong together"),
            expected=tr("B models by n patients, and n patients"),
            received=tr("{first} and {second}", first=bootstrap.shape, second=original.shape),
        )
    if len(bootstrap) < 2:
        raise TrainingError(tr("instability needs two bootstrap models"), received=str(len(bootstrap)))
    everything = np.concatenate([bootstrap.ravel(), original])
    # NaN is not between 0 and 1 either.
    wrong = int((~((everything >= 0) & (everything <= 1))).sum())
    if wrong:
        raise TrainingError(
            tr("a probability is outside 0 to 1"),
            field="probabilities",
            received=tr("{n} of {total}", n=wrong, total=everything.size),
        )


@dataclass(frozen=True)
class LearningCurve:
    """A measure of performance over the number of training patients.

    sizes: (k,) ascending. mean, sd: (k,) over the repeats at a size, sd with ddof 1. limit, factor,
    exponent: of limit - factor * n ** -exponent through the means; None when the sizes are too few.
    """

    sizes: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    limit: float | None
    factor: float | None
    exponent: float | None

    def at(self, patients: int) -> float | None:
        """The measure to be expected with so many training patients; None without a curve."""
        return None if self.limit is None else self.limit - self.factor * patients**-self.exponent


def learning_curve(sizes: np.ndarray, values: np.ndarray, highest: float = 1.0) -> LearningCurve:
    """Summary of values (k, r), measured in r repeats with each of k numbers of training patients.

    The curve is an inverse power law by least squares, each mean weighted by its size (Figueroa et
    al., BMC Med Inform Decis Mak 2012;12:8), which never falls and never ends above `highest`.
    Beyond the largest size it is an extrapolation. Raises TrainingError for arrays that do not
    belong together and for fewer than two repeats.
    """
    sizes, values = np.asarray(sizes, dtype=float), np.asarray(values, dtype=float)
    if values.ndim != 2 or sizes.shape != values.shape[:1] or not np.isfinite(values).all():
        raise TrainingError(
            tr("sizes and values of a learning curve do not belong together"),
            expected=tr("k sizes, and k rows of finite values"),
            received=tr("{first} and {second}", first=sizes.shape, second=values.shape),
        )
    if values.shape[1] < 2 or len(np.unique(sizes)) != len(sizes) or sizes.min() < 1:
        raise TrainingError(
            tr("a learning curve needs different sizes with two repeats each"),
            received=tr("sizes {sizes}", sizes=sizes),
        )
    order = np.argsort(sizes)
    sizes, values = sizes[order], values[order]
    mean = values.mean(axis=1)
    curve = _power_law(sizes, mean, highest) if len(sizes) >= FEWEST_SIZES else (None, None, None)
    return LearningCurve(sizes, mean, values.std(axis=1, ddof=1), *curve)


def _power_law(sizes: np.ndarray, mean: np.ndarray, highest: float) -> tuple[float, float, float]:
    """limit, factor and exponent with the least weighted squares among the exponents tried."""
    fits = [_line(sizes**-exponent, mean, sizes, highest) for exponent in EXPONENTS]
    best = int(np.argmin([squares for _, _, squares in fits]))
    limit, factor, _ = fits[best]
    return limit, factor, float(EXPONENTS[best])


def _line(x: np.ndarray, y: np.ndarray, weights: np.ndarray, highest: float) -> tuple[float, float, float]:
    """limit - factor * x with factor >= 0 and limit <= highest, and its weighted squares."""
    centre, level = np.average(x, weights=weights), np.average(y, weights=weights)
    factor = -(weights @ ((x - centre) * (y - level))) / (weights @ (x - centre) ** 2)
    factor = max(0.0, factor)
    limit = level + factor * centre
    if limit > highest:
        limit = highest
        factor = max(0.0, (weights * x) @ (highest - y) / (weights @ x**2))
    return float(limit), float(factor), float(weights @ (y - limit + factor * x) ** 2)
