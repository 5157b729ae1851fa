"""What the clinical scores are computed from: a patient's values, and the tumour's burden."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from TACEResponseLib.cases.lesions import Lesions
from TACEResponseLib.messages.errors import InputError, Problem, TableError
from TACEResponseLib.messages.language import tr

from .findings import FLAGS, Ascites, parse_ascites, parse_encephalopathy, parse_flag
from .values import Measured, checked_quantity, parse_clinical, place_of, quantity_of

#: Fields that are numbers -> the quantity of their column.
MEASURED = {
    "albumin_g_l": "albumin",
    "bilirubin_umol_l": "bilirubin",
    "afp_ng_ml": "afp",
    "crp_mg_dl": "crp",
    "inr": "inr",
}
#: Diameters in cm that a lesion can have.
SMALLEST_CM, LARGEST_CM = 0.1, 40


@dataclass(frozen=True)
class ClinicalValues:
    """What was measured and found before TACE; None where it was not.

    Numbers are in the unit of their name and may be censored (AFP ">1210"); plain numbers are taken
    as measured. encephalopathy: West Haven grade 0 to 4. vascular_invasion: macroscopic invasion of
    vessels. spread: outside the liver. Raises TableError for a value that its unit cannot have.
    """

    albumin_g_l: Measured | None = None
    bilirubin_umol_l: Measured | None = None
    afp_ng_ml: Measured | None = None
    crp_mg_dl: Measured | None = None
    inr: Measured | None = None
    ascites: Ascites | None = None
    encephalopathy: int | None = None
    vascular_invasion: bool | None = None
    spread: bool | None = None

    def __post_init__(self):
        for name, quantity in MEASURED.items():
            object.__setattr__(self, name, checked_quantity(getattr(self, name), quantity))
        if self.ascites not in (None, "none", "mild", "more"):
            raise TableError(
                tr("ascites is no degree"),
                field="ascites",
                expected=tr("none, mild or more"),
                received=str(self.ascites),
            )
        if self.encephalopathy not in (None, 0, 1, 2, 3, 4):
            raise TableError(
                tr("encephalopathy is no grade"),
                field="encephalopathy",
                expected=tr("0 to 4"),
                received=str(self.encephalopathy),
            )

    @classmethod
    def from_columns(cls, columns: Mapping[str, str], row: int = 0, table: str = "") -> "ClinicalValues":
        """The values in the cells of a table's row; columns with other meanings are passed over.

        Raises TableError naming row and column for a cell that cannot be read, a quantity without
        its unit, and two columns that contradict each other.
        """
        found: dict[str, object] = {}
        for column, text in columns.items():
            item = clinical_item(column)
            if item is None:
                continue
            value = _parsed(item, text, column, row, table)
            if item in FLAGS and value is not None:
                value = value or bool(found.get(item))  # one yes is a yes
            elif value is not None and found.get(item, value) != value:
                raise TableError(
                    tr("{place} contradicts another column", place=place_of(column, row))
                    if row
                    else tr("{place} contradicts another value", place=column),
                    field=column,
                    file=table,
                    expected=f"{found[item]}",
                    received=f"{value}",
                    remedy=tr("keep one of them"),
                )
            if value is not None:
                found[item] = value
        return cls(**found)

    @property
    def empty(self) -> bool:
        """Whether nothing is known."""
        return not any(value is not None for value in vars(self).values())

    def to_json(self) -> dict:
        """Field -> number, text of a censored number (">1210"), word, flag or None."""
        return {
            name: (value.value if not value.bound else str(value)) if isinstance(value, Measured) else value
            for name, value in vars(self).items()
        }


def read_values(
    columns: Mapping[str, str], row: int = 0, table: str = ""
) -> tuple[ClinicalValues, tuple[Problem, ...]]:
    """The values in a table's row that can be read, and as warnings why the others cannot.

    An item with an unreadable cell, or with two that contradict each other, counts as missing.
    """
    problems = {}
    for column in columns:
        item = clinical_item(column)
        if item is None or item in problems:
            continue
        same = {name: text for name, text in columns.items() if clinical_item(name) == item}
        try:
            ClinicalValues.from_columns(same, row, table)
        except TableError as error:
            problems[item] = replace(error.problem, severity="warning")
    readable = {name: text for name, text in columns.items() if clinical_item(name) not in problems}
    return ClinicalValues.from_columns(readable, row, table), tuple(problems.values())


def clinical_item(column: str) -> str | None:
    """The field of `ClinicalValues` that a column fills, whatever its unit; None for any other."""
    name = column.strip().casefold()
    for item, columns in FLAGS.items():
        if name in columns:
            return item
    if name in ("ascites", "encephalopathy"):
        return name
    quantity = quantity_of(name)
    return next((f for f, q in MEASURED.items() if quantity is not None and q == quantity[0]), None)


def _parsed(item: str, text: str, column: str, row: int, table: str):
    if item in MEASURED:
        return parse_clinical(text, column, row=row, table=table)
    parse = {"ascites": parse_ascites, "encephalopathy": parse_encephalopathy}.get(item, parse_flag)
    return parse(text, column, row=row, table=table)


@dataclass(frozen=True)
class TumourBurden:
    """Number of lesions and their longest diameters in cm, largest first.

    Measured on the mask (longest axial diameter), or what the user knows better. There may be fewer
    diameters than lesions when only the larger ones are known. Raises InputError.
    """

    number: int
    diameters_cm: tuple[float, ...]

    def __post_init__(self):
        object.__setattr__(self, "diameters_cm", tuple(sorted(self.diameters_cm, reverse=True)))
        if not 1 <= len(self.diameters_cm) <= self.number:
            raise InputError(
                tr("number and diameters of the lesions do not belong together"),
                field="lesions",
                expected=tr("at least one diameter, and no more than lesions"),
                received=tr("{number} lesions, {n} diameters", number=self.number, n=len(self.diameters_cm)),
            )
        if self.diameters_cm[-1] <= 0:
            raise InputError(tr("a lesion without a diameter"), field="diameter", expected=tr("above 0 cm"))

    @classmethod
    def from_lesions(
        cls, lesions: Lesions, number: int | None = None, diameter_mm: float | None = None
    ) -> "TumourBurden":
        """As measured on the mask, axial diameters; `overridden` by what the user knows better."""
        measured = cls(lesions.number, tuple(mm / 10 for mm in lesions.diameters_mm))
        return measured.overridden(number, None if diameter_mm is None else diameter_mm / 10)

    def overridden(self, number: int | None = None, largest_cm: float | None = None) -> "TumourBurden":
        """With the number, the largest diameter or both as the user knows them.

        Measured diameters that cannot be any more (more than lesions, larger than the largest) go.
        Raises InputError for a diameter that looks like another unit.
        """
        burden = self
        if largest_cm is not None:
            _check_diameter(largest_cm)
            smaller = [d for d in self.diameters_cm[1:] if d <= largest_cm]
            burden = replace(burden, diameters_cm=(largest_cm, *smaller))
        if number is not None:
            burden = TumourBurden(number, burden.diameters_cm[: max(1, number)])
        return burden

    @property
    def largest_cm(self) -> float:
        """D, the largest diameter."""
        return self.diameters_cm[0]


def _check_diameter(largest_cm: float) -> None:
    if SMALLEST_CM <= largest_cm <= LARGEST_CM:
        return
    raise InputError(
        tr("a lesion's diameter cannot be cm"),
        field="diameter",
        expected=tr("{low} to {high} cm", low=SMALLEST_CM, high=LARGEST_CM),
        received=tr("{value:g}, which looks like mm", value=largest_cm)
        if LARGEST_CM < largest_cm <= 400
        else f"{largest_cm:g}",
        remedy=tr("write it in cm"),
    )
