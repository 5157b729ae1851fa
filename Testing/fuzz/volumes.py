"""Mutations of volume files: NIfTI, NRRD, MetaImage, and Slicer's segmentations in NRRD."""

import functools
import gzip
import re
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scenes import a_scene, as_labelmap, write_seg_nrrd
from TACEResponseLib.readers import read_case

from .cases import Case, choose, cut, flipped, same_volume

sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK warns of what is broken on purpose
IMAGE, SEGMENTS = a_scene()
MASS = SEGMENTS["Mass"]


@functools.cache
def written(name: str, compressed: bool = False) -> bytes:
    """The scene's CT as a file of this name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        sitk.WriteImage(IMAGE, str(path), compressed)
        return path.read_bytes()


@functools.cache
def mask() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mask.nrrd"
        sitk.WriteImage(as_labelmap(IMAGE, SEGMENTS), str(path))
        return path.read_bytes()


def reading(folder: Path, image: Path, **choice):
    """Reads the CT with the whole mask beside it."""
    (folder / "mask.nrrd").write_bytes(mask())
    return lambda: read_case("P", image, folder / "mask.nrrd", **(choice or {"label": 2}))


def is_scene(case) -> bool:
    """Whether image and mask are those that were written, voxel by voxel, or a warning says otherwise."""
    found = sitk.GetArrayViewFromImage(case.mask) > 0
    same_mask = found.shape == MASS.shape and np.array_equal(found, MASS)
    return (same_mask and same_volume(case.image, IMAGE)) or bool(warned(case) - usual_warnings())


def warned(case) -> set[str]:
    return {warning.message for warning in case.warnings}


@functools.cache
def usual_warnings() -> set[str]:
    """What is said of the scene when nothing is wrong with its files."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ct.nrrd").write_bytes(written("ct.nrrd"))
        return warned(reading(Path(folder), Path(folder) / "ct.nrrd")())


def a_volume(
    folder: Path, name: str, content: bytes, mutation: str, must_read: bool = False, is_right=is_scene
):
    (folder / name).write_bytes(content)
    return Case(mutation, reading(folder, folder / name), is_right, must_read)


def turned(folder: Path, name: str, rng: np.random.Generator) -> Case:
    """Axes exchanged and turned round, with the header that says so: the same body."""
    axes = [int(a) for a in rng.permutation(3)]
    flips = [bool(f) for f in rng.integers(0, 2, 3)]
    image = sitk.Flip(sitk.PermuteAxes(IMAGE, axes), flips)
    sitk.WriteImage(image, str(folder / name), bool(rng.integers(2)))
    labels = sitk.Flip(sitk.PermuteAxes(as_labelmap(IMAGE, SEGMENTS), axes), flips)
    sitk.WriteImage(labels, str(folder / "mask.nrrd"))

    def is_right(case) -> bool:
        mask_volume = sitk.GetArrayViewFromImage(case.mask).astype(bool).sum()
        return same_volume(case.image, IMAGE) and mask_volume == MASS.sum()

    read = lambda: read_case("P", folder / name, folder / "mask.nrrd", label=2)
    return Case(f"axes {axes} turned {flips}", read, is_right, must_read=True)


def nifti(folder: Path, rng: np.random.Generator) -> Case:
    """NIfTI, plain and gzipped, under every spelling of its extension."""
    name = choose(rng, ["ct.nii", "ct.nii.gz", "ct.NII", "ct.NII.GZ"])
    packed = name.lower().endswith(".gz")
    plain = written("ct.nii")
    kind = choose(rng, ["cut", "stream", "turn", "dimension", "type", "swap", "zooms", "extension"])
    if kind == "turn":
        return turned(folder, name.lower(), rng)
    if kind == "cut":
        content, said = cut(gzip.compress(plain) if packed else plain, rng, (4, 40, 252, 348, 352, 352 + 112))
        return a_volume(folder, name, content, said)
    if kind == "stream":
        packed_bytes = gzip.compress(plain)
        content, said = flipped(packed_bytes, rng, 10)
        return a_volume(folder, "ct.nii.gz", content, f"stream {said}")
    data, must_read = bytearray(plain), False
    if kind == "dimension":
        axis, change = int(rng.integers(1, 4)), choose(rng, [-1, 1, 7])
        before = struct.unpack_from("<h", data, 40 + 2 * axis)[0]
        struct.pack_into("<h", data, 40 + 2 * axis, before + change)
    elif kind == "type":
        code, bits = choose(rng, [(2, 8), (8, 32), (16, 32), (64, 64), (512, 16), (128, 24)])
        struct.pack_into("<hh", data, 70, code, bits)
    elif kind == "zooms":  # contradicts the sform, which is what counts
        struct.pack_into("<f", data, 80 + 4 * int(rng.integers(3)), float(rng.uniform(0.3, 4)))
    elif kind == "swap":
        data, must_read = bytearray(big_endian_nifti(plain)), True
    else:  # a header extension of 16 bytes, voxels behind it
        must_read = True
        struct.pack_into("<f", data, 108, 368.0)
        data[348:352] = b"\1\0\0\0"
        data[352:352] = struct.pack("<ii", 16, 6) + b"comment\0"
    content = gzip.compress(bytes(data)) if packed else bytes(data)
    return a_volume(folder, name, content, kind, must_read)


def big_endian_nifti(plain: bytes) -> bytes:
    """The same file as a computer of the other byte order writes it."""
    layout = "i10s18sihcB8h3f4h8f3fhBB4f2i80s24s2h6f12f16s4s"
    fields = struct.unpack("<" + layout, plain[:348])
    return (
        struct.pack(">" + layout, *fields)
        + plain[348:352]
        + np.frombuffer(plain[352:], "<i2").astype(">i2").tobytes()
    )


def nrrd(folder: Path, rng: np.random.Generator) -> Case:
    """NRRD, raw, gzipped and with its voxels in a second file."""
    kind = choose(
        rng, ["cut", "stream", "turn", "sizes", "type", "endian", "comment", "detached", "encoding"]
    )
    if kind == "turn":
        return turned(folder, "ct.nrrd", rng)
    raw = written("ct.nrrd")
    head, _, voxels = raw.partition(b"\n\n")
    if kind == "cut":
        content, said = cut(raw, rng, (4, len(head), len(head) + 2, len(head) + 2 + 112))
        return a_volume(folder, "ct.nrrd", content, said)
    if kind == "stream":
        packed = head.replace(b"encoding: raw", b"encoding: gzip") + b"\n\n" + gzip.compress(voxels)
        content, said = flipped(packed, rng, len(head) + 15)
        return a_volume(folder, "ct.nrrd", content, f"stream {said}")
    if kind == "detached":
        shown = head + b"\ndata file: ct.raw\n"
        content, said = (voxels, "whole") if rng.integers(2) else cut(voxels, rng, (112, 112 * 48))
        (folder / "ct.raw").write_bytes(content)
        return a_volume(folder, "ct.nhdr", shown, f"detached {said}", must_read=content == voxels)
    must_read, changed = False, head
    if kind == "sizes":
        change = choose(
            rng,
            [
                (b"sizes: 56 48 10", s)
                for s in (b"sizes: 56 48 9", b"sizes: 56 48 11", b"sizes: 56 47 10", b"sizes: 560 48 10")
            ],
        )
        changed = head.replace(*change)
    elif kind == "type":
        changed = re.sub(
            rb"type: \w+",
            choose(rng, [b"type: ushort", b"type: float", b"type: uchar", b"type: double", b"type: block"]),
            head,
        )
    elif kind == "endian":
        changed, must_read = head.replace(b"endian: little", b"endian: big"), True
        voxels = np.frombuffer(voxels, "<i2").astype(">i2").tobytes()
    elif kind == "comment":
        changed, must_read = head + b"\n# a comment\nkey with blanks:=a value", True
    else:
        changed = head.replace(
            b"encoding: raw",
            choose(rng, [b"encoding: gzip", b"encoding: bzip2", b"encoding: text", b"encoding: hex"]),
        )
    return a_volume(folder, "ct.nrrd", changed + b"\n\n" + voxels, kind, must_read)


def metaimage(folder: Path, rng: np.random.Generator) -> Case:
    """MetaImage in one file and in two, raw and compressed."""
    kind = choose(rng, ["cut", "stream", "turn", "sizes", "type", "endian", "two files", "two packed files"])
    if kind == "turn":
        return turned(folder, "ct.mha", rng)
    raw, packed = written("ct.mha"), written("ct.mha", compressed=True)
    end = b"ElementDataFile = LOCAL\n"
    head, _, voxels = raw.partition(end)
    if kind == "cut":
        content, said = cut(raw, rng, (10, len(head), len(head) + len(end), len(raw) - 112))
        return a_volume(folder, "ct.mha", content, said)
    if kind == "stream":
        content, said = flipped(packed, rng, packed.index(end) + len(end) + 2)
        return a_volume(folder, "ct.mha", content, f"stream {said}")
    if kind == "two files":
        content, said = (voxels, "whole") if rng.integers(2) else cut(voxels, rng, (112, 112 * 48))
        (folder / "ct.raw").write_bytes(content)
        shown = head + b"ElementDataFile = ct.raw\n"
        return a_volume(folder, "ct.mhd", shown, f"two files {said}", must_read=content == voxels)
    if kind == "two packed files":
        stream = zlib.compress(voxels)
        content, said = (stream, "whole") if rng.integers(2) else flipped(stream, rng, 2)
        (folder / "ct.zraw").write_bytes(content)
        size = f"CompressedDataSize = {len(stream)}\n".encode()
        shown = re.sub(rb"CompressedData = \w+\n", b"CompressedData = True\n" + size, head)
        shown += b"ElementDataFile = ct.zraw\n"
        return a_volume(folder, "ct.mhd", shown, f"two packed files {said}", must_read=content == stream)
    must_read, changed = False, head
    if kind == "sizes":
        changed = head.replace(
            b"DimSize = 56 48 10",
            choose(
                rng, [b"DimSize = 56 48 9", b"DimSize = 56 48 11", b"DimSize = 56 47 10", b"DimSize = 56 48"]
            ),
        )
    elif kind == "type":
        changed = re.sub(
            rb"ElementType = \w+",
            choose(
                rng,
                [
                    b"ElementType = MET_USHORT",
                    b"ElementType = MET_FLOAT",
                    b"ElementType = MET_UCHAR",
                    b"ElementType = MET_DOUBLE",
                ],
            ),
            head,
        )
    else:
        changed, must_read = head.replace(b"ByteOrderMSB = False", b"ByteOrderMSB = True"), True
        voxels = np.frombuffer(voxels, "<i2").astype(">i2").tobytes()
    return a_volume(folder, "ct.mha", changed + end + voxels, kind, must_read)


@functools.cache
def segmentation() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_seg_nrrd(Path(folder) / "s.seg.nrrd", IMAGE, SEGMENTS).read_bytes()


def seg_nrrd(folder: Path, rng: np.random.Generator) -> Case:
    """A segmentation of Slicer: its keys, its numbering and its voxels."""
    head, _, voxels = segmentation().partition(b"\n\n")
    kind = choose(
        rng, ["cut", "stream", "gap", "twice", "blank", "value", "layer", "key", "order", "missing"]
    )
    must_read, changed = False, head
    if kind == "cut":
        content, said = cut(segmentation(), rng, (4, len(head), len(head) + 2))
    elif kind == "stream":
        content, said = flipped(segmentation(), rng, len(head) + 12)
    else:
        if kind == "gap":
            changed, must_read = head.replace(b"Segment1_", b"Segment4_"), True
        elif kind == "twice":
            changed = head.replace(b"Name:=Liver", b"Name:=Mass")
        elif kind == "blank":
            changed, must_read = head.replace(b"Name:=Mass", b"Name:= Mass "), True
        elif kind == "value":
            changed = head.replace(
                b"Segment1_LabelValue:=2",
                choose(
                    rng, [b"Segment1_LabelValue:=" + v for v in (b"", b"x", b"-1", b"7", b"2.5", b"1e99")]
                ),
            )
        elif kind == "layer":
            changed = head.replace(
                b"Segment1_Layer:=0", choose(rng, [b"Segment1_Layer:=" + v for v in (b"3", b"-1", b"x", b"")])
            )
        elif kind == "key":
            key = choose(rng, re.findall(rb"\nSegment1_\w+:=[^\n]*", head))
            changed = head.replace(key, b"")
        elif kind == "order":
            lines = head.split(b"\n")
            keys = [line for line in lines if line.startswith(b"Segment")]
            rest = [line for line in lines if not line.startswith(b"Segment")]
            changed, must_read = b"\n".join([*rest, *(keys[i] for i in rng.permutation(len(keys)))]), True
        else:
            changed = b"\n".join(line for line in head.split(b"\n") if b"LabelValue" not in line)
        content, said = changed + b"\n\n" + voxels, kind
    (folder / "s.seg.nrrd").write_bytes(content)
    (folder / "ct.nrrd").write_bytes(written("ct.nrrd"))
    read = lambda: read_case("P", folder / "ct.nrrd", folder / "s.seg.nrrd", segment="Mass")
    return Case(said, read, is_scene, must_read)
