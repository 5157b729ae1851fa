"""The commands that make a cohort, look at it, or measure it."""

import re
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import listed, mark, several, tr
from TACEResponseLib.messages.progress import JsonProgress

from .output import (
    DONE,
    SOME_FAILED,
    Reporting,
    formula_warnings,
    in_short,
    patients_in,
    say_done,
    with_repairs,
)

#: Parts of a synthetic cohort, and what its end says of them.
PARTS = {
    "training": mark("For training: {n} ({classes})"),
    "validation": mark("Held out for validation: {n} ({classes})"),
}


def check(options: Namespace, progress: Reporting) -> int:
    """Read every patient of a cohort and list every problem; compute nothing."""
    from TACEResponseLib.cohorts.preflight import check_cohort
    from TACEResponseLib.cohorts.preflight.sample_size import size_json
    from TACEResponseLib.cohorts.preflight.table import PROBLEM_KEYS, as_text, verdict_json, write_preflight
    from TACEResponseLib.cohorts.table import read_cohort
    from TACEResponseLib.settings import preset
    from TACEResponseLib.storage import make_folder

    cohort = with_repairs(read_cohort(options.cohort, encoding=options.encoding), options.repair)
    if options.out is not None:
        make_folder(options.out)  # said before the work, not after it
    planned = {"folds": options.folds, "recipe": preset(options.preset, folds=options.folds)}
    found = check_cohort(cohort, **planned, jobs=options.jobs, progress=progress)
    like_formulas = formula_warnings(patient.patient_id for patient in cohort.patients)
    found = replace(found, problems=(*found.problems, *like_formulas))
    if isinstance(progress, JsonProgress):
        for patient in found.patients:
            progress.line(verdict_json(patient))
        problems = [{key: getattr(p, key) for key in ("severity", *PROBLEM_KEYS)} for p in found.problems]
        size = None if found.sample_size is None else size_json(found.sample_size)
        progress.event("cohort", problems=problems, counts=found.counts, sample_size=size)
    text, written = as_text(found), {}
    if options.out is not None:
        from .check_page import write_check_page  # needs packages, the list none

        files = [*write_preflight(found, options.out), write_check_page(found, options.out)]
        text += "".join(f"\n{file}" for file in files)
        written = {"files": [str(file) for file in files]}
    say_done(progress, text, **found.verdicts, **written)
    failed = found.verdicts["error"] or any(p.severity == "error" for p in found.problems)
    return SOME_FAILED if failed else DONE


def extract(options: Namespace, progress: Reporting) -> int:
    """Write the features of a cohort as CSV, a row a patient; the failing ones into a second CSV.

    With `--part` nothing is written but the store beside the table: the same command without it
    writes the table from what all parts have stored, and measures what is missing.
    """
    from TACEResponseLib.cohorts.table import read_cohort
    from TACEResponseLib.measuring.cohort import extract_patients, extraction_settings
    from TACEResponseLib.storage import require_writable

    if options.out.is_dir():
        raise InputError(
            tr("the table cannot be written over a folder"),
            field="out",
            file=options.out.name,
            expected=tr("the name of a file, for example features.csv"),
            received=tr("a folder"),
        )
    part = None if options.part is None else parse_part(options.part)
    require_writable(options.out.parent)  # said before the work, not after it
    settings = extraction_settings(options.parameters)
    store = options.out.with_name(f"{options.out.stem}-work")
    rows, failed = extract_patients(
        read_cohort(options.cohort, encoding=options.encoding).patients,
        settings,
        reader=options.reader,
        engine=options.engine or "fast",
        jobs=options.jobs,
        backend=options.backend,
        scheduler=options.scheduler,
        store=store,
        part=part,
        progress=progress,
    )
    if part is None:
        return _write_features(options.out, store, rows, failed, progress)
    numbers = {"part": options.part, "measured": len(rows), "failed": len(failed), "store": store}
    text = in_short(failed.values())
    text.append(tr("Part {part}: {measured} patients measured, {failed} failed, kept in {store}", **numbers))
    text.append(tr("When all parts are done, the same command without --part writes the table."))
    say_done(progress, "\n".join(text), table="", failed=len(failed), measured=len(rows), store=str(store))
    return SOME_FAILED if failed else DONE


def parse_part(text: str) -> tuple[int, int]:
    """(number, of how many) of `3/40`; InputError else."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    number, parts = map(int, found.groups()) if found else (1, 0)
    if not 0 <= number <= parts or parts == 0:
        raise InputError(
            tr("a part of the cohort is not named"),
            field="part",
            expected=tr("a number and how many parts there are, for example 3/40, counted from 1 or from 0"),
            received=text,
            remedy=tr("on SLURM --part $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT with --array=1-40"),
        )
    return number, parts


def _write_features(out: Path, store: Path, rows: dict, failed: dict, progress: Reporting) -> int:
    """The two tables of `extract`, and the end of its store."""
    from TACEResponseLib.measuring.feature_table import write_feature_csv, write_problem_csv
    from TACEResponseLib.resumable import forget

    problems = out.with_name(f"{out.stem}-problems.csv")
    for stale in (out, problems):  # of an earlier run; this one's answer may be that there is none
        stale.unlink(missing_ok=True)
    if rows:
        write_feature_csv(out, rows)
    if failed:
        write_problem_csv(problems, list(failed.values()))
    forget(store)
    written = patients_in(len(rows), out) if rows else tr("No patient could be measured: no table")
    text = [*in_short(failed.values()), *map(str, formula_warnings([*rows, *failed])), written]
    if failed:
        text.append(tr("{n} patients failed: {file}", n=len(failed), file=problems))
    say_done(progress, "\n".join(text), table=str(out) if rows else "", failed=len(failed))
    return SOME_FAILED if failed else DONE


def phantom(options: Namespace, progress: Reporting) -> int:
    """Write the synthetic cohort."""
    from TACEResponseLib.cohorts.table import read_cohort
    from TACEResponseLib.phantom import write_cohort

    folder = write_cohort(
        options.out, options.patients, options.seed, options.size, progress=progress, jobs=options.jobs
    )
    text = [tr("{n} synthetic patients: {folder}", n=options.patients, folder=folder)]
    counts = {}
    for part, sentence in PARTS.items():
        patients = read_cohort(folder).part(training=part == "training")
        responders = sum(patient.label for patient in patients)
        counts[part] = {"responders": responders, "non_responders": len(patients) - responders}
        text.append(tr(sentence, n=len(patients), classes=_in_classes(**counts[part])))
    say_done(progress, "\n".join(text), folder=str(folder), **counts)
    return DONE


def _in_classes(responders: int, non_responders: int) -> str:
    return listed(
        (
            several(responders, "1 responder", "{n} responders"),
            several(non_responders, "1 non-responder", "{n} non-responders"),
        )
    )
