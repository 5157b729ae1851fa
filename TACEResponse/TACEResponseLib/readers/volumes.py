"""Volume files through SimpleITK: NIfTI, NRRD, MetaImage; a damaged one is one sentence."""

import math
import re
import zlib
from pathlib import Path

import SimpleITK as sitk

from TACEResponseLib.errors import InputError

#: gzip packs at most this many bytes into one.
MOST_UNPACKED = 1032
#: Headers whose voxels lie in another file.
DETACHED_HEADERS = (".mhd", ".nhdr", ".hdr")


def existing(path: Path, field: str) -> Path:
    """`path`, when something is there; InputError else."""
    if not path.exists():
        raise InputError(
            "there is no such file or folder",
            field=field,
            file=path.name,
            expected=f"a readable path for the {field}",
            received=str(path),
            remedy="check the path",
        )
    return path


def read_volume(path: Path, field: str) -> sitk.Image:
    """One volume file; ITK's multi-line exceptions become one sentence of an InputError."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _require_possible_size(path, field, reader)
        volume = reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("sitk::ERROR: ").strip()
        raise _unreadable(path, field, reason[:200]) from None
    _require_whole(path, field, volume)
    if volume.GetDimension() == 4 and volume.GetSize()[3] == 1:
        return volume[:, :, :, 0]  # one time point is a volume
    return volume


def _require_possible_size(path: Path, field: str, reader: sitk.ImageFileReader) -> None:
    """Raise InputError before memory is taken for more voxels than the file can hold."""
    voxels = math.prod(reader.GetSize())
    if path.suffix.lower() not in DETACHED_HEADERS and voxels > MOST_UNPACKED * path.stat().st_size:
        size = " x ".join(map(str, reader.GetSize()))
        raise _unreadable(path, field, f"a header of {size} voxels in a file of {path.stat().st_size} bytes")


def _require_whole(path: Path, field: str, volume: sitk.Image) -> None:
    """Raise InputError when the file ends early or its packed voxels are damaged.

    ITK reads zeros for what a NIfTI lacks, and never looks at the checksum of a packed NRRD.
    """
    try:
        start = _start_of_packed(path)
        present = path.stat().st_size if start is None else _unpacked_bytes(path, start)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, field, str(error)) from None
    if path.name.endswith((".nii", ".nii.gz")):
        voxel_bytes = int(volume.GetMetaData("bitpix")) // 8 * volume.GetNumberOfComponentsPerPixel()
        needed = int(float(volume.GetMetaData("vox_offset"))) + volume.GetNumberOfPixels() * voxel_bytes
        if present < needed:
            raise _unreadable(path, field, f"{present} of {needed} bytes")


def _start_of_packed(path: Path) -> int | None:
    """Where gzip or zlib data begin in the file; None when it has none."""
    if path.name.endswith(".gz"):
        return 0
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    if head.startswith(b"NRRD"):
        end = re.search(rb"\r?\n\r?\n", head)
        packed = end and re.search(rb"^encoding:\s*gz(ip)?\s*$", head[: end.start()], re.M | re.I)
        attached = end and not re.search(rb"^data ?file:", head[: end.start()], re.M | re.I)
    else:
        end = re.search(rb"^ElementDataFile\s*=\s*LOCAL\s*?\n", head, re.M)
        packed = end and re.search(rb"^CompressedData\s*=\s*True", head[: end.start()], re.M)
        attached = True
    return end.end() if packed and attached else None


def _unpacked_bytes(path: Path, start: int) -> int:
    """How many bytes the packed data hold; zlib.error when they do not fit their checksum."""
    total, unpacker = 0, zlib.decompressobj(wbits=47)  # gzip or zlib, whichever it is
    with path.open("rb") as stream:
        stream.seek(start)
        while chunk := stream.read(1 << 20):
            while chunk:
                if unpacker.eof:  # another member, or litter behind the last one
                    if chunk[:2] != b"\x1f\x8b":
                        return total
                    unpacker = zlib.decompressobj(wbits=47)
                total += len(unpacker.decompress(chunk, 1 << 24))
                chunk = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    if not unpacker.eof:
        raise EOFError("the packed data end early")
    return total


def _unreadable(path: Path, field: str, reason: str) -> InputError:
    return InputError(
        "the file cannot be read as a volume",
        field=field,
        file=path.name,
        expected="a whole NIfTI, NRRD or MetaImage file, or a folder of DICOM slices",
        received=reason,
        remedy="export the volume again",
    )
