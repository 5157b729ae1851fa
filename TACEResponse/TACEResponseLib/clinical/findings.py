"""Clinical findings that are words: ascites, encephalopathy, vascular invasion, extrahepatic spread.

Only words that say one thing are read. A bare 2 under `ascites` may be a grade or Child-Pugh's points
and is an error that says so, because a score computed from the wrong one looks like a score.
"""

from typing import Literal

from TACEResponseLib.messages.errors import TableError
from TACEResponseLib.messages.language import mark, tr

from .values import MISSING, place_of

Ascites = Literal["none", "mild", "more"]

#: Words for each of Child-Pugh's three degrees of ascites.
ASCITES: dict[Ascites, tuple[str, ...]] = {
    "none": ("none", "no", "absent", "0", "nein", "keine", "无"),
    "mild": ("mild", "slight", "small", "minimal", "controlled", "少量", "轻度"),
    "more": (
        "more",
        "moderate",
        "severe",
        "large",
        "massive",
        "tense",
        "refractory",
        "moderate to severe",  # not a text
        "中量",
        "大量",
        "中度",
        "重度",
    ),
}
#: West Haven grades as they are written.
ENCEPHALOPATHY: dict[int, tuple[str, ...]] = {
    0: ("0", "none", "no", "absent", "grade 0", "nein", "keine", "无"),
    1: ("1", "i", "grade 1", "grade i"),
    2: ("2", "ii", "grade 2", "grade ii"),  # not a text
    3: ("3", "iii", "grade 3", "grade iii"),  # not a text
    4: ("4", "iv", "grade 4", "grade iv"),  # not a text
}
YES = ("yes", "y", "1", "true", "present", "positive", "ja", "是", "有", "vp1", "vp2", "vp3", "vp4")
NO = ("no", "n", "0", "false", "absent", "negative", "none", "nein", "keine", "否", "无", "vp0")
#: Columns that answer a yes-or-no item: one yes is a yes.
FLAGS = {
    "vascular_invasion": (
        "macrovascular_invasion",
        "vascular_invasion",
        "portal_vein_invasion",
        "portal_invasion",
    ),
    "spread": ("extrahepatic_spread", "spread", "metastasis", "metastases"),
}
#: What a cell is not, and what it should hold.
NO_ASCITES = mark("{place} is not a degree of ascites"), mark("none, mild or more, or an empty cell")
NO_GRADE = mark("{place} is not a grade of encephalopathy"), mark("none, 1, 2, 3 or 4, or an empty cell")
NO_FLAG = mark("{place} is not yes or no"), mark("yes or no, or an empty cell")
#: What a cell looks like that could mean several things.
GRADE_OR_POINTS = mark('"{text}", which may be a grade or Child-Pugh\'s points')
NOT_HOW_MUCH = mark('"{text}", which says that there is some, not how much')
NOT_HOW_SEVERE = mark('"{text}", which says that there is one, not how severe')
ONE_OF_TWO_CODES = mark('"{text}", which may be one of two codes')
#: "none" is a finding here, unlike in a column of numbers.
_MISSING = tuple(word for word in MISSING if word != "none")


def parse_ascites(text: str, column: str = "ascites", *, row: int = 0, table: str = "") -> Ascites | None:
    """The degree of ascites; None when the cell is empty. Raises TableError for any other word."""
    word = _word(text)
    if word in _MISSING:
        return None
    for degree, words in ASCITES.items():
        if word in words:
            return degree
    looks = ""
    if word in ("1", "2", "3"):
        looks = GRADE_OR_POINTS
    elif word in ("yes", "y", "+", "present", "ja", "有"):
        looks = NOT_HOW_MUCH
    raise _unread(text, column, row, table, NO_ASCITES, looks)


def parse_encephalopathy(
    text: str, column: str = "encephalopathy", *, row: int = 0, table: str = ""
) -> int | None:
    """The West Haven grade, 0 to 4; None when the cell is empty. TableError for any other word."""
    word = _word(text)
    if word in _MISSING:
        return None
    for grade, words in ENCEPHALOPATHY.items():
        if word in words:
            return grade
    looks = NOT_HOW_SEVERE if word in ("yes", "y", "+", "present", "ja", "有") else ""
    raise _unread(text, column, row, table, NO_GRADE, looks)


def parse_flag(text: str, column: str, *, row: int = 0, table: str = "") -> bool | None:
    """Yes or no; None when the cell is empty. Raises TableError for any other word."""
    word = _word(text)
    if word in _MISSING:
        return None
    if word in YES or word in NO:
        return word in YES
    raise _unread(text, column, row, table, NO_FLAG, ONE_OF_TWO_CODES if word == "2" else "")


def _word(text: str) -> str:
    return " ".join(text.strip().casefold().replace("_", " ").split())


def _unread(
    text: str, column: str, row: int, table: str, message_expected: tuple[str, str], looks: str
) -> TableError:
    message, expected = message_expected
    return TableError(
        tr(message, place=place_of(column, row)),
        field=column,
        file=table,
        expected=tr(expected),
        received=tr(looks, text=text.strip()) if looks else f'"{text.strip()}"',
        remedy=tr("write the word"),
    )
