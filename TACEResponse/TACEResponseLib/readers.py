"""Files to images: NIfTI, NRRD, MetaImage, DICOM series folders, `.seg.nrrd` and DICOM SEG.

`read_case` is the door: two paths in, a checked `Case` out. Masks keep their own grid here;
`cases.make_case` brings them to the CT's. A file that cannot be read is an InputError naming it.
"""

import gzip
import os
import zlib
from pathlib import Path

import SimpleITK as sitk

from .cases import Case, choose_segments, make_case
from .dicom import is_dicom, read_segmentation, read_series, segment_names
from .errors import InputError, MaskError, TACEResponseError


def read_case(
    patient_id: str,
    image_path: str | os.PathLike,
    mask_path: str | os.PathLike,
    *,
    label: int | str | None = None,
    segment: str | None = None,
    series: str | None = None,
) -> Case:
    """Read a CT and a tumour mask and check them into a Case.

    image_path: a volume file or a folder with a DICOM series. mask_path: a labelmap file, a
    `.seg.nrrd`, or a DICOM SEG file. label: the mask value of the tumour or `"all"`. segment: the
    name of the segment (`"all"` for their union) in formats that have names. series: SeriesInstanceUID
    or description where the folder holds several.

    Raises InputError (file missing or unreadable), GeometryError, MaskError or IntensityError.
    """
    image_path, mask_path = Path(image_path), Path(mask_path)
    try:
        image, image_source = read_image(image_path, series=series)
        mask, mask_source, cropped_is_normal = read_mask(mask_path, segment=segment)
        return make_case(
            patient_id,
            image,
            mask,
            label=1 if mask_source.get("segment") else label,
            cropped_is_normal=cropped_is_normal,
            provenance={"image": image_source, "mask": mask_source},
        )
    except TACEResponseError as error:
        field = error.problem.field
        file = {"image": image_path.name, "mask": mask_path.name, "label": mask_path.name}.get(field, "")
        raise error.about(patient_id=patient_id, file=file) from None


def read_image(path: Path, *, series: str | None = None) -> tuple[sitk.Image, dict]:
    """A CT from a volume file or a DICOM folder, with where it came from as JSON types."""
    path = _existing(path, "image")
    if path.is_dir():
        return read_series(path, series)
    return _read_volume(path, "image"), {"file": path.name}


def read_mask(path: Path, *, segment: str | None = None) -> tuple[sitk.Image, dict, bool]:
    """A mask on its own grid, where it came from, and whether its format crops to the tumour.

    With named segments the result is 0/1 for the chosen one; a labelmap keeps its labels.
    """
    path = _existing(path, "mask")
    if is_dicom(path):
        mask, name = read_segmentation(path, segment)
        return mask, {"file": path.name, "segment": name}, True
    mask = _read_volume(path, "mask")
    names = _segments_of_nrrd(mask)
    if not names:
        if segment is not None:
            raise MaskError(
                "the mask's format has no segment names",
                field="mask",
                expected=f'a segment named "{segment}"',
                received="a labelmap",
                remedy="choose the tumour by its label instead",
            )
        return mask, {"file": path.name}, False
    chosen = choose_segments(list(names), segment)
    mask = _union(mask, [names[name] for name in chosen])
    return mask, {"file": path.name, "segment": ", ".join(chosen)}, True


def list_segments(path: str | os.PathLike) -> list[str]:
    """Names of the segments in a `.seg.nrrd` or DICOM SEG; empty for a plain labelmap."""
    path = _existing(Path(path), "mask")
    return segment_names(path) if is_dicom(path) else list(_segments_of_nrrd(_read_volume(path, "mask")))


def _existing(path: Path, field: str) -> Path:
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


def _read_volume(path: Path, field: str) -> sitk.Image:
    """One volume file through SimpleITK; its multi-line exceptions become one sentence."""
    try:
        volume = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("sitk::ERROR: ").strip()
        raise _unreadable(path, field, reason[:200]) from None
    if path.name.endswith((".nii", ".nii.gz")):
        _require_whole_nifti(path, field, volume)
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


def _segments_of_nrrd(mask: sitk.Image) -> dict[str, tuple[int, int]]:
    """Segment name -> (layer, label value) as Slicer writes them into a `.seg.nrrd` header."""
    segments: dict[str, tuple[int, int]] = {}
    number = 0
    while mask.HasMetaDataKey(f"Segment{number}_ID"):

        def entry(key: str, default: str, prefix: str = f"Segment{number}_") -> str:
            return mask.GetMetaData(prefix + key) if mask.HasMetaDataKey(prefix + key) else default

        name = entry("Name", entry("ID", ""))
        segments[name] = (int(entry("Layer", "0")), int(entry("LabelValue", str(number + 1))))
        number += 1
    return segments


def _union(mask: sitk.Image, places: list[tuple[int, int]]) -> sitk.Image:
    """0/1 mask of the given (layer, label value) pairs; overlapping segments lie in layers."""
    several_layers = mask.GetNumberOfComponentsPerPixel() > 1
    inside = None
    for layer, value in places:
        labels = sitk.VectorIndexSelectionCast(mask, layer) if several_layers else mask
        segment = labels == value
        inside = segment if inside is None else inside | segment
    return inside
