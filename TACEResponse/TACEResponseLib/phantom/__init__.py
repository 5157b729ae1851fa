"""The phantom: a seeded cohort of synthetic patients with a known answer. No patient is in it.

Every image is computed from random numbers: an arterial-phase abdominal CT in HU with one to four
liver tumours (`anatomy`, `lesions`). Response is drawn from a latent score in
which the size, the heterogeneity and the necrosis of the tumours act with known weights, so the
best AUC that any model can reach is known (`response`). Models trained on it know nothing
about patients; it is for demonstrations, tests and benchmarks.

Patient `index` of `seed` is the same whatever the cohort's size, and its small image is a crop of
its full one.
"""

import contextlib
import csv
import json
import shutil
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import listed, mark, tr
from TACEResponseLib.messages.progress import Progress, silent

from .anatomy import Body, paint_frame
from .canvas import ORGANS, SCAN_MM, Canvas, Grid, as_scanned
from .lesions import Lesion, Look, paint_lesion
from .organs import paint_organs
from .response import (
    STRENGTH,
    WEIGHTS,
    Response,
    auc_interval,
    best_auc,
    draw_clinical,
    draw_response,
    random_streams,
)

#: Raised when the same seed gives other patients than before.
PHANTOM_VERSION = 2
#: First line of everything a phantom cohort is accompanied by.
NOT_PATIENTS = mark("Synthetic images computed from random numbers; no patient is in them.")
#: Files beside the patients' folders; the last one is in each folder.
COHORT_FILE, TRUTH_FILE, SCORES_FILE, README_FILE = "cohort.csv", "truth.json", "truth.csv", "README.txt"
_PATIENT_FILE = "patient.json"


@dataclass(frozen=True)
class PhantomPatient:
    """One synthetic patient.

    image: int16 HU. mask, mask_reader2: uint8, 1 in every lesion, the expert's and a second
    reader's. anatomy: uint8 labels named by `organs`. clinical: values by column name, units
    in the names.
    """

    patient_id: str
    image: sitk.Image
    mask: sitk.Image
    mask_reader2: sitk.Image
    anatomy: sitk.Image
    organs: dict[str, int]
    #: Longest axial diameter of the main lesion in mm, and the number of lesions.
    diameter_mm: float
    lesions: int
    truth: Response
    clinical: dict[str, object]


def make_patient(
    index: int,
    seed: int,
    size: Literal["small", "full"] = "small",
    diameter_mm: float | None = None,
    strength: float = STRENGTH,
) -> PhantomPatient:
    """Patient number `index` of the population `seed`.

    size: `full` is the whole cross-section (512 x 512, about 110 slices), `small` a crop around
    the lesions of the same voxels. diameter_mm: longest axial diameter of the main lesion, drawn
    when None. strength: slope of the log-odds of response; 0 makes response independent of the
    image. Raises InputError for values outside their limits.
    """
    if size not in ("small", "full"):
        raise InputError(
            tr("size {size} is unknown", size=size), field="size", expected=tr("small or full"), received=size
        )
    truth = draw_response(index, seed, strength, diameter_mm)
    random = random_streams(seed, index)
    body, scan = Body.draw(random["body"]), _scan(random["scan"])
    lesions = _place_lesions(random["lesions"], body, truth.diameter_mm)
    grid = _field_of_view(scan, lesions, random["scan"]) if size == "small" else scan
    canvas = Canvas(grid)
    paint_frame(canvas, body, random["organs"])
    paint_organs(canvas, body, random["organs"])
    look = Look.draw(random["lesions"], body.liver_hu, truth.necrotic_share, truth.mottling_hu)
    noise_hu = body.noise_hu(*(a[0] for a in grid.axes()[:2]), random["noise"].uniform(10, 15))
    masks = [np.zeros_like(canvas.labels) for _ in range(2)]
    for lesion in lesions:
        *drawn, part = paint_lesion(canvas, body, lesion, look, random["lesions"])
        for mask, one in zip(masks, drawn, strict=True):
            mask[part.within(grid)] |= one
    return PhantomPatient(
        patient_id=patient_id(index),
        image=grid.image(as_scanned(canvas, noise_hu, random["noise"])),
        mask=grid.image(masks[0]),
        mask_reader2=grid.image(masks[1]),
        anatomy=grid.image(canvas.labels),
        organs=dict(ORGANS),
        diameter_mm=lesions[0].diameter_mm,
        lesions=len(lesions),
        truth=truth,
        clinical=draw_clinical(random["clinical"], truth),
    )


def patient_id(index: int) -> str:
    """P0001 for 1: text, with leading zeros."""
    return f"P{index:04d}"


def _scan(rng: np.random.Generator) -> Grid:
    """The lattice of the full scan: 512 x 512 pixels of about 0.75 mm, slices of about 2.5 mm."""
    pixel_mm, slice_mm = round(rng.uniform(0.72, 0.78), 4), round(rng.choice([2.4, 2.5, 2.6]), 4)
    slices = int((SCAN_MM[1] - SCAN_MM[0]) / slice_mm)
    middle = -255.5 * pixel_mm
    return Grid((pixel_mm, pixel_mm, slice_mm), (middle, middle, SCAN_MM[0]), (512, 512, slices))


def _place_lesions(rng: np.random.Generator, body: Body, diameter_mm: float) -> list[Lesion]:
    """The main lesion deep in the liver, and up to three smaller ones near it."""
    number = int(rng.choice([1, 2, 3, 4], p=[0.5, 0.25, 0.15, 0.1]))
    candidates = rng.uniform((-160, -95, -75), (60, 95, 75), (4000, 3)).astype(np.float32)
    depth = -body.liver(*candidates.T)
    wanted = min(0.5 * diameter_mm, np.quantile(depth, 0.998))
    main = Lesion(candidates[np.argmax(depth >= wanted)], diameter_mm, rng)
    lesions = [main]
    for _ in range(number - 1):
        small_mm = float(np.clip(diameter_mm * rng.uniform(0.2, 0.6), 9, 35))
        gap = np.min(
            [np.linalg.norm(candidates - o.centre_mm, axis=1) - o.reach_mm.max() for o in lesions], axis=0
        )
        offset = np.abs(candidates - main.centre_mm) + small_mm * 0.75
        near = np.all(offset < np.maximum((80, 65, 44), main.reach_mm + 6), axis=1)
        fits = (depth > 0.5 * small_mm + 2) & (gap > 0.75 * small_mm + 6) & near
        if fits.any():
            lesions.append(Lesion(candidates[np.argmax(fits)], small_mm, rng))
    return lesions


def _field_of_view(scan: Grid, lesions: list[Lesion], rng: np.random.Generator) -> Grid:
    """The small image: lesions with a margin, then liver around them up to about 250 x 200 x 40."""
    boxes = np.array([lesion.box(9) for lesion in lesions])
    low, high = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)
    spacing, origin, full = (np.array(v) for v in (scan.spacing_mm, scan.origin_mm, scan.size))
    wanted = rng.integers((220, 190, 38), (256, 216, 44)) * spacing
    size_mm = np.maximum(wanted, high - low)
    middle = np.array((-62.0, -2.0, 8.0))
    first = np.clip(middle - size_mm / 2, high - size_mm, low)
    start = np.clip(np.floor((first - origin) / spacing).astype(int), 0, None)
    size = np.minimum(np.ceil(size_mm / spacing).astype(int) + 1, full - start)
    return Grid(scan.spacing_mm, scan.origin_mm, tuple(map(int, size)), tuple(map(int, start)))


def write_cohort(
    folder: str | Path,
    patients: int,
    seed: int,
    size: Literal["small", "full"] = "small",
    progress: Progress = silent,
    jobs: int = 1,
    strength: float = STRENGTH,
) -> Path:
    """Write patients 1 to `patients` with `cohort.csv` and the truth; the path of the folder.

    Odd patients are `training` (center A), even ones `validation` (centers B and C). A patient's
    folder appears when it is complete, so that a cancelled run goes on where it stopped; the
    table comes last. Raises InputError when the folder holds another cohort.
    """
    if patients < 1:
        raise InputError(
            tr("a cohort needs patients"), field="patients", expected=tr("at least 1"), received=str(patients)
        )
    folder = Path(folder)
    recipe = {"version": PHANTOM_VERSION, "seed": seed, "size": size, "strength": strength}
    _refuse_another_cohort(folder, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    _write_truth(folder, recipe, patients)
    waiting = [n for n in range(1, patients + 1) if not (folder / patient_id(n) / _PATIENT_FILE).exists()]
    progress(tr("phantom"), patients - len(waiting), patients)
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        tasks = [pool.submit(_write_patient, folder, n, seed, size, strength) for n in waiting]
        try:
            for done, task in enumerate(as_completed(tasks), patients - len(waiting) + 1):
                task.result()
                progress(tr("phantom"), done, patients)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    rows = [
        json.loads((folder / patient_id(n) / _PATIENT_FILE).read_text("utf-8"))
        for n in range(1, patients + 1)
    ]
    _write_table(folder / COHORT_FILE, rows)
    return folder


def _write_patient(folder: Path, index: int, seed: int, size: str, strength: float) -> None:
    """Write one patient into a folder beside its place, and move it there when it is whole."""
    patient = make_patient(index, seed, size, strength=strength)
    place, partial = folder / patient.patient_id, folder / f".{patient.patient_id}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    row = {"patient_id": patient.patient_id}
    for name in ("image", "mask", "mask_reader2"):
        sitk.WriteImage(getattr(patient, name), str(partial / f"{name}.nrrd"), True, compressionLevel=1)
        row[name] = f"{patient.patient_id}/{name}.nrrd"
    row["label"], row["response"] = int(patient.truth.responder), patient.truth.response
    row["cohort"] = "training" if index % 2 else "validation"
    row["center"] = "A" if index % 2 else "BC"[index // 2 % 2]
    row["phase"] = "arterial"
    row |= patient.clinical
    _write_text(partial / _PATIENT_FILE, json.dumps(row, indent=1))
    shutil.rmtree(place, ignore_errors=True)
    partial.replace(place)


def _refuse_another_cohort(folder: Path, recipe: dict) -> None:
    """Raise InputError when the folder holds anything but the cohort of this recipe."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    found = {}
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((folder / TRUTH_FILE).read_text("utf-8"))
    if any(found.get(key) != value for key, value in recipe.items()):
        words = lambda d: listed(f"{key} {d[key]}" for key in recipe if key in d)
        raise InputError(
            tr("the folder holds something else"),
            field="folder",
            file=str(folder),
            expected=tr("an empty folder, or the phantom cohort of {words}", words=words(recipe)),
            received=tr("the phantom cohort of {words}", words=words(found)) if found else tr("other files"),
            remedy=tr("choose an empty folder"),
        )


def _write_truth(folder: Path, recipe: dict, patients: int) -> None:
    """Write what is known beforehand: weights, scores of every patient, the best reachable AUC."""
    truths = {
        patient_id(n): draw_response(n, recipe["seed"], recipe["strength"]) for n in range(1, patients + 1)
    }
    responders = sum(t.responder for t in truths.values())
    reachable = best_auc(recipe["strength"])
    chance = None
    if 0 < responders < patients:
        chance = auc_interval(reachable, responders, patients - responders)
    content = {
        "note": tr(NOT_PATIENTS),
        **recipe,
        "patients": patients,
        "responders": responders,
        "weights": WEIGHTS,
        "best_auc": reachable,
        "best_auc_derivation": tr(
            "AUC of the latent score in the population, by numerical integration of its density "
            "against the logistic probability of response"
        ),
        "best_auc_by_chance_95_percent": chance,
        "best_auc_by_chance_derivation": tr(
            "where the AUC of the latent score falls in a cohort of this size in 95 of 100 cases "
            "(Hanley and McNeil 1982)"
        ),
    }
    _write_text(folder / TRUTH_FILE, json.dumps(content, indent=1))
    _write_table(folder / SCORES_FILE, [{"patient_id": name, **asdict(t)} for name, t in truths.items()])
    _write_text(folder / README_FILE, f"{tr(NOT_PATIENTS)}\n{tr(_README)}")


_README = mark("""\
cohort.csv lists the patients, one row each; the images lie beside it, in HU.
truth.json says how response was drawn and the best AUC that any model can reach.
truth.csv holds the hidden traits of every patient; a model must not see it.
""")


def _write_table(path: Path, rows: list[dict]) -> None:
    """Rows as CSV with the columns of the first."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    partial.replace(path)


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(path)
