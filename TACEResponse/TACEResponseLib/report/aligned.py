"""Columns of plain text on a terminal."""

from TACEResponseLib.messages.language import width


def padded(text: str, columns: int) -> str:
    """The text with blanks behind it, so that it takes so many columns; a longer one stays as it is."""
    return text + " " * (columns - width(text))
