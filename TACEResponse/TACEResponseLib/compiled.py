"""Compilation of the kernels by numba, kept on disk so that only the first run ever waits for it.

numba's own choice of cache folder is beside the source, which is often read-only, or fails; ours
is the user's cache folder, and a temporary one where that cannot be written.
"""

import atexit
import contextlib
import os
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

import numba

from TACEResponseLib import __version__


def compiled(function):
    """`function` as machine code that releases the interpreter lock and is cached on disk."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder())  # read while decorating; other users of numba keep theirs
    try:
        return numba.njit(nogil=True, cache=True)(function)
    finally:
        numba.config.CACHE_DIR = before


@cache
def cache_folder() -> Path:
    """A folder that can be written now and, if at all possible, is there again next time."""
    for folder in _user_folders():
        if _is_writable(folder):
            return folder
    # A new folder with a random name: a fixed one in a shared place could be prepared by others.
    folder = Path(tempfile.mkdtemp(prefix="TACEResponse-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def prepared() -> bool:
    """Whether this version has compiled what a prediction needs, so that nobody has to wait for it."""
    return _mark().exists()


def mark_prepared() -> None:
    """Keep that it has; where that cannot be written, the next process looks itself."""
    with contextlib.suppress(OSError):
        _mark().touch()


def _mark() -> Path:
    return cache_folder() / f"prepared-{__version__}-numba-{numba.__version__}"


def _user_folders() -> list[Path]:
    """Where programs of this user keep what can be computed again, most usual first."""
    name = Path("TACEResponse", "compiled")
    try:
        home = Path.home()
    except RuntimeError:
        home = None
    if sys.platform == "win32":
        roots = [os.environ.get("LOCALAPPDATA")]
    elif sys.platform == "darwin":
        roots = [home and home / "Library" / "Caches"]
    else:
        roots = [os.environ.get("XDG_CACHE_HOME"), home and home / ".cache"]
    return [Path(root) / name for root in roots if root]


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
