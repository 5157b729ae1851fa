"""The observed response: mRECIST from the masks of viable tumour before and after TACE.

Targets are lesions of at least 10 mm, at most two in the liver (Lencioni & Llovet, Semin Liver Dis
2010;30:52). A mask of the whole tumour is not viable tumour, so the user has to say that these are.
"""

from dataclasses import dataclass

from TACEResponseLib.cases.lesions import Lesions
from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import tr

SMALLEST_TARGET_MM, MOST_TARGETS = 10.0, 2
#: Thresholds of mRECIST are compared with this tolerance: 33 -> 23.1 mm is PR, plain floats say SD.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class ObservedResponse:
    """mRECIST category, and the sums in mm it follows from. notes: what to look at before trusting it."""

    response: str
    baseline_mm: float
    follow_up_mm: float
    notes: tuple[str, ...] = ()

    def sentence(self) -> str:
        """The sums and the category in words."""
        change = 100 * (self.follow_up_mm / self.baseline_mm - 1)
        return tr(
            "Viable tumour {before:.1f} mm before, {after:.1f} mm after ({change:+.0f} %): {response}",
            before=self.baseline_mm,
            after=self.follow_up_mm,
            change=change,
            response=self.response,
        )


def observed_response(
    baseline: Lesions, follow_up: Lesions | None, *, viable_arterial: bool, new_lesion: bool = False
) -> ObservedResponse:
    """mRECIST of two masks; follow_up None when no viable tumour is left.

    viable_arterial: the user's word that both masks hold viable tumour on the arterial phase; without
    it, and without a lesion that can be measured, InputError is raised.
    """
    if not viable_arterial:
        raise InputError(
            tr("a mask cannot say of itself that it is viable tumour, which mRECIST measures"),
            field="viable_arterial",
            expected=tr("masks of the parts that enhance in the arterial phase"),
            received=tr("masks that may hold the whole tumour, necrosis included"),
            remedy=tr("outline viable tumour on both arterial CTs and say so with --viable-arterial"),
        )
    if follow_up is None and new_lesion:
        raise InputError(
            tr("a new lesion is viable tumour"),
            field="new_lesion",
            received=tr("no viable tumour, and a new lesion"),
            remedy=tr("say either, or give the response as you read it with --response"),
        )
    targets = [mm for mm in baseline.diameters_mm if mm >= SMALLEST_TARGET_MM - TOLERANCE][:MOST_TARGETS]
    if not targets:
        raise InputError(
            tr("no lesion before TACE is large enough for mRECIST"),
            field="baseline_mask",
            expected=tr("viable tumour of at least {smallest:.0f} mm", smallest=SMALLEST_TARGET_MM),
            received=f"{baseline.largest_diameter_mm:.1f} mm",
            remedy=tr("give the response as you read it with --response"),
        )
    left = () if follow_up is None else follow_up.diameters_mm
    # The two CTs lie on different grids and are not registered: the largest parts after stand for the
    # targets, the largest before.
    after_mm = sum(left[: len(targets)])
    response = mrecist_response(sum(targets), after_mm, new_lesion=new_lesion)
    return ObservedResponse(response, sum(targets), after_mm, _notes(len(targets), baseline.number, left))


def _notes(targets: int, before: int, left: tuple[float, ...]) -> tuple[str, ...]:
    """What the sums cannot know, in sentences without full stop."""
    notes = []
    if len(left) > before:
        notes.append(
            tr(
                "{n} viable parts after, {before} before: a new lesion is PD (--new-lesion), pieces "
                "of a treated one are not",
                n=len(left),
                before=before,
            )
        )
    if len(left) > targets:
        notes.append(
            tr(
                "of {n} viable parts after, the largest {targets} stand for the targets",
                n=len(left),
                targets=targets,
            )
        )
    return tuple(notes)


def mrecist_response(
    baseline_mm: float, follow_up_mm: float, smallest_mm: float | None = None, new_lesion: bool = False
) -> str:
    """CR, PR, SD or PD from sums of longest diameters of viable tumour in mm.

    smallest_mm: the smallest sum on study, the baseline when None. CR: nothing viable; PR: at
    least 30 % below baseline; PD: at least 20 % above the smallest sum, or a new lesion.
    """
    smallest_mm = baseline_mm if smallest_mm is None else smallest_mm
    if new_lesion:
        return "PD"
    if follow_up_mm <= TOLERANCE:
        return "CR"
    if follow_up_mm >= 1.2 * smallest_mm - TOLERANCE:
        return "PD"
    if follow_up_mm <= 0.7 * baseline_mm + TOLERANCE:
        return "PR"
    return "SD"
