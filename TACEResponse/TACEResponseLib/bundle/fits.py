"""The files of one fit, steps and models, in a folder of its own: `fit.json` and a file a model."""

from pathlib import Path

from TACEResponseLib.messages.language import listed, tr
from TACEResponseLib.models.calibrated import CalibratedFit
from TACEResponseLib.models.combination import Combination
from TACEResponseLib.models.fold_models import FoldModels
from TACEResponseLib.models.learners import LEARNERS
from TACEResponseLib.selection.steps import STEPS

from .reading import damaged, read_json, write_json

FIT, FUSION = "fit.json", "fusion.json"


def write_fit(folder: Path, fitted: FoldModels) -> None:
    """Write steps, models, and which features each model looks at."""
    folder.mkdir(parents=True)
    steps = {name: step.to_json() for name, step in fitted.steps.items()}
    features = {name: list(model.features) for name, model in fitted.models.items()}
    write_json(folder / FIT, {"steps": steps, "features": features})
    for model in fitted.models.values():
        model.save(folder)


def write_calibrated(folder: Path, fit: CalibratedFit) -> None:
    """Write a fit with its own combinations."""
    write_fit(folder, fit.models)
    write_json(folder / FUSION, {name: c.to_json() for name, c in fit.combinations.items()})


def read_calibrated(folder: Path) -> CalibratedFit:
    """What `write_calibrated` wrote."""
    content = read_json(folder / FUSION)
    return CalibratedFit(read_fit(folder), {name: Combination.from_json(c) for name, c in content.items()})


def read_fit(folder: Path) -> FoldModels:
    """What `write_fit` wrote; BundleError when a part is missing or foreign."""
    content = read_json(folder / FIT)
    foreign = [n for n in content["steps"] if n not in STEPS] + [
        n for n in content["features"] if n not in LEARNERS
    ]
    if foreign:
        raise damaged(folder / FIT, listed(foreign), listed((*STEPS, *LEARNERS)))
    steps = {name: STEPS[name].from_json(of) for name, of in content["steps"].items()}
    models = {}
    for name, features in content["features"].items():
        models[name] = LEARNERS[name].load(folder, tuple(map(str, features)))
        if models[name] is None:
            raise damaged(folder, tr("no file of the model {name}", name=name))
    return FoldModels(steps, models)
