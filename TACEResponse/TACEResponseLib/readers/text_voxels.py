"""Voxels written as text (NRRD, MetaImage): whether what the header calls text is numbers, and enough.

ITK reads such numbers without looking: it stops at a letter and leaves the rest as memory was, and
bytes without any blank run over the place that it keeps for one number, which ends the process.
"""

import re
from pathlib import Path

from TACEResponseLib.messages.language import tr

#: No number that a program writes is longer; the library below has room for about a thousand letters.
LONGEST_NUMBER = 64
NUMBER = re.compile(rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?,?|[-+]?(?:nan|inf(?:inity)?),?", re.I)
CHUNK_BYTES = 1 << 20


def require_text(data: Path, start: int, numbers: int) -> None:
    """Raise ValueError unless exactly `numbers` numbers as text stand in the file from byte `start` on."""
    found, rest = 0, b""
    with data.open("rb") as stream:
        stream.seek(start)
        while chunk := stream.read(CHUNK_BYTES):
            *words, rest = re.split(rb"\s+", rest + chunk)
            found += _count(words)
            if len(rest) > LONGEST_NUMBER:
                raise ValueError(tr("voxels that are called text and are none"))
    found += _count([rest])
    if found != numbers:
        raise ValueError(tr("{found} numbers as text for {numbers} voxels", found=found, numbers=numbers))


def _count(words: list[bytes]) -> int:
    """How many of the words are numbers; ValueError for one that is neither that nor a lone comma."""
    words = [word for word in words if word and word != b","]
    if any(len(word) > LONGEST_NUMBER or not NUMBER.fullmatch(word) for word in words):
        raise ValueError(tr("voxels that are called text and are none"))
    return len(words)
