"""How the model was made, as tables: agreement of readers, elimination, features, folds, parameters."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from TACEResponseLib.measuring.feature_table import IMAGE_HASH, own_features
from TACEResponseLib.messages.language import mark, several, tr
from TACEResponseLib.training.out_of_fold import fold_seed

from .study import Study
from .table import Table

if TYPE_CHECKING:
    from TACEResponseLib.selection.elimination import Selection

VALIDATION_ONLY = mark("the training is not part of a validation; see the report of the training")
NO_CNN = mark("no CNN was trained")
#: How the number of features was chosen.
RULES = {
    "number": mark("a fixed number, {rule.number}"),
    "best": mark("the best accuracy"),
    "tolerance": mark("the smallest size within {rule.tolerance_percent:g} % of the best"),
}
#: The first word of why a feature was no candidate.
DROPPED = {"constant": mark("constant"), "correlated": mark("correlated")}
#: Diagnostics that differ from patient to patient and identify what was measured.
HASHES = {IMAGE_HASH: "image_hash", "diagnostics_Mask-original_Hash": "mask_hash"}


def method_tables(study: Study) -> tuple[Table, ...]:
    """The tables of this room, in the order of the page."""
    parts = (agreement_table, elimination_table, feature_table, fold_table, learning_table)
    return tuple(part(study) for part in (*parts, parameter_table, hash_table))


def agreement_table(study: Study) -> Table:
    """Every feature with its ICC, interval, and whether it stayed."""
    caption = tr("Table S1. Agreement of two readers, feature by feature")
    found = study.reliability
    if found is None:
        none = tr("no second reader; every feature went on")
        why = tr(VALIDATION_ONLY) if study.record is None else none
        return Table("table_s1_icc", caption, [], absent=why)
    numbers = [found.icc.estimate, found.icc.ci_low, found.icc.ci_high]
    rows = [
        {
            "feature": name,
            "form": found.icc.form,
            **dict(zip(("icc", "icc_ci_low", "icc_ci_high"), map(_or_none, values), strict=True)),
            "kept": bool(kept),
            "reason": reason,
        }
        for name, kept, reason, *values in zip(
            found.features, found.kept, found.reasons, *numbers, strict=True
        )
    ]
    note = tr(
        "{kept} of {features} features stay: {form} ({compared}) above {threshold:g}; {patients} patients, "
        "{readers} readers; no label was read.",
        kept=len(found.kept_features),
        features=len(rows),
        form=found.icc.form,
        compared=tr("estimate") if found.settings.compare == "estimate" else tr("lower bound"),
        threshold=found.settings.threshold,
        patients=len(found.patients),
        readers=found.icc.readers,
    )
    return Table("table_s1_icc", caption, rows, note)


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def elimination_table(study: Study) -> Table:
    """Accuracy by number of features, mean and SD over the folds of the final elimination."""
    caption = tr("Recursive feature elimination: accuracy by number of features")
    selection = final_selection(study)
    if selection is None:
        return Table("elimination", caption, [], absent=_no_selection(study))
    rows = [
        {
            "features": int(s),
            "accuracy": float(a),
            "accuracy_sd": float(sd),
            "chosen": int(s) == selection.size,
        }
        for s, a, sd in zip(selection.sizes, selection.accuracy, selection.accuracy_sd, strict=True)
    ]
    rule = study.model.settings.selection
    note = several(
        selection.size,
        "Chosen: 1 feature, by {rule}. The accuracy at the chosen size was used to choose and is no estimate "
        "of performance.",
        "Chosen: {n} features, by {rule}. The accuracy at the chosen size was used to choose and is no "
        "estimate of performance.",
        rule=tr(RULES[rule.rule], rule=rule),
    )
    return Table("elimination", caption, rows, note)


def final_selection(study: Study) -> "Selection | None":
    """How the features of the final fit were chosen; None without a training or a selection."""
    step = study.record.final.steps.get("select") if study.record else None
    return None if step is None else step.selection


def _no_selection(study: Study) -> str:
    return tr(VALIDATION_ONLY) if study.record is None else tr("the model uses no radiomics features")


def feature_table(study: Study) -> Table:
    """Every candidate of the elimination, the final list first, and how stable its choice is."""
    caption = tr("Table S2. Features: the final list, and how often each is chosen again")
    selection = final_selection(study)
    if selection is None:
        return Table("table_s2_features", caption, [], absent=_no_selection(study))
    chosen = {name: rank for rank, name in enumerate(selection.chosen, start=1)}
    rest = sorted(set(selection.importance) - set(chosen), key=lambda n: (-selection.importance[n], n))
    in_folds = Counter(name for names in study.record.fold_selected for name in names)
    folds = len(study.record.fold_selected)
    rows = [
        {
            "feature": name,
            "rank": chosen.get(name),
            "importance": selection.importance[name],
            "share_of_elimination_folds": selection.frequency[name],
            "share_of_evaluation_folds": in_folds[name] / folds,
            "share_of_bootstraps": study.stability.get(name),
        }
        for name in (*chosen, *rest)
    ]
    dropped = Counter(reason.split()[0] for reason in selection.dropped.values())
    counts = [
        tr("dropped before, {reason}: {n}", reason=tr(DROPPED.get(reason, reason)), n=count)
        for reason, count in sorted(dropped.items())
    ]
    note = tr(
        "Importance: permutation importance of a random forest, averaged as caret does. Shares: of the folds "
        "of the elimination, of the folds of the honest evaluation, and of bootstrap resamples that choose "
        "the feature. Candidates: {candidates}.",
        candidates=tr("; ").join([str(len(rows)), *counts]),
    )
    return Table("table_s2_features", caption, rows, note)


def fold_table(study: Study) -> Table:
    """The folds of the honest evaluation with their seeds and what each one selected."""
    caption = tr("Folds and seeds of the evaluation")
    if study.record is None:
        return Table("folds", caption, [], absent=tr(VALIDATION_ONLY))
    seed, rows = study.model.settings.seed, []
    selected = iter(study.record.fold_selected)
    for repeat, of in enumerate(study.record.out_of_fold.folds):
        for fold in range(study.model.settings.folds):
            held_out = of == fold
            rows.append(
                {
                    "repeat": repeat + 1,
                    "fold": fold + 1,
                    "n": int(held_out.sum()),
                    "responders": int(study.training.outcome.labels[held_out].sum()),
                    "seed_of_the_split": seed + repeat,
                    "seed_of_the_models": fold_seed(study.model.settings, repeat, (fold,)),
                    "selected": " ".join(next(selected, ())),
                }
            )
    note = tr("Stratified by response; the final fit on all training patients uses seed {seed}.", seed=seed)
    return Table("folds", caption, rows, note)


def learning_table(study: Study) -> Table:
    """Loss and other histories of the CNN's final fit, one row an epoch."""
    caption = tr("The CNN's training, epoch by epoch (final fit)")
    network = study.record.final.models.get("cnn") if study.record else None
    history = dict(network.history) if network else {}
    if not history:
        why = tr(VALIDATION_ONLY) if study.record is None else tr(NO_CNN)
        return Table("learning_curve", caption, [], absent=why)
    names, columns = list(history), zip(*history.values(), strict=True)
    rows = [
        {"epoch": epoch, **{n: _or_none(v) for n, v in zip(names, values, strict=True)}}
        for epoch, values in enumerate(columns, start=1)
    ]
    return Table("learning_curve", caption, rows)


def parameter_table(study: Study) -> Table:
    """Every setting, version and hash that the numbers depend on."""
    model = study.model
    bundle = study.manifest.id if study.manifest else model.identity
    found = {tr("bundle"): bundle, tr("engine"): _engine(study)}
    found |= {tr("setting {name}", name=name): value for name, value in flattened(_settings_used(study))}
    found |= {tr("version {name}", name=name): value for name, value in versions(study).items()}
    diagnostics = constant_diagnostics(study)
    found |= {tr("extraction {name}", name=name): value for name, value in diagnostics.items()}
    found |= {tr("sha256 of {name}", name=name): value for name, value in study.sources.items()}
    if study.manifest:
        files = study.manifest.files.items()
        found |= {tr("sha256 of {name}", name=f"bundle/{name}"): sha256 for name, (sha256, _) in files}
    rows = [{"parameter": name, "value": str(value)} for name, value in found.items()]
    return Table("parameters", tr("Parameters, versions and hashes"), rows)


def _engine(study: Study) -> str:
    return study.model.engine if extracted_here(study) else tr("none, the features were read from a table")


def _settings_used(study: Study) -> dict:
    """The settings without those that this model had no use for; each says so in a word."""
    model = study.model
    content = model.settings.to_json()
    if not extracted_here(study):
        content["radiomics"] = tr("not used, the features were read from a table")
    if not model.needs_picture:
        content["network"] = content["patch"] = tr("not used, no CNN")
    if study.reliability is None and study.record is not None:
        content["reliability"] = tr("not used, no second reader")
    return content


def extracted_here(study: Study) -> bool:
    """Whether the features are those of the model's own extraction settings."""
    model, group = study.model, study.training or study.external
    return model.extraction_known and group.table.feature_names == own_features(model.settings.radiomics)


def versions(study: Study) -> Mapping[str, str]:
    """Software versions: of the bundle's training, or of this machine when it is not saved."""
    if study.manifest is not None:
        return study.manifest.versions
    from TACEResponseLib.bundle.files import software_versions

    return software_versions()


def flattened(content: Mapping, above: str = "") -> Iterator[tuple[str, object]]:
    """Nested settings as (dotted name, value) pairs."""
    for name, value in content.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from flattened(value, f"{path}.")
        else:
            yield path, value


def constant_diagnostics(study: Study) -> dict[str, str]:
    """Diagnostics that are the same for every patient: versions and settings of the extraction."""
    rows = [row for group in (study.training, study.external) if group for row in group.table.diagnostics]
    if not rows:
        return {}
    return {
        name.removeprefix("diagnostics_"): value
        for name, value in rows[0].items()
        if name.startswith(("diagnostics_Versions", "diagnostics_Configuration"))
        and all(row.get(name) == value for row in rows)
    }


def hash_table(study: Study) -> Table:
    """Hashes of every patient's image and mask, as the extraction found them."""
    rows = [
        {"patient_id": patient_id, **{HASHES[n]: row.get(n, "") for n in HASHES}}
        for group in (study.training, study.external)
        if group
        for patient_id, row in zip(group.table.patient_ids, group.table.diagnostics, strict=True)
        if any(row.get(n) for n in HASHES)
    ]
    why = "" if rows else tr("the features came without the extraction's diagnostics")
    return Table("image_hashes", tr("Images and masks that were measured"), rows, absent=why)
