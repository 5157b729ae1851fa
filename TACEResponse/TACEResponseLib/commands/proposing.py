"""The command that makes drafts of outlines: of one patient by a click or a program, or of a cohort."""

import csv
import io
import shlex
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from TACEResponseLib.messages.errors import Cancelled, DependencyError, InputError, Problem, TACEResponseError
from TACEResponseLib.messages.language import mark, several, tr
from TACEResponseLib.messages.progress import Progress, within
from TACEResponseLib.storage import (
    folder_names,
    make_folder,
    quoted,
    require_short,
    require_writable,
    whole_file,
)

from .clicked_point import parse_point, require_lps
from .output import DONE, SOME_FAILED, Reporting, formula_warnings, in_short, say_done

if TYPE_CHECKING:
    import SimpleITK as sitk

    from TACEResponseLib.cohorts.images import PatientImage
    from TACEResponseLib.proposal.draft import DraftLesion

#: Formats that a mask is written in.
ENDINGS = (".nrrd", ".nii.gz", ".nii", ".mha")
#: What is written beside the masks of a cohort, and its columns.
TABLE = "proposals.csv"
COLUMNS = (
    "patient_id",
    "mask",
    "lesions",
    "small_lesions",
    "volume_ml",
    "largest_diameter_mm",
    "mask_source",
    "program",
    "problem",
)
#: Who proposes where a point is given, and the word of the column `mask_source` for what nobody has seen.
ONE_CLICK, PROPOSED = mark("one click"), "proposed"
#: Where a mask's file says who proposed it.
PROGRAM_KEY = "tace_program"


def propose(options: Namespace, progress: Reporting) -> int:
    """Propose the outline of one patient, or of every patient of a cohort that has none."""
    _require_sense(options)
    if options.cohort is not None:
        return _of_cohort(options, progress)
    return _of_one(options, progress)


def _require_sense(options: Namespace) -> None:
    """Raise InputError for options that do not go together."""
    if (options.image is None) == (options.cohort is None):
        raise InputError(
            tr("it is not clear for whom an outline is to be proposed"),
            expected=tr("--image, or --cohort"),
            received=tr("neither") if options.image is None else tr("both"),
        )
    if options.cohort is not None and options.seed_mm is not None:
        raise InputError(
            tr("a point in one patient beside a cohort"),
            field="seed_mm",
            expected=tr("--seed-mm with --image"),
            received=tr("--seed-mm with --cohort"),
        )
    if options.extent is not None and options.seed_mm is None:
        raise InputError(
            tr("an extent without a point"),
            field="extent",
            expected=tr("--extent with --seed-mm"),
            received=tr("--extent alone"),
        )


def _of_one(options: Namespace, progress: Reporting) -> int:
    from TACEResponseLib.proposal import click, program
    from TACEResponseLib.proposal.draft import lesions_of
    from TACEResponseLib.readers import read_image

    if not options.out.name.lower().endswith(ENDINGS):
        raise InputError(
            tr("the mask has no format that can be written"),
            field="out",
            file=options.out.name,
            expected=", ".join(ENDINGS),
            received=options.out.suffix or tr("no ending"),
        )
    require_writable(options.out.parent)  # said before the work, not after it
    seed_mm = None if options.seed_mm is None else parse_point(options.seed_mm)
    command = _command(options)
    image, _ = read_image(options.image, series=options.series)
    if seed_mm is not None:
        require_lps(image, seed_mm)
        extent = click.DEFAULT_EXTENT if options.extent is None else options.extent
        name, mask = ONE_CLICK, click.grow(image, seed_mm, extent, progress)
    else:
        name = program.program_name(command)
        mask = program.propose(image, command, options.device, _changes(progress))
    lesions = lesions_of(mask, name)
    _write_mask(mask, name, options.out)
    text = [*_in_words(lesions), tr("A draft by {program}: look at it, and correct it.", program=tr(name))]
    text.append(tr("Mask: {file}", file=options.out))
    found = [
        {"diameter_mm": round(x.diameter_mm, 2), "volume_ml": round(x.volume_ml, 3), "small": x.small}
        for x in lesions
    ]
    say_done(
        progress, "\n".join(text), mask=str(options.out), lesions=found, mask_source=PROPOSED, program=name
    )
    return DONE


def _command(options: Namespace) -> list[str] | None:
    """The program with its arguments; None for the usual one. InputError for quotes that do not close."""
    if options.program is None:
        return None
    try:
        return shlex.split(options.program)
    except ValueError as error:
        raise InputError(
            tr("the command cannot be read"), field="command", received=f"{options.program} ({error})"
        ) from None


def _in_words(lesions: Sequence["DraftLesion"]) -> list[str]:
    from TACEResponseLib.proposal.click import UNSURE_ML
    from TACEResponseLib.proposal.draft import SMALL_MM

    lines = []
    for number, lesion in enumerate(lesions, start=1):
        size = {"number": number, "mm": lesion.diameter_mm, "ml": lesion.volume_ml}
        line = tr("Lesion {number}: {mm:.0f} mm, {ml:.1f} mL", **size)
        if lesion.program == ONE_CLICK and lesion.volume_ml < UNSURE_ML:
            line = tr("{lesion}; small: often wrong, look at every slice", lesion=line)
        elif lesion.small:
            line = tr("{lesion}; smaller than {least:.0f} mm", lesion=line, least=SMALL_MM)
        lines.append(line)
    return lines


def _changes(progress: Progress) -> Progress:
    """Hand on only what is new: a program is asked many times a second how far it is."""
    last = None

    def once(stage: str, done: int, total: int) -> None:
        nonlocal last
        if (stage, done, total) != last:
            last = (stage, done, total)
            progress(stage, done, total)

    return once


def _write_mask(mask: "sitk.Image", program: str, file: Path) -> None:
    """Write a mask that says who proposed it, whole or not at all."""
    import SimpleITK as sitk

    mask = sitk.Image(mask)
    mask.SetMetaData(PROGRAM_KEY, program)
    with tempfile.TemporaryDirectory(prefix="tace-") as folder, whole_file(file) as stream:
        written = Path(folder, f"mask{next(e for e in ENDINGS if file.name.lower().endswith(e))}")
        sitk.WriteImage(mask, str(written), True)
        stream.write(written.read_bytes())


# A cohort


@dataclass(frozen=True)
class _Run:
    """What every patient of a cohort needs. names: patient -> name of the mask's file without its ending."""

    folder: Path
    command: list[str]
    program: str
    device: str
    names: dict[str, str]


def _of_cohort(options: Namespace, progress: Reporting) -> int:
    """A mask a patient, a table and a page; a patient that fails is reported and the rest go on."""
    from TACEResponseLib.cohorts.images import read_images
    from TACEResponseLib.proposal.program import found_command, program_name

    from .drafted_cohort import rows_before, write_cohort_table

    patients = read_images(options.cohort, encoding=options.encoding)
    before = rows_before(options.out, options.cohort)
    command = _command(options)
    names = folder_names((patient.patient_id for patient in patients), taken=[Path(TABLE).stem])
    run = _Run(options.out, found_command(command), program_name(command), options.device, names)
    make_folder(options.out)
    rows, problems, drafts = [], [], []
    for done, patient in enumerate(patients):
        progress(tr("proposing"), done, len(patients))
        row = {"patient_id": patient.patient_id}
        if patient.mask is not None:
            rows.append({**row, "problem": tr("it has a mask, {file}", file=patient.mask.name)})
            continue
        try:
            rows.append({**row, **_draft(patient, run, within(patient.patient_id, _changes(progress)))})
            drafts.append(patient)
        except (Cancelled, DependencyError):
            raise
        except (TACEResponseError, OSError) as error:
            problems.append(_problem_of(error, patient.patient_id))
            rows.append({**row, "problem": str(problems[-1])})
    progress(tr("proposing"), len(patients), len(patients))
    table = _write_table(rows, options.out / TABLE)
    places = {name: options.out / f"{stem}.nrrd" for name, stem in names.items()}
    with_drafts = {patient.patient_id for patient in drafts}
    cohort = write_cohort_table(patients, places, with_drafts, before, options.out)
    page = _write_page(drafts, problems, run, progress) if drafts or problems else None
    text = [*in_short(problems), *map(str, formula_warnings(names))]
    text.append(
        several(
            len(patients),
            "{drafts} of 1 patient has a draft by {program}: {table}",
            "{drafts} of {n} patients have a draft by {program}: {table}",
            drafts=len(drafts),
            program=run.program,
            table=table,
        )
    )
    text += [tr("Look at every outline before it is used: {page}", page=page)] if page else []
    text.append(
        tr(
            "Correct the drafts, write edited or confirmed into the column mask_source of {file}, then check"
            " it: tace-response check --cohort {file}",
            file=cohort,
        )
    )
    written = {"table": str(table), "page": str(page or ""), "cohort": str(cohort)}
    say_done(progress, "\n".join(text), **written, proposed=len(drafts), failed=len(problems))
    return SOME_FAILED if problems else DONE


def _draft(patient: "PatientImage", run: _Run, progress: Progress) -> dict:
    """The row of a patient whose mask is in the folder afterwards; it is made once."""
    from TACEResponseLib.proposal.draft import lesions_of
    from TACEResponseLib.proposal.program import propose as ask
    from TACEResponseLib.readers import read_image
    from TACEResponseLib.resumable.locks import one_case

    require_short(run.names[patient.patient_id], patient.patient_id)
    file = run.folder / f"{run.names[patient.patient_id]}.nrrd"
    image, _ = read_image(patient.image, series=patient.series)
    with one_case(file.with_name(f".{file.name}.lock")):  # another run may be in the same folder
        if file.exists():
            mask = _kept(file, image, run.program)
        else:
            mask = ask(image, run.command, run.device, progress)
            _write_mask(mask, run.program, file)
    lesions = lesions_of(mask, run.program)
    return {
        "mask": file.name,
        "lesions": len(lesions),
        "small_lesions": sum(lesion.small for lesion in lesions),
        "volume_ml": round(sum(lesion.volume_ml for lesion in lesions), 3),
        "largest_diameter_mm": round(lesions[0].diameter_mm, 2),
        "mask_source": PROPOSED,
        "program": run.program,
    }


def _kept(file: Path, image: "sitk.Image", program: str) -> "sitk.Image":
    """The mask of an earlier run; InputError where it is another program's or of another CT."""
    from TACEResponseLib.cases.geometry import is_on_grid
    from TACEResponseLib.readers.volumes import read_volume

    mask = read_volume(file, "mask")
    by = (
        mask.GetMetaData(PROGRAM_KEY)
        if mask.HasMetaDataKey(PROGRAM_KEY)
        else tr("a program that is not known")
    )
    if by != program or not is_on_grid(mask, image):
        raise InputError(
            tr("the folder holds another mask of this name"),
            field="out",
            file=file.name,
            expected=tr("a mask by {program} on the CT's grid", program=program),
            received=tr("a mask by {program}", program=by) if by != program else tr("a mask on another grid"),
            remedy=tr("choose an empty folder, or delete that file"),
        )
    return mask


def _problem_of(error: TACEResponseError | OSError, patient_id: str) -> Problem:
    """What stopped one patient; what the system refuses names the file."""
    if isinstance(error, OSError):
        file = Path(str(error.filename)).name[:60] if error.filename else ""
        reason = error.strerror or str(error)
        error = InputError(tr("a file cannot be read or written"), file=file, received=reason)
    return error.about(patient_id=patient_id).problem


def _write_table(rows: Sequence[dict], file: Path) -> Path:
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({key: quoted(cell) if isinstance(cell, str) else cell for key, cell in row.items()})
    with whole_file(file) as stream:
        stream.write(text.getvalue().encode("utf-8"))
    return file


def _write_page(patients: Sequence["PatientImage"], problems: Sequence[Problem], run: _Run, progress) -> Path:
    from TACEResponseLib.cohorts.table import Patient

    from .proposals_page import write_proposals_page

    drafted = [
        Patient(p.patient_id, p.image, run.folder / f"{run.names[p.patient_id]}.nrrd", series=p.series)
        for p in patients
    ]
    failed = {problem.patient_id: problem for problem in problems}
    return write_proposals_page(drafted, failed, run.program, TABLE, run.folder, progress)
