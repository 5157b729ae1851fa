"""Contrast phases of a liver CT: what a description says, and what the vessels show.

The model reads the arterial phase, as the paper does. In the native phase no vessel is bright; in
the arterial phase the aorta is far brighter than the portal vein; in the portal venous phase both
are about as bright; later both fade. The limits below are round numbers between those states, not
a published rule: a phase that they name is a reason to look, never an error.
"""

import re
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.messages.language import mark, tr

#: The phases by name; `tr` says one in the reader's language.
ARTERIAL, PORTAL, DELAYED, NATIVE = PHASES = (
    mark("arterial"),
    mark("portal venous"),
    mark("delayed"),
    mark("native"),
)
#: Unenhanced blood measures 30 to 60 HU; above this there is contrast medium in a vessel.
ENHANCED_HU = 90
#: The arterial phase: the aorta is brighter than the portal vein by at least this factor.
ARTERIAL_RATIO = 1.3
#: The portal venous phase: the portal vein is at least this bright; later it is not.
PORTAL_HU = 120
#: How descriptions name the phases, in the order in which they are looked for.
_WORDS = (
    (NATIVE, r"native|nativ|unenhanced|non.?contrast|without|w/?o\b|\bpre\b(?!.?tace)|平扫"),
    (DELAYED, r"delay|equilibrium|tardi|spät|延迟期?"),
    (PORTAL, r"portal|venous|\bpvp?\b|\bvp\b|venös|veineux|门静?脉期?"),
    (ARTERIAL, r"arteri|artéri|\bart\b|\bhap\b|动脉期?"),
)
_AORTA = re.compile(r"aorta|主动脉", re.I)
_PORTAL_VEIN = re.compile(r"portal.?vein|vena.?porta|pfortader|门静?脉", re.I)


@dataclass(frozen=True)
class VesselEnhancement:
    """Median HU inside the segments of the aorta and the portal vein."""

    aorta_hu: float
    portal_vein_hu: float

    @property
    def phase(self) -> str:
        """The phase that those two values look like."""
        if self.aorta_hu < ENHANCED_HU:
            return NATIVE
        if self.aorta_hu >= ARTERIAL_RATIO * self.portal_vein_hu:
            return ARTERIAL
        return PORTAL if self.portal_vein_hu >= PORTAL_HU else DELAYED

    def __str__(self) -> str:
        return tr(
            "aorta {aorta:.0f} HU, portal vein {portal_vein:.0f} HU",
            aorta=self.aorta_hu,
            portal_vein=self.portal_vein_hu,
        )


def phase_of_description(description: str) -> str | None:
    """The one phase that a series description names; None when it names none or several."""
    named = [phase for phase, words in _WORDS if re.search(words, description, re.I)]
    return named[0] if len(named) == 1 else None


def vessel_segments(names: list[str]) -> tuple[str, str] | None:
    """The names of the aorta's and the portal vein's segment; None unless both are there."""
    aorta = next((n for n in names if _AORTA.search(n)), None)
    portal_vein = next((n for n in names if _PORTAL_VEIN.search(n)), None)
    return None if aorta is None or portal_vein is None else (aorta, portal_vein)


def measure_vessels(
    image: sitk.Image, aorta: sitk.Image, portal_vein: sitk.Image
) -> VesselEnhancement | None:
    """What the vessels measure on `image`; None when one of them does not reach into it.

    The masks may lie on grids of their own; nearest neighbour brings them to the CT.
    """
    medians = []
    for mask in (aorta, portal_vein):
        on_grid = sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
        inside = sitk.GetArrayViewFromImage(image)[sitk.GetArrayViewFromImage(on_grid) > 0]
        if inside.size == 0:
            return None
        medians.append(float(np.median(inside)))
    return VesselEnhancement(*medians)


def provenance_of_phase(vessels: VesselEnhancement | None, description: str) -> dict[str, str]:
    """What a case keeps: `phase` by the vessels or else by the description, `vessels`; {} without either."""
    if vessels is not None:
        return {"phase": vessels.phase, "vessels": str(vessels)}
    phase = phase_of_description(description)
    return {} if phase is None else {"phase": phase}


def phase_warning(vessels: VesselEnhancement | None, description: str) -> list[Problem]:
    """A warning when the CT is not arterial, by its vessels or else by its description."""
    phase = provenance_of_phase(vessels, description).get("phase", ARTERIAL)
    if phase == ARTERIAL:
        return []
    seen = tr('series "{description}"', description=description) if vessels is None else str(vessels)
    return [
        Problem(
            "phase",
            tr("the CT looks like the {phase} phase", phase=tr(phase)),
            field="image",
            expected=tr("the arterial phase"),
            received=seen,
            remedy=tr("choose the arterial series if there is one"),
            severity="warning",
        )
    ]
