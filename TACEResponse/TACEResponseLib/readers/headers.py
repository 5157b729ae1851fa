"""What the header of a NIfTI, NRRD or MetaImage file says about its voxels: where, how many, how packed.

ITK decodes; this reads the same header a second time, so that the gate can compare. Formats are
told by their content, never by their name, so `.NII` and `.nii`, `.hdr` and `.img` are one.
"""

import math
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.messages.language import tr

from .gate import Placement
from .text_voxels import require_text

LARGEST_HEADER_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
#: Bytes of a NIfTI header, which is also its first number.
NIFTI_HEADER = 348
#: Bytes behind it that say whether more of a header follows; voxels begin after them at the earliest.
NIFTI_EXTENSION = 4
#: What NRRD calls voxels that are numbers as text.
NRRD_TEXT = ("text", "txt", "ascii")
NIFTI, NRRD, METAIMAGE = "NIfTI", "NRRD", "MetaImage"
#: Endings of the second file of a NIfTI pair, in the order in which ITK looks for them.
PAIR_ENDINGS = (".img", ".IMG", ".img.gz", ".IMG.GZ", ".IMG.gz")
#: Millimetres of NIfTI's units of length; no unit is millimetres.
NIFTI_UNITS_MM = {1: 1000.0, 3: 1e-3}
#: The fields of a NIfTI-1 header that place its voxels (ITK reads no NIfTI-2).
NIFTI_LAYOUT = np.dtype(
    {
        "names": ["pixdim", "xyzt_units", "qform_code", "sform_code", "quatern", "qoffset", "srow"],
        "formats": ["8<f4", "u1", "<i2", "<i2", "3<f4", "3<f4", "12<f4"],
        "offsets": [76, 123, 252, 254, 256, 268, 280],
        "itemsize": NIFTI_HEADER,
    }
)
#: From NIfTI's patient axes (right, anterior, superior) to LPS.
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Stored:
    """Where a volume's voxels lie.

    data: the file that holds them, None where they lie in several. start: where they, or their packed
    stream, begin in it. before: bytes in front of the voxels once unpacked. needed_bytes: the voxels'
    and those before. packed: as gzip or zlib. head: the header, unpacked.
    """

    kind: str
    data: Path | None
    start: int
    before: int
    needed_bytes: int
    packed: bool
    head: bytes


def stored_voxels(path: Path, reader: sitk.ImageFileReader) -> Stored:
    """What the file's header says; ValueError, with what is wrong, where the gate does not know it.

    reader: has read the header.
    """
    head = head_of(path)
    voxels = math.prod(reader.GetSize())
    number_bytes = bytes_of(reader.GetPixelID())
    voxels_bytes = voxels * _numbers_a_voxel(reader) * number_bytes
    if head.startswith(b"NRRD"):
        return _nrrd(path, head, voxels_bytes, number_bytes)
    if re.search(rb"^\s*NDims\s*=", head, re.M):
        return _metaimage(path, head, voxels_bytes, number_bytes)
    # Last, since a NIfTI that ITK saved again as NRRD or MetaImage keeps the words of its old header.
    if reader.HasMetaDataKey("nifti_type"):
        return _nifti(path, head, voxels, reader)
    raise ValueError(tr("another kind of file, whose header is not known here"))


def modality_of(reader: sitk.ImageFileReader) -> str:
    """The modality that a MetaImage or NRRD names, empty where it names none."""
    return next(
        (reader.GetMetaData(key) for key in reader.GetMetaDataKeys() if key.lower() == "modality"), ""
    )


def nifti_placements(header: bytes) -> tuple[Placement, ...]:
    """What a NIfTI's header says of its geometry: pixdim, qform, sform, those that it has; LPS, mm.

    header: unpacked. A file of before NIfTI has sizes only, which nothing contradicts: ().
    """
    fields = _nifti_fields(header)
    if fields is None:
        return ()
    unit = NIFTI_UNITS_MM.get(int(fields["xyzt_units"]) & 7, 1.0)
    sizes = np.abs(fields["pixdim"][1:4].astype(float))
    stated = [Placement("pixdim", tuple(unit * sizes))]
    if fields["qform_code"] > 0:
        handed = -1.0 if fields["pixdim"][0] < 0 else 1.0
        axes = _rotation(*fields["quatern"].astype(float)) * sizes * (1.0, 1.0, handed)
        stated.append(_placement("qform", axes, fields["qoffset"].astype(float), unit))
    if fields["sform_code"] > 0:
        rows = fields["srow"].astype(float).reshape(3, 4)
        stated.append(_placement("sform", rows[:, :3], rows[:, 3], unit))
    return tuple(stated)


def _nifti_fields(header: bytes) -> np.void | None:
    """The geometry's fields of a NIfTI header of either byte order; None of another file."""
    if len(header) < NIFTI_HEADER or header[344:346] not in (b"n+", b"ni"):
        return None
    layout = NIFTI_LAYOUT if header[:4] == NIFTI_HEADER.to_bytes(4, "little") else NIFTI_LAYOUT.newbyteorder()
    return np.frombuffer(header[:NIFTI_HEADER], layout)[0]


def _placement(said_by: str, axes: np.ndarray, origin, unit: float) -> Placement:
    sizes = np.linalg.norm(axes, axis=0) * unit
    return Placement(said_by, tuple(sizes), RAS_TO_LPS @ axes * unit, RAS_TO_LPS @ np.array(origin) * unit)


def _rotation(b: float, c: float, d: float) -> np.ndarray:
    """The rotation (3, 3) of NIfTI's quaternion, whose first part makes its length 1."""
    a = math.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )


def _nifti(path: Path, head: bytes, voxels: int, reader: sitk.ImageFileReader) -> Stored:
    single = reader.GetMetaData("nifti_type") == "1"
    data = path if single else _second_of_pair(path)
    before = int(float(reader.GetMetaData("vox_offset")))
    if single and before < NIFTI_HEADER + NIFTI_EXTENSION:
        # ITK would take the four bytes behind the header for voxels, and all others two places off.
        raise ValueError(tr("a header whose voxels begin at byte {before}, within itself", before=before))
    needed = before + voxels * _nifti_voxel_bytes(reader)
    packed = head_of(data, 2) == GZIP_MAGIC
    if head.startswith(GZIP_MAGIC):
        head = zlib.decompressobj(wbits=47).decompress(head, NIFTI_HEADER)
    return Stored(NIFTI, data, 0, before, needed, packed, head)


def _nifti_voxel_bytes(reader: sitk.ImageFileReader) -> int:
    """Bytes of one voxel; a vector's components stand in `dim[5]` and not in `bitpix`."""
    in_bitpix = reader.GetMetaData("datatype") in ("128", "2304")  # colours
    return int(reader.GetMetaData("bitpix")) // 8 * (1 if in_bitpix else _numbers_a_voxel(reader))


def _numbers_a_voxel(reader: sitk.ImageFileReader) -> int:
    """Numbers of the pixel type in one voxel: a complex number is one of its type, and two for ITK."""
    is_complex = reader.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64)
    return 1 if is_complex else reader.GetNumberOfComponents()


def _second_of_pair(path: Path) -> Path:
    stem = re.sub(r"\.(hdr|img)(\.gz)?$", "", path.name, flags=re.I)
    for ending in PAIR_ENDINGS:
        if (path.parent / f"{stem}{ending}").is_file():
            return path.parent / f"{stem}{ending}"
    raise ValueError(tr("a header without its {file}", file=f"{stem}.img"))


def _nrrd(path: Path, head: bytes, voxels_bytes: int, number_bytes: int) -> Stored:
    end = re.search(rb"\r?\n\r?\n", head)
    header = head[: end.end()] if end else head
    named = _nrrd_value(header, rb"data ?file")
    packed = re.fullmatch(r"gz(ip)?", _nrrd_value(header, rb"encoding"), re.I) is not None
    lines, skip = (int(_nrrd_value(header, name) or 0) for name in (rb"line ?skip", rb"byte ?skip"))
    data, start = (path, len(header)) if not named else (_beside(path, named), 0)
    encoding = _nrrd_value(header, rb"encoding").lower()
    _require_one_file(data, packed, encoding in NRRD_TEXT)
    if lines and data is not None:
        start = _after_lines(data, start, lines)
    if skip == -1 and data is not None:
        start = _at_end(data, voxels_bytes)
    if encoding in NRRD_TEXT:
        require_text(data, start, voxels_bytes // number_bytes)
    text = not packed and encoding != "raw"
    # Text takes more bytes than its voxels, by how many nobody says: its numbers are counted above.
    before = max(skip, 0)
    return Stored(NRRD, data, start, before, 0 if text else before + voxels_bytes, packed, header)


def _nrrd_value(header: bytes, name: bytes) -> str:
    found = re.search(rb"^" + name + rb":[ \t]*([^\r\n]*)", header, re.M | re.I)
    return found[1].decode(errors="replace").strip() if found else ""


def _metaimage(path: Path, head: bytes, voxels_bytes: int, number_bytes: int) -> Stored:
    found = re.search(rb"^\s*ElementDataFile\s*=[ \t]*([^\r\n]*)\r?\n?", head, re.M)
    named = found[1].decode(errors="replace").strip() if found else ""
    header = head[: found.end()] if found else head
    packed = re.search(rb"^\s*CompressedData\s*=\s*[Tt1]", header, re.M) is not None
    text = re.search(rb"^\s*BinaryData\s*=\s*[Ff0]", header, re.M) is not None
    skip = re.search(rb"^\s*HeaderSize\s*=\s*(-?\d+)", header, re.M)
    local = named.upper() == "LOCAL"
    data = path if local else _beside(path, named)
    start = len(header) if local else int(skip[1]) if skip else 0
    if start == -1 and data is not None:
        start = _at_end(data, voxels_bytes)
    _require_one_file(data, packed, text)
    if text:
        require_text(data, start, voxels_bytes // number_bytes)
    return Stored(METAIMAGE, data, start, 0, 0 if text else voxels_bytes, packed, header)


def _beside(path: Path, named: str) -> Path | None:
    """The one file that a header names; None for a list or a pattern of several. ValueError without it."""
    if named.upper().startswith("LIST") or "%" in named:
        return None
    data = path.parent / named
    if not data.is_file():
        raise ValueError(tr("a header without its file {file}", file=Path(named).name))
    return data


def _require_one_file(data: Path | None, packed: bool, text: bool) -> None:
    if data is None and (packed or text):
        raise ValueError(
            tr("packed voxels in several files" if packed else "voxels as text in several files")
        )


def _after_lines(data: Path, start: int, lines: int) -> int:
    with data.open("rb") as stream:
        stream.seek(start)
        for _ in range(lines):
            if not stream.readline(LARGEST_HEADER_BYTES):
                break
        return stream.tell()


def _at_end(data: Path, voxels_bytes: int) -> int:
    """Where voxels begin that end with their file, behind a header of any length."""
    return max(0, data.stat().st_size - voxels_bytes)


def bytes_of(pixel_id: int) -> int:
    """Bytes of one number of a SimpleITK pixel type, vector or not."""
    return sitk.Image([1, 1], pixel_id).GetSizeOfPixelComponent()


def head_of(path: Path, most: int = LARGEST_HEADER_BYTES) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as stream:
        return stream.read(most)
