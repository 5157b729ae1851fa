"""What must hold before a file of a bundle is opened: a safe reader, and arrays no larger than they say.

Checksums show that a file is what its manifest says, and whoever made the one made the other. So the
sizes that a file claims are compared with the bytes that it holds before anything is allocated.
"""

import io
import re
import zipfile
import zlib
from importlib import metadata
from pathlib import Path

from TACEResponseLib.messages.errors import BundleError, DependencyError
from TACEResponseLib.messages.language import tr

#: Before it a crafted file could run code on loading, and the bundles of this version do not open.
LEAST_SKOPS = (0, 14)
#: All arrays of one archive; a forest of 100 trees has 12 MB.
LARGEST_ARCHIVE_BYTES = 256 * 1024**2
MOST_ENTRIES = 200_000
#: Objects within objects of a `.skops`; a pipeline of scikit-learn has about 20.
DEEPEST = 100
SCHEMA = "schema.json"


def require_safe_skops() -> None:
    """Raise DependencyError when the package that reads models is missing or too old to be safe."""
    try:
        version = metadata.version("skops")
    except metadata.PackageNotFoundError:
        version = "none"
    found = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if found < LEAST_SKOPS:
        least = ".".join(map(str, LEAST_SKOPS))
        raise DependencyError(
            tr("the package skops is too old to open a model safely" if found else "skops is not installed"),
            field="skops",
            expected=tr("version {least} or newer", least=least),
            received=tr("version {version}", version=version) if found else "",
            remedy=tr('install it with: pip install "skops>={least}"', least=least),
        )


def require_bounded(folder: Path, names: list[str]) -> None:
    """Raise BundleError when an archive of arrays holds more, or other, than it says."""
    for name in names:
        if name.endswith((".npz", ".skops")):
            try:
                _check_archive((folder / name).read_bytes())
            except (ValueError, OSError, EOFError, LookupError, SyntaxError, RuntimeError, TypeError,
                    NotImplementedError, zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
                raise _unbounded(name, tr("{name} in its sizes", name=type(error).__name__)) from None
            except _Unbounded as error:
                raise _unbounded(name, str(error)) from None


class _Unbounded(Exception):
    """What an archive claims that it does not hold."""


def _unbounded(name: str, received: str) -> BundleError:
    return BundleError(
        tr("the bundle is damaged"),
        file=Path(name).name,
        expected=tr("arrays of the sizes that the file holds"),
        received=received,
        remedy=tr("get the bundle again from where it was made"),
    )


def _check_archive(content: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if len(entries) > MOST_ENTRIES or len({entry.filename for entry in entries}) < len(entries):
            raise _Unbounded(tr("{n} entries", n=len(entries)))
        size = sum(entry.file_size for entry in entries)
        if size > LARGEST_ARCHIVE_BYTES:
            raise _Unbounded(tr("{n} bytes unpacked, more than {most}", n=size, most=LARGEST_ARCHIVE_BYTES))
        damaged = archive.testzip()
        if damaged is not None:
            raise _Unbounded(tr("another checksum of {name}", name=damaged))
        for entry in entries:
            if entry.filename.endswith(".npy"):
                with archive.open(entry) as stream:
                    _check_array(stream, entry.file_size)
            elif entry.filename.endswith(".npz"):  # a sparse array of scipy
                _check_archive(archive.read(entry))
            elif entry.filename == SCHEMA:
                _check_depth(archive.read(entry))


def _check_array(stream, file_size: int) -> None:
    """The shape and type in the header of a `.npy` must be those of its bytes."""
    import numpy as np

    version = np.lib.format.read_magic(stream)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read_header(stream)
    if dtype.hasobject:
        raise _Unbounded(tr("an array of Python objects"))
    count = 1
    for length in shape:  # Python's numbers do not overflow
        count *= length
    held = file_size - stream.tell()
    if count * dtype.itemsize != held or min(shape, default=0) < 0:
        raise _Unbounded(tr("an array of {n} bytes in {held} bytes", n=count * dtype.itemsize, held=held))


def _check_depth(schema: bytes) -> None:
    depth = 0
    for sign in re.findall(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', schema):
        depth += (sign in (b"{", b"[")) - (sign in (b"}", b"]"))
        if depth > DEEPEST:
            raise _Unbounded(tr("more than {n} objects within each other", n=DEEPEST))
