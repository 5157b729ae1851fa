"""Which files are DICOM, and opening one so that what is wrong with it becomes one sentence.

pydicom is imported where a DICOM file is read: other volumes do without it and its memory.
"""

import contextlib
import io
import re
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import tr

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
#: The first element of a file without preamble: of the meta group or of group 8, explicit or implicit.
BARE_START = re.compile(rb"\x02\x00\x00\x00UL\x04\x00|\x08\x00[\x00-\x20]\x00([A-Z]{2}|..\x00\x00)", re.S)
#: A compressed slice holds at most this many bytes for one of its file; more is a damaged header,
#: for which no memory is taken.
MOST_PACKED = 1000
UNDEFINED_LENGTH = 0xFFFFFFFF
#: Value representations whose length has four bytes, behind two that are empty.
LONG_VRS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
#: What pydicom, beside its own error, and highdicom raise on files whose bytes are not what DICOM says.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def is_dicom(path: Path) -> bool:
    """Whether the file carries DICOM's preamble, or begins with a DICOM element; the name does not matter."""
    head = _head(path)
    return head[128:132] == b"DICM" or BARE_START.match(head) is not None


def _head(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        return stream.read(134)


@contextlib.contextmanager
def reading_dicom(path: Path, field: str = "image") -> Iterator[None]:
    """Turn what the libraries raise on a damaged file into an InputError, and keep them quiet."""
    from pydicom.errors import BytesLengthException, InvalidDicomError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (InvalidDicomError, BytesLengthException, *DAMAGE):
            raise damaged(path, field) from None
        except OSError as error:
            if error.errno is None:  # pydicom's own, for a tag that is cut off
                raise damaged(path, field) from None
            raise InputError(
                tr("the file cannot be opened"), field=field, file=path.name, received=error.strerror
            ) from None


def dicom_files(folder: Path) -> list[Path]:
    """Every DICOM file below `folder`; InputError for one that calls itself one and is none."""
    files = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if is_dicom(path):
            files.append(path)
        elif path.suffix.lower() == ".dcm" or _head(path)[132:134] == b"\x02\x00":
            raise damaged(path)
    return files


def syntax_of(header):
    """The transfer syntax (a pydicom UID) of a dataset that was read; a file without preamble has none."""
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    named = header.file_meta.get("TransferSyntaxUID")
    if named:
        return named
    implicit, _ = header.original_encoding
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def require_possible_pixels(header, path: Path, frames: int = 1) -> None:
    """Raise ValueError before memory is taken for more pixels than the file can hold."""
    pixels = int(header.Rows) * int(header.Columns) * int(header.BitsAllocated) // 8 * frames
    syntax = syntax_of(header)
    packed = syntax.is_compressed or syntax.is_deflated
    if pixels > path.stat().st_size * (MOST_PACKED if packed else 1):
        raise ValueError


def require_whole_elements(stream: BinaryIO, syntax) -> None:
    """Raise ValueError unless the elements from here on, pixels first, end where the file ends.

    GDCM takes gigabytes of memory for an element that claims a length it has not. syntax: pydicom's UID.
    """
    if syntax.is_deflated:
        return
    order = "<" if syntax.is_little_endian else ">"
    end = stream.seek(0, io.SEEK_CUR)
    size = stream.seek(0, io.SEEK_END)
    first = True
    while end < size:
        stream.seek(end)
        group, element = struct.unpack(f"{order}HH", stream.read(4))
        if first and (group, element) != (0x7FE0, 0x0010):
            raise ValueError
        first, kind = False, stream.read(2)
        if group == 0xFFFE or syntax.is_implicit_VR:  # items have no VR
            stream.seek(end + 4)
            (length,) = struct.unpack(f"{order}I", stream.read(4))
        elif kind in LONG_VRS:
            (length,) = struct.unpack(f"{order}xxI", stream.read(6))
        else:
            (length,) = struct.unpack(f"{order}H", stream.read(2))
        # What has no length of its own (packed pixels) is items that have.
        end = stream.tell() + (0 if length == UNDEFINED_LENGTH else length)
    if first or end > size:
        raise ValueError


def damaged(path: Path, field: str = "image") -> InputError:
    """The error for a file whose bytes are not DICOM where they say so."""
    return InputError(
        tr("the DICOM file is damaged"),
        field=field,
        file=path.name,
        expected=tr("a whole DICOM file"),
        received=tr("{size} bytes that pydicom and GDCM cannot read", size=path.stat().st_size),
        remedy=tr("fetch it again from the archive"),
    )
