"""Volume files through SimpleITK: NIfTI, NRRD, MetaImage; a damaged one is one sentence."""

import math
from pathlib import Path

import SimpleITK as sitk

from TACEResponseLib.errors import InputError

from .packed import DAMAGE, read_packed, start_of_packed

#: gzip packs at most this many bytes into one.
MOST_UNPACKED = 1032
#: Headers whose voxels lie in another file.
DETACHED_HEADERS = (".mhd", ".nhdr", ".hdr")
LARGEST_HEADER_BYTES = 1 << 20


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


def files_of(path: Path) -> tuple[Path, ...]:
    """The file itself and, for a header whose voxels lie elsewhere, the files beside it that hold them.

    Those are the ones that it names, and those that begin as it does.
    """
    if path.suffix.lower() not in DETACHED_HEADERS or not path.is_file():
        return (path,)
    with path.open("rb") as stream:
        header = stream.read(LARGEST_HEADER_BYTES)
    beside = sorted(file for file in path.parent.iterdir() if file != path and file.is_file())
    return (path, *(f for f in beside if f.name.encode() in header or f.name.startswith(path.stem)))


def read_volume(path: Path, field: str) -> sitk.Image:
    """One volume file; ITK's multi-line exceptions become one sentence of an InputError."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _require_possible_size(path, field, reader)
        start = start_of_packed(path)
        volume, present = (None, path.stat().st_size) if start is None else read_packed(path, start, reader)
        if volume is None:
            volume = reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("sitk::ERROR: ").strip()
        raise _unreadable(path, field, reason[:200]) from None
    except DAMAGE as error:
        raise _unreadable(path, field, str(error)) from None
    _require_whole(path, field, volume, present)
    if volume.GetDimension() == 4 and volume.GetSize()[3] == 1:
        return volume[:, :, :, 0]  # one time point is a volume
    return volume


def _require_possible_size(path: Path, field: str, reader: sitk.ImageFileReader) -> None:
    """Raise InputError before memory is taken for more voxels than the file can hold."""
    voxels = math.prod(reader.GetSize())
    if path.suffix.lower() not in DETACHED_HEADERS and voxels > MOST_UNPACKED * path.stat().st_size:
        size = " x ".join(map(str, reader.GetSize()))
        raise _unreadable(path, field, f"a header of {size} voxels in a file of {path.stat().st_size} bytes")


def _require_whole(path: Path, field: str, volume: sitk.Image, present: int) -> None:
    """Raise InputError when a NIfTI ends early (`present`: bytes, unpacked); ITK reads zeros there."""
    if path.name.endswith((".nii", ".nii.gz")):
        voxel_bytes = int(volume.GetMetaData("bitpix")) // 8 * volume.GetNumberOfComponentsPerPixel()
        needed = int(float(volume.GetMetaData("vox_offset"))) + volume.GetNumberOfPixels() * voxel_bytes
        if present < needed:
            raise _unreadable(path, field, f"{present} of {needed} bytes")


def _unreadable(path: Path, field: str, reason: str) -> InputError:
    return InputError(
        "the file cannot be read as a volume",
        field=field,
        file=path.name,
        expected="a whole NIfTI, NRRD or MetaImage file, or a folder of DICOM slices",
        received=reason,
        remedy="export the volume again",
    )
