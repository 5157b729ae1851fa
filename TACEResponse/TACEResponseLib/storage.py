"""Files that appear whole or not at all, and the space that they need, asked before the work."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import InputError

#: A file that is being written carries this prefix; one that is left over can be deleted.
WRITING = ".writing-"


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A binary stream to a file that appears at `path` complete, or not at all.

    Raises InputError when the folder cannot be written.
    """
    make_folder(path.parent)
    # Not mkstemp: its files are private, and a report is for others to read.
    temporary = path.with_name(f"{WRITING}{uuid.uuid4().hex}")
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
        raise _unwritable(folder, f"{there.name} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _unwritable(folder, f"{there.name} may not be written")


def _unwritable(folder: Path, reason: str) -> InputError:
    return InputError(
        "the folder cannot be written",
        field="out",
        file=str(folder),
        received=reason,
        remedy="choose another folder",
    )


def require_space(folder: Path, needed_mb: float) -> None:
    """Raise InputError unless the disk of `folder` has room; nothing is written for the question."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free_mb = shutil.disk_usage(there).free / 2**20
    if free_mb < needed_mb:
        raise InputError(
            "the disk has too little room",
            field="out",
            file=str(folder),
            expected=f"{needed_mb:.0f} MB free",
            received=f"{free_mb:.0f} MB",
            remedy="free some space, or choose another folder",
        )
