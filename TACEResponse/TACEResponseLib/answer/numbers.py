"""How numbers of an answer are written, in the reader's language where words are needed."""

from collections.abc import Callable

Translate = Callable[[str], str]


def english(text: str) -> str:
    """The text as it is."""
    return text


def percent(share: float) -> str:
    """0.724 as "72 %"; never rounded to a certainty that no model has: "> 99 %", "< 1 %"."""
    return "> 99 %" if share > 0.99 else "< 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def of_100(share: float, translate: Translate = english) -> str:
    """0.724 as "72 of 100"."""
    return translate("{number} of 100").format(number=f"{100 * share:.0f}")


def about_100(share: float, translate: Translate = english) -> str:
    """0.724 as "about 72 of 100"; "more than 99 of 100" and "fewer than 1 of 100" at the ends."""
    if share > 0.99:
        return translate("more than 99 of 100")
    if share < 0.01:
        return translate("fewer than 1 of 100")
    return translate("about {number} of 100").format(number=f"{100 * share:.0f}")
