"""The card of a model that was updated at another hospital: what was changed, above the original's card.

It is English in every language of the program, for the reason that `model_card` gives; `update_sentence` is
also for a terminal, in the reader's language.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from TACEResponseLib.answer.prediction import DEMONSTRATION
from TACEResponseLib.messages.language import in_language, mark, tr
from TACEResponseLib.models.combination import title

if TYPE_CHECKING:
    from TACEResponseLib.answer.response_model import ResponseModel
    from TACEResponseLib.statistics.updating import Update

METHODS = {
    "none": mark("nothing was estimated again"),
    "intercept": mark("the intercept"),
    "slope": mark("intercept and slope"),
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
    where = tr("at another hospital")
    if origin.centers:
        where = tr("at {centers}", centers=tr(" and ").join(origin.centers))
    return tr(
        "Updated {where} from bundle {bundle} on {patients} patients, {responders} of them responders. "
        "Chosen for {model}: {choice}; threshold {now:.3f}, before it {before:.3f}.",
        where=where,
        bundle=origin.bundle_id,
        patients=update.patients,
        responders=update.responders,
        model=title(model.headline),
        choice=_choice(update),
        now=now,
        before=before,
    )


def _choice(update: "Update") -> str:
    """What was estimated again and why; the reason stands in the bundle as it was written there."""
    method = tr("{method} ({reason})", method=tr(METHODS[update.method]), reason=update.reason)
    if update.method == "none":
        return method
    return tr(
        "{method}, shrinkage {shrinkage:.3f}, log-odds = {intercept:+.3f} {slope:+.3f} x log-odds of the "
        "original",
        method=method,
        shrinkage=update.shrinkage,
        intercept=update.intercept,
        slope=update.slope,
    )


@in_language("en")
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
