"""Phases of contrast as a reader knows them; their codes are those of a cohort's table."""

from TACEResponseLib.messages.language import mark, tr

TITLES = {
    "arterial": mark("arterial"),
    "portal venous": mark("portal venous"),  # not a text: the code
    "delayed": mark("delayed"),
    "native": mark("native"),
}


def phase_title(code: str) -> str:
    """A phase of contrast in words; a foreign code stays as it is."""
    return tr(TITLES.get(code, code))
