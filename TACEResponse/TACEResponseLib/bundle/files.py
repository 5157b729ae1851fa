"""The files inside a bundle: model -> JSON, skops, keras, npz, and back, with the self-test.

`bundle` decides when these are called and guards them with checksums.
"""

import contextlib
import csv
import json
import platform
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import skops.io

from TACEResponseLib import __version__
from TACEResponseLib.answer.response_model import ResponseModel
from TACEResponseLib.answer.similarity import TrainingSpread
from TACEResponseLib.errors import BundleError
from TACEResponseLib.measuring.case import ModelInputs
from TACEResponseLib.models.classical import TRUSTED_TYPES
from TACEResponseLib.models.fusion import Fusion
from TACEResponseLib.models.network.keras_file import read_keras_file
from TACEResponseLib.selection.reliability import ReliabilityTable
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.training.fit import Members
from TACEResponseLib.training.out_of_fold import Combination, TrainingRecord

from . import MANIFEST, BundleManifest, damaged

#: Replayed probabilities may differ by this much; more means another arithmetic.
SELFTEST_TOLERANCE = 1e-5
#: Folder of the models that each fold trained.
FOLDS = "folds"


def software_versions() -> dict[str, str]:
    """Versions of Python, of this software and of the packages that numbers depend on."""
    versions = {"tace-response": __version__, "python": platform.python_version()}
    for name in ("numpy", "scipy", "SimpleITK", "PyWavelets", "numba", "scikit-learn", "skops", "h5py"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def write_json(path: Path, content: object) -> None:
    """Readable JSON that never holds NaN, with the same bytes on every system."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def write_model(
    folder: Path, model: ResponseModel, record: TrainingRecord, reliability: ReliabilityTable | None
) -> None:
    """Every file of the bundle but the card and the manifest, into an empty folder."""
    members = model.members
    write_json(folder / "settings.json", model.settings.to_json())
    write_json(
        folder / "features.json",
        {
            "engine": model.engine,
            "extraction_known": model.extraction_known,
            "training_images": list(model.training_images),
            "selected": list(members.selected),
            "fold_selected": [list(of_fold.selected) for of_fold in model.fold_members],
            "reliability": _reliability_rows(reliability),
            "training_range": {name: list(limits) for name, limits in model.training_range.items()},
        },
    )
    write_json(
        folder / "fusion.json",
        {
            "headline": model.headline,
            "size": _size(members),
            "fold_sizes": [_size(of_fold) for of_fold in model.fold_members],
            "combinations": {name: c.to_json() for name, c in model.combinations.items()},
            "thresholds": dict(model.thresholds),
        },
    )
    write_json(folder / "similarity.json", model.spread.to_json())
    _write_trained(folder, members)
    for number, of_fold in enumerate(model.fold_members):
        _write_trained(folder / FOLDS / str(number), of_fold)
    _write_scores(folder / "scores.csv", record)
    np.savez_compressed(folder / "background.npz", features=model.background)
    inputs = _selftest_inputs(model)
    expected = model.probabilities(inputs)
    arrays = {"features": inputs.features, "diameters_mm": inputs.diameters_mm}
    if inputs.pixels is not None:
        arrays["pixels"] = (inputs.pixels * 255).round().astype(np.uint8)
    np.savez_compressed(
        folder / "selftest.npz",
        names=np.array(list(expected)),
        probabilities=np.array(list(expected.values())),
        of_folds=model.of_folds(inputs, model.headline),
        **{name: values for name, values in arrays.items() if values is not None},
    )


def _write_trained(folder: Path, members: Members) -> None:
    """The classifiers and the network, as files."""
    (folder / "classifiers").mkdir(parents=True)
    for name, fitted in members.classifiers.items():
        path = folder / "classifiers" / f"{name}.skops"
        skops.io.dump(fitted, path, compression=zipfile.ZIP_DEFLATED, compresslevel=9)
    if members.network is not None:
        (folder / "network.keras").write_bytes(members.network.keras_file)


def _size(members: Members) -> dict | None:
    return None if members.size is None else members.size.to_json()


def _reliability_rows(reliability: ReliabilityTable | None) -> list[dict]:
    """One row a feature with ICC, interval and verdict; a value that does not exist is null."""
    if reliability is None:
        return []
    rows = reliability.to_frame().to_dict("records")
    return [{k: None if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()} for row in rows]


def _write_scores(path: Path, record: TrainingRecord) -> None:
    """Out-of-fold probabilities, one row a training patient."""
    out_of_fold = record.out_of_fold
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["patient_id", "label", *out_of_fold.probabilities])
        columns = zip(*out_of_fold.probabilities.values(), strict=True)
        for patient_id, label, row in zip(out_of_fold.patient_ids, out_of_fold.labels, columns, strict=True):
            table.writerow([patient_id, int(label), *(f"{value:.6f}" for value in row)])


def _selftest_inputs(model: ResponseModel):
    """Three made-up patients inside the training range: smooth patterns, no patient's pixels."""
    shares = np.array([0.2, 0.5, 0.8])[:, None]
    selected = model.needed
    low, high = (np.array([model.training_range[name][side] for name in selected]) for side in (0, 1))
    diameters_mm, pixels = None, None
    if "diameter_mm" in model.training_range:
        diameters_mm = np.interp(shares[:, 0], [0, 1], model.training_range["diameter_mm"])
    if model.members.network is not None:
        side = model.settings.patch.size_px
        y, x = np.mgrid[0:side, 0:side] / side
        waves = [[np.sin(6 * (c + 1) * x + n) * np.cos(5 * y - c) for c in range(3)] for n in range(3)]
        pixels = np.round((np.array(waves).transpose(0, 2, 3, 1) + 1) / 2 * 255).astype(np.float32) / 255
    features = low + shares * (high - low) if selected else np.empty((3, 0))
    return ModelInputs(("low", "middle", "high"), selected, features, pixels, diameters_mm)


def read_model(folder: Path, manifest: BundleManifest) -> ResponseModel:
    """The model from files that were verified; BundleError when one cannot be read or does not fit."""
    with _reading(folder / MANIFEST):
        model = _assemble(folder, manifest)
    _replay_selftest(folder, manifest, model)
    return model


def _assemble(folder: Path, manifest: BundleManifest) -> ResponseModel:
    features, fusion = (_read_json(folder / name) for name in ("features.json", "fusion.json"))
    training_ids, labels, out_of_fold = _read_scores(folder / "scores.csv")
    folds = zip(features["fold_selected"], fusion["fold_sizes"], strict=True)
    return ResponseModel(
        settings=TrainingSettings.from_json(_read_json(folder / "settings.json")),
        members=_read_trained(folder, features["selected"], fusion["size"]),
        combinations={name: Combination.from_json(c) for name, c in fusion["combinations"].items()},
        thresholds={name: float(value) for name, value in fusion["thresholds"].items()},
        headline=fusion["headline"],
        training_range={name: tuple(limits) for name, limits in features["training_range"].items()},
        training_ids=training_ids,
        background=_read_arrays(folder / "background.npz")["features"],
        spread=TrainingSpread.from_json(_read_json(folder / "similarity.json")),
        out_of_fold=out_of_fold,
        labels=labels,
        fold_members=tuple(
            _read_trained(folder / FOLDS / str(number), *of_fold) for number, of_fold in enumerate(folds)
        ),
        # Bundles of earlier versions do not hold these.
        training_images=tuple(map(str, features.get("training_images", ()))),
        extraction_known=bool(features.get("extraction_known", True)),
        engine=features["engine"],
        demonstration=manifest.demonstration,
        identity=manifest.id,
    )


def _read_trained(folder: Path, selected: list[str], size: dict | None) -> Members:
    network = folder / "network.keras"
    return Members(
        selected=tuple(selected),
        classifiers={p.stem: _load_skops(p) for p in sorted(folder.glob("classifiers/*.skops"))},
        size=None if size is None else Fusion.from_json(size),
        network=read_keras_file(network.read_bytes()) if network.exists() else None,
    )


def _read_scores(path: Path) -> tuple[tuple[str, ...], np.ndarray, dict[str, np.ndarray]]:
    """Patients, labels (n,) and name -> (n,) out-of-fold probabilities that `_write_scores` wrote."""
    with _reading(path), path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
        names = [name for name in rows[0] if name not in ("patient_id", "label")] if rows else []
        scores = {name: np.array([float(row[name]) for row in rows]) for name in names}
        labels = np.array([int(row["label"]) for row in rows])
        return tuple(row["patient_id"] for row in rows), labels, scores


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Path]:
    """Whatever a parser says of a foreign file becomes the one error of a damaged bundle."""
    try:
        yield path
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise damaged(path, f"{type(error).__name__} while reading it") from None


def _read_json(path: Path) -> dict:
    with _reading(path):
        return json.loads(path.read_text(encoding="utf-8"))


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    with _reading(path), np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def _load_skops(path: Path):
    """One classifier; a type outside our fixed list is refused before anything is built."""
    with _reading(path):
        foreign = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES))
        if not foreign:
            return skops.io.load(path, trusted=list(TRUSTED_TYPES))
    raise BundleError(
        "the bundle holds a type that is not ours",
        file=path.name,
        expected="scikit-learn models of this software",
        received=", ".join(foreign[:3]),
        remedy="do not use this bundle",
    )


def _replay_selftest(folder: Path, manifest: BundleManifest, model: ResponseModel) -> None:
    content = _read_arrays(folder / "selftest.npz")
    pixels = content.get("pixels")
    inputs = ModelInputs(
        patient_ids=tuple(map(str, range(len(content["features"])))),
        feature_names=model.needed,
        features=content["features"],
        pixels=None if pixels is None else pixels.astype(np.float32) / 255,
        diameters_mm=content.get("diameters_mm"),
    )
    found = model.probabilities(inputs)
    expected = dict(zip(content["names"].tolist(), content["probabilities"], strict=True))
    of_folds = model.of_folds(inputs, model.headline)
    if of_folds.shape != content["of_folds"].shape:
        raise damaged(folder / "selftest.npz", str(of_folds.shape), str(content["of_folds"].shape))
    if set(found) != set(expected):
        raise damaged(folder / "selftest.npz", ", ".join(sorted(found)), ", ".join(sorted(expected)))
    differences = [found[name] - expected[name] for name in expected]
    differences += list(of_folds - content["of_folds"])
    worst = max(float(np.abs(difference).max()) for difference in differences)
    if not worst <= SELFTEST_TOLERANCE:
        here, there = (
            ", ".join(f"{k} {v}" for k, v in versions.items())
            for versions in (software_versions(), manifest.versions)
        )
        raise BundleError(
            f"the bundle does not reproduce its self-test (off by {worst:.2g})",
            file="selftest.npz",
            expected=f"the probabilities computed with {there}",
            received=f"others with {here}",
            remedy="install the versions that the bundle was made with, or train it again",
        )
