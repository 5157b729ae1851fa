"""From the files of WAW-TACE, packed or not, to a cohort folder for external evaluation.

For each patient: the scan of one phase, and the masks of all lesions that were drawn on it, united. A
patient whose files do not fit is named, and the rest go on.
"""

import json
import shutil
import tempfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import SimpleITK as sitk

from TACEResponseLib.cases import Case, make_case
from TACEResponseLib.messages.errors import InputError, Problem, TACEResponseError
from TACEResponseLib.messages.language import listed, mark, tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.readers.masks import open_mask
from TACEResponseLib.readers.tables import Row
from TACEResponseLib.readers.volumes import open_volume
from TACEResponseLib.storage import WRITING

from . import waw_tace
from .layout import ANNOTATED, PROVENANCE, write_table, write_text

#: Raised when the files of a laid-out patient change their meaning; older ones are then made anew.
LAYOUT_VERSION = 1


@dataclass(frozen=True)
class Packed:
    """A file that lies in a folder, or in a zip there. archive: None for a plain file."""

    archive: Path | None
    name: str

    def take(self, folder: Path) -> Path:
        """The file on disk; one of a zip is unpacked into `folder`. InputError when it is damaged."""
        if self.archive is None:
            return Path(self.name)
        place = folder / Path(self.name).name
        try:
            with (
                zipfile.ZipFile(self.archive) as packed,
                packed.open(self.name) as source,
                place.open("wb") as stream,
            ):
                shutil.copyfileobj(source, stream)
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(
                tr("a file of the archive is damaged"),
                file=f"{self.archive.name}, {self.name}",
                received=f"{type(error).__name__}: {error}"[:200],
                remedy=tr("fetch the archive again"),
            ) from None
        return place


@dataclass
class Found:
    """Scans by (patient, phase), and masks by (patient, phase) and number of the lesion."""

    scans: dict[tuple[str, str], Packed] = field(default_factory=dict)
    lesions: dict[tuple[str, str], dict[int, Packed]] = field(default_factory=lambda: defaultdict(dict))


def find(folders: Iterable[Path] = (), archives: Iterable[Path] = ()) -> Found:
    """Every scan and mask of the collection below the folders and in the zips; InputError for no zip."""
    found = Found()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            _sort_in(found, Packed(None, str(path)), path.as_posix())
    for archive in archives:
        try:
            with zipfile.ZipFile(archive) as packed:
                names = packed.namelist()
        except (OSError, zipfile.BadZipFile):
            raise InputError(
                tr("the archive is damaged"), file=archive.name, remedy=tr("fetch it again")
            ) from None
        for name in names:
            _sort_in(found, Packed(archive, name), name)
    return found


def _sort_in(found: Found, packed: Packed, name: str) -> None:
    if scan := waw_tace.SCAN.search(name):
        found.scans.setdefault((str(int(scan[1])), scan[2]), packed)
    elif lesion := waw_tace.LESION.search(name):
        patient, phase, number = lesion.groups()
        found.lesions[str(int(patient)), phase].setdefault(int(number), packed)


def lay_out_found(
    found: Found, rows: Mapping[str, Row], out: Path, phase: str = ANNOTATED, progress: Progress = silent
) -> list[Problem]:
    """Write a folder for each patient whose scans are `found`; hands back what there is to say.

    rows: number of the patient -> row of the clinical table. phase: `annotated`, the first of arterial,
    portal venous, delayed and native in which lesions were drawn, or one of those by name. Patients that
    are there already are kept.
    """
    problems = []
    patients = sorted({patient for patient, _ in found.scans}, key=int)
    for done, patient in enumerate(patients):
        progress(tr("laying out"), done, len(patients))
        name = waw_tace.patient_name(patient)
        try:
            if patient not in rows:
                raise InputError(tr("the clinical table has no row of this patient"), field="clinical")
            problems += _lay_out_patient(patient, found, phase, out / name)
        except TACEResponseError as error:
            problems.append(error.about(patient_id=name).problem)
    progress(tr("laying out"), len(patients), len(patients))
    return problems


def _lay_out_patient(patient: str, found: Found, phase: str, folder: Path) -> list[Problem]:
    """Write one patient's folder, whole or not at all."""
    digit = _phase_of(patient, found, phase)
    lesions = found.lesions[patient, digit]
    recipe = _recipe(phase, digit, sorted(lesions))
    if laid_out(folder, phase) == recipe:
        return []
    temporary = folder.with_name(f"{WRITING}{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        with tempfile.TemporaryDirectory(prefix=WRITING, dir=folder.parent) as unpacked:
            scan = found.scans[patient, digit].take(Path(unpacked))
            masks = [lesions[number].take(Path(unpacked)) for number in sorted(lesions)]
            case = _case(folder.name, scan, masks, waw_tace.PHASES[digit])
        sitk.WriteImage(case.image, str(temporary / "image.nrrd"), True, 1)
        sitk.WriteImage(case.mask, str(temporary / "mask.nrrd"), True, 1)
        write_text(temporary / PROVENANCE, json.dumps({"recipe": recipe, **case.provenance}, indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    notes = (TACEResponseError.from_problem(warning) for warning in case.warnings)
    return [note.about(patient_id=folder.name).problem for note in notes]


def _recipe(phase: str, digit: str, lesions: list[int]) -> dict:
    return {"layout": LAYOUT_VERSION, "asked": phase, "phase": waw_tace.PHASES[digit], "lesions": lesions}


def _phase_of(patient: str, found: Found, phase: str) -> str:
    """The digit of the phase to take; InputError where no lesion was drawn on a scan of it."""
    drawn = [digit for digit in waw_tace.PHASES if found.lesions.get((patient, digit))]
    with_scan = [digit for digit in drawn if (patient, digit) in found.scans]
    fitting = [digit for digit in with_scan if phase in (ANNOTATED, waw_tace.PHASES[digit])]
    if fitting:
        return fitting[0]
    scans = listed(tr(name) for digit, name in waw_tace.PHASES.items() if (patient, digit) in found.scans)
    masks = listed(tr(waw_tace.PHASES[digit]) for digit in drawn) or tr("none")
    raise InputError(
        tr("no lesion is drawn on the scan that is wanted"),
        field="mask",
        expected=tr("a scan and masks of the phase: {phase}", phase=tr(phase)),
        received=tr("scans: {scans}; masks: {masks}", scans=scans, masks=masks),
        remedy=tr("take --phase annotated") if with_scan else tr("fetch the masks and all scans"),
    )


def _case(name: str, scan: Path, masks: Sequence[Path], phase: str) -> Case:
    """The scan with the union of the lesions' masks; every mask must fit the scan and hold something."""
    admitted, united, notes = open_volume(scan, "image"), None, []
    for path in masks:
        opened = open_mask(path, admitted.volume)
        mask = opened.read("all" if opened.names else None)
        try:
            lesion = make_case(name, admitted.volume, mask.labels, label="all", cropped_is_normal=True)
        except TACEResponseError as error:
            raise error.about(file=path.name) from None
        united = lesion.mask if united is None else sitk.Maximum(united, lesion.mask)
        notes += [*mask.warnings, *lesion.warnings]
    sources = {"image": {"file": scan.name, "phase": phase}, "mask": {"files": [path.name for path in masks]}}
    more = dict.fromkeys((*admitted.notes, *notes))
    case = make_case(name, admitted.volume, united, label=1, cropped_is_normal=True, provenance=sources)
    return replace(case, warnings=tuple(dict.fromkeys((*more, *case.warnings))))


def laid_out(folder: Path, phase: str) -> dict | None:
    """The recipe of a patient's folder that was made for this phase; None where there is no such one."""
    try:
        recipe = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))["recipe"]
        return recipe if (recipe["layout"], recipe["asked"]) == (LAYOUT_VERSION, phase) else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def write_cohort(out: Path, rows: Mapping[str, Row], phase: str = ANNOTATED) -> tuple[Path, int, list[str]]:
    """Write `cohort.csv` of the patients that are laid out: its path, how many, and the IDs that are not."""
    columns = waw_tace.clinical_columns(list(rows.values()))
    lines, missing = [], []
    for patient, row in sorted(rows.items(), key=lambda item: int(item[0])):
        name = waw_tace.patient_name(patient)
        recipe = laid_out(out / name, phase)
        if recipe is None:
            missing.append(name)
            continue
        lines.append(
            {
                "patient_id": name,
                "image": f"{name}/image.nrrd",
                "mask": f"{name}/mask.nrrd",
                "label": waw_tace.label_of(row),
                "label_meaning": waw_tace.LABEL_MEANING,
                "cohort": "validation",
                "center": "WAW-TACE",
                "phase": recipe["phase"],
                "lesions_in_mask": str(len(recipe["lesions"])),
                **waw_tace.clinical_values(row, columns),
            }
        )
    write_table(out / "cohort.csv", lines)
    meaning = tr(waw_tace.LABEL_MEANING)
    write_text(out / "SOURCE.txt", tr(_SOURCE, doi=waw_tace.DOI, meaning=meaning))
    return out / "cohort.csv", len(lines), missing


_SOURCE = mark("""\
The images, masks and clinical values in this folder are those of WAW-TACE
(https://doi.org/{doi}), licence CC BY 4.0; cite it. The masks of a patient's lesions were united.
The label is 1 where initial_LR_TR is 0: {meaning}. This is not objective response by
mRECIST, which the collection does not hold, and figures for it are not pooled with those of response.
""")
