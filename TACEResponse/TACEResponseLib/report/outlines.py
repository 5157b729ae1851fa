"""What a report says of outlines: whose they are, and what another column of masks would change."""

from typing import TYPE_CHECKING

from TACEResponseLib.cases.outline import Outline
from TACEResponseLib.messages.language import listed, tr

if TYPE_CHECKING:
    from TACEResponseLib.answer.response_model import TrainingPatients


def about_outlines(training: "TrainingPatients") -> list[str]:
    """A line for the model card on who made the outlines of the training patients; none where nobody knows."""
    counts = training.outlines
    if not counts:
        return []
    said = [tr("{history}: {n}", history=Outline(source).history(), n=n) for source, n in counts.items()]
    unknown = len(training.patient_ids) - sum(counts.values())
    if unknown:
        said.append(tr("not known: {n}", n=unknown))
    return [tr("Outlines of the training patients: {counts}.", counts=listed(said))]
