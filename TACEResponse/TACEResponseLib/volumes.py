"""Volume files through SimpleITK: NIfTI, NRRD, MetaImage; a damaged one is one sentence."""

import gzip
import os
import zlib
from pathlib import Path

import SimpleITK as sitk

from .errors import InputError


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
    try:
        volume = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("sitk::ERROR: ").strip()
        raise _unreadable(path, field, reason[:200]) from None
    if path.name.endswith((".nii", ".nii.gz")):
        _require_whole_nifti(path, field, volume)
    if volume.GetDimension() == 4 and volume.GetSize()[3] == 1:
        return volume[:, :, :, 0]  # one time point is a volume
    return volume


def _require_whole_nifti(path: Path, field: str, volume: sitk.Image) -> None:
    """Raise InputError when the file ends early: ITK would read zeros for the rest, silently."""
    try:
        voxel_bytes = int(volume.GetMetaData("bitpix")) // 8 * volume.GetNumberOfComponentsPerPixel()
        needed = int(float(volume.GetMetaData("vox_offset"))) + volume.GetNumberOfPixels() * voxel_bytes
        if path.name.endswith(".gz"):
            with path.open("rb") as stream:
                stream.seek(-4, os.SEEK_END)
                present = int.from_bytes(stream.read(4), "little")  # gzip's own note of its length
            if present != needed % 2**32:  # cut off, or several gzip members: count what is there
                with gzip.open(path) as stream:
                    present = sum(len(chunk) for chunk in iter(lambda: stream.read(1 << 20), b""))
        else:
            present = path.stat().st_size
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, field, str(error)) from None
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
