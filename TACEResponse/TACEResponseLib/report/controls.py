"""Negative controls: what the same recipe finds where there is no tumour texture to be found.

What is computed stands in `training.controls`; here are the words.
"""

from typing import TYPE_CHECKING

import numpy as np

from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import mark, several, tr
from TACEResponseLib.models.combination import title
from TACEResponseLib.statistics.crossvalidation import WithinFolds, auc_difference, auc_interval

from .methods import VALIDATION_ONLY
from .study import Study
from .table import Table

if TYPE_CHECKING:
    from TACEResponseLib.training.controls import RegionControl

NOT_ASKED = mark("not asked for (train --negative-control)")
#: Control -> its name in words, and what a model may still find there.
WORDS = {
    "shuffled_voxels": (
        mark("tumour, voxels shuffled"),
        mark("shape, distribution of HU, surroundings at the edge"),
    ),
    "moved_region": (
        mark("same shape, moved off the tumour"),
        mark("shape, scan, the patient's other tissue"),
    ),
}


def control_tables(study: Study) -> tuple[Table, ...]:
    """The tables of this room, in the order of the page."""
    return control_table(study), unmeasured_table(study)


def absent(study: Study) -> str:
    """Why there are no controls; empty when there are."""
    if study.controls is not None:
        return ""
    return tr(NOT_ASKED) if study.record is not None else tr(VALIDATION_ONLY)


def control_table(study: Study) -> Table:
    """One row a control and model: AUC there, and how far below that in the tumours."""
    caption = tr("Negative controls: the same recipe where there is no tumour texture")
    if why := absent(study):
        return Table("negative_controls", caption, [], absent=why)
    rows = [
        *(_tumour_row(study, name) for name in study.controls.tumours),
        *(_shuffled_row(study, name) for name in study.controls.shuffled_labels),
        *(row for name in study.controls.regions for row in _region_rows(study, name)),
    ]
    return Table("negative_controls", caption, rows, _note(study))


def _row(control: str, name: str, remains: str, patients: int) -> dict:
    empty = dict.fromkeys(("auc", "auc_ci_low", "auc_ci_high"))
    loss = dict.fromkeys(("loss", "loss_ci_low", "loss_ci_high", "p"))
    return {
        "control": control,
        "model": name,
        "n": patients,
        **empty,
        "lowest": None,
        "highest": None,
        **loss,
        "may_still_tell": remains,
    }


def _tumour_row(study: Study, name: str) -> dict:
    row = _row(tr("none: the tumours"), name, tr("everything"), len(study.training))
    return row | _auc(study.controls.tumours[name])


def _shuffled_row(study: Study, name: str) -> dict:
    aucs = study.controls.shuffled_labels[name]
    control = several(len(aucs), "labels shuffled, 1 time", "labels shuffled, {n} times")
    row = _row(control, name, tr("nothing"), len(study.training))
    if not len(aucs):
        return row
    return row | {"auc": float(aucs.mean()), "lowest": float(aucs.min()), "highest": float(aucs.max())}


def _region_rows(study: Study, control: str) -> list[dict]:
    words, remains = map(tr, WORDS[control])
    found: RegionControl = study.controls.regions[control]
    rows = []
    for name in found.aucs or {study.controls.shown: None}:
        row = _row(words, name, remains, found.patients)
        if found.problem is not None:
            row["may_still_tell"] = str(found.problem)
        elif name in found.aucs:
            row |= _auc(found.aucs[name])
        if found.same_patients and found.problem is None and name in study.controls.tumours:
            pair = auc_difference(study.controls.tumours[name], found.aucs[name])
            row |= _interval("loss", pair, "difference") | {"p": pair.p}
        rows.append(row)
    return rows


def _auc(within: WithinFolds) -> dict:
    """The AUC with its interval; without it where training varies so much that no interval exists."""
    try:
        return _interval("auc", auc_interval(within), "auc")
    except TrainingError:
        return {"auc": within.auc}


def _interval(column: str, found, estimate: str) -> dict:
    values = getattr(found, estimate), found.ci_low, found.ci_high
    return dict(zip((column, f"{column}_ci_low", f"{column}_ci_high"), values, strict=True))


def _note(study: Study) -> str:
    """What the table shows, the headline's figures first."""
    parts = [_sentence(study, name) for name in study.controls.regions]
    parts += [
        tr(
            "What a model still finds on a control is not tumour texture. AUC out of fold within folds; "
            "loss: AUC in the tumours less that on the control, same patients and folds. Shuffled labels: "
            "mean, lowest and highest AUC; a mean far from 0.5 would mean that a step sees labels it must "
            "not. "
            "Models of pictures are not trained on controls."
        ),
        tr("Distribution of HU is not texture either: first-order features survive the shuffling."),
    ]
    if not study.controls.regions:
        parts.append(tr("Features came from a table: without images no region can be measured anew."))
    return " ".join(part for part in parts if part)


def _sentence(study: Study, control: str) -> str:
    found, shown = study.controls.regions[control], study.controls.shown
    if found.problem is not None or shown not in found.aucs:
        return ""
    words = tr(WORDS[control][0])
    if control == "moved_region" and study.controls.tumour_hu is not None:
        words = tr(
            "{control} (median {there:.0f} HU there, {here:.0f} HU in the tumours)",
            control=words,
            there=np.median(found.tumour_hu),
            here=np.median(study.controls.tumour_hu),
        )
    if found.left_out:
        words = several(
            len(found.left_out),
            "{control}, 1 patient left out",
            "{control}, {n} patients left out",
            control=words,
        )
    return tr(
        "{model}: {here:.3f} in the tumours, {there:.3f} with {control}.",
        model=title(shown),
        here=study.controls.tumours[shown].auc,
        there=found.aucs[shown].auc,
        control=words,
    )


def unmeasured_table(study: Study) -> Table:
    """Patients whom a control could not measure, shuffles that could not be trained, and why."""
    caption = tr("Patients without a control, and shuffles that could not be trained")
    if why := absent(study):
        return Table("controls_left_out", caption, [], absent=why)
    rows = [
        {"control": tr(WORDS[name][0]), "what": patient_id, "reason": problem.message}
        for name, of in study.controls.regions.items()
        for patient_id, problem in of.left_out.items()
    ]
    rows += [
        {"control": tr("labels shuffled"), "what": problem.patient_id, "reason": problem.message}
        for problem in study.controls.failed
    ]
    return Table("controls_left_out", caption, rows, absent="" if rows else tr("none was left out"))
