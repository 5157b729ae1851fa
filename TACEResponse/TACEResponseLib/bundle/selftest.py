"""The self-test of a bundle: made-up patients with the answers that the model gave when it was saved."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from TACEResponseLib.answer.response_model import ResponseModel
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import BundleError
from TACEResponseLib.messages.language import listed, tr

from .reading import damaged, read_arrays

FILE = "selftest.npz"
#: Replayed probabilities may differ by this much; more means another arithmetic.
TOLERANCE = 1e-5


def write_selftest(folder: Path, model: ResponseModel) -> None:
    """Write inputs and answers of three patients that nobody is."""
    table = made_up_patients(model)
    expected = model.probabilities(table)
    arrays = {"features": table.features, "diameters_mm": table.diameters_mm}
    if table.pixels is not None:
        arrays["pixels"] = (table.pixels * 255).round().astype(np.uint8)
    np.savez_compressed(
        folder / FILE,
        feature_names=np.array(table.feature_names, dtype=str),
        centers=np.array(table.centers, dtype=str),
        names=np.array(list(expected)),
        probabilities=np.array(list(expected.values())),
        of_folds=model.of_folds(table, model.headline),
        **{name: values for name, values in arrays.items() if values is not None},
    )


def made_up_patients(model: ResponseModel) -> PatientTable:
    """Three made-up patients inside the training range: smooth patterns, no patient's pixels."""
    shares = np.array([0.2, 0.5, 0.8])[:, None]
    names = model.needed
    low, high = (np.array([model.training_range[name][side] for name in names]) for side in (0, 1))
    diameters_mm, pixels = None, None
    if "diameter_mm" in model.training_range:
        diameters_mm = np.interp(shares[:, 0], [0, 1], model.training_range["diameter_mm"])
    if model.needs_picture:
        side = model.settings.patch.size_px
        y, x = np.mgrid[0:side, 0:side] / side
        waves = [[np.sin(6 * (c + 1) * x + n) * np.cos(5 * y - c) for c in range(3)] for n in range(3)]
        pixels = np.round((np.array(waves).transpose(0, 2, 3, 1) + 1) / 2 * 255).astype(np.float32) / 255
    features = low + shares * (high - low) if names else np.empty((3, 0))
    harmonised = model.models.steps.get("harmonise")
    center = "" if harmonised is None else harmonised.centers[0]
    ids = ("low", "middle", "high")
    return PatientTable(ids, names, features, pixels, diameters_mm, centers=(center,) * 3)


def replay_selftest(
    folder: Path,
    model: ResponseModel,
    versions: tuple[Mapping[str, str], Mapping[str, str]],
    feature_names: tuple[str, ...] | None = None,
) -> None:
    """Raise BundleError unless the model gives the answers that were written.

    versions: of the software here, and where the bundle was made. feature_names: where the file does
    not hold them.
    """
    content = read_arrays(folder / FILE)
    table = _as_table(content, feature_names)
    found = model.probabilities(table)
    expected = dict(zip(content["names"].tolist(), content["probabilities"], strict=True))
    of_folds = model.of_folds(table, model.headline)
    if of_folds.shape != content["of_folds"].shape:
        raise damaged(folder / FILE, str(of_folds.shape), str(content["of_folds"].shape))
    if set(found) != set(expected):
        raise damaged(folder / FILE, listed(sorted(found)), listed(sorted(expected)))
    differences = [found[name] - expected[name] for name in expected]
    differences += list(of_folds - content["of_folds"])
    worst = max(float(np.abs(difference).max()) for difference in differences)
    if not worst <= TOLERANCE:
        here, there = (listed(f"{k} {v}" for k, v in of.items()) for of in versions)
        raise BundleError(
            tr("the bundle does not reproduce its self-test (off by {worst:.2g})", worst=worst),
            file=FILE,
            expected=tr("the probabilities computed with {there}", there=there),
            received=tr("others with {here}", here=here),
            remedy=tr("install the versions that the bundle was made with, or train it again"),
        )


def _as_table(content: Mapping[str, np.ndarray], feature_names: tuple[str, ...] | None) -> PatientTable:
    pixels = content.get("pixels")
    names = feature_names if feature_names is not None else tuple(content["feature_names"].tolist())
    return PatientTable(
        patient_ids=tuple(map(str, range(len(content["features"])))),
        feature_names=names,
        features=content["features"],
        pixels=None if pixels is None else pixels.astype(np.float32) / 255,
        diameters_mm=content.get("diameters_mm"),
        centers=tuple(content["centers"].tolist()) if "centers" in content else (),
    )
