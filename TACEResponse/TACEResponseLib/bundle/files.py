"""The files inside a bundle: model -> JSON, models, arrays, and back.

`bundle` decides when these are called and guards them with checksums.
"""

import contextlib
import csv
import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import numpy as np

from TACEResponseLib import __version__
from TACEResponseLib.answer.response_model import Origin, ResponseModel, TrainingPatients
from TACEResponseLib.answer.similarity import TrainingSpread
from TACEResponseLib.cases.outline import Outline
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.models.calibrated import CalibratedFit
from TACEResponseLib.models.combination import Combination
from TACEResponseLib.selection.reliability import ReliabilityTable
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.storage import quoted, unquoted

from . import MANIFEST, BundleManifest, KeptReliability, version2
from .fits import read_calibrated, read_fit, write_calibrated, write_fit
from .reading import read_arrays, read_json, reading, write_json
from .selftest import replay_selftest, write_selftest

#: Folders of the final fit and of the fits of the folds.
FINAL, FOLDS = "final", "folds"
CONFORMAL = "conformal.npz"
#: Columns of `scores.csv` beside the models; the fold, counted from 1, is not in every bundle.
FOLD = "fold"
KNOWN = ("patient_id", "label", FOLD)


def software_versions() -> dict[str, str]:
    """Versions of Python, of this software and of the packages that numbers depend on."""
    versions = {"tace-response": __version__, "python": platform.python_version()}
    for name in ("numpy", "scipy", "SimpleITK", "PyWavelets", "numba", "scikit-learn", "skops", "h5py"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def write_model(
    folder: Path, model: ResponseModel, reliability: ReliabilityTable | KeptReliability | None
) -> None:
    """Every file of the bundle but the card and the manifest, into an empty folder."""
    write_json(folder / "settings.json", model.settings.to_json())
    write_json(
        folder / "features.json",
        {
            "engine": model.engine,
            "extraction_known": model.extraction_known,
            "training_images": list(model.training.image_hashes),
            # Only where something is known, so that a training of before keeps its bytes and its name.
            **({"training_outlines": dict(outlines)} if (outlines := model.training.outlines) else {}),
            "background": list(model.background.feature_names),
            "reliability": [] if reliability is None else reliability.rows(),
            "training_range": {name: list(limits) for name, limits in model.training_range.items()},
        },
    )
    write_json(
        folder / "fusion.json",
        {
            "headline": model.headline,
            "combinations": {name: c.to_json() for name, c in model.combinations.items()},
            "thresholds": dict(model.thresholds),
            **({} if model.origin is None else {"origin": asdict(model.origin)}),
        },
    )
    write_json(folder / "similarity.json", model.spread.to_json())
    write_fit(folder / FINAL, model.models)
    for number, fit in enumerate(model.fold_fits):
        write_calibrated(folder / FOLDS / str(number), fit)
    _write_scores(folder / "scores.csv", model.training)
    np.savez_compressed(folder / CONFORMAL, **model.training.conformal)
    np.savez_compressed(folder / "background.npz", features=model.background.features)
    write_selftest(folder, model)


def _write_scores(path: Path, training: TrainingPatients) -> None:
    """Out-of-fold probabilities, one row a training patient, with the fold that held the patient out."""
    columns = {"patient_id": map(quoted, training.patient_ids), "label": map(int, training.outcome.labels)}
    if training.folds is not None:
        columns[FOLD] = (int(fold) + 1 for fold in training.folds)
    columns |= {name: (f"{v:.6f}" for v in values) for name, values in training.out_of_fold.items()}
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(columns)
        table.writerows(zip(*columns.values(), strict=True))


def read_model(folder: Path, manifest: BundleManifest) -> ResponseModel:
    """The model from files that were verified; BundleError when one cannot be read or does not fit."""
    with reading(folder / MANIFEST):
        features, fusion = (read_json(folder / name) for name in ("features.json", "fusion.json"))
        old = manifest.format_version == 2
        model = ResponseModel(
            settings=TrainingSettings.from_json(read_json(folder / "settings.json")),
            models=version2.read_final(folder, features, fusion) if old else read_fit(folder / FINAL),
            combinations={name: Combination.from_json(c) for name, c in fusion["combinations"].items()},
            thresholds={name: float(value) for name, value in fusion["thresholds"].items()},
            headline=fusion["headline"],
            training=_read_scores(folder / "scores.csv", features),
            training_range={name: tuple(limits) for name, limits in features["training_range"].items()},
            background=(version2.read_background if old else _read_background)(folder, features),
            spread=TrainingSpread.from_json(read_json(folder / "similarity.json")),
            fold_fits=version2.read_folds(folder, features, fusion) if old else _read_folds(folder),
            extraction_known=bool(features.get("extraction_known", True)),
            engine=features["engine"],
            demonstration=manifest.demonstration,
            identity=manifest.id,
            origin=_read_origin(fusion.get("origin")),
        )
        names = version2.selftest_names(features) if old else None
        replay_selftest(folder, model, (software_versions(), manifest.versions), names)
    return model


def _read_origin(content: dict | None) -> Origin | None:
    if content is None:
        return None
    thresholds = {name: float(value) for name, value in content["thresholds"].items()}
    centers = tuple(map(str, content["centers"]))
    return Origin(str(content["bundle_id"]), thresholds, int(content["training"]), centers)


def _read_folds(folder: Path) -> tuple[CalibratedFit, ...]:
    places = sorted((folder / FOLDS).iterdir(), key=lambda place: int(place.name))
    return tuple(read_calibrated(place) for place in places)


def _read_background(folder: Path, features: dict) -> PatientTable:
    rows = read_arrays(folder / "background.npz")["features"]
    return PatientTable(tuple(map(str, range(len(rows)))), tuple(features["background"]), rows)


def _read_scores(path: Path, features: dict) -> TrainingPatients:
    """What `_write_scores` wrote, with the hashes of the CTs in `features.json` where they are known."""
    conformal = path.with_name(CONFORMAL)  # bundles of format 2 compare with the scores themselves
    with reading(path), path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
        names = [name for name in rows[0] if name not in KNOWN] if rows else []
        outlines = features.get("training_outlines", {})
        out_of_fold = {name: np.array([float(row[name]) for row in rows]) for name in names}
        return TrainingPatients(
            patient_ids=tuple(unquoted(row["patient_id"]) for row in rows),
            outcome=Outcome(np.array([int(row["label"]) for row in rows])),
            out_of_fold=out_of_fold,
            conformal=read_arrays(conformal) if conformal.exists() else out_of_fold,
            image_hashes=tuple(map(str, features.get("training_images", ()))),
            folds=np.array([int(row[FOLD]) - 1 for row in rows]) if rows and FOLD in rows[0] else None,
            outlines={Outline(source).source: int(n) for source, n in outlines.items()},
        )
