"""Every text that a person reads, in that person's language.

A text stands in the code in English, as a literal: `tr("{n} patients", n=3)`. The same literal is its
key in the catalogues, `messages/<language>/<room>.json`, one for the texts of each room. A text that the
catalogues lack appears in English. Data, columns, JSON keys and codes are no texts.

The language is one for a process: the command line sets it with `--language`, the panels take Slicer's
own, and a child process finds it in the environment variable `TACERESPONSE_LANGUAGE`.
"""

import json
import os
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

VARIABLE = "TACERESPONSE_LANGUAGE"
#: What may be asked for, with its name in its own words, and the tag that a web page carries.
LANGUAGES = {"en": "English", "zh": "简体中文"}
TAGS = {"en": "en", "zh": "zh-CN"}
_ZH = {"zh", "zh-cn", "zh-sg", "zh-hans", "zh-hans-cn", "zh-hans-sg"}

_within: ContextVar[str] = ContextVar("language", default="")


def known(code: str) -> str:
    """ "zh" for "zh_CN.UTF-8", "zh-Hans" and the like; "en" for every language without a catalogue."""
    return "zh" if code.partition(".")[0].replace("_", "-").lower() in _ZH else "en"


_spoken = known(os.environ.get(VARIABLE, ""))


def speak(code: str) -> None:
    """Use a language from now on, here and in every process that is started from here."""
    global _spoken
    _spoken = os.environ[VARIABLE] = known(code)


def language() -> str:
    """The language that is spoken now, a key of `LANGUAGES`."""
    return _within.get() or _spoken


def language_tag() -> str:
    """What a page says of its language: "en", "zh-CN"."""
    return TAGS[language()]


@contextmanager
def in_language(code: str) -> Iterator[None]:
    """Use a language for a while, for what must not depend on the reader, such as the card of a model."""
    token = _within.set(known(code))
    try:
        yield
    finally:
        _within.reset(token)


def tr(text: str, /, **values) -> str:
    """`text` in the reader's language, with `values` in its braces where some are given."""
    said = _catalogue(language()).get(text, text)
    return said.format(**values) if values else said


def several(n: int, one: str, many: str, /, **values) -> str:
    """`one` for 1, else `many`, with the number as `n`: `several(3, "1 case", "{n} cases")`."""
    return tr(one if n == 1 else many, n=n, **values)


def mark(text: str) -> str:
    """The text itself: of a constant that `tr` translates where it is used."""
    return text


def listed(parts: Iterable[str]) -> str:
    """Parts with the language's comma between them."""
    return tr(", ").join(parts)


def width(text: str) -> int:
    """Columns of a terminal that a text takes: a Chinese letter takes two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


@cache
def _catalogue(code: str) -> dict[str, str]:
    """All texts of one language; empty for English."""
    texts = {}
    for file in sorted(Path(__file__).with_name(code).glob("*.json")):
        texts |= json.loads(file.read_text(encoding="utf-8"))
    return texts
