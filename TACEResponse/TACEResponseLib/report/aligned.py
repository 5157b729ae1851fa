"""Columns of plain text: on a terminal a Chinese letter is two places wide."""

import unicodedata

#: What Unicode calls letters of two places.
WIDE = ("W", "F")


def places(text: str) -> int:
    """How many places of a line the text takes."""
    return sum(2 if unicodedata.east_asian_width(letter) in WIDE else 1 for letter in text)


def padded(text: str, width: int) -> str:
    """The text with blanks behind it, so that it takes `width` places; a longer one stays as it is."""
    return text + " " * (width - places(text))
