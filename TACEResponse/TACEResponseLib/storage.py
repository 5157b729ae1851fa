"""Files that appear whole or not at all, the space that they need, and names and cells that are safe.

An ID is free text and becomes the name of a folder and the cell of a table: names are such that every
file system holds them and no two IDs meet, and no spreadsheet takes a cell for a formula.
"""

import hashlib
import os
import re
import shutil
import tempfile
import unicodedata
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .messages.errors import InputError
from .messages.language import tr

#: Bytes of a folder's name in UTF-8; file systems hold 255, and a suffix may come.
LONGEST_NAME_BYTES = 230
#: Names that Windows keeps for devices, alone or before a dot.
RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
#: How a text begins that a spreadsheet would run; apostrophes before it are part of our own quoting.
FORMULA = re.compile(r"'*[=+@]|'*-(?![\d.,]+(e[-+]?\d+)?$)", re.IGNORECASE)
#: A file that is being written carries this prefix; one that is left over can be deleted.
WRITING = ".writing-"


@contextmanager
def whole_file(path: Path, mark: str = "") -> Iterator[BinaryIO]:
    """A binary stream to a file that appears at `path` complete, or not at all.

    mark: begins the name of the unfinished file, so that its writer can find what it left.
    Raises InputError when the folder cannot be written.
    """
    make_folder(path.parent)
    # Not mkstemp: its files are private, and a report is for others to read.
    temporary = path.with_name(f"{WRITING}{mark}{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as stream:
            yield stream
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_folder(folder: Path) -> None:
    """Make `folder` and check that it can be written; InputError else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, probe = tempfile.mkstemp(dir=folder, prefix=WRITING)
        os.close(handle)
        Path(probe).unlink()
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from None


def require_writable(folder: Path) -> None:
    """Raise InputError where `folder` cannot be made or written; nothing is made for the question."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise _unwritable(folder, tr("{name} is a file", name=there.name))
    if not os.access(there, os.W_OK | os.X_OK):
        raise _unwritable(folder, tr("{name} may not be written", name=there.name))


def _unwritable(folder: Path, reason: str) -> InputError:
    return InputError(
        tr("the folder cannot be written"),
        field="out",
        file=str(folder),
        received=reason,
        remedy=tr("choose another folder"),
    )


def require_space(folder: Path, needed_mb: float) -> None:
    """Raise InputError unless the disk of `folder` has room; nothing is written for the question."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free_mb = shutil.disk_usage(there).free / 2**20
    if free_mb < needed_mb:
        raise InputError(
            tr("the disk has too little room"),
            field="out",
            file=str(folder),
            expected=tr("{megabytes:.0f} MB free", megabytes=needed_mb),
            received=f"{free_mb:.0f} MB",
            remedy=tr("free some space, or choose another folder"),
        )


def folder_names(patient_ids: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """ID -> name of its folder, no two alike even where capitals do not count, and none of those taken.

    Characters that a file system does not hold become underscores. IDs that would meet, or whose name
    Windows keeps for itself, get a suffix of the ID's hash. Raises nothing; see `require_short`.
    """
    patient_ids = list(dict.fromkeys(patient_ids))
    plain = {patient_id: _plain_name(patient_id) for patient_id in patient_ids}
    names = dict(plain)
    for digits in (8, 16, 64):
        count = Counter(map(_compared, [*names.values(), *taken]))
        for patient_id, name in names.items():
            if count[_compared(name)] > 1 or RESERVED.fullmatch(name):
                digest = hashlib.sha256(patient_id.encode("utf-8", "surrogatepass")).hexdigest()
                names[patient_id] = f"{plain[patient_id]}-{digest[:digits]}".lstrip("-")
                if RESERVED.fullmatch(names[patient_id]):  # `con.x` with a suffix still is one
                    names[patient_id] = f"_{names[patient_id]}"
    return names


def require_short(name: str, patient_id: str) -> None:
    """Raise InputError when no file system would hold the folder's name."""
    length = len(name.encode("utf-8", "surrogatepass"))
    if length > LONGEST_NAME_BYTES:
        raise InputError(
            tr("the patient's ID is too long for the name of a folder"),
            field="patient_id",
            patient_id=f"{shown_text(patient_id)[:40]}...",
            expected=tr("at most {n} bytes", n=LONGEST_NAME_BYTES),
            received=tr("{n} bytes", n=length),
            remedy=tr("give the patient a shorter ID"),
        )


def _plain_name(patient_id: str) -> str:
    """The ID with composed letters, underscores for what no file system holds, no dot or space at the end."""
    name = unicodedata.normalize("NFC", patient_id)
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]', "_", name).strip(" .")
    return f"_{name}" if not name or FORMULA.match(name) else name  # the name stands in a table too


def _compared(name: str) -> str:
    """The name as a file system that does not tell capitals apart sees it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def shown_text(text: str) -> str:
    """The text with invisible characters written as escapes, so that a person sees all of it."""
    return "".join(c if unicodedata.category(c)[0] != "C" else f"\\u{ord(c):04x}" for c in text)


def quoted(text: str) -> str:
    """The text as a cell that a spreadsheet shows and never runs: an apostrophe before what it would run."""
    return f"'{text}" if FORMULA.match(text) else text


def unquoted(text: str) -> str:
    """The text that `quoted` made a cell of."""
    return text[1:] if text.startswith("'") and FORMULA.match(text[1:]) else text
