"""The clinical values of the panel: laboratory, findings, and the lesions where the mask is wrong.

Every field is empty until it is filled, and empty means not known. What is typed is kept in the
parameter node under the names that the command line takes (`--value albumin_g_l=38`), so that both
read it in the same way.
"""

from dataclasses import dataclass
from itertools import pairwise

import qt
from TACEResponseLib.clinical.items import MEASURED, ClinicalValues, TumourBurden
from TACEResponseLib.clinical.values import QUANTITIES
from TACEResponseLib.messages.errors import InputError, TACEResponseError

from .answer_view import is_dark, warning_html
from .texts import tr as _

NOT_KNOWN = "NA"
#: Units as a column's name ends, and as they are read.
UNITS = {
    "g_l": "g/L",
    "g_dl": "g/dL",
    "umol_l": "\u00b5mol/L",
    "mg_dl": "mg/dL",
    "mg_l": "mg/L",
    "ng_ml": "ng/mL",
    "ug_l": "\u00b5g/L",
}
#: The lesions as the user knows them, as the command line names them.
LESIONS, DIAMETER_MM = "lesions", "diameter_mm"


def read_clinical(columns) -> ClinicalValues:
    """What the parameter node keeps -> ClinicalValues; TableError for a value that cannot be."""
    return ClinicalValues.from_columns(_without_lesions(columns))


def read_lesions(columns) -> tuple[int | None, float | None]:
    """Number of lesions and largest diameter in mm as the user knows them; InputError when they cannot be."""
    number, diameter = columns.get(LESIONS), columns.get(DIAMETER_MM)
    number = None if not number else _whole(number)
    diameter_mm = None if not diameter else _decimal(diameter)
    if number is not None and number < 1:
        raise InputError(_("there is no such number"), expected=_("at least 1 lesion"), received=str(number))
    if diameter_mm is not None and not 1 <= diameter_mm <= 400:
        looks = _(", which looks like cm") if 0.1 <= diameter_mm < 1 else ""
        raise InputError(_("no such diameter"), expected=_("1 to 400 mm"), received=f"{diameter_mm:g}{looks}")
    return number, diameter_mm


def as_options(columns) -> dict:
    """What the parameter node keeps -> the options of a prediction; raises what the two above do."""
    number, diameter_mm = read_lesions(columns)
    return {"clinical": read_clinical(columns), "lesions": number, "diameter_mm": diameter_mm}


def burden_of(lesions, columns) -> TumourBurden | None:
    """Measured lesions with what the user knows better; None when nothing was measured."""
    if lesions is None:
        return None
    return TumourBurden.from_lesions(lesions, *read_lesions(columns))


@dataclass
class _Field:
    """One row: `name` of the value without its unit; what is typed, its unit, the sentence below."""

    name: str
    title: str
    edit: object = None
    choices: object = None
    units: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    problem: object = None


class ClinicalSection:
    """Shows the parameter node's values. on_changed(columns) reports what the user typed.

    problem: why what is typed cannot be, empty while it can.
    """

    def __init__(self, ui, on_changed):
        self._on_changed, self._filling = on_changed, False
        self._columns = {}
        self.problem = ""
        self._fields = [*_measured_fields(), *_finding_fields(), *_lesion_fields()]
        layout = ui.clinicalSection.layout()
        for field in self._fields:
            self._build(field, layout)
        self._put_into_tab_order(ui.confirmButton, ui.bundleComboBox)

    def show(self, columns) -> None:
        """Follow the parameter node."""
        columns = {name: columns[name] for name in columns}
        if columns == self._columns:
            return
        self._columns, self._filling = columns, True
        for field in self._fields:
            self._fill(field)
        self._filling = False
        self._check()

    def show_measured(self, lesions) -> None:
        """Say in the empty fields of the lesions what was measured on the mask."""
        texts = {LESIONS: NOT_KNOWN, "diameter": NOT_KNOWN}
        if lesions is not None:
            measured = _("{value} (measured)")
            texts[LESIONS] = measured.format(value=lesions.number)
            texts["diameter"] = measured.format(value=f"{lesions.largest_diameter_mm:.1f}")
        for field in self._fields:
            if field.name in texts:
                field.edit.placeholderText = texts[field.name]

    # One row

    def _build(self, field: _Field, layout) -> None:
        row = qt.QWidget()
        inside = qt.QHBoxLayout(row)
        inside.setContentsMargins(0, 0, 0, 0)
        if field.words:
            shown = {"none": _("none"), "mild": _("mild"), "more": _("more"), "no": _("no"), "yes": _("yes")}
            texts = (_("not known"), *(shown.get(word, word) for word in field.words))
            field.choices = self._choices(field, texts)
            inside.addWidget(field.choices)
        else:
            field.edit = qt.QLineEdit()
            field.edit.objectName = f"{field.name}Edit"
            field.edit.placeholderText = NOT_KNOWN
            field.edit.toolTip = _tip(field)
            field.edit.connect("textChanged(QString)", self._on_typed)
            inside.addWidget(field.edit, 1)
            if len(field.units) > 1:
                field.choices = self._choices(field, [UNITS[unit] for unit in field.units])
                inside.addWidget(field.choices)
            elif field.units:
                inside.addWidget(qt.QLabel(UNITS.get(field.units[0], field.units[0])))
        field.problem = qt.QLabel()
        field.problem.objectName = f"{field.name}ProblemLabel"
        field.problem.wordWrap = True
        field.problem.visible = False
        label = qt.QLabel(_("{title}:").format(title=field.title))
        label.setBuddy(field.edit or field.choices)
        layout.addRow(label, row)
        layout.addRow(field.problem)

    def _choices(self, field: _Field, texts):
        choices = qt.QComboBox()
        choices.objectName = f"{field.name}ComboBox"
        choices.addItems(list(texts))
        choices.toolTip = _tip(field) if field.words else _("Unit of the value beside it")
        choices.connect("currentIndexChanged(int)", self._on_typed)
        return choices

    def _put_into_tab_order(self, before, after) -> None:
        """Fields that are made after the rest of the panel would come last."""
        widgets = [w for field in self._fields for w in (field.edit, field.choices) if w is not None]
        for first, second in pairwise([before, *widgets, after]):
            qt.QWidget.setTabOrder(first, second)

    def _fill(self, field: _Field) -> None:
        if field.words:
            word = self._columns.get(field.name)
            field.choices.setCurrentIndex(1 + field.words.index(word) if word in field.words else 0)
            return
        texts = {unit: self._columns.get(_column(field.name, unit)) for unit in field.units or ("",)}
        unit = next((unit for unit, text in texts.items() if text), None)
        text = texts[unit] if unit is not None else ""
        if field.edit.text != text:
            field.edit.text = text
        if unit is not None and field.choices is not None:
            field.choices.setCurrentIndex(field.units.index(unit))

    def _read(self, field: _Field) -> tuple[str, str]:
        """Name and text under which the field is kept; the text is empty when nothing is known."""
        if field.words:
            chosen = field.choices.currentIndex
            return field.name, field.words[chosen - 1] if chosen > 0 else ""
        unit = (
            field.units[field.choices.currentIndex if field.choices is not None else 0] if field.units else ""
        )
        return _column(field.name, unit), field.edit.text.strip()

    def _on_typed(self, _content=None) -> None:
        if self._filling:
            return
        kept = dict(map(self._read, self._fields))
        self._columns = {name: text for name, text in kept.items() if text}
        self._check()
        self._on_changed(self._columns)

    def _check(self) -> None:
        """Say at every field what is wrong with it."""
        self.problem = ""
        for field in self._fields:
            column, text = self._read(field)
            sentence = _sentence(field.title, column, text) if text else ""
            self.problem = self.problem or sentence
            field.problem.text = warning_html(sentence, is_dark(field.problem)) if sentence else ""
            field.problem.visible = bool(sentence)


def _measured_fields() -> list[_Field]:
    titles = {"albumin": _("Albumin"), "bilirubin": _("Bilirubin"), "afp": "AFP", "crp": "CRP", "inr": "INR"}
    units = {name: tuple(unit for unit in QUANTITIES[name].factors if unit) for name in MEASURED.values()}
    return [_Field(name, titles[name], units=units[name]) for name in MEASURED.values()]


def _finding_fields() -> list[_Field]:
    yes_or_no = ("no", "yes")
    return [
        _Field("ascites", _("Ascites"), words=("none", "mild", "more")),
        _Field("encephalopathy", _("Encephalopathy"), words=("none", "1", "2", "3", "4")),
        _Field("vascular_invasion", _("Vascular invasion"), words=yes_or_no),
        _Field("spread", _("Extrahepatic spread"), words=yes_or_no),
    ]


def _lesion_fields() -> list[_Field]:
    return [_Field(LESIONS, _("Lesions")), _Field("diameter", _("Largest diameter"), units=("mm",))]


def _column(name: str, unit: str) -> str:
    return f"{name}_{unit}" if unit else name


def _tip(field: _Field) -> str:
    tips = {
        "afp": _("Alpha-fetoprotein before TACE; a limit such as >1210 is read too. Empty: not known."),
        "encephalopathy": _("West Haven grade."),
        "vascular_invasion": _("Macroscopic invasion of the portal or a hepatic vein."),
        LESIONS: _("Number of lesions for the clinical scores, where the outline does not hold all of them."),
        "diameter": _(
            "Longest axial diameter of the largest lesion for the clinical scores, if not the mask's."
        ),
    }
    return tips.get(field.name, _("{title} before TACE. Empty: not known.").format(title=field.title))


def _sentence(title: str, column: str, text: str) -> str:
    """What is wrong with one value, or an empty text."""
    try:
        if column in (LESIONS, DIAMETER_MM):
            read_lesions({column: text})
        else:
            read_clinical({column: text})
    except TACEResponseError as error:
        return _("{title}: expected {expected}; received {received}.").format(
            title=title, expected=error.problem.expected, received=error.problem.received
        )
    return ""


def _without_lesions(columns) -> dict[str, str]:
    return {name: columns[name] for name in columns if name not in (LESIONS, DIAMETER_MM)}


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise InputError(_("no whole number"), expected=_("a whole number"), received=f'"{text}"')
    return int(text)


def _decimal(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise InputError(_("no number"), expected=_("a number in mm"), received=f'"{text}"') from None
