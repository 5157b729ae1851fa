"""DICOM SEG to masks: any segment by name, through highdicom.

Frames may be sparse, stacked segment by segment, overlapping, fractional or a labelmap; the
positions in the file decide where a frame lies, never its number.
"""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.errors import GeometryError, MaskError, Problem

from .dicom_open import LABEL_MAP, SEGMENTATION, reading_dicom
from .gate import Claims, admit

#: A voxel of a fractional segment counts as inside from this share or probability on.
INSIDE_FROM = 0.5


def open_segmentation(path: Path):
    """Names of the segments in order, and numbers in that list -> (their union as 0/1, no warnings).

    Raises MaskError when the file is no segmentation, InputError when it is damaged. The reading
    raises GeometryError when the frames do not form a volume.
    """
    with reading_dicom(path, "mask"):
        segmentation = _open(path)
        described = [s for s in segmentation.SegmentSequence if int(s.SegmentNumber) > 0]  # 0: background
        segments = [(str(s.SegmentLabel), int(s.SegmentNumber)) for s in described]

    def voxels(chosen: list[int]) -> tuple[sitk.Image, list[Problem]]:
        return _union(path, segmentation, [segments[n][1] for n in chosen]), []

    return [name for name, _ in segments], voxels


def _union(path: Path, segmentation, numbers: list[int]) -> sitk.Image:
    """The union of the numbered segments of an open segmentation, 0/1."""
    with reading_dicom(path, "mask"):
        if segmentation.get_volume_geometry(allow_missing_positions=True) is None:
            raise GeometryError(
                "the segmentation's frames do not form a volume",
                field="mask",
                file=path.name,
                expected="evenly spaced parallel frames",
                received="frames at uneven positions or in several directions",
                remedy="export the segmentation again",
            )
        volume = segmentation.get_volume(segment_numbers=numbers)
    inside = (np.asarray(volume.array) >= INSIDE_FROM).any(axis=-1).astype(np.uint8)
    mask = sitk.GetImageFromArray(inside)
    _set_geometry(mask, np.asarray(volume.affine, dtype=float))
    planes, rows, columns = volume.spatial_shape[0], int(segmentation.Rows), int(segmentation.Columns)
    return admit(mask, Claims(path, "mask", (columns, rows, planes))).volume


def _open(path: Path):
    import highdicom
    import pydicom

    dataset = pydicom.dcmread(path, force=True)
    if dataset.get("SOPClassUID") not in (SEGMENTATION, LABEL_MAP):
        raise MaskError(
            "the DICOM file is not a segmentation",
            field="mask",
            file=path.name,
            expected="a DICOM SEG or RTSTRUCT",
            received=f"Modality {dataset.get('Modality', 'unknown')}",
            remedy="choose a DICOM SEG or RTSTRUCT, or a labelmap in NIfTI or NRRD",
        )
    return highdicom.seg.Segmentation.from_dataset(dataset, copy=False)


def _set_geometry(image: sitk.Image, affine: np.ndarray) -> None:
    """Give `image`, whose array axes are (frame, row, column), the LPS affine of those indices."""
    # SimpleITK indexes x, y, z = column, row, frame.
    axes = affine[:3, [2, 1, 0]]
    spacing = np.linalg.norm(axes, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((axes / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
