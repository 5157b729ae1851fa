"""What a report says of outlines: whose they are, and what another column of masks would change."""

from typing import TYPE_CHECKING

from TACEResponseLib.cases.outline import Outline
from TACEResponseLib.messages.language import tr

if TYPE_CHECKING:
    from TACEResponseLib.answer.response_model import TrainingPatients


def about_outlines(training: "TrainingPatients") -> list[str]:
    """The line of a model card on who made the outlines of the training patients; none where nobody knows."""
    if not training.outlines:
        return []
    counts = {Outline(source).history(): n for source, n in training.outlines.items()}
    counts[tr("not known")] = len(training.patient_ids) - sum(counts.values())
    said = tr("; ").join(tr("{history} ({n})", history=what, n=n) for what, n in counts.items() if n)
    return [tr("Outlines of the training patients: {counts}.", counts=said)]
