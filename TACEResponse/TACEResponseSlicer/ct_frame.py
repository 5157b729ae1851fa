"""A CT as an image in its own coordinates, and positions between those and the world's.

A draft is drawn in the CT's own coordinates and stands under the same transform, so that it goes where
the CT goes.
"""

import numpy as np
import SimpleITK as sitk
import slicer
from TACEResponseLib.messages.errors import GeometryError

from . import scene
from .node_voxels import RAS_TO_LPS, image_from_array
from .texts import tr as _


def check(volume) -> None:
    """Raise InputError or GeometryError unless a draft can be drawn on this volume."""
    scene.check_volume_node(volume)
    if not scene.is_linear(volume):
        raise GeometryError(
            _("the CT stands under a transform that is not linear"),
            field="image",
            expected=_("no transform, or a linear one"),
            remedy=_("harden the transform on the CT, then propose again"),
        )


def image_of(volume):
    """A function that makes the SimpleITK image (HU, LPS) of a CT, for any thread; raises as `check`."""
    check(volume)
    voxels, to_ras = slicer.util.arrayFromVolume(volume), scene.ijk_to_ras(volume)
    return lambda: image_from_array(voxels, to_ras)


def lps_of(volume, ras_mm) -> tuple[float, ...]:
    """A position of the world (right, anterior, superior) as one of the CT's image (LPS), both in mm."""
    local = [0.0, 0.0, 0.0]
    volume.TransformPointFromWorld([float(value) for value in ras_mm], local)
    return _other_hand(local)


def ras_of(volume, lps_mm) -> tuple[float, ...]:
    """A position of the CT's image (LPS) as one of the world (right, anterior, superior), both in mm."""
    world = [0.0, 0.0, 0.0]
    volume.TransformPointToWorld(_other_hand(lps_mm), world)
    return tuple(world)


def middle_of(mask: sitk.Image) -> tuple[float, ...]:
    """The middle (LPS, in mm) of a mask in the slice where it is largest."""
    voxels = sitk.GetArrayViewFromImage(mask) > 0
    k = int(voxels.sum(axis=(1, 2)).argmax())
    j, i = np.argwhere(voxels[k]).mean(axis=0)
    return mask.TransformContinuousIndexToPhysicalPoint((float(i), float(j), float(k)))


def _other_hand(point_mm) -> tuple[float, ...]:
    return tuple((RAS_TO_LPS @ (*point_mm, 1.0))[:3].tolist())
