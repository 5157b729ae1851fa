"""How numbers of an answer are written."""


def percent(share: float) -> str:
    """0.724 as "72 %"; never rounded to a certainty that no model has: "> 99 %", "< 1 %"."""
    return "> 99 %" if share > 0.99 else "< 1 %" if share < 0.01 else f"{100 * share:.0f} %"
