"""LEARNERS: the one table of models. A new model is a file of its own and a line here.

Names and titles of models are read from here by fusion, bundle, report and panel.
"""

from collections.abc import Iterable

from TACEResponseLib.messages.errors import SettingsError
from TACEResponseLib.messages.language import listed, tr
from TACEResponseLib.settings import TrainingSettings

from .classical import CLASSIFIERS, Classical
from .cnn import Cnn
from .contract import Learner
from .extra_trees import ExtraTrees
from .size import Size

LEARNERS: dict[str, Learner] = {
    learner.name: learner for learner in (Size(), *map(Classical.of, CLASSIFIERS), ExtraTrees(), Cnn())
}


def configured(settings: TrainingSettings) -> tuple[Learner, ...]:
    """The learners that the settings name, in the order of LEARNERS; SettingsError for a foreign name."""
    unknown = [name for name in settings.models if name not in LEARNERS]
    if unknown:
        raise SettingsError(
            tr("no model has this name"),
            field="models",
            expected=listed(LEARNERS),
            received=listed(unknown),
        )
    return tuple(
        learner.configured(settings) for name, learner in LEARNERS.items() if name in settings.models
    )


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names of models in the order of LEARNERS."""
    names = set(names)
    return tuple(name for name in LEARNERS if name in names)
