"""How numbers of an answer are written, in the reader's language where words are needed."""

from TACEResponseLib.messages.language import tr


def percent(share: float) -> str:
    """0.724 as "72 %"; never rounded to a certainty that no model has: "> 99 %", "< 1 %"."""
    return "> 99 %" if share > 0.99 else "< 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def of_100(share: float) -> str:
    """0.724 as "72 of 100"."""
    return tr("{number:.0f} of 100", number=100 * share)
