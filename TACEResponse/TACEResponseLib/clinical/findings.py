"""Clinical findings that are words: ascites, encephalopathy, vascular invasion, extrahepatic spread.

Only words that say one thing are read. A bare 2 under `ascites` may be a grade or Child-Pugh's points
and is an error that says so, because a score computed from the wrong one looks like a score.
"""

from typing import Literal

from TACEResponseLib.messages.errors import TableError

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
        "moderate to severe",
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
    2: ("2", "ii", "grade 2", "grade ii"),
    3: ("3", "iii", "grade 3", "grade iii"),
    4: ("4", "iv", "grade 4", "grade iv"),
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
        looks = ", which may be a grade or Child-Pugh's points"
    elif word in ("yes", "y", "+", "present", "ja", "有"):
        looks = ", which says that there is some, not how much"
    raise _unread(text, column, row, table, "a degree of ascites", "none, mild or more", looks)


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
    looks = (
        ", which says that there is one, not how severe"
        if word in ("yes", "y", "+", "present", "ja", "有")
        else ""
    )
    raise _unread(text, column, row, table, "a grade of encephalopathy", "none, 1, 2, 3 or 4", looks)


def parse_flag(text: str, column: str, *, row: int = 0, table: str = "") -> bool | None:
    """Yes or no; None when the cell is empty. Raises TableError for any other word."""
    word = _word(text)
    if word in _MISSING:
        return None
    if word in YES or word in NO:
        return word in YES
    looks = ", which may be one of two codes" if word == "2" else ""
    raise _unread(text, column, row, table, "yes or no", "yes or no", looks)


def _word(text: str) -> str:
    return " ".join(text.strip().casefold().replace("_", " ").split())


def _unread(text: str, column: str, row: int, table: str, what: str, expected: str, looks: str) -> TableError:
    return TableError(
        f"{place_of(column, row)} is not {what}",
        field=column,
        file=table,
        expected=f"{expected}, or an empty cell",
        received=f'"{text.strip()}"{looks}',
        remedy="write the word",
    )
