"""The commands that train a model and try it on patients that it has not seen."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from TACEResponseLib.messages.errors import InputError, Problem
from TACEResponseLib.messages.language import several, tr, width

from .combining import say_aggregates
from .outlines import require_second_mask, second_outlines
from .output import DONE, SOME_FAILED, Reporting, in_short, say_done

if TYPE_CHECKING:
    from TACEResponseLib.training.run import Trained

#: Sentences about patients left out on the terminal.
MOST_LISTED = 20
#: Columns that the model and its two AUCs take on the terminal.
WIDTHS = (36, 28, 28)
#: What `evaluate` says when it was told to allow training patients: optimistic, never an external figure.
FITTED = {("validation", "resubstitution")}


def train(options: Namespace, progress: Reporting) -> int:
    """Train a bundle and write its report beside the model, in `BUNDLE-report`."""
    from TACEResponseLib.bundle import read_manifest, require_free_folder
    from TACEResponseLib.cohorts.table import read_cohort
    from TACEResponseLib.readers.encodings import as_utf8
    from TACEResponseLib.report import evaluation_rows, write_training_report
    from TACEResponseLib.report.model_card import save_trained
    from TACEResponseLib.resumable import forget
    from TACEResponseLib.training.run import train_on_cohort, train_on_features

    _require_choices_that_count(options)
    settings = _training_settings(options)
    require_free_folder(options.out)  # said before the work, not after it
    store = options.out.with_name(f"{options.out.name}-work")
    if options.cohort is not None:
        trained = train_on_cohort(
            read_cohort(options.cohort, encoding=options.encoding),
            settings,
            engine=options.engine or "fast",
            jobs=options.jobs,
            store=store,
            demonstration=is_synthetic(options.cohort),
            progress=progress,
        )
    elif options.features is not None and options.labels is not None:
        tables = (as_utf8(path, options.encoding) for path in (options.features, options.labels))
        with next(tables) as features, next(tables) as labels:
            trained = train_on_features(features, labels, settings, jobs=options.jobs, progress=progress)
    else:
        raise InputError(tr("nothing to train on"), expected=tr("--cohort, or --features and --labels"))
    trained = _looked_at_again(trained, options, store, progress)
    about = options.about.read_text(encoding="utf-8") if options.about else ""
    bundle = save_trained(trained, options.out, about)
    rows = evaluation_rows(trained)
    report = write_training_report(
        trained,
        options.out.with_name(f"{options.out.name}-report"),
        read_manifest(bundle),
        (options.cohort, options.features, options.labels),
    )
    if options.cohort is not None or options.stability or options.negative_control:
        forget(store)
    text = [
        *first_sentences([*trained.left_out.values(), *trained.warnings]),
        _performance_text(rows, trained.training.outcome.labels),
        tr("Bundle: {folder}", folder=bundle),
        *_where(report),
    ]
    say_done(
        progress, "\n".join(text), bundle=str(bundle), report=str(report), left_out=len(trained.left_out)
    )
    return exit_code(trained.left_out)


def _looked_at_again(trained: "Trained", options: Namespace, store: Path, progress: Reporting) -> "Trained":
    """The training with centres held out, resamples and negative controls, where they were asked for."""
    from TACEResponseLib.cohorts.table import read_cohort
    from TACEResponseLib.training.centers import hold_out_centers
    from TACEResponseLib.training.controls import negative_controls
    from TACEResponseLib.training.inputs import Labelled
    from TACEResponseLib.training.stability import refit

    of = (trained.usable, trained.training.outcome, trained.model.settings, trained.record)
    how = {"store": store, "jobs": options.jobs, "progress": progress}
    if options.by_center:
        centers, problems = hold_out_centers(Labelled(*of[:2]), of[2], options.jobs, progress)
        trained = replace(trained, by_center=centers, warnings=(*trained.warnings, *problems))
    if options.stability:
        trained = replace(trained, refits=refit(*of, options.stability, **how))
    if options.negative_control:
        with_images = options.cohort is not None
        cohort = read_cohort(options.cohort, encoding=options.encoding) if with_images else None
        engine = options.engine or "fast"
        trained = replace(trained, controls=negative_controls(*of, cohort, engine=engine, **how))
    return trained


def evaluate(options: Namespace, progress: Reporting) -> int:
    """External validation: every model of a bundle on a cohort that it has not seen."""
    from TACEResponseLib.bundle import load_bundle
    from TACEResponseLib.cohorts.table import read_cohort
    from TACEResponseLib.report import external_rows, write_validation_report
    from TACEResponseLib.report.aggregates import require_folder_alone
    from TACEResponseLib.report.outlines import outline_sentences
    from TACEResponseLib.report.study import Study
    from TACEResponseLib.training.external import external_patients

    if options.aggregates_only:
        require_folder_alone(options.out)  # said before the work, not after it
    model = load_bundle(options.bundle)
    cohort = read_cohort(options.cohort, encoding=options.encoding)
    require_second_mask(cohort, options)
    external, left_out = external_patients(
        model,
        cohort,
        allow_training_patients=options.allow_training_patients,
        engine=options.engine,
        jobs=options.jobs,
        progress=progress,
    )
    if options.aggregates_only:
        say_aggregates(Study(model, external, left_out, outcome=cohort.outcome), options, progress)
        return exit_code(left_out)
    rows = external_rows(model, external)
    sources = (options.cohort,)
    outlines = second_outlines(model, cohort, external, options, progress)
    unpaired = {} if outlines is None else outlines.left_out
    report = write_validation_report(
        model, external, left_out, options.out, sources, cohort.outcome, outlines
    )
    text = [
        *first_sentences([*left_out.values(), *unpaired.values()]),
        _performance_text(rows, external.outcome.labels),
        *([] if outlines is None else outline_sentences(outlines)),
        *_where(report),
    ]
    say_done(progress, "\n".join(text), report=str(report), left_out=len(left_out))
    return max(exit_code(left_out), exit_code(unpaired))


def _where(report: Path) -> list[str]:
    """Where the page of a report lies, and what a manuscript needs."""
    from TACEResponseLib.report import PAGE
    from TACEResponseLib.report.paper_kit import FOLDER

    return [
        tr("Report: {file}", file=report / PAGE),
        tr("For a manuscript: {folder}", folder=report / FOLDER),
    ]


def first_sentences(problems: list[Problem]) -> list[str]:
    """The first of them as sentences, errors before warnings; the report's tables hold all."""
    sentences = in_short(problems)
    rest = len(sentences) - MOST_LISTED
    more = [tr("... and {n} more in the report", n=rest)] if rest > 0 else []
    return [*sentences[:MOST_LISTED], *more]


def exit_code(left_out: Mapping[str, Problem]) -> int:
    """Whether a patient failed; one without a known response was only left out."""
    return SOME_FAILED if any(problem.severity == "error" for problem in left_out.values()) else DONE


def _require_choices_that_count(options: Namespace) -> None:
    """InputError for an option that this training would ignore."""
    of_the_cnn = [name for name in ("epochs", "device") if getattr(options, name) is not None]
    ignored = of_the_cnn if options.no_cnn or options.features is not None else []
    if options.features is not None and options.engine is not None:
        ignored = [*ignored, "engine"]
    if options.stability < 0 or options.stability == 1:  # said before the work, not after it
        raise InputError(
            tr("one resample says nothing about stability"),
            field="stability",
            expected=tr("0, or at least 2; 200 for a report"),
            received=str(options.stability),
        )
    if ignored:
        raise InputError(
            tr("an option would have no effect"),
            field=ignored[0],
            expected=tr("options of a CNN with images, an engine with a cohort"),
            received=" ".join(f"--{name}" for name in ignored),
            remedy=tr("leave it out"),
        )


def _training_settings(options: Namespace):
    from TACEResponseLib.settings import preset

    changes = {
        name: getattr(options, name)
        for name in ("outcome", "folds", "repeats", "seed", "harmonisation")
        if getattr(options, name) is not None
    }
    if options.models is not None:
        changes["models"] = [name.strip() for name in options.models.split(",")]
    if options.headline is not None:
        changes["fusion"] = {"headline": options.headline}
    if options.no_cnn:
        changes["network"] = None
    else:
        changes["network"] = {
            name: getattr(options, name)
            for name in ("epochs", "device")
            if getattr(options, name) is not None
        }
    return preset(options.preset, **changes)


def is_synthetic(cohort: Path) -> bool:
    """Whether the cohort was written by `phantom`; its models are marked for ever."""
    folder = cohort if cohort.is_dir() else cohort.parent
    return (folder / "truth.json").is_file()


def _performance_text(rows: list[dict], labels: Sequence[int]) -> str:
    """One row a model: out of fold, external, and by how much its own training patients flatter it.

    labels: (n,) of the patients, who are counted where they are too few for an AUC.
    """
    from TACEResponseLib.answer.words import model_title

    whole = {(row["model"], row["estimate"]): row for row in rows if not row["center"]}
    models = list(dict.fromkeys(row["model"] for row in rows))
    if not models:
        responders = int(sum(labels))
        others = len(labels) - responders
        return tr(
            "No AUC can be given: it needs five responders and five non-responders, and there are "
            "{responders} and {others}.",
            responders=several(responders, "1 responder", "{n} responders"),
            others=several(others, "1 non-responder", "{n} non-responders"),
        )
    heads = tr("model"), tr("AUC out of fold (95 % CI)"), tr("external (95 % CI)"), tr("optimism")
    lines = [_row_text(heads)]
    for model in models:
        held_out, external, own = (
            whole.get((model, estimate)) for estimate in ("out_of_fold", "external", "resubstitution")
        )
        flattered = "" if held_out is None or own is None else f"{own['auc'] - held_out['auc']:+.3f}"
        lines.append(_row_text((model_title(model), _auc_text(held_out), _auc_text(external), flattered)))
    fitted = [row for row in whole.values() if (row["cohort"], row["estimate"]) in FITTED]
    lines += [
        tr(
            "{model}, on patients it was fitted on: {auc}",
            model=model_title(row["model"]),
            auc=_auc_text(row),
        )
        for row in fitted
    ]
    return "\n".join(lines)


def _row_text(cells: Sequence[str]) -> str:
    """A row of the table: cells of fixed widths on a terminal, the last as it is."""
    *first, last = cells
    padded = [cell + " " * (columns - width(cell)) for cell, columns in zip(first, WIDTHS, strict=True)]
    return "".join([*padded, last]).rstrip()


def _auc_text(row: dict | None) -> str:
    if row is None:
        return "-"
    if row["ci_low"] is None:
        return f"{row['auc']:.3f}"
    return tr("{auc:.3f} ({low:.3f} to {high:.3f})", auc=row["auc"], low=row["ci_low"], high=row["ci_high"])
