"""The rules of the clinical scores: from a patient's values and lesions to points, a value, a level.

Cut-offs are the published ones; a number on a cut belongs where its rule says, float noise aside. An
item is a number of points or the name of what is missing; one missing item leaves no answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import hypot, log10

from TACEResponseLib.messages.language import mark

from .items import ClinicalValues, TumourBurden
from .values import TOLERANCE, Measured

#: The items by the names under which `missing` holds them; `scores.item_in_words` says them.
ALBUMIN, BILIRUBIN, AFP, CRP, INR = (
    mark("albumin"),
    mark("bilirubin"),
    mark("AFP"),
    mark("CRP"),
    mark("INR"),
)
ASCITES, ENCEPHALOPATHY = mark("ascites"), mark("encephalopathy")
INVASION, SPREAD = mark("macrovascular invasion"), mark("extrahepatic spread")
LESIONS, EVERY_DIAMETER = mark("lesions"), mark("diameter of every lesion")
#: How an item ends whose censored value lies across the cut.
UNDECIDED = " decides nothing"  # not a text


class Missing(str):
    """Name of an item that a score needs and does not have."""


@dataclass(frozen=True)
class Outcome:
    """level: place of the group, 0 the best prognosis; None when items are missing."""

    level: int | None = None
    value: float | None = None
    points: int | None = None
    missing: tuple[str, ...] = ()


def _above(item: str, measured: Measured | None, limit: float) -> int | Missing:
    return _answered(item, measured, None if measured is None else measured.exceeds(limit))


def _below(item: str, measured: Measured | None, limit: float) -> int | Missing:
    return _answered(item, measured, None if measured is None else measured.below(limit))


def _at_least(item: str, measured: Measured | None, limit: float) -> int | Missing:
    below = _below(item, measured, limit)
    return below if isinstance(below, Missing) else 1 - below


def _answered(item: str, measured: Measured | None, holds: bool | None) -> int | Missing:
    if measured is None:
        return Missing(item)
    return Missing(f"{item} {measured}{UNDECIDED}") if holds is None else int(holds)


def _exact(item: str, measured: Measured | None) -> float | Missing:
    """The number itself, for a formula: a censored value gives none."""
    if measured is None:
        return Missing(item)
    return Missing(f"{item} {measured}{UNDECIDED}") if measured.bound else measured.value


def _larger(value: float | None, limit: float, item: str = LESIONS) -> int | Missing:
    return Missing(item) if value is None else int(value > limit + TOLERANCE)


def _largest_cm(burden: TumourBurden | None) -> float | None:
    return None if burden is None else burden.largest_cm


def _sum(burden: TumourBurden | None) -> float | None:
    return None if burden is None else burden.largest_cm + burden.number


def _missing(items: Sequence) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(item) for item in items if isinstance(item, Missing)))


def _by_points(items: Sequence[int | Missing], level: Callable[[int], int]) -> Outcome:
    if missing := _missing(items):
        return Outcome(missing=missing)
    return Outcome(points=sum(items), level=level(sum(items)))


def _by_cuts(value: float | None, cuts: Sequence[float]) -> Outcome:
    """Groups between cuts; a value on a cut belongs to the group below it."""
    if value is None:
        return Outcome(missing=(LESIONS,))
    return Outcome(value=value, level=sum(value > cut + TOLERANCE for cut in cuts))


def _hap_items(v: ClinicalValues, burden: TumourBurden | None) -> list[int | Missing]:
    return [
        _below(ALBUMIN, v.albumin_g_l, 36),
        _above(BILIRUBIN, v.bilirubin_umol_l, 17),
        _above(AFP, v.afp_ng_ml, 400),
        _larger(_largest_cm(burden), 7),
    ]


def hap(v: ClinicalValues, burden: TumourBurden | None) -> Outcome:
    """HAP: a point each for albumin, bilirubin, AFP and size."""
    return _by_points(_hap_items(v, burden), lambda points: min(points, 3))


def mhap_ii(v: ClinicalValues, burden: TumourBurden | None) -> Outcome:
    """mHAP-II: HAP and a point for several lesions."""
    several = _larger(None if burden is None else burden.number, 1)
    return _by_points([*_hap_items(v, burden), several], lambda points: min(points, 3))


def sum_with_cuts(*cuts: float) -> Callable[[ClinicalValues, TumourBurden | None], Outcome]:
    """D + N in groups between cuts."""
    return lambda _, burden: _by_cuts(_sum(burden), cuts)


def tumour_burden(_: ClinicalValues, burden: TumourBurden | None) -> Outcome:
    """Root of D squared + N squared."""
    if burden is None:
        return Outcome(missing=(LESIONS,))
    value = hypot(burden.largest_cm, burden.number)
    # 3.36 itself is in the middle, and so is 13.74.
    level = 0 if value < 3.36 - TOLERANCE else 1 if value <= 13.74 + TOLERANCE else 2
    return Outcome(value=value, level=level)


def milan(v: ClinicalValues, burden: TumourBurden | None) -> Outcome:
    """One lesion up to 5 cm, or up to three of up to 3 cm."""
    if burden is None:
        return _transplantable(None, v)
    limit_cm = 5 if burden.number == 1 else 3
    return _transplantable(burden.number <= 3 and _fits(burden.largest_cm, limit_cm), v)


def ucsf(v: ClinicalValues, burden: TumourBurden | None) -> Outcome:
    """One up to 6.5 cm, or up to three of up to 4.5 cm and 8 cm together."""
    if burden is None:
        return _transplantable(None, v)
    if burden.number == 1:
        return _transplantable(_fits(burden.largest_cm, 6.5), v)
    known_cm = sum(burden.diameters_cm)
    most_cm = known_cm + (burden.number - len(burden.diameters_cm)) * burden.diameters_cm[-1]
    small = burden.number <= 3 and _fits(burden.largest_cm, 4.5) and _fits(known_cm, 8)
    if small and not _fits(most_cm, 8):
        return _transplantable(None, v, EVERY_DIAMETER)
    return _transplantable(small, v)


def _fits(value: float, limit: float) -> bool:
    return value <= limit + TOLERANCE


def _transplantable(inside: bool | None, v: ClinicalValues, undecided: str = LESIONS) -> Outcome:
    """In when the lesions are, without macrovascular invasion and without spread.

    undecided: what is missing when `inside` is None.
    """
    items = {
        undecided: inside,
        INVASION: v.vascular_invasion,
        SPREAD: v.spread,
    }
    if missing := tuple(name for name, answer in items.items() if answer is None):
        return Outcome(missing=missing)
    return Outcome(level=int(not inside or v.vascular_invasion or v.spread))


def albi_value(albumin_g_l: float, bilirubin_umol_l: float) -> float:
    """ALBI: 0.66 log10(bilirubin) - 0.085 albumin (Johnson et al., J Clin Oncol 2015;33:550)."""
    return 0.66 * log10(bilirubin_umol_l) - 0.085 * albumin_g_l


def albi(v: ClinicalValues, _: TumourBurden | None = None) -> Outcome:
    """ALBI and its grades."""
    items = (_exact(ALBUMIN, v.albumin_g_l), _exact(BILIRUBIN, v.bilirubin_umol_l))
    if missing := _missing(items):
        return Outcome(missing=missing)
    return _by_cuts(albi_value(*items), (-2.60, -1.39))


def albi_tae(v: ClinicalValues, burden: TumourBurden | None) -> Outcome:
    """A point each for ALBI grade 2 or 3, AFP and D + N."""
    grade = albi(v)
    items = [
        *(Missing(item) for item in grade.missing),
        *([] if grade.missing else [int(grade.level > 0)]),
        _above(AFP, v.afp_ng_ml, 200),
        _larger(_sum(burden), 11),
    ]
    return _by_points(items, lambda points: points)


def child_pugh(v: ClinicalValues, _: TumourBurden | None) -> Outcome:
    """Five items of 1 to 3 points."""
    items = [
        _three(BILIRUBIN, v.bilirubin_umol_l, 34, 51),
        _falling(ALBUMIN, v.albumin_g_l, 35, 28),
        _three(INR, v.inr, 1.7, 2.3),
        Missing(ASCITES) if v.ascites is None else {"none": 1, "mild": 2, "more": 3}[v.ascites],
        Missing(ENCEPHALOPATHY) if v.encephalopathy is None else (1, 2, 2, 3, 3)[v.encephalopathy],
    ]
    return _by_points(items, lambda points: 0 if points <= 6 else 1 if points <= 9 else 2)


def _three(item: str, measured: Measured | None, low: float, high: float) -> int | Missing:
    """1 point below `low`, 2 from `low` to `high`, 3 above."""
    above, from_low = _above(item, measured, high), _at_least(item, measured, low)
    if above == 1:
        return 3
    if from_low == 0:
        return 1
    return next((answer for answer in (above, from_low) if isinstance(answer, Missing)), 2)


def _falling(item: str, measured: Measured | None, high: float, low: float) -> int | Missing:
    """1 point above `high`, 2 from `high` down to `low`, 3 below."""
    above, below = _above(item, measured, high), _below(item, measured, low)
    if above == 1:
        return 1
    if below == 1:
        return 3
    return next((answer for answer in (above, below) if isinstance(answer, Missing)), 2)


def state(v: ClinicalValues, burden: TumourBurden | None) -> Outcome:
    """Albumin in g/L, less 12 for D + N above 7 and 12 for CRP from 1 mg/dL."""
    albumin, large = _exact(ALBUMIN, v.albumin_g_l), _larger(_sum(burden), 7)
    inflamed = _at_least(CRP, v.crp_mg_dl, 1)
    if missing := _missing((albumin, large, inflamed)):
        return Outcome(missing=missing)
    value = albumin - 12 * large - 12 * inflamed
    return Outcome(value=value, level=int(value < 18 - TOLERANCE))
