"""Numbers of the clinical columns: censored values, decimal commas, units in the column's name.

A unit is part of a column's name (`albumin_g_l`, `bilirubin_mg_dl`), never a guess. A value that
cannot be in that unit is an error that says what it looks like, because a score computed from
albumin 4.0 g/L looks like a score. Findings that are words (ascites, invasion) stand in `findings`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from TACEResponseLib.messages.errors import TableError
from TACEResponseLib.messages.language import tr

#: Two numbers closer than this are equal: 3.5 g/dL is 35 g/L, whatever floats say.
TOLERANCE = 1e-9
#: Cells that say that nothing was measured.
MISSING = ("", "na", "n/a", "nan", "none", "null", "-", "--", "?", ".", "unknown", "missing")


@dataclass(frozen=True)
class Quantity:
    """A laboratory or imaging value: its unit, other units with their factors, and its limits."""

    unit: str
    factors: Mapping[str, float]
    lowest: float
    highest: float


#: Name of a quantity, as columns begin, with limits in its own unit. Bilirubin 1 mg/dL is 17.104
#: umol/L (molar mass 584.66 g/mol).
QUANTITIES = {
    "albumin": Quantity("g/L", {"g_l": 1, "g_dl": 10}, 10, 70),
    "bilirubin": Quantity("umol/L", {"umol_l": 1, "mg_dl": 17.104}, 1, 1000),
    "afp": Quantity("ng/mL", {"ng_ml": 1, "ug_l": 1}, 0, 1e7),
    "crp": Quantity("mg/dL", {"mg_dl": 1, "mg_l": 0.1}, 0, 100),
    "inr": Quantity("", {"": 1}, 0.5, 20),
    "tumour_size": Quantity("cm", {"cm": 1, "mm": 0.1}, 0.1, 40),
    "tumor_size": Quantity("cm", {"cm": 1, "mm": 0.1}, 0.1, 40),
    "age": Quantity("years", {"years": 1, "": 1}, 0, 120),
}


#: Every unit that a column's name may end with.
UNITS = frozenset(unit for quantity in QUANTITIES.values() for unit in quantity.factors)


@dataclass(frozen=True)
class Measured:
    """A number in the unit of its quantity; `bound` is <, >, ≤ or ≥ when it is only a limit."""

    value: float
    bound: str = ""

    def __str__(self) -> str:
        return f"{self.bound}{self.value:.6g}"

    def exceeds(self, limit: float) -> bool | None:
        """Whether the value is above `limit`; None when a censored value leaves it open."""
        surely = self.value > limit + TOLERANCE
        if self.bound in (">", "≥"):
            return True if surely or (self.bound == ">" and self.value >= limit - TOLERANCE) else None
        if self.bound in ("<", "≤"):
            return None if surely else False
        return surely

    def below(self, limit: float) -> bool | None:
        """Whether the value is below `limit`; None when a censored value leaves it open."""
        surely = self.value < limit - TOLERANCE
        if self.bound in ("<", "≤"):
            return True if surely or (self.bound == "<" and self.value <= limit + TOLERANCE) else None
        if self.bound in (">", "≥"):
            return None if surely else False
        return surely


def quantity_of(column: str) -> tuple[str, str] | None:
    """The quantity and the unit that a column's name says; None for any other column.

    The unit is empty when the name has none, for a quantity that needs one too.
    """
    name = column.strip().casefold()
    for quantity in QUANTITIES:
        if name == quantity:
            return quantity, ""
        if name.startswith(f"{quantity}_") and name.removeprefix(f"{quantity}_") in UNITS:
            return quantity, name.removeprefix(f"{quantity}_")
    return None


def place_of(column: str, row: int) -> str:
    """How a message names a value: by its cell, or by its name where it was not read from a table."""
    return tr("row {number}, column {column}", number=row, column=column) if row else column


def parse_clinical(text: str, column: str, *, row: int = 0, table: str = "") -> Measured | None:
    """The number in a cell of `column`, in its quantity's own unit; None when nothing was measured.

    Decimal commas are read, `12,100` is refused because it may be twelve or twelve thousand.
    Raises TableError naming row and column when the cell is no number, the column's name has no
    unit, or the value cannot be in it.
    """
    where = place_of(column, row)
    found = quantity_of(column)
    number = _number(text, where, column, table)
    if number is None or found is None:
        return number
    name, unit = found
    quantity = QUANTITIES[name]
    if unit not in quantity.factors:
        raise TableError(
            tr("{place} does not say its unit", place=where),
            field=column,
            file=table,
            expected=tr(" or ").join(f"{name}_{u}" for u in quantity.factors),
            received=column,
            remedy=tr("rename the column") if row else tr("write the unit behind the name"),
        )
    measured = Measured(number.value * quantity.factors[unit], number.bound)
    _check_limits(measured, name, unit, column, row, table, text.strip())
    return measured


def checked_quantity(value: "Measured | float | None", name: str) -> Measured | None:
    """A value given in code, in its quantity's own unit, as Measured; TableError outside the limits."""
    if value is None:
        return None
    measured = value if isinstance(value, Measured) else Measured(float(value))
    unit = next(iter(QUANTITIES[name].factors))
    _check_limits(measured, name, unit, name, 0, "", str(measured))
    return measured


def _check_limits(
    measured: Measured, name: str, unit: str, column: str, row: int, table: str, text: str
) -> None:
    """Raise TableError that says what the value looks like, unless it can be in its unit."""
    quantity = QUANTITIES[name]
    if quantity.lowest <= measured.value <= quantity.highest:
        return
    written = measured.value / quantity.factors[unit]
    others = [
        u
        for u, factor in quantity.factors.items()
        if u != unit and quantity.lowest <= written * factor <= quantity.highest
    ]
    limits = [f"{limit / quantity.factors[unit]:.4g}" for limit in (quantity.lowest, quantity.highest)]
    other, received = (others or [""])[0], text
    if other:
        received = tr("{text}, which looks like {unit}", text=text, unit=other.replace("_", "/"))
    raise TableError(
        tr("{place} cannot be {unit}", place=place_of(column, row), unit=unit.replace("_", "/") or name),
        field=column,
        file=table,
        expected=tr("{low} to {high}", low=limits[0], high=limits[1]),
        received=received,
        remedy=_correction(f"{name}_{other}" if other else "", of_a_cell=row > 0),
    )


def _correction(column: str, of_a_cell: bool) -> str:
    """What to do about a value that its unit cannot have; column: the name that would fit, if any."""
    if of_a_cell:
        renamed = tr("rename the column to {column}, or correct the cell", column=column)
        return renamed if column else tr("correct the cell")
    return tr("give {column}, or correct the value", column=column) if column else tr("correct the value")


def _number(text: str, where: str, column: str, table: str) -> Measured | None:
    """The number as it is written, with its bound; None for a missing one."""
    cell = text.strip()
    if cell.casefold() in MISSING:
        return None
    bound, digits = re.fullmatch(r"([<>]=?|[≤≥＜＞=]?)\s*(.*)", cell, re.S).groups()
    bound = {"<=": "≤", ">=": "≥", "＜": "<", "＞": ">", "=": ""}.get(bound, bound)
    plain = _plain(digits)
    if plain is None:
        ambiguous = bool(re.fullmatch(r"[1-9]\d{0,2},\d{3}", digits))
        date = bool(re.fullmatch(r"\d{4}-\d\d-\d\d.*|\d{1,2}[./]\d{1,2}[./]\d{2,4}", cell))
        raise TableError(
            tr("{place} can be read in two ways", place=where)
            if ambiguous
            else tr("{place} is not a number", place=where),
            field=column,
            file=table,
            expected=tr("a number, for example 12.5, <0.9 or >1210, or an empty cell"),
            received=tr('"{cell}", a date', cell=cell) if date else f'"{cell}"',
            remedy=tr("write a decimal point and no thousands separator"),
        )
    return Measured(float(plain), bound)


def _plain(digits: str) -> str | None:
    """The number with a decimal point and nothing else; None when it is none or ambiguous."""
    if re.fullmatch(r"[-+]?\d+(\.\d+)?([eE][-+]?\d{1,3})?", digits):
        return digits
    if re.fullmatch(r"[-+]?\d+,\d+", digits) and not re.fullmatch(r"[1-9]\d{0,2},\d{3}", digits):
        return digits.replace(",", ".")
    if re.fullmatch(r"\d{1,3}(\.\d{3})+,\d+|\d{1,3}(\.\d{3}){2,}", digits):  # 1.234,5
        return digits.replace(".", "").replace(",", ".")
    if re.fullmatch(r"\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,}", digits):  # 1,234.5
        return digits.replace(",", "")
    if re.fullmatch(r"\d{1,3}([ \u00a0\u202f'’]\d{3})+([.,]\d+)?", digits):  # 12 100,5
        return re.sub(r"[ \u00a0\u202f'’]", "", digits).replace(",", ".")
    return None
