"""Do two readers who outline the same tumour measure the same features? Intraclass correlation.

Six forms after Shrout & Fleiss, Psychol Bull 1979;86:420, confidence intervals after McGraw &
Wong, Psychol Methods 1996;1:30, for all features at once. Equal to R's `psych::ICC` without
`lmer`. No label is read here, so the whole cohort's two readings may be used.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import SettingsError, TableError
from TACEResponseLib.messages.language import listed, mark, tr
from TACEResponseLib.settings import ReliabilitySettings

#: One-way random, two-way random (agreement), two-way mixed (consistency); one reader or the mean of k.
FORMS = ("ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)")
#: Spread, relative to the largest value, below which numbers differ by rounding only.
ROUNDING = 1e-12

#: Codes of `Icc.status` beside "ok", "identical" and "constant".
NOT_FINITE, NO_INTERVAL = "not finite", "no interval"  # not a text
#: Why a feature stays or goes, by what is compared and whether it stays.
JUDGED = {
    ("estimate", True): mark("ICC above {threshold:g}"),
    ("estimate", False): mark("ICC not above {threshold:g}"),
    ("ci_low", True): mark("lower confidence bound above {threshold:g}"),
    ("ci_low", False): mark("lower confidence bound not above {threshold:g}"),
}


@dataclass(frozen=True)
class Icc:
    """Agreement of readers on each feature.

    estimate, ci_low, ci_high: (features,), 1 is perfect; NaN only where `status` says why. form: one
    of FORMS. subjects, readers: counts. level: of the confidence interval. status: (features,) text:

    - `ok`;
    - `identical`: all readers give the same values, 1 exactly;
    - `constant`: nothing varies, no coefficient exists;
    - `not finite`: a value is NaN or infinite;
    - `no interval`: the estimate holds, but the formula of its interval does not, which happens to
      negative estimates of two-way agreement in a handful of subjects.
    """

    estimate: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    status: np.ndarray
    form: str
    subjects: int
    readers: int
    level: float = 0.95


def icc(ratings: np.ndarray, form: str = "ICC(2,1)", level: float = 0.95) -> Icc:
    """Intraclass correlation of `ratings` (features, subjects, readers) or (subjects, readers).

    Every reader has measured every subject. Raises SettingsError for an unknown form, TableError
    for fewer than two subjects or readers.

    >>> judges = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    >>> round(float(icc(np.array(judges), "ICC(2,1)").estimate[0]), 4)
    0.2898
    """
    if form not in FORMS:
        raise SettingsError(tr("no ICC has this form"), field="form", expected=listed(FORMS), received=form)
    ratings = np.asarray(ratings, dtype=float)
    ratings = ratings[None] if ratings.ndim == 2 else ratings
    if ratings.ndim != 3 or min(ratings.shape[1:]) < 2:
        raise TableError(
            tr("agreement needs several subjects and readers"),
            expected=tr("at least 2 subjects x 2 readers"),
            received=" x ".join(map(str, ratings.shape)),
        )
    _, subjects, readers = ratings.shape
    status = _status(ratings)
    usable = np.isin(status, ("ok", "identical"))
    numbers = np.full((3, len(ratings)), np.nan)
    if usable.any():
        numbers[:, usable] = _coefficients(ratings[usable], form, level)
    numbers[:, status == "identical"] = 1.0
    estimate, low, high = numbers
    lost = (status == "ok") & ~((low <= estimate + 1e-9) & (estimate <= high + 1e-9))
    status[lost] = NO_INTERVAL
    numbers[1:, lost] = np.nan
    return Icc(*numbers, status, form, subjects, readers, level)


def _status(ratings: np.ndarray) -> np.ndarray:
    """What kind of answer each feature has; see `Icc`."""
    with np.errstate(invalid="ignore"):
        rounding = ROUNDING * np.abs(ratings).max(axis=(1, 2))
        constant = np.ptp(ratings, axis=(1, 2)) <= rounding
        identical = np.ptp(ratings, axis=2).max(axis=1) <= rounding
    status = np.full(len(ratings), "ok", dtype="<U11")
    status[identical] = "identical"
    status[constant] = "constant"
    status[~np.isfinite(ratings).all(axis=(1, 2))] = NOT_FINITE
    return status


def _coefficients(ratings: np.ndarray, form: str, level: float) -> np.ndarray:
    """Estimate, lower and upper bound (3, features) from the mean squares of a two-way layout."""
    _, n, k = ratings.shape
    centred = ratings - ratings.mean(axis=(1, 2), keepdims=True)
    of_subjects, of_readers = centred.mean(axis=2), centred.mean(axis=1)
    residual = centred - of_subjects[:, :, None] - of_readers[:, None, :]
    between = k * (of_subjects**2).sum(axis=1) / (n - 1)
    reader = n * (of_readers**2).sum(axis=1) / (k - 1)
    error = (residual**2).sum(axis=(1, 2)) / ((n - 1) * (k - 1))
    within = ((centred - of_subjects[:, :, None]) ** 2).sum(axis=(1, 2)) / (n * (k - 1))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if form.startswith("ICC(1"):
            single = _one_way(between, within, n, k, n * (k - 1), level)
        elif form.startswith("ICC(3"):
            single = _one_way(between, error, n, k, (n - 1) * (k - 1), level)
        else:
            single = _two_way_agreement(between, reader, error, n, k, level)
        return single if form.endswith(",1)") else _of_the_mean(single, k)


def _one_way(between, noise, n, k, noise_degrees, level) -> np.ndarray:
    """ICC(1,1) or ICC(3,1): both follow from one F ratio, with another noise term."""
    ratio, tail = between / noise, 1 - (1 - level) / 2
    low = ratio / stats.f.ppf(tail, n - 1, noise_degrees)
    high = ratio * stats.f.ppf(tail, noise_degrees, n - 1)
    return np.array([_from_ratio(r, k) for r in (ratio, low, high)])


def _from_ratio(ratio, k):
    """(F - 1) / (F + k - 1), which tends to 1 as the noise vanishes."""
    return np.where(np.isinf(ratio), 1.0, (ratio - 1) / (ratio + k - 1))


def _two_way_agreement(between, reader, error, n, k, level) -> np.ndarray:
    """ICC(2,1) with the Satterthwaite degrees of freedom of Shrout & Fleiss for its interval."""
    estimate = (between - error) / (between + (k - 1) * error + k * (reader - error) / n)
    ratio, tail = reader / error, 1 - (1 - level) / 2
    part = n * (1 + (k - 1) * estimate) - k * estimate
    degrees = (n - 1) * (k - 1) * (k * estimate * ratio + part) ** 2
    degrees = degrees / ((n - 1) * k**2 * estimate**2 * ratio**2 + part**2)
    # Without noise beside a constant offset of a reader the ratio is infinite: the formula's limit.
    degrees = np.where(np.isinf(ratio), k - 1, degrees)
    f_low, f_high = stats.f.ppf(tail, n - 1, degrees), stats.f.ppf(tail, degrees, n - 1)
    spread = k * reader + (k * n - k - n) * error
    low = n * (between - f_low * error) / (f_low * spread + n * between)
    high = n * (f_high * between - error) / (spread + n * f_high * between)
    return np.array([estimate, low, high])


def _of_the_mean(single: np.ndarray, k: int) -> np.ndarray:
    """Spearman-Brown: reliability of the mean of k readers from that of one."""
    return k * single / (1 + (k - 1) * single)


@dataclass(frozen=True)
class ReliabilityTable:
    """Every feature with its agreement and what became of it.

    features: names, in the order of reader 1's columns. icc: arrays in the same order. kept:
    (features,) bool. patients: IDs measured by both readers, which are the subjects. one_reader_only:
    IDs measured by one reader, left out.
    """

    features: tuple[str, ...]
    icc: Icc
    kept: np.ndarray
    patients: tuple[str, ...]
    one_reader_only: tuple[str, ...]
    settings: ReliabilitySettings

    @property
    def kept_features(self) -> tuple[str, ...]:
        """Names of the features that stay, in order."""
        return tuple(name for name, kept in zip(self.features, self.kept, strict=True) if kept)

    @property
    def reasons(self) -> tuple[str, ...]:
        """For each feature, why it stays or goes, in the reader's language."""
        judged = zip(self.icc.status, self.kept, strict=True)
        return tuple(_reason(status, stays, self.settings) for status, stays in judged)

    def rows(self) -> list[dict]:
        """One row a feature, as the bundle keeps it; a number that does not exist is None."""
        numbers = zip(*map(_or_none, (self.icc.estimate, self.icc.ci_low, self.icc.ci_high)), strict=True)
        return [
            {
                "feature": name,
                "form": self.icc.form,
                **dict(zip(("icc", "ci_low", "ci_high"), values, strict=True)),
                "kept": bool(kept),
                "reason": reason,
            }
            for name, values, kept, reason in zip(
                self.features, numbers, self.kept, self.reasons, strict=True
            )
        ]


def reliable_features(
    reader1: PatientTable, reader2: PatientTable, settings: ReliabilitySettings
) -> ReliabilityTable:
    """Compare two readers' features of the same patients, who may stand in another order.

    Patients whom only one reader outlined are left out and named. Raises TableError when the
    columns differ, when fewer than three patients have both readings, or when all readings are
    copies of each other, since copied outlines say nothing about reliability.
    """
    if reader1.feature_names != reader2.feature_names:
        missing = [name for name in reader1.feature_names if name not in reader2.feature_names]
        raise TableError(
            tr("the two readers' tables have different features"),
            field=missing[0] if missing else "",
            expected=tr("{n} columns in one order", n=len(reader1.feature_names)),
            received=tr("{n} columns, {missing} missing", n=len(reader2.feature_names), missing=len(missing)),
            remedy=tr("extract both readings with the same settings"),
        )
    places = [{name: n for n, name in enumerate(table.patient_ids)} for table in (reader1, reader2)]
    both = [name for name in reader1.patient_ids if name in places[1]]
    if len(both) < 3:
        raise TableError(
            tr("too few patients were outlined by both readers"),
            expected=tr("at least 3 patients"),
            received=str(len(both)),
            remedy=tr("check that the patient IDs agree, or train without a second reader"),
        )
    values = [
        table.features[[place[name] for name in both]]
        for table, place in zip((reader1, reader2), places, strict=True)
    ]
    agreement = icc(np.stack(values, axis=-1).transpose(1, 0, 2), settings.form)
    if np.isin(agreement.status, ("identical", "constant")).all():
        raise TableError(
            tr("the second reader's features are copies of the first reader's"),
            field="mask_reader2",
            expected=tr("outlines drawn independently"),
            received=tr("{n} patients without any difference", n=len(both)),
            remedy=tr("leave the second reader out when there was none"),
        )
    kept = np.zeros(len(agreement.estimate), dtype=bool)
    usable = np.isin(agreement.status, ("ok", "identical", NO_INTERVAL))
    kept[usable] = getattr(agreement, settings.compare)[usable] > settings.threshold
    return ReliabilityTable(
        features=reader1.feature_names,
        icc=agreement,
        kept=kept,
        patients=tuple(both),
        one_reader_only=tuple(sorted(places[0].keys() ^ places[1].keys())),
        settings=settings,
    )


def _or_none(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _reason(status: str, kept: bool, settings: ReliabilitySettings) -> str:
    """Why a feature stays or goes, in words for the table."""
    if status == "constant":
        return tr("constant: no agreement can be measured")
    if status == NOT_FINITE:
        return tr("a value is not a finite number")
    if status == NO_INTERVAL and settings.compare == "ci_low":
        return tr("no confidence interval")
    said = tr(JUDGED[settings.compare, bool(kept)], threshold=settings.threshold)
    return tr("{text}, readers identical", text=said) if status == "identical" else said
