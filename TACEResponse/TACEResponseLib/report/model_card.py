"""The model card: what a bundle was trained on and how well it did, in words, with its limits first.

A card is part of its bundle, whose identity is a hash, and goes to other hospitals: it is English in every
language of the program, and so is what other rooms say in it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from TACEResponseLib.answer.certainty import COVERAGE
from TACEResponseLib.answer.prediction import DEMONSTRATION
from TACEResponseLib.messages.language import in_language
from TACEResponseLib.models.combination import title

from .outlines import about_outlines

if TYPE_CHECKING:
    from TACEResponseLib.answer.response_model import ResponseModel
    from TACEResponseLib.training.run import Trained


def save_trained(trained: "Trained", folder: Path, about: str = "") -> Path:
    """Write the bundle of a training run with its card; its path. about: as in `model_card`."""
    from TACEResponseLib.bundle import save_bundle

    return save_bundle(folder, trained.model, trained.reliability, model_card(trained, about))


@in_language("en")
def model_card(trained: "Trained", about: str = "") -> str:
    """Markdown; the first line says whether the model is for patients at all, then how good it is.

    about: what whoever trains it has to say of its cohort, in lines; stands before everything else that
    is known.
    """
    from . import evaluation_rows
    from .headline import headline
    from .study import Study

    model, settings = trained.model, trained.model.settings
    first = DEMONSTRATION if model.demonstration else "For research use only; not a medical device."
    training = trained.training
    rows = [row for row in evaluation_rows(trained) if not row["center"]]
    table = [
        f"| {title(row['model'])} | {row['estimate'].replace('_', ' ')} | {row['n']} "
        f"| {row['auc']:.3f} ({row['ci_low']:.3f} to {row['ci_high']:.3f}) |"
        for row in rows
        if row["estimate"] != "resubstitution"
    ]
    repeats = "1 repeat" if settings.repeats == 1 else f"{settings.repeats} repeats"
    lines = [
        first,
        "",
        "# Model card",
        "",
        *(f"{line.strip()}\n" for line in about.splitlines() if line.strip()),
        headline(Study.of_training(trained), in_card=True),
        "",
        "Answers: how likely is an objective response (mRECIST CR or PR) of hepatocellular carcinoma to "
        "the first transarterial chemoembolization, from a contrast CT before it and a tumour mask.",
        "",
        f"Trained on {len(training)} patients, {training.outcome.responders} of them responders; "
        f"recipe `{settings.preset}`, {settings.folds} folds, {repeats}, "
        f"seed {settings.seed}, {_about_features(model)}.",
        f"Reliability: {_about_readers(trained)}.",
        *about_outlines(model.training),
        f"Headline: {title(model.headline)}, cut-off {model.thresholds[model.headline]:.3f} "
        "(median of the folds' Youden thresholds); "
        "calibration logistic, one slope with an intercept a fold.",
        f"Beside an answer stand those of the {len(model.fold_fits)} models of the folds (instability), the "
        f"conformal set at {100 * COVERAGE:.0f} % coverage and a verdict on whether the case is similar to "
        "the training patients.",
        "",
        *_about_uninformative(trained.record.out_of_fold.uninformative),
        *_about_selected(model.models.selected),
        "| model | estimate | patients | AUC (95 % CI) |",
        "|---|---|---|---|",
        *table,
        "",
        "Out of fold: each patient was scored by models that had not seen the patient. External: the "
        "validation part of the cohort, looked at once, after training.",
        "",
        f"Limits: one recipe, {_sources(trained)}. Not evaluated on any other scanner, phase or "
        "treatment than those of its cohort. " + first,
    ]
    return "\n".join(lines) + "\n"


def _about_readers(trained: "Trained") -> str:
    """How many features two readers' outlines agreed on."""
    found, rule = trained.reliability, trained.model.settings.reliability
    if found is None:
        return "no second reader; every feature was used"
    return (
        f"{len(found.kept_features)} of {len(found.features)} features with {rule.form} above "
        f"{rule.threshold} ({len(found.patients)} patients, two readers)"
    )


def _about_selected(selected: tuple[str, ...]) -> list[str]:
    if not selected:
        return []
    return ["Selected features:", "", *(f"- `{name}`" for name in selected), ""]


def _sources(trained: "Trained") -> str:
    """How many centres the images came from, as far as the cohort's table says."""
    groups = filter(None, (trained.training, trained.external))
    centers = {center for group in groups for center in group.table.centers if center}
    return f"images of {len(centers)} centres" if len(centers) > 1 else "one source of images"


def _about_features(model: "ResponseModel") -> str:
    if model.extraction_known:
        return f"radiomics engine {model.engine}"
    return "features from a table that does not say how they were extracted"


def _about_uninformative(models: tuple[str, ...]) -> list[str]:
    if not models:
        return []
    names = ", ".join(map(title, models))
    return [f"Left out, since with so few patients they gave everybody the same score: {names}.", ""]
