"""What a report says of outlines: whose they are, and what a second column of masks would change."""

from typing import TYPE_CHECKING

import numpy as np

from TACEResponseLib.cases.outline import Outline
from TACEResponseLib.messages.language import listed, mark, several, tr
from TACEResponseLib.statistics.intervals import AucInterval
from TACEResponseLib.training.outlines import FIRST, TwoOutlines

from .drawing import COLOURS, GREY, MARKERS, Drawing, Mark, canvas
from .study import Study
from .table import Table, p_text

if TYPE_CHECKING:
    from TACEResponseLib.answer.response_model import TrainingPatients

#: Key of the headline's row of `evaluation.json` under which the comparison stands.
KEY = "second_outline"
#: Of values over patients: the median, and between what nine in ten of them lie.
MIDDLE_90 = (0.5, 0.05, 0.95)
#: Patients who change their class that a sentence names.
MOST_NAMED = 10
#: Columns of the tables as a page names them, for the catalogues.
COLUMNS = (
    mark("outline"),
    mark("above the cut off"),
    mark("median probability"),
    mark("median volume ml"),
    mark("probability first"),
    mark("probability second"),
    mark("change"),
    mark("dice"),
    mark("volume first ml"),
    mark("volume second ml"),
)


def about_outlines(training: "TrainingPatients") -> list[str]:
    """The line of a model card on who made the outlines of the training patients; none where nobody knows."""
    if not training.outlines:
        return []
    counts = {Outline(source).history(): n for source, n in training.outlines.items()}
    counts[tr("not known")] = len(training.patient_ids) - sum(counts.values())
    said = tr("; ").join(tr("{history} ({n})", history=what, n=n) for what, n in counts.items() if n)
    return [tr("Outlines of the training patients: {counts}.", counts=said)]


def outline_tables(study: Study) -> tuple[Table, ...]:
    """The tables of this room, in the order of the page; none where no second outline was asked for."""
    found = study.outlines
    if found is None:
        return ()
    return (_summary(found), _flipped(found), _patients(found), _features(found))


def _summary(found: TwoOutlines) -> Table:
    """A row an outline, and in words what the second one changes."""
    rows = [
        {
            "outline": column,
            "n": len(found.patient_ids),
            **_auc(found.aucs[k]),
            "above_the_cut_off": int((found.probabilities[k] > found.threshold).sum()),
            "median_probability": float(np.median(found.probabilities[k])),
            "median_volume_ml": float(np.median(found.volumes_ml[k])),
        }
        for k, column in enumerate((FIRST, found.column))
    ]
    caption = tr("What the second outline changes: headline model, the same patients")
    return Table("outlines", caption, rows, " ".join(outline_sentences(found)))


def _auc(auc: AucInterval | None) -> dict:
    if auc is None:
        return dict.fromkeys(("auc", "auc_ci_low", "auc_ci_high"))
    return {"auc": auc.auc, "auc_ci_low": auc.ci_low, "auc_ci_high": auc.ci_high}


def outline_sentences(found: TwoOutlines) -> list[str]:
    """What the second outline changes, in words: AUC, probability, classes, overlap, features."""
    median, low, high = np.quantile(found.change, MIDDLE_90)
    overlap, least, most = np.quantile(found.dice, MIDDLE_90)
    return [
        _auc_sentence(found),
        tr(
            "Change of the probability: median {median:+.3f}, 5 to 95 % {low:+.3f} to {high:+.3f}.",
            median=median,
            low=low,
            high=high,
        ),
        _class_sentence(found),
        tr(
            "Dice of the two outlines: median {median:.3f}, 5 to 95 % {low:.3f} to {high:.3f}.",
            median=overlap,
            low=least,
            high=most,
        ),
        _feature_sentence(found),
    ]


def _auc_sentence(found: TwoOutlines) -> str:
    pair = found.difference
    if pair is None:
        return tr("The AUCs were not compared by a test: fewer than ten patients of a class.")
    return tr(
        "AUC with the second outline minus that with the first: {difference:+.3f} "
        "({low:+.3f} to {high:+.3f}), p {p}.",
        difference=pair.difference,
        low=pair.ci_low,
        high=pair.ci_high,
        p=p_text(pair.p),
    )


def _class_sentence(found: TwoOutlines) -> str:
    names = [name for name, flips in zip(found.patient_ids, found.flips, strict=True) if flips]
    if not names:
        return tr("No patient changes the side of the cut-off.")
    shown = listed([*names[:MOST_NAMED], *(["..."] if len(names) > MOST_NAMED else [])])
    return several(
        len(names),
        "1 of {all} patients changes the side of the cut-off: {names}.",
        "{n} of {all} patients change the side of the cut-off: {names}.",
        all=len(found.patient_ids),
        names=shown,
    )


def _feature_sentence(found: TwoOutlines) -> str:
    if found.agreement is None:
        return tr("The agreement of the features was not measured: {why}.", why=found.no_agreement)
    kept, settings = set(found.agreement.kept_features), found.agreement.settings
    return tr(
        "{kept} of {all} features have an {form} above {threshold:g} between the outlines, "
        "{used} of the {needed} that the model looks at.",
        kept=len(kept),
        all=len(found.agreement.features),
        form=settings.form,
        threshold=settings.threshold,
        used=len(kept & set(found.used)),
        needed=len(found.used),
    )


def _row(found: TwoOutlines, k: int) -> dict:
    """Everything of one patient."""
    return {
        "patient_id": found.patient_ids[k],
        "label": int(found.outcome.labels[k]),
        "probability_first": float(found.probabilities[0, k]),
        "probability_second": float(found.probabilities[1, k]),
        "change": float(found.change[k]),
        "other_class": bool(found.flips[k]),
        "dice": float(found.dice[k]),
        "volume_first_ml": float(found.volumes_ml[0, k]),
        "volume_second_ml": float(found.volumes_ml[1, k]),
    }


def _flipped(found: TwoOutlines) -> Table:
    rows = [_row(found, k) for k in np.flatnonzero(found.flips)]
    rows = [{name: cell for name, cell in row.items() if name != "other_class"} for row in rows]
    caption = tr("Patients whom the second outline puts on the other side of the cut-off")
    note = tr("Cut-off {cut:.3f}; label 1: responder.", cut=found.threshold)
    return Table("outlines_other_class", caption, rows, note, "" if rows else tr("none"))


def _patients(found: TwoOutlines) -> Table:
    rows = [_row(found, k) for k in range(len(found.patient_ids))]
    caption = tr("Both outlines, patient by patient")
    note = tr("First: the column {first}; second: {second}.", first=FIRST, second=found.column)
    return Table("outlines_patients", caption, rows, note)


def _features(found: TwoOutlines) -> Table:
    caption = tr("Agreement of the features between the outlines")
    rows = [] if found.agreement is None else found.agreement.rows()
    rows = [{**row, "used": row["feature"] in found.used} for row in rows]
    return Table("outlines_features", caption, rows, absent=found.no_agreement)


def draw_outlines(study: Study) -> tuple[Drawing, ...]:
    """The probability by one outline against the other with the cut-off, and its change against the Dice."""
    found = study.outlines
    if found is None:
        return ()
    figure, (both, change) = canvas(4.3, 2)
    labels, (first, second) = found.outcome.labels, found.probabilities
    for value, text in ((1, tr("responder")), (0, tr("non-responder"))):
        chosen = labels == value
        style = {"ls": "", "marker": MARKERS[value], "color": COLOURS[value], "ms": 5, "alpha": 0.8}
        both.plot(first[chosen], second[chosen], label=text, **style)
        change.plot(found.dice[chosen], found.change[chosen], **style)
    flips = found.flips
    ring = {"ls": "", "marker": "o", "mfc": "none", "color": "black", "ms": 10}
    both.plot(first[flips], second[flips], label=tr("other side of the cut-off"), **ring)
    change.plot(found.dice[flips], found.change[flips], **ring)
    both.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    cut = tr("cut-off {number:.3f}", number=found.threshold)
    both.axvline(found.threshold, color=GREY, lw=1, ls="--", label=cut)
    both.axhline(found.threshold, color=GREY, lw=1, ls="--")
    change.axhline(0, color=GREY, lw=0.8, ls=":")
    both.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    both.set_xlabel(tr("probability with {column}", column=FIRST))
    both.set_ylabel(tr("probability with {column}", column=found.column))
    change.set_xlabel(tr("Dice of the two outlines"))
    change.set_ylabel(tr("change of the probability"))
    place = {"loc": "upper left", "bbox_to_anchor": (0, 1.2)}  # not a text
    both.legend(frameon=False, fontsize=8, ncols=2, **place)
    caption = tr("The same patients with two outlines: probability of response, and its change by overlap")
    return (Drawing("figure_outlines", caption, figure, marks=_marks(found, both, change)),)


def _marks(found: TwoOutlines, both, change) -> tuple[Mark, ...]:
    """Each patient on both panels, with both probabilities."""
    return tuple(
        Mark(
            who,
            panel,
            float(x),
            float(y),
            tr(
                "{patient}: {first:.3f} with the first outline, {second:.3f} with the second",
                patient=who,
                first=found.probabilities[0, k],
                second=found.probabilities[1, k],
            ),
        )
        for panel, xs, ys in ((both, *found.probabilities), (change, found.dice, found.change))
        for k, (who, x, y) in enumerate(zip(found.patient_ids, xs, ys, strict=True))
    )


def outline_figures(found: TwoOutlines) -> dict:
    """The comparison for programs, JSON types; stands in `evaluation.json` under KEY. Nobody is named."""
    pair, agreement = found.difference, found.agreement
    change, overlap = (np.quantile(of, MIDDLE_90).tolist() for of in (found.change, found.dice))
    return {
        "column": found.column,
        "n": len(found.patient_ids),
        "left_out": len(found.left_out),
        "auc_first": None if found.aucs[0] is None else found.aucs[0].auc,
        "auc_second": None if found.aucs[1] is None else found.aucs[1].auc,
        "auc_difference": None if pair is None else pair.difference,
        "ci_low": None if pair is None else pair.ci_low,
        "ci_high": None if pair is None else pair.ci_high,
        "p": None if pair is None else pair.p,
        "probability_change": dict(zip(("median", "p5", "p95"), change, strict=True)),
        "dice": dict(zip(("median", "p5", "p95"), overlap, strict=True)),
        "median_volume_ml": np.median(found.volumes_ml, axis=1).tolist(),
        "other_class": int(found.flips.sum()),
        "features": None if agreement is None else len(agreement.features),
        "features_reliable": None if agreement is None else len(agreement.kept_features),
        "features_used": len(found.used),
        "features_used_reliable": None
        if agreement is None
        else len(set(agreement.kept_features) & set(found.used)),
    }
