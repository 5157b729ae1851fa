"""Runs beside each other in one folder: a lock for each case, and one that says who is at work.

Several processes, on one computer or on a cluster's shared disk, keep results in one folder. The
system lets go of a lock when the process ends, however it ends. Where a file system knows no locks,
work goes on without: results are still whole, and at worst one is computed twice.
"""

import contextlib
import errno
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

#: The lock of a whole folder; that of a case is named after its result.
LOCK = ".lock"
WAIT_S = 0.1
#: What a file system answers that has no locks, as some clusters' do.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
#: Windows locks ranges of bytes: a run takes one of these bytes, who wants to be alone all of them.
SPAN = 1 << 30


@contextlib.contextmanager
def beside_others(folder: Path, when_alone: Callable[[], None]) -> Iterator[None]:
    """Hold the folder together with other runs; `when_alone` is called first where there is no other."""
    while True:
        with (folder / LOCK).open("a+b") as stream:
            if _take(stream, shared=False):
                when_alone()
                _release(stream)
            while not _take(stream, shared=True):  # another run looks around, or clears the folder away
                time.sleep(WAIT_S)
            if _is_at(folder / LOCK, stream):
                yield
                return
        folder.mkdir(parents=True, exist_ok=True)  # it was cleared away between opening and locking


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Hold the folder alone; False where another run is in it, or where there is no folder."""
    try:
        stream = (folder / LOCK).open("a+b")
    except OSError:
        yield False
        return
    with stream:
        yield _take(stream, shared=False)


@contextlib.contextmanager
def one_case(path: Path) -> Iterator[None]:
    """Hold the lock file of one case, after whoever is at work on it."""
    with path.open("a+b") as stream:
        while not _take(stream, shared=False):
            time.sleep(WAIT_S)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # an open file stays on Windows, and does no harm
                path.unlink(missing_ok=True)


def _is_at(path: Path, stream) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        there, here = path.stat(), os.fstat(stream.fileno())
    except FileNotFoundError:
        return False
    return (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev)


def _take(stream, shared: bool) -> bool:
    """Lock an open file, beside others or alone; False when another holds it."""
    try:
        if os.name == "nt":
            import msvcrt

            stream.seek(random.randrange(SPAN) if shared else 0)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1 if shared else SPAN)
        else:
            import fcntl

            fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in NO_LOCKS and os.name != "nt"
    return True


def _release(stream) -> None:
    """Let go of a lock that was held alone."""
    with contextlib.suppress(OSError):
        if os.name == "nt":
            import msvcrt

            stream.seek(0)
            msvcrt.locking(stream.fileno(), msvcrt.LK_UNLCK, SPAN)
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_UN)
