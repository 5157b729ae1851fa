"""Whether two readers drew the same tumour: a flipped or foreign mask is legal, and shows nowhere else."""

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.cases import Case
from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.messages.language import tr

#: Below this Dice coefficient two outlines are hardly of one tumour; readers of liver tumours reach 0.8.
LEAST_DICE = 0.5


def dice(first: Case, second: Case) -> float:
    """Dice coefficient of the masks of two cases of one CT: 2 |A and B| / (|A| + |B|), 0 to 1."""
    one, other = (sitk.GetArrayViewFromImage(case.mask) for case in (first, second))
    shared = np.count_nonzero(one & other)
    return 2 * shared / (np.count_nonzero(one) + np.count_nonzero(other))


def disagreement(first: Case, second: Case) -> list[Problem]:
    """A warning when the second reader's mask lies elsewhere than the first's."""
    agreement = dice(first, second)
    if agreement >= LEAST_DICE:
        return []
    return [
        Problem(
            "mask",
            tr("the second reader's mask lies elsewhere than the first's"),
            field="mask_reader2",
            file=str(second.provenance.get("mask", {}).get("file", "")),
            expected=tr("a Dice coefficient of {least:g} or more", least=LEAST_DICE),
            received=f"{agreement:.2f}",
            remedy=tr("look at both outlines: one may be flipped, or of another tumour"),
            patient_id=first.patient_id,
            severity="warning",
        )
    ]
