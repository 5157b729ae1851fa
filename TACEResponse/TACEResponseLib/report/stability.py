"""How much depends on who was in the training cohort: resamples, and a learning curve.

What is computed stands in `training.stability` and `statistics.stability`; here are the words.
"""

from typing import TYPE_CHECKING

import numpy as np

from TACEResponseLib.messages.language import listed, mark, several, tr
from TACEResponseLib.models.combination import title
from TACEResponseLib.statistics.intervals import auc_newcombe
from TACEResponseLib.statistics.stability import Instability, LearningCurve, instability, learning_curve

from .drawing import COLOURS, GREY, Drawing, canvas
from .methods import VALIDATION_ONLY
from .rivals import named
from .study import Study
from .table import Table

if TYPE_CHECKING:
    from TACEResponseLib.training.stability import Refits

NOT_ASKED = mark("not asked for (train --stability 200)")
NOT_FITTED = mark("no part of the patients could be fitted")
CURVE = mark("Learning curve: AUC by number of training patients")
#: More patients than there are, for which the learning curve is continued.
MORE = (1.5, 2.0, 3.0)
#: Fewest models for bounds that hold 95 % of them.
FEWEST_FOR_BAND = 40


def stability_tables(study: Study) -> tuple[Table, ...]:
    """The tables of this room, in the order of the page."""
    return (
        instability_table(study),
        instability_by_patient(study),
        frequency_table(study),
        curve_table(study),
        failure_table(study),
    )


def absent(study: Study) -> str:
    """Why there are no resamples; empty when there are."""
    if study.refits is not None:
        return ""
    return tr(NOT_ASKED) if study.record is not None else tr(VALIDATION_ONLY)


def instability_of(refits: "Refits", name: str) -> Instability:
    """Instability of a combination's probabilities of the training patients."""
    return instability(refits.bootstrap[name], refits.original[name], refits.thresholds[name])


def curve_of(refits: "Refits", name: str) -> LearningCurve | None:
    """The learning curve of a combination through the sizes that every drawing could fit; None without."""
    values = refits.aucs[name]
    whole = np.isfinite(values).all(axis=1)
    return learning_curve(refits.sizes[whole], values[whole]) if whole.any() else None


def instability_table(study: Study) -> Table:
    """One row a combination: how much its probabilities and classes change between resamples."""
    caption = tr("Instability: the whole training on resamples of the patients")
    if why := absent(study):
        return Table("instability", caption, [], absent=why)
    refits = study.refits
    found = {name: instability_of(refits, name) for name in refits.original if name in refits.bootstrap}
    rows = [
        {
            "model": name,
            "resamples": of.models,
            "mean_absolute_difference": of.mean_mape,
            "largest_mean_difference_of_a_patient": float(of.mape.max()),
            "called_otherwise": of.mean_changed_class,
            "patients_called_otherwise_in_a_tenth": int((of.changed_class > 0.1).sum()),
        }
        for name, of in found.items()
    ]
    return Table("instability", caption, rows, _instability_note(refits, found))


def _instability_note(refits: "Refits", found: dict[str, Instability]) -> str:
    words = tr(
        "Each resample draws patients with replacement, keeps the distinct ones, and repeats the whole "
        "training: steps, models, fusion and calibration. Difference: between the probability that such a "
        "model gives a training patient and that of the model trained on all, mean over resamples and "
        "patients (MAPE). Predicted otherwise: share of resamples whose model puts the patient on the other "
        "side of the threshold. This is instability, no interval for the true probability; a new cohort "
        "would change more than a resample does. After Riley and Collins, Biom J 2023;65:2200302."
    )
    if refits.shown in found:
        of = found[refits.shown]
        first = tr(
            "With other patients of this cohort {model} gives a patient a probability that differs by "
            "{points:.0f} percentage points on average, and predicts the other class for {changed:.0f} % of "
            "the patients. ",
            model=title(refits.shown),
            points=100 * of.mean_mape,
            changed=100 * of.mean_changed_class,
        )
        words = first + words
    return words + _without(refits)


def _without(refits: "Refits") -> str:
    if not refits.models_left_out:
        return ""
    return tr(
        " Not fitted again: {names}; a picture's model in every resample would take days. Fusions are "
        "those of the other models.",
        names=listed(map(title, refits.models_left_out)),
    )


def instability_by_patient(study: Study) -> Table:
    """One row a training patient: probability, band of the resamples' models, share called otherwise."""
    caption = tr("Instability patient by patient")
    if why := _no_shown(study):
        return Table("instability_patients", caption, [], absent=why)
    refits = study.refits
    of, original = instability_of(refits, refits.shown), refits.original[refits.shown]
    rows = [
        {
            "patient_id": patient_id,
            "probability": float(original[n]),
            "low": float(of.low[n]),
            "high": float(of.high[n]),
            "mean_absolute_difference": float(of.mape[n]),
            "called_otherwise": float(of.changed_class[n]),
        }
        for n, patient_id in enumerate(study.training.table.patient_ids)
    ]
    note = tr(
        "Of {model}; low to high holds 95 % of the {models} models of resamples.",
        model=title(refits.shown),
        models=of.models,
    )
    return Table("instability_patients", caption, rows, note)


def _no_shown(study: Study) -> str:
    if why := absent(study):
        return why
    refits = study.refits
    if refits.shown in refits.bootstrap:
        return ""
    return tr("its model told nobody apart in too many resamples")


def frequency_table(study: Study) -> Table:
    """How often the selection of a resample chose a feature."""
    caption = tr("Selection frequency over the resamples")
    if why := absent(study):
        return Table("selection_frequency", caption, [], absent=why)
    chosen = set(study.record.final.selected)
    rows = [
        {"feature": name, "share_of_resamples": share, "in_the_model": name in chosen}
        for name, share in study.refits.selected.items()
    ]
    note = tr("Of the whole selection of each resample; a feature that is not listed was never chosen.")
    none = "" if rows else tr("the recipe selects no features")
    return Table("selection_frequency", caption, rows, note, none)


def curve_table(study: Study) -> Table:
    """AUC within folds by number of training patients, and what the curve says of more."""
    caption = tr(CURVE)
    if why := absent(study):
        return Table("patients_curve", caption, [], absent=why)
    refits, curve = study.refits, curve_of(study.refits, study.refits.shown)
    if curve is None:
        return Table("patients_curve", caption, [], absent=tr(NOT_FITTED))
    rows = [
        {"training_patients": round(size), "auc": mean, "sd_of_drawings": sd, "basis": tr("measured")}
        for size, mean, sd in zip(*map(np.ndarray.tolist, (curve.sizes, curve.mean, curve.sd)), strict=True)
    ]
    everybody = len(study.training)
    for patients in (everybody, *(round(factor * everybody) for factor in MORE)):
        expected = curve.at(patients)
        if expected is not None:
            basis = tr("extrapolated")
            rows.append(
                {"training_patients": patients, "auc": expected, "sd_of_drawings": None, "basis": basis}
            )
    drawings = refits.aucs[refits.shown].shape[1]
    note = tr(
        "Of {model}: each fold held out, growing parts of the other patients trained on, AUC in the held-out "
        "fold; mean over folds and {drawings} drawings of the folds. ",
        model=title(refits.shown),
        drawings=drawings,
    )
    note += curve_words(curve, everybody) + _without(refits)
    return Table("patients_curve", caption, rows, note)


def curve_words(curve: LearningCurve, patients: int) -> str:
    """What more patients would bring, in a sentence."""
    if curve.limit is None:
        return tr("Too few sizes could be fitted to say what more patients would bring.")
    return tr(
        "With twice as many patients ({twice}) an AUC of {auc:.3f} would be expected, {gain:.3f} above that "
        "with {patients}. The curve (an inverse power law, Figueroa 2012) is continued beyond what was "
        "measured, from few drawings of the same patients: take it as a direction, not as a promise.",
        twice=2 * patients,
        auc=curve.at(2 * patients),
        gain=curve.at(2 * patients) - curve.at(patients),
        patients=patients,
    )


def failure_table(study: Study) -> Table:
    """Resamples and parts that could not be fitted, and why."""
    caption = tr("Resamples and parts of the learning curve that could not be fitted")
    if why := absent(study):
        return Table("stability_failures", caption, [], absent=why)
    rows = [{"what": p.patient_id, "reason": p.message, "received": p.received} for p in study.refits.failed]
    return Table("stability_failures", caption, rows, absent="" if rows else tr("every one was fitted"))


def stability_drawings(study: Study) -> tuple[Drawing, ...]:
    """The figures of this room, in the order of the page."""
    return draw_instability(study), draw_curve(study)


def draw_instability(study: Study) -> Drawing:
    """Each patient's probability against those by models of resamples, and how often the call changes."""
    name = "figure_instability"
    caption = tr("Instability: probabilities of the training patients by models of resamples")
    if why := _no_shown(study):
        return Drawing(name, caption, None, why)
    refits = study.refits
    of, original = instability_of(refits, refits.shown), refits.original[refits.shown]
    figure, (left, right) = canvas(4.2, 2)
    models = refits.bootstrap[refits.shown]
    left.plot(np.tile(original, len(models)), models.ravel(), ".", color=GREY, ms=2, alpha=0.35, mec="none")
    band = tr("95 % of the models") if of.models >= FEWEST_FOR_BAND else tr("nearly all models")
    left.vlines(original, of.low, of.high, color=COLOURS[0], lw=1.2, alpha=0.7, label=band)
    left.plot((0, 1), (0, 1), color="black", lw=1, label=tr("no difference"))
    left.set_ylabel(tr("probability by models of resamples"))
    left.legend(frameon=False, fontsize=8, loc="upper left")  # not a text
    right.plot(original, 100 * of.changed_class, "o", color=COLOURS[1], ms=4)
    right.axvline(of.threshold, color="black", ls="--", lw=1, label=_at(of.threshold))
    right.set_ylabel(tr("models that predict the other class (%)"))
    right.set_ylim(-3, 103)
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.set_xlim(-0.03, 1.03)
        axes.set_xlabel(tr("probability by the model of all patients ({model})", model=title(refits.shown)))
    resamples = several(of.models, "{caption} (1 resample)", "{caption} ({n} resamples)", caption=caption)
    return Drawing(name, resamples, figure)


def _at(threshold: float) -> str:
    return tr("threshold {threshold:.2f}", threshold=threshold)


def draw_curve(study: Study) -> Drawing:
    """AUC by number of training patients, the fitted curve beyond them, and tumour size beside it."""
    name, caption = "figure_patients_curve", tr(CURVE)
    refits = study.refits
    curve = curve_of(refits, refits.shown) if refits is not None else None
    if curve is None:
        return Drawing(name, caption, None, absent(study) or tr(NOT_FITTED))
    figure, (axes,) = canvas(3.6, width_in=7)
    bars = {"yerr": curve.sd, "fmt": "o", "color": COLOURS[0], "capsize": 3}
    axes.errorbar(curve.sizes, curve.mean, **bars, label=tr("measured, ± SD of the drawings"))
    if curve.limit is not None:
        sizes = np.linspace(curve.sizes[0], max(MORE) * len(study.training), 100)
        expected = [curve.at(size) for size in sizes]
        axes.plot(sizes, expected, color=COLOURS[0], ls="--", label=tr("continued (inverse power law)"))
    _draw_size(axes, study)
    here = several(len(study.training), "here: 1 patient", "here: {n} patients")
    axes.axvline(len(study.training), color=GREY, ls=":", label=here)
    axes.set_xlabel(tr("training patients"))
    axes.set_ylabel(tr("AUC in held-out folds"))
    axes.legend(frameon=False, fontsize=8)
    caption = tr("{caption} ({model})", caption=caption, model=title(refits.shown))
    return Drawing(name, caption, figure)


def _draw_size(axes, study: Study) -> None:
    """The rival's AUC, which no number of patients changes."""
    rivals = study.scored[0].rivals
    if study.rival in rivals:
        auc = auc_newcombe(study.training.outcome.labels, rivals[study.rival]).auc
        axes.axhline(auc, color=COLOURS[1], lw=1, label=tr("{rival}, not fitted", rival=named(study.rival)))
