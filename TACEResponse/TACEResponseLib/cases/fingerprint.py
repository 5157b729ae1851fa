"""Numbers by which a case is known: whether an answer is about what is drawn, and who holds which case."""

import hashlib
import json
import zlib

import numpy as np
import SimpleITK as sitk

from . import Case, bounding_box


def tumour_fingerprint(case: Case) -> int:
    """A number that changes with the tumour's outline, its place, and the HU in its box.

    The same for a case and for a crop of it around the tumour, so that a quick look while somebody
    draws can be compared with the case that was predicted.
    """
    box = bounding_box(sitk.GetArrayViewFromImage(case.mask))
    first = [side.start for side in box[::-1]]
    place_mm = np.round(case.image.TransformIndexToPhysicalPoint(first), 3) + 0.0  # no minus zero
    number = zlib.crc32(np.round([*place_mm, *case.spacing_mm], 3).tobytes())
    for volume in (case.mask, case.image):
        number = zlib.crc32(np.ascontiguousarray(sitk.GetArrayViewFromImage(volume)[box]), number)
    return number


def case_fingerprint(case: Case) -> str:
    """Forty hexadecimal digits (SHA-1) that change with anything in a case.

    Every voxel of image and mask, their grid, the patient, the provenance, the warnings and the history of
    the outline; about a tenth of a second for 512 x 512 x 100 voxels.
    """
    digest = hashlib.sha1(usedforsecurity=False)
    notes = [str(warning) for warning in case.warnings]
    texts = (case.patient_id, dict(case.provenance), notes, case.outline.to_json())
    digest.update(json.dumps(texts, sort_keys=True, default=str).encode())
    for volume in (case.image, case.mask):
        grid = (volume.GetSize(), volume.GetPixelIDTypeAsString())
        digest.update(repr(grid).encode())
        geometry = (*volume.GetSpacing(), *volume.GetOrigin(), *volume.GetDirection())
        digest.update(np.array(geometry).tobytes())
        digest.update(np.ascontiguousarray(sitk.GetArrayViewFromImage(volume)))
    return digest.hexdigest()
