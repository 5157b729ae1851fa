"""Fonts for the letters that matplotlib's own font lacks, found among those that are installed."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache

from TACEResponseLib.messages.language import language, tr

#: Language -> well-known families with its letters; the first that is installed is used.
FAMILIES = {
    "zh": (
        "Microsoft YaHei, PingFang SC, Hiragino Sans GB, Noto Sans CJK SC, Noto Sans SC, Source Han Sans SC, "
        "Source Han Sans CN, WenQuanYi Micro Hei, WenQuanYi Zen Hei, SimHei, Heiti SC, STHeiti, DengXian, "
        "SimSun, Noto Sans CJK JP, Droid Sans Fallback, Arial Unicode MS"  # not a text
    )
}


def families() -> list[str]:
    """Families of a figure's texts, letter by letter the first that has it; empty for matplotlib's own."""
    found = _installed(language())
    return ["sans-serif", found] if found else []


def drawn_language() -> str:
    """The language of figures: the reader's, or "en" where no installed font has its letters."""
    return language() if language() not in FAMILIES or _installed(language()) else "en"


def lacking() -> str:
    """Why figures are not in the reader's language, with the remedy, in a sentence; empty when they are."""
    if drawn_language() == language():
        return ""
    return tr(
        "The figures are in English, because no font with Chinese letters is installed: install one, for "
        "example Noto Sans CJK SC, and write the report again."
    )


@cache
def _installed(code: str) -> str:
    """The first family of a language that this machine has; empty without one."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    if code not in FAMILIES:
        return ""
    wanted = FAMILIES[code].split(", ")
    found = _first(wanted)
    if not found:  # it may have been installed after matplotlib had made its list
        for path in sorted(set(findSystemFonts()) - {entry.fname for entry in fontManager.ttflist}):
            with suppress(OSError, RuntimeError, ValueError, KeyError):  # a file that it cannot read
                fontManager.addfont(path)
        found = _first(wanted)
    return found


def _first(wanted: Sequence[str]) -> str:
    """The first of the families that matplotlib knows; empty without one."""
    from matplotlib.font_manager import fontManager

    there = {entry.name for entry in fontManager.ttflist}
    return next((family for family in wanted if family in there), "")
