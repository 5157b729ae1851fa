"""The card of a model that was updated at another hospital: what was changed, above the original's card."""

from pathlib import Path
from typing import TYPE_CHECKING

from TACEResponseLib.answer.prediction import DEMONSTRATION
from TACEResponseLib.models.combination import title

if TYPE_CHECKING:
    from TACEResponseLib.answer.response_model import ResponseModel
    from TACEResponseLib.statistics.updating import Update

METHODS = {
    "none": "nothing was estimated again",
    "intercept": "the intercept",
    "slope": "intercept and slope",
}


def save_updated(model: "ResponseModel", original: Path, folder: Path) -> Path:
    """Write the bundle of an updated model with its card; its path. original: the bundle it comes from."""
    from TACEResponseLib.bundle import read_beside, save_bundle

    card, reliability = read_beside(original)
    return save_bundle(folder, model, reliability, updated_card(model, card))


def update_sentence(model: "ResponseModel") -> str:
    """What the update did to the headline, in words."""
    origin, update = model.origin, model.combinations[model.headline].update
    before, now = (cuts[model.headline] for cuts in (origin.thresholds, model.thresholds))
    where = f"at {' and '.join(origin.centers)}" if origin.centers else "at another hospital"
    return (
        f"Updated {where} from bundle {origin.bundle_id} on {update.patients} patients, "
        f"{update.responders} of them responders. Chosen for {title(model.headline)}: {_choice(update)}; "
        f"threshold {now:.3f}, before it {before:.3f}."
    )


def _choice(update: "Update") -> str:
    if update.method == "none":
        return f"{METHODS['none']} ({update.reason})"
    return (
        f"{METHODS[update.method]} ({update.reason}), shrinkage {update.shrinkage:.3f}, "
        f"log-odds = {update.intercept:+.3f} {update.slope:+.3f} x log-odds of the original"
    )


def updated_card(model: "ResponseModel", original_card: str) -> str:
    """Markdown: the first line of every card, what was updated, and the card of the original.

    original_card: as it stands in the bundle that was updated.
    """
    first, _, rest = original_card.partition("\n")
    updates = {name: combination.update for name, combination in model.combinations.items()}
    rows = [
        f"| {title(name)} | {METHODS[of.method]} | {of.shrinkage:.3f} | {of.intercept:+.3f} | {of.slope:.3f} "
        f"| {model.origin.thresholds[name]:.3f} | {model.thresholds[name]:.3f} |"
        for name, of in updates.items()
    ]
    lines = [
        DEMONSTRATION if model.demonstration else first,
        "",
        "# Updated at another hospital",
        "",
        update_sentence(model),
        "",
        "| model | estimated again | shrinkage | intercept | slope | threshold before | threshold |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        "Log-odds = intercept + slope x log-odds of the original; 0 and 1 change nothing. Shrinkage 1 takes "
        "nothing back of what was estimated, 0 everything. The order of patients, and with it the AUC, is "
        "the original's. No figure of how good the updated model is exists yet: the patients of the update "
        "count as its training patients, and it must be evaluated on others.",
        "",
        "The original's models and combinations stand in this bundle unchanged, the update beside them. "
        "What follows is its own card, with its own thresholds.",
        rest,
    ]
    return "\n".join(lines)
