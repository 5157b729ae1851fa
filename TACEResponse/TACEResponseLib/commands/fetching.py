"""The command that downloads a public cohort, or takes a folder of it, and lays it out."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from TACEResponseLib.messages.errors import InputError, Problem
from TACEResponseLib.messages.language import listed, tr

from .output import DONE, SOME_FAILED, Reporting, patients_in, say_done

#: Options that have no effect for a collection.
IGNORED = {"hcc-tace-seg": ("part",), "waw-tace": ("label",)}


def fetch(options: Namespace, progress: Reporting) -> int:
    """Download the public cohort, or take a folder of it, and turn it into a cohort folder."""
    given = [name for name in IGNORED[options.collection] if getattr(options, name) is not None]
    if given:
        raise InputError(
            tr("an option would have no effect"),
            field=given[0],
            expected=tr("options of {collection}", collection=options.collection),
            received=f"--{given[0]}",
            remedy=tr("leave it out"),
        )
    if options.source is not None and not options.source.is_dir():
        raise InputError(tr("there is no such folder"), field="from", received=str(options.source))
    of = {"hcc-tace-seg": _hcc_tace_seg, "waw-tace": _waw_tace}
    table, patients, problems = of[options.collection](options, progress)
    text = [*map(str, problems), patients_in(patients, table)]
    failed = sum(problem.severity == "error" for problem in problems)
    say_done(progress, "\n".join(text), table=str(table), patients=patients, failed=failed)
    return SOME_FAILED if failed else DONE


def _hcc_tace_seg(options: Namespace, progress: Reporting) -> tuple[Path, int, list[Problem]]:
    from TACEResponseLib.cohorts.public.archive import ImagingDataCommons, fetch_collection
    from TACEResponseLib.cohorts.public.hcc_tace_seg import COLLECTION, find_clinical, read_clinical
    from TACEResponseLib.cohorts.public.layout import lay_out

    source, problems = options.source, []
    clinical = options.clinical or find_clinical(source or options.out)
    read_clinical(clinical)  # said before the work, not after it
    if source is None:
        source = options.out / "dicom"
        problems = fetch_collection(ImagingDataCommons(), COLLECTION, source, progress)
    how = {"label": options.label or "reader1", "phase": options.phase, "progress": progress}
    layout = lay_out(source, clinical, options.out, **how)
    return layout.table, layout.patients, [*problems, *layout.problems]


def _waw_tace(options: Namespace, progress: Reporting) -> tuple[Path, int, list[Problem]]:
    from TACEResponseLib.cohorts.public import waw_tace
    from TACEResponseLib.cohorts.public.waw_fetch import fetch_scans, fetch_tables
    from TACEResponseLib.cohorts.public.waw_layout import find, lay_out_found, write_cohort
    from TACEResponseLib.storage import make_folder

    make_folder(options.out)
    archives: Mapping = {}
    if options.source is not None:
        clinical = options.clinical or waw_tace.find_clinical(options.source)
    else:
        clinical, masks, archives = fetch_tables(options.out, options.clinical, progress)
    lines = waw_tace.read_clinical(clinical)
    rows, problems = waw_tace.row_names(lines, clinical.name), waw_tace.differences(clinical, lines)
    if options.source is not None:
        found = find([options.source], sorted(options.source.rglob("*.zip")))
        _require_scans(found.scans, options.source)
        problems += lay_out_found(found, rows, options.out, options.phase, progress)
    else:
        chosen = _chosen(archives, options.part)
        problems += fetch_scans(options.out, masks, chosen, rows, options.phase, progress)
    table, patients, missing = write_cohort(options.out, rows, options.phase)
    if options.part is None:
        problems += _without_scan(missing, problems)
    return table, patients, problems


def _require_scans(scans: Mapping, source: Path) -> None:
    if not scans:
        raise InputError(
            tr("the folder holds no scans of the collection"),
            field="from",
            file=source.name,
            expected=tr("files such as 7_1_scan.nii.gz, in folders or in zips"),
            received=tr("none"),
            remedy=tr("choose the folder that the collection was downloaded to"),
        )


def _chosen(archives: Mapping, part: int | None) -> Mapping:
    """The archives that this run fetches: all, or the one that was named."""
    if part is None:
        return archives
    if part not in archives:
        raise InputError(
            tr("there is no such part of the collection"),
            field="part",
            expected=listed(map(str, archives)),
            received=str(part),
        )
    return {part: archives[part]}


def _without_scan(missing: list[str], said: list[Problem]) -> list[Problem]:
    """Patients of the table of whom nothing was found and nothing was said so far."""
    known = {problem.patient_id for problem in said if problem.severity == "error"}
    message = tr("no scan of this patient is here")
    return [
        Problem("input", message, field="image", patient_id=name, severity="warning")
        for name in missing
        if name not in known
    ]
