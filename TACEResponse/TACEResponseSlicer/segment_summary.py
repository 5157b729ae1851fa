"""What is in the chosen segments, before anything is predicted; measured on any thread."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from TACEResponseLib.answer import words
from TACEResponseLib.answer.phases import phase_title
from TACEResponseLib.cases import Case
from TACEResponseLib.cases.fingerprint import tumour_fingerprint
from TACEResponseLib.cases.lesions import Lesions, measure_lesions

from .node_voxels import NodeVoxels
from .texts import tr as _


@dataclass(frozen=True)
class SegmentSummary:
    """text: lesions, HU, phase, voxels. notes: what to look at. fingerprint: of the tumour's voxels.

    measured_phase: what aorta and portal vein show, "" where they are not drawn.
    """

    text: str
    notes: tuple[str, ...]
    lesions: Lesions
    fingerprint: int
    measured_phase: str = ""


def summarize(voxels: NodeVoxels, report=lambda: None) -> SegmentSummary:
    """Measure the chosen segments; raises what `Case` refuses, and what `report()` does.

    Only the tumour's surroundings are copied, so that it is quick enough while the user draws.
    """
    case = voxels.case(margin_voxels=2, progress=lambda *step: report())
    lesions = measure_lesions(case)
    notes = tuple(str(note) for note in case.warnings)
    source = case.provenance["image"]
    phase = source["phase"] if "vessels" in source else ""
    return SegmentSummary(summary_text(case, lesions), notes, lesions, tumour_fingerprint(case), phase)


def summary_text(case: Case, lesions: Lesions) -> str:
    """The line under the segments: lesions, median HU in them, voxel size, and the phase of contrast."""
    image, mask = (sitk.GetArrayViewFromImage(volume) for volume in (case.image, case.mask))
    spacing = " x ".join(f"{s:.2g}" if s < 1 else f"{s:.1f}" for s in case.spacing_mm)
    text = _("{lesions}; median {hu:.0f} HU; voxels {spacing} mm").format(
        lesions=words.lesions(lesions), hu=float(np.median(image[mask > 0])), spacing=spacing
    )
    source = case.provenance["image"]
    if "phase" not in source:
        return text
    phase = phase_title(source["phase"])
    if "vessels" in source:
        known = _("{phase} phase ({how})").format(phase=phase, how=source["vessels"])
    else:
        known = _("named as {phase} phase").format(phase=phase)
    return f"{text}{_('; ')}{known}"
