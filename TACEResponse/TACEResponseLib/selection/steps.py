"""STEPS: the one table of what happens to the features before the models see them, in this order."""

from TACEResponseLib.settings import TrainingSettings

from .harmonisation import Harmonise
from .select import Select
from .step import Step

STEPS: dict[str, Step] = {step.name: step for step in (Harmonise(), Select())}


def configured(settings: TrainingSettings) -> tuple[Step, ...]:
    """The steps that the settings ask for, in order."""
    steps = (step.configured(settings) for step in STEPS.values())
    return tuple(step for step in steps if step is not None)
