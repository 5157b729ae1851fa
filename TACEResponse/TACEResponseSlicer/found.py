"""What is in the chosen segments, before anything is predicted; measured on any thread."""

import zlib
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from slicer.i18n import tr as _
from TACEResponseLib.cases import Case, bounding_box
from TACEResponseLib.cases.lesions import Lesions, measure_lesions
from TACEResponseLib.progress import Progress, silent
from TACEResponseLib.readers.phases import phase_of_description

from .node_voxels import NodeVoxels


@dataclass(frozen=True)
class Found:
    """text: lesions, HU, phase, voxels. notes: what to look at. fingerprint: of the tumour's voxels."""

    text: str
    notes: tuple[str, ...]
    lesions: Lesions
    fingerprint: int


def find(voxels: NodeVoxels, progress: Progress = silent) -> Found:
    """Measure the chosen segments; raises what `Case` refuses.

    Only the tumour's surroundings are copied, so that it is quick enough while the user draws.
    """
    case = voxels.case(margin_voxels=2, progress=progress)
    image, mask = (sitk.GetArrayViewFromImage(volume) for volume in (case.image, case.mask))
    lesions = measure_lesions(case)
    text = found_text(
        lesions, case.spacing_mm, float(np.median(image[mask > 0])), phase_of_description(voxels.image_name)
    )
    progress("measuring the lesions", 1, 1)
    return Found(text, tuple(str(note) for note in case.warnings), lesions, fingerprint(case))


def fingerprint(case: Case) -> int:
    """A number that changes with the tumour's outline, its place, and the HU in its box."""
    box = bounding_box(sitk.GetArrayViewFromImage(case.mask))
    first = [side.start for side in box[::-1]]
    place_mm = np.round(case.image.TransformIndexToPhysicalPoint(first), 3) + 0.0  # no minus zero
    number = zlib.crc32(np.round([*place_mm, *case.spacing_mm], 3).tobytes())
    for volume in (case.mask, case.image):
        number = zlib.crc32(np.ascontiguousarray(sitk.GetArrayViewFromImage(volume)[box]), number)
    return number


def found_text(lesions: Lesions, spacing_mm, median_hu: float, phase: str | None) -> str:
    """The line under the segments. median_hu: in the tumour. phase: what the volume's name says."""
    number = _("1 lesion") if lesions.number == 1 else _("{n} lesions").format(n=lesions.number)
    spacing = " x ".join(f"{s:.2g}" if s < 1 else f"{s:.1f}" for s in spacing_mm)
    text = _(
        "{number}, largest {diameter:.1f} mm axial, {volume:.1f} mL; median {hu:.0f} HU; voxels {spacing} mm"
    ).format(
        number=number,
        diameter=lesions.largest_diameter_mm,
        volume=lesions.volume_ml,
        hu=median_hu,
        spacing=spacing,
    )
    return text if phase is None else f"{text}; {_('named as {phase} phase').format(phase=phase)}"
