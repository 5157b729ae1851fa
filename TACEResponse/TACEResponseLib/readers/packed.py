"""Packed volume files (.nii.gz, NRRD and MetaImage with zlib): unpacked once, whole or not at all.

ITK reads zeros for what a NIfTI lacks and never looks at the checksum of a packed NRRD, so the packed
bytes must be seen by us anyway. Where they are the voxels as memory holds them, ITK reads the
header only and the voxels come from here; every other file is counted here and read by ITK.
"""

import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.messages.language import tr

from .headers import GZIP_MAGIC, NIFTI, NIFTI_HEADER, NRRD, Stored

try:
    from isal import isal_zlib as inflate  # the same interface, faster, where it is installed
except ImportError:
    inflate = zlib

#: What unpacking can raise: a file that ends early, or bytes that do not fit their checksum.
DAMAGE = (OSError, EOFError, zlib.error, inflate.error)
CHUNK_BYTES = 1 << 18
#: Fields that say how a NIfTI's voxels are stored.
NIFTI_FIELDS = ("datatype", "scl_slope", "scl_inter", "vox_offset")
#: NIfTI's codes for the types of voxels that SimpleITK has, too.
NIFTI_TYPES = {
    "2": sitk.sitkUInt8,
    "4": sitk.sitkInt16,
    "8": sitk.sitkInt32,
    "16": sitk.sitkFloat32,
    "64": sitk.sitkFloat64,
    "256": sitk.sitkInt8,
    "512": sitk.sitkUInt16,
    "768": sitk.sitkUInt32,
}
VOXEL_TYPES = {
    sitk.sitkUInt8: np.uint8,
    sitk.sitkInt8: np.int8,
    sitk.sitkUInt16: np.uint16,
    sitk.sitkInt16: np.int16,
    sitk.sitkUInt32: np.uint32,
    sitk.sitkInt32: np.int32,
    sitk.sitkFloat32: np.float32,
    sitk.sitkFloat64: np.float64,
}


def unpacked(path: Path, start: int) -> Iterator[bytes]:
    """The unpacked bytes, piece by piece; one of DAMAGE where they do not fit their checksum or end early."""
    unpacker, most = inflate.decompressobj(wbits=47), 8 * CHUNK_BYTES  # gzip or zlib, whichever it is
    with path.open("rb") as stream:
        stream.seek(start)
        while chunk := stream.read(CHUNK_BYTES):
            part = b""
            while chunk or len(part) == most:  # a full part can have more behind it than bytes to read
                if unpacker.eof:  # another member, or litter behind the last one
                    chunk += stream.read(len(GZIP_MAGIC))
                    if not chunk.startswith(GZIP_MAGIC):
                        return
                    unpacker = inflate.decompressobj(wbits=47)
                part = unpacker.decompress(chunk, most)
                yield part
                chunk = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    if not unpacker.eof:
        raise EOFError(tr("the packed data end early"))


def read_packed(path: Path, stored: Stored, reader: sitk.ImageFileReader) -> tuple[sitk.Image | None, int]:
    """The volume, None where ITK must read it, and how many bytes its packed data hold.

    reader: has read the header of `path`. Raises one of DAMAGE.
    """
    if stored.data != path or not _are_voxels_of_memory(stored, reader):
        return None, sum(len(part) for part in unpacked(stored.data, stored.start))
    voxel_type = np.dtype(VOXEL_TYPES[reader.GetPixelID()])
    content = np.empty(stored.needed_bytes, np.uint8)
    present = 0
    for part in unpacked(path, stored.start):
        room = content[present : present + len(part)]
        room[:] = np.frombuffer(part, np.uint8, len(room))
        present += len(part)
    if present < len(content) or not _is_in_memory_order(content, stored.before):
        return None, present
    return _as_image(
        content[stored.before :].view(voxel_type).reshape(reader.GetSize()[::-1]), reader
    ), present


def _as_image(voxels: np.ndarray, reader: sitk.ImageFileReader) -> sitk.Image:
    """Voxels (k, j, i) with the header that the reader has read."""
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(reader.GetSpacing())
    image.SetOrigin(reader.GetOrigin())
    image.SetDirection(reader.GetDirection())
    for key in reader.GetMetaDataKeys():
        image.SetMetaData(key, reader.GetMetaData(key))
    return image


def _are_voxels_of_memory(stored: Stored, reader: sitk.ImageFileReader) -> bool:
    """Whether the unpacked data are simply the voxels, as memory holds them, behind `before` bytes."""
    one_volume = reader.GetDimension() == 3 and reader.GetNumberOfComponents() == 1
    if not one_volume or reader.GetPixelID() not in VOXEL_TYPES or min(reader.GetSpacing()) <= 0:
        return False
    if stored.kind == NIFTI:
        header = {key: reader.GetMetaData(key) for key in NIFTI_FIELDS if reader.HasMetaDataKey(key)}
        as_stored = NIFTI_TYPES.get(header.get("datatype")) == reader.GetPixelID()
        unscaled = header.get("scl_slope") in ("0", "1") and header.get("scl_inter") == "0"
        return as_stored and unscaled and stored.before >= NIFTI_HEADER
    one_byte = VOXEL_TYPES[reader.GetPixelID()]().itemsize == 1
    in_order = one_byte or re.search(
        rb"^endian:\s*" + sys.byteorder.encode() + rb"\s*$", stored.head, re.M | re.I
    )
    skips = re.search(rb"^(line|byte) ?skip:", stored.head, re.M | re.I)
    return stored.kind == NRRD and bool(in_order) and not skips


def _is_in_memory_order(content: np.ndarray, before: int) -> bool:
    """Whether a NIfTI's numbers have this machine's byte order; other formats say so in their header."""
    return before == 0 or int(content[:4].view(np.int32)[0]) == NIFTI_HEADER
