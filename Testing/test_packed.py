"""Packed volume files: unpacked by us, the same image as ITK's, and never a part of one."""

import gzip
import importlib
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.readers import packed
from TACEResponseLib.readers.volumes import read_volume

#: Keys that ITK adds while it reads voxels; they say what its header said before.
ADDED_BY_ITK = {"ITK_original_direction", "ITK_original_spacing"}


@pytest.fixture(params=["zlib", "isal.isal_zlib"], autouse=True)
def inflate(request, monkeypatch):
    """Every test with the standard library and with the faster package, where that is installed."""
    module = pytest.importorskip(request.param, reason="the package isal is not installed")
    monkeypatch.setattr(packed, "inflate", module)
    monkeypatch.setattr(packed, "DAMAGE", (OSError, EOFError, zlib.error, module.error))
    monkeypatch.setattr("TACEResponseLib.readers.volumes.DAMAGE", packed.DAMAGE)
    return importlib.import_module(request.param)


def a_volume(voxel_type, shape=(7, 9, 8)) -> sitk.Image:
    """Random numbers over the whole range of their type, on an oblique grid."""
    rng = np.random.default_rng(5)
    if np.dtype(voxel_type).kind == "f":
        voxels = rng.normal(0, 1e4, shape).astype(voxel_type)
    else:
        limits = np.iinfo(voxel_type)
        voxels = rng.integers(limits.min, limits.max, shape, voxel_type, endpoint=True)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-12.5, 30.25, -700.0))
    image.SetDirection((0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
    return image


def assert_is_what_itk_reads(path) -> None:
    own, itk = read_volume(path, "image"), sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(own), sitk.GetArrayViewFromImage(itk))
    for what in ("PixelID", "Size", "Spacing", "Origin", "Direction"):
        assert getattr(own, f"Get{what}")() == getattr(itk, f"Get{what}")()
    notes = [{k: i.GetMetaData(k) for k in set(i.GetMetaDataKeys()) - ADDED_BY_ITK} for i in (own, itk)]
    assert notes[0] == notes[1]


@pytest.mark.parametrize("voxel_type", packed.VOXEL_TYPES.values())
@pytest.mark.parametrize("name", ["v.nii.gz", "v.nrrd"])
def test_a_packed_volume_is_what_itk_reads_and_itk_reads_its_header_only(
    name, voxel_type, tmp_path, monkeypatch
):
    sitk.WriteImage(a_volume(voxel_type), str(tmp_path / name), True)
    assert_is_what_itk_reads(tmp_path / name)
    monkeypatch.setattr(sitk.ImageFileReader, "Execute", lambda reader: pytest.fail("ITK read the voxels"))
    read_volume(tmp_path / name, "image")


def test_numbers_that_memory_holds_otherwise_are_read_by_itk(tmp_path):
    image = a_volume(np.int16)
    sitk.WriteImage(image, str(tmp_path / "v.nii"))
    content = bytearray((tmp_path / "v.nii").read_bytes())
    content[112:120] = np.array([2, -1024], "<f4").tobytes()  # slope and intercept
    (tmp_path / "scaled.nii.gz").write_bytes(gzip.compress(content))
    assert_is_what_itk_reads(tmp_path / "scaled.nii.gz")
    scaled = read_volume(tmp_path / "scaled.nii.gz", "image")
    np.testing.assert_array_equal(
        sitk.GetArrayViewFromImage(scaled), 2.0 * sitk.GetArrayViewFromImage(image) - 1024
    )
    sitk.WriteImage(image, str(tmp_path / "v.nrrd"), True)
    header, _, voxels = (tmp_path / "v.nrrd").read_bytes().partition(b"\n\n")
    swapped = gzip.compress(sitk.GetArrayViewFromImage(image).astype(">i2").tobytes())
    assert gzip.decompress(voxels) != gzip.decompress(swapped)
    turned = header.replace(b"endian: little", b"endian: big")
    (tmp_path / "swapped.nrrd").write_bytes(turned + b"\n\n" + swapped)
    assert_is_what_itk_reads(tmp_path / "swapped.nrrd")
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(read_volume(tmp_path / "swapped.nrrd", "image")),
        sitk.GetArrayViewFromImage(image),
    )


@pytest.mark.parametrize("name", ["v.nii.gz", "v.nrrd", "v.mha"])
def test_a_packed_volume_that_ends_early_or_fits_no_checksum_is_an_error(name, tmp_path):
    sitk.WriteImage(a_volume(np.int16, (20, 30, 30)), str(tmp_path / name), True)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-300])
    with pytest.raises(InputError, match="cannot be read as a volume"):
        read_volume(tmp_path / name, "image")
    (tmp_path / name).write_bytes(content[:-900] + bytes([content[-900] ^ 1]) + content[-899:])
    with pytest.raises(InputError, match="cannot be read as a volume"):
        read_volume(tmp_path / name, "image")


@pytest.mark.parametrize("chunk", [64, 1000])
def test_every_byte_is_unpacked_wherever_the_pieces_end(chunk, inflate, tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "CHUNK_BYTES", chunk)
    rng, path = np.random.default_rng(chunk), tmp_path / "data.gz"
    for trial in range(60):
        length = 8 * chunk * int(rng.integers(1, 4)) + int(rng.integers(-300, 300))
        content = rng.integers(0, 1 + trial % 3, length).astype(np.uint8).tobytes()
        halves = gzip.compress(content[:99]) + gzip.compress(content[99:]) + b"litter"
        for stored in (gzip.compress(content), zlib.compress(content), halves):
            path.write_bytes(stored)
            assert b"".join(packed.unpacked(path, 0)) == content
