"""Volume files through SimpleITK: NIfTI, NRRD, MetaImage; a damaged one is one sentence."""

import contextlib
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import SimpleITK as sitk

from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import mark, tr

from .gate import Admitted, Claims, admit, not_whole, require_bytes
from .headers import LARGEST_HEADER_BYTES, NIFTI, Stored, modality_of, nifti_placements, stored_voxels
from .packed import DAMAGE, read_packed

#: gzip packs at most this many bytes into one.
MOST_UNPACKED = 1032
#: What is missing, and what was expected, by the part that a file plays.
NOT_FOUND = {"image": mark("image not found: {path}"), "mask": mark("mask not found: {path}")}
READABLE = {"image": mark("a readable path for the image"), "mask": mark("a readable path for the mask")}
#: Headers whose voxels lie in another file.
DETACHED_HEADERS = (".mhd", ".nhdr")
#: Header and voxels of a NIfTI pair, whichever of both is named.
PAIR = re.compile(r"(.*)\.(hdr|img)(\.gz)?", re.I)


def existing(path: Path, field: str) -> Path:
    """`path`, when it is a folder or a regular file; InputError else.

    A named pipe would be waited for without end, a link that leads back to itself never read.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        message = tr(NOT_FOUND[field], path=path)
        raise InputError(message, field=field, remedy=tr("check the path")) from None
    except OSError as error:
        raise _no_file(path, field, tr("the path leads to no file"), str(error.strerror)) from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        received = tr("a named pipe") if stat.S_ISFIFO(mode) else tr("a device or socket")
        raise _no_file(path, field, tr("this is no regular file"), received)
    return path


def _no_file(path: Path, field: str, message: str, received: str) -> InputError:
    return InputError(
        message,
        field=field,
        file=path.name,
        expected=tr(READABLE[field]),
        received=received,
        remedy=tr("check the path"),
    )


def files_of(path: Path) -> tuple[Path, ...]:
    """The file itself and, for a header whose voxels lie elsewhere, the files beside it that hold them.

    Those are the ones that it names, and those that begin as it does.
    """
    pair = PAIR.fullmatch(path.name)
    if pair and path.is_file():
        both = (f for f in sorted(path.parent.iterdir()) if (m := PAIR.fullmatch(f.name)) and m[1] == pair[1])
        return (path, *(f for f in both if f != path and f.is_file()))
    if path.suffix.lower() not in DETACHED_HEADERS or not path.is_file():
        return (path,)
    with path.open("rb") as stream:
        header = stream.read(LARGEST_HEADER_BYTES)
    beside = sorted(file for file in path.parent.iterdir() if file != path and file.is_file())
    return (path, *(f for f in beside if f.name.encode() in header or f.name.startswith(path.stem)))


def read_volume(path: Path, field: str) -> sitk.Image:
    """The volume of `open_volume`, for callers that have nobody to tell its notes."""
    return open_volume(path, field).volume


def open_volume(path: Path, field: str) -> Admitted:
    """One volume file through the gate; ITK's multi-line exceptions become one sentence of an InputError.

    field: "image" or "mask", the part that it plays.
    """
    claims = Claims(path, field, ())
    try:
        with _quiet():
            reader = sitk.ImageFileReader()
            reader.SetFileName(str(path))
            reader.ReadImageInformation()
            stored = stored_voxels(path, reader)
            claims = _claims_before_reading(path, field, reader, stored)
            volume = None
            if stored.packed:
                volume, present = read_packed(path, stored, reader)
                claims = replace(claims, present_bytes=present)
                require_bytes(claims)
            if volume is None:
                volume = reader.Execute()
    except RuntimeError as error:
        raise not_whole(claims, _reason(error)) from None
    except (ValueError, OverflowError, *DAMAGE) as error:
        raise not_whole(claims, str(error)) from None
    admitted = admit(volume, claims)
    if volume.GetDimension() == 4 and volume.GetSize()[3] == 1:
        return Admitted(admitted.volume[:, :, :, 0], admitted.notes)  # one time point is a volume
    return admitted


def _claims_before_reading(path: Path, field: str, reader: sitk.ImageFileReader, stored: Stored) -> Claims:
    """The header's claims; InputError where the file is too small for them, before memory is taken."""
    held = 0 if stored.data is None else stored.data.stat().st_size
    present = stored.needed_bytes if stored.data is None else max(0, held - stored.start)
    claims = Claims(
        path,
        field,
        tuple(reader.GetSize()),
        stored.needed_bytes,
        present,
        modality_of(reader),
        nifti_placements(stored.head) if stored.kind == NIFTI else (),
    )
    if not stored.packed:
        require_bytes(claims)
    elif stored.needed_bytes > MOST_UNPACKED * held:
        size = " x ".join(map(str, claims.size))
        raise not_whole(
            claims, tr("a header of {size} voxels in a file of {held} bytes", size=size, held=held)
        )
    return claims


def _reason(error: RuntimeError) -> str:
    """The last line of what ITK says; MetaImage ends with the system's reason, which has none."""
    last = str(error).strip().splitlines()[-1].removeprefix("sitk::ERROR: ").strip()
    return tr("fewer voxels than its header claims") if last.startswith("Reason: ") else last[:200]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without ITK's own warnings on the terminal: what matters of them is said by the gate."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)
