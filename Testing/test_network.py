"""The CNN: the paper's sizes, training on every framework, and the same answer without any."""

import dataclasses
import importlib.util
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from backend_trial import (
    COMMITTED,
    COMMITTED_LOGITS,
    SEED,
    batch_of_noise,
    partly_wrong,
    undecided_patches,
)
from planted_cue import planted_patches
from TACEResponseLib.messages.errors import BundleError, DependencyError, InputError, TrainingError
from TACEResponseLib.models import network
from TACEResponseLib.models.network import framework as network_framework
from TACEResponseLib.models.network.augmentation import BalancedEpochs
from TACEResponseLib.models.network.inference import NumpyNetwork
from TACEResponseLib.models.network.keras_file import LARGEST_BYTES, read_keras_file
from TACEResponseLib.settings import NetworkSettings

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = ("tensorflow", "torch", "jax")


@dataclasses.dataclass
class Trial:
    """What `backend_trial.py` left of one backend."""

    content: dict
    arrays: dict
    keras_file: bytes
    early_keras_file: bytes
    short_keras_file: bytes
    printed: str


@pytest.fixture(scope="session", params=BACKENDS)
def trial(request, tmp_path_factory) -> Trial:
    """One backend's trial, run once in a process of its own."""
    for module in ("keras", request.param):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    command = [sys.executable, str(ROOT / "Testing" / "backend_trial.py"), request.param, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return Trial(
        json.loads((folder / "trial.json").read_text(encoding="utf-8")),
        dict(np.load(folder / "arrays.npz")),
        (folder / "trained.keras").read_bytes(),
        (folder / "early.keras").read_bytes(),
        (folder / "short.keras").read_bytes(),
        done.stdout + done.stderr,
    )


@pytest.fixture(scope="module")
def committed() -> NumpyNetwork:
    return read_keras_file(COMMITTED.read_bytes())


# What the paper states


def test_every_layer_has_the_papers_size_and_the_network_15130_parameters(trial):
    assert trial.content["shapes"] == {
        "C1": [None, 192, 192, 4],
        "C1_norm": [None, 192, 192, 4],
        "C1_relu": [None, 192, 192, 4],
        "S2": [None, 64, 64, 4],
        "C3": [None, 48, 48, 24],
        "C3_norm": [None, 48, 48, 24],
        "C3_relu": [None, 48, 48, 24],
        "S4": [None, 16, 16, 24],
        "flatten": [None, 24 * 16 * 16],
        "F5": [None, 2],
    }
    assert trial.content["parameters"] == 15_130


def test_a_trained_file_holds_the_papers_slope_and_our_momentum_and_no_optimizer(trial):
    with zipfile.ZipFile(io.BytesIO(trial.keras_file)) as archive:
        config = json.loads(archive.read("config.json"))
        assert len(archive.read("model.weights.h5")) < 200_000
    options = [layer["config"] for layer in config["config"]["layers"]]
    assert [o["negative_slope"] for o in options if "negative_slope" in o] == [0.1, 0.1]
    assert [o["momentum"] for o in options if "momentum" in o] == [0.9, 0.9]
    assert not config.get("compile_config")


# Training


def test_the_start_is_the_same_on_every_backend(trial):
    rng = np.random.default_rng(SEED)
    kernels = [network._glorot_uniform(shape, rng) for shape in ((5, 5, 3, 4), (5, 5, 4, 24), (6144, 2))]
    start = trial.arrays["start"]
    np.testing.assert_array_equal(start[:300], kernels[0].ravel())
    np.testing.assert_array_equal(start[-2 - 12288 : -2], kernels[2].ravel())
    assert np.abs(kernels[1]).max() <= np.sqrt(6 / (25 * (4 + 24)))


def test_the_first_epoch_is_the_same_on_every_backend(trial):
    """Not to the last bit: frameworks add up in different orders, and training amplifies it."""
    assert trial.content["short_history"]["loss"][0] == pytest.approx(1.7966, rel=0.02)


#: Trainable weights in Keras' order: convolution kernel and bias, norm's factor and offset, twice; dense.
SHAPES = ((5, 5, 3, 4), (4,), (4,), (4,), (5, 5, 4, 24), (24,), (24,), (24,), (6144, 2), (2,))


def slow_loss(weights):
    """Loss of `batch_of_noise` in training mode, in float64 numpy, sample by sample of the kernels."""
    pictures, labels = batch_of_noise()
    maps, weights = pictures.astype(np.float64), iter(weights)
    loss = 0.0
    for dilation in (8, 4):
        kernel, bias, factor, offset = (next(weights) for _ in range(4))
        size = maps.shape[1] - 4 * dilation
        maps = bias + sum(
            maps[:, r * dilation :, c * dilation :][:, :size, :size] @ kernel[r, c]
            for r, c in np.ndindex(5, 5)
        )
        loss += 1e-6 * (kernel**2).sum()
        maps = (maps - maps.mean(axis=(0, 1, 2))) / np.sqrt(maps.var(axis=(0, 1, 2)) + 1e-3)
        maps = maps * factor + offset
        maps = np.maximum(maps, 0.1 * maps)
        maps = np.max(
            [maps[:, r : size - 1 + r : 3, c : size - 1 + c : 3] for r, c in np.ndindex(2, 2)], axis=0
        )
    kernel, bias = weights
    logits = maps.reshape(len(maps), -1) @ kernel + bias
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return loss + 1e-6 * (kernel**2).sum() - logits[np.arange(len(labels)), labels].mean()


def test_a_step_follows_the_gradient_of_a_slow_twin(trial):
    """Through both norms: along what each step went, the twin's loss falls as steeply as it says."""
    starts = [np.zeros(shape) for shape in SHAPES]
    rng = np.random.default_rng(SEED)
    for place in (0, 4, 8):
        starts[place] = network._glorot_uniform(SHAPES[place], rng).astype(np.float64)
    for place in (2, 6):
        starts[place] = np.ones(SHAPES[place])
    assert trial.content["loss_of_a_step"] == pytest.approx(slow_loss(starts), rel=1e-6)
    ends = np.split(trial.arrays["weights_after_a_step"], np.cumsum([np.prod(s) for s in SHAPES])[:-1])
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        gradient = (start - end.reshape(start.shape)) / 0.01
        steepness = np.linalg.norm(gradient)
        if place in (1, 5):
            assert steepness < 1e-4, "a norm takes the bias of its convolution out again"
            continue
        moved = [
            [*starts[:place], start + sign * 1e-5 * gradient / steepness, *starts[place + 1 :]]
            for sign in (1, -1)
        ]
        slope = (slow_loss(moved[0]) - slow_loss(moved[1])) / 2e-5
        assert slope == pytest.approx(steepness, rel=2e-3), place


def test_the_same_seed_gives_the_same_bytes_on_the_cpu_and_another_seed_does_not(trial):
    assert trial.content["same_bytes"]
    assert trial.content["same_history"]
    assert not trial.content["other_seed_same_bytes"]


def test_the_planted_cue_is_learned_and_found_in_patients_never_seen(trial):
    pixels, labels, _ = planted_patches(60, seed=9)
    trained = read_keras_file(trial.keras_file)
    score = trained.probability(pixels)
    assert auc(labels, score) > 0.9
    shuffled = np.random.default_rng(0).permutation(labels)
    assert abs(auc(shuffled, score) - 0.5) < 0.2


def auc(labels, scores):
    """Share of pairs in the right order, by counting all of them."""
    positive, negative = scores[labels == 1][:, None], scores[labels == 0]
    return float(((positive > negative) + 0.5 * (positive == negative)).mean())


def test_the_fitted_pictures_are_answered_alike_in_training_and_in_inference_mode(trial):
    """The same weights and pictures: each batch normalised by itself, or all by what the file holds."""
    training, inference = trial.content["accuracy_by_mode"]
    assert training > 0.9
    assert inference == pytest.approx(training, abs=0.02)
    training, inference = trial.content["undecided_by_mode"]
    assert 0.6 < training < 0.9, "where everything is right, two modes cannot differ"
    assert inference == pytest.approx(training, abs=0.02)


def test_unsettled_batch_norm_would_answer_differently(trial):
    training, inference = trial.content["unsettled_by_mode"]
    assert training == trial.content["undecided_by_mode"][0], "the same weights"
    assert abs(training - inference) > 0.1


def test_batch_norm_holds_the_mean_statistics_of_the_fitted_batches_and_of_nothing_else(trial):
    """The first convolution in numpy, over the pictures of the 12 patients that the fit saw."""
    pixels, labels, _ = planted_patches(40, seed=1)
    epochs = BalancedEpochs(pixels[:12], labels[:12], 16, SEED)
    with zipfile.ZipFile(io.BytesIO(trial.short_keras_file)) as archive:
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))["layers"]
    kernel, bias = (file[f"conv2d/vars/{n}"][...] for n in range(2))
    mean, variance = (file[f"batch_normalization/vars/{n}"][...] for n in (2, 3))
    batches = []
    for number in range(epochs.batches_per_epoch):
        pictures, _ = epochs.batch(number)
        response = sum(
            pictures[:, 8 * r :, 8 * c :][:, :192, :192] @ kernel[r, c] for r in range(5) for c in range(5)
        )
        batches.append(((response + bias).mean(axis=(0, 1, 2)), response.var(axis=(0, 1, 2))))
    expected_mean, expected_variance = np.mean(batches, axis=0)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(variance, expected_variance, rtol=1e-3)


def test_a_fifth_of_each_class_is_held_out_and_the_epoch_best_for_them_is_kept(trial):
    labels = np.arange(40) % 2
    assert np.bincount(labels[trial.content["inner_patients"]]).tolist() == [4, 4]
    history = trial.content["history"]
    assert set(history) == {"loss", "accuracy", "inner_loss", "inner_accuracy"}
    assert trial.content["best_epoch"] == int(np.argmin(history["inner_loss"])) + 1


def test_a_fit_that_stops_early_keeps_the_weights_of_its_best_epoch(trial):
    """The kept network, asked again, has the loss on the held-out patients that the best epoch had."""
    early = trial.content["early"]
    losses = early["history"]["inner_loss"]
    assert early["best_epoch"] == len(losses) - 1 < 7
    pixels, labels, _ = planted_patches(40, seed=1)
    labels = partly_wrong(labels)
    inner = early["inner_patients"]
    probability = read_keras_file(trial.early_keras_file).probability(pixels[inner])
    loss = -np.log(np.where(labels[inner] == 1, probability, 1 - probability)).mean()
    assert loss == pytest.approx(losses[-2], abs=1e-3)
    assert abs(loss - losses[-1]) > 0.1


def test_without_patience_nobody_is_held_out(trial):
    assert set(trial.content["short_history"]) == {"loss", "accuracy"}
    settings = NetworkSettings(patience=0)
    assert len(network._inner_patients(np.arange(20) % 2, settings, seed=1)) == 0


def test_progress_speaks_once_an_epoch_and_can_stop_the_fit(trial):
    events = trial.content["events"]
    assert [tuple(e) for e in events] == [("network", n, 7) for n in range(len(events) - 1)] + [
        ("network", 7, 7)
    ]
    assert trial.content["stopped"] == "Cancelled."


def test_training_prints_nothing_and_passes_no_warning_on(trial):
    assert trial.printed == ""


def test_the_smaller_class_keeps_one_patient_to_learn_from():
    labels = np.array([0, 0, 1, 1, 1, 1, 1, 1, 1, 1])
    held_out = network._inner_patients(labels, NetworkSettings(inner_validation=0.5), seed=2)
    assert np.bincount(labels[held_out]).tolist() == [1, 4]


def test_both_classes_weigh_the_same_when_the_best_epoch_is_chosen():
    weights = network._class_weights(np.array([1, 1, 1, 0]))
    np.testing.assert_allclose(weights, [2 / 3, 2 / 3, 2 / 3, 2])


@pytest.mark.parametrize(
    ("pixels", "labels", "sentence"),
    [
        (np.zeros((4, 224, 224)), [0, 0, 1, 1], "not square pictures of three channels"),
        (np.zeros((4, 64, 64, 3)), [0, 0, 1, 1], "too small for the network"),
        (np.full((4, 96, 96, 3), 2.0), [0, 0, 1, 1], "outside \\[0, 1\\]"),
        (np.full((4, 96, 96, 3), np.nan), [0, 0, 1, 1], "outside \\[0, 1\\]"),
        (np.zeros((4, 96, 96, 3)), [0, 1, 1], "labels do not fit"),
        (np.zeros((4, 96, 96, 3)), [0, 1, 2, 1], "labels do not fit"),
        (np.zeros((4, 96, 96, 3)), [0, 1, 1, 1], "too few patients to train the network"),
    ],
)
def test_arrays_that_cannot_be_trained_on_are_named_before_any_framework_starts(pixels, labels, sentence):
    with pytest.raises(TrainingError, match=sentence):
        network.train_network(pixels, np.array(labels), seed=1)
    assert "keras" not in sys.modules


# Which framework and which device


@pytest.mark.parametrize(
    ("installed", "environment", "wanted", "chosen"),
    [
        (("keras", *BACKENDS), None, "auto", "tensorflow"),
        (("keras", "torch", "jax"), None, "auto", "torch"),
        (("keras", "jax"), None, "auto", "jax"),
        (("keras", *BACKENDS), "jax", "auto", "jax"),
        (("keras", *BACKENDS), "jax", "torch", "torch"),
    ],
)
def test_the_framework_is_what_was_set_else_the_first_installed(
    monkeypatch, installed, environment, wanted, chosen
):
    pretend(monkeypatch, installed, environment)
    assert network_framework.choose_backend(wanted) == chosen


@pytest.mark.parametrize(
    ("installed", "environment", "wanted", "sentence"),
    [
        ((), None, "auto", "without Keras.*none of them.*pip install keras tensorflow"),
        (("tensorflow",), None, "auto", "without Keras"),
        (("keras",), None, "auto", "without any of TensorFlow, PyTorch and JAX"),
        (("keras", "tensorflow"), "torch", "auto", "without PyTorch.*pip install keras torch"),
        (("keras", "tensorflow"), None, "jax", "without JAX"),
        (("keras", "tensorflow"), "openvino", "auto", "cannot be trained with openvino"),
    ],
)
def test_a_missing_framework_is_a_sentence_with_the_remedy(
    monkeypatch, installed, environment, wanted, sentence
):
    pretend(monkeypatch, installed, environment)
    with pytest.raises(DependencyError, match=sentence):
        network_framework.choose_backend(wanted)


def test_keras_that_already_runs_on_another_framework_needs_a_restart(monkeypatch):
    pretend(monkeypatch, ("keras", *BACKENDS), None)
    running = SimpleNamespace(config=SimpleNamespace(backend=lambda: "jax"))
    monkeypatch.setitem(sys.modules, "keras", running)
    assert network_framework.choose_backend() == "jax"
    with pytest.raises(DependencyError, match=r"already runs on JAX.*Start the program again"):
        network_framework.choose_backend("tensorflow")


def pretend(monkeypatch, installed, environment):
    """These packages and no others are installed, and KERAS_BACKEND is this or unset."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in installed else None)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if environment:
        monkeypatch.setenv("KERAS_BACKEND", environment)


def fake_tensorflow(gpus, built=True):
    return SimpleNamespace(
        config=SimpleNamespace(
            list_physical_devices=lambda kind: gpus,
            experimental=SimpleNamespace(enable_op_determinism=lambda: None),
        ),
        test=SimpleNamespace(is_built_with_gpu_support=lambda: built),
        __version__="2.99",
    )


def fake_torch(available, cuda):
    return SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: available),
        version=SimpleNamespace(cuda=cuda),
        __version__="2.99",
    )


def fake_jax(*platforms):
    return SimpleNamespace(devices=lambda: [SimpleNamespace(platform=p) for p in platforms], __version__="0")


@pytest.mark.parametrize(
    ("backend", "framework", "driver", "platform", "words"),
    [
        ("tensorflow", fake_tensorflow(["GPU:0"]), True, "linux", ""),
        ("tensorflow", fake_tensorflow([], built=False), False, "linux", "has no GPU support"),
        ("tensorflow", fake_tensorflow([]), False, "linux", "TensorFlow finds no GPU"),
        ("tensorflow", fake_tensorflow([]), True, "linux", "an NVIDIA driver is installed, but"),
        ("tensorflow", fake_tensorflow([]), True, "win32", "no GPU support on Windows, PyTorch has"),
        ("torch", fake_torch(True, "12.8"), True, "win32", ""),
        ("torch", fake_torch(False, None), False, "linux", "this build of PyTorch has no GPU support"),
        ("jax", fake_jax("cpu"), False, "linux", "JAX finds no GPU"),
        ("jax", fake_jax("gpu"), True, "linux", ""),
    ],
)
def test_why_the_gpu_is_not_used_is_said_in_words(monkeypatch, backend, framework, driver, platform, words):
    monkeypatch.setattr(network_framework.shutil, "which", lambda name: name if driver else None)
    monkeypatch.setattr(network_framework.sys, "platform", platform)
    obstacle = network_framework._why_not_the_gpu(backend, framework)
    assert words in obstacle
    assert bool(words) == bool(obstacle)


def test_a_gpu_that_was_demanded_and_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setattr(network_framework, "choose_backend", lambda wanted: "tensorflow")
    monkeypatch.setattr(network_framework.importlib, "import_module", lambda name: fake_tensorflow([]))
    monkeypatch.setattr(network_framework.shutil, "which", lambda name: None)
    with pytest.raises(DependencyError, match=r"GPU cannot be used.*TensorFlow finds no GPU"):
        network_framework.start_framework(NetworkSettings(device="gpu"))


def test_a_framework_that_does_not_start_is_a_sentence(monkeypatch):
    def broken(name):
        raise ImportError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr(network_framework, "choose_backend", lambda wanted: "torch")
    monkeypatch.setattr(network_framework.importlib, "import_module", broken)
    with pytest.raises(DependencyError, match=r"PyTorch is installed and does not start.*libcudart"):
        network_framework.start_framework(NetworkSettings())


class ResourceExhaustedError(Exception):
    """A stand-in for TensorFlow's error of a full GPU, which is told by its name."""


def training_on(monkeypatch, device, error):
    """`train_network` on a pretended device whose first fit fails with `error`."""
    framework = network_framework.Framework(None, "tensorflow", device, "pretended")
    devices = []

    def train(framework, *_):
        devices.append(framework.device)
        if len(devices) == 1:
            raise error
        return network.TrainedNetwork(b"", {}, 1, (), framework.in_words)

    monkeypatch.setattr(network, "start_framework", lambda settings: framework)
    monkeypatch.setattr(network, "_train", train)
    trained = network.train_network(np.zeros((4, 96, 96, 3)), np.array([0, 0, 1, 1]), seed=1)
    return trained, devices


@pytest.mark.parametrize(
    "error",
    [
        ResourceExhaustedError("failed to allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"),
    ],
)
def test_a_full_gpu_falls_back_to_the_cpu_with_a_warning(monkeypatch, error):
    monkeypatch.setitem(sys.modules, "tensorflow", fake_tensorflow([]))
    trained, devices = training_on(monkeypatch, "gpu", error)
    assert devices == ["gpu", "cpu"]
    assert trained.runs_on == "TensorFlow 2.99 on the CPU (the GPU ran out of memory)"
    (warning,) = trained.warnings
    assert (warning.kind, warning.severity) == ("device", "warning")
    assert "trained on the CPU" in str(warning) and "batch size below 16" in str(warning)


def test_a_full_memory_of_the_cpu_and_other_errors_of_the_gpu_are_not_swallowed(monkeypatch):
    with pytest.raises(ResourceExhaustedError):
        training_on(monkeypatch, "cpu", ResourceExhaustedError("full"))
    with pytest.raises(ValueError, match="other"):
        training_on(monkeypatch, "gpu", ValueError("other"))


# Answering without a framework


def test_numpy_gives_the_logits_of_keras_to_1e_5_where_answers_are_open(trial, committed):
    pixels = undecided_patches()
    ours = committed.logits(pixels)
    log_odds = ours[:, 1] - ours[:, 0]
    assert (np.abs(log_odds) < 3).all(), "saturated answers would prove nothing"
    assert np.ptp(log_odds) > 3
    np.testing.assert_allclose(trial.arrays["committed_logits"], ours, atol=1e-5, rtol=0)


def test_numpy_gives_the_logits_of_a_network_trained_just_now(trial):
    ours = read_keras_file(trial.keras_file).logits(undecided_patches())
    scale = max(1, np.abs(ours).max())
    np.testing.assert_allclose(trial.arrays["trained_logits"], ours, atol=1e-5 * scale, rtol=0)


def test_the_committed_network_answers_as_keras_did_when_it_was_made(committed):
    expected = json.loads(COMMITTED_LOGITS.read_text(encoding="utf-8"))["logits"]
    np.testing.assert_allclose(committed.logits(undecided_patches()), expected, atol=1e-5, rtol=0)


def test_the_gradient_is_tensorflows(trial, committed):
    if "committed_gradient" not in trial.arrays:
        pytest.skip("compared with TensorFlow's GradientTape only")
    expected = trial.arrays["committed_gradient"]
    ours = committed.gradient(undecided_patches()[:2])
    same = np.isclose(ours, expected, atol=1e-5 * np.abs(expected).max(), rtol=1e-4)
    assert same.mean() > 0.999, "only a pool whose two largest values are equal may choose otherwise"
    assert np.corrcoef(ours.ravel(), expected.ravel())[0, 1] > 0.999


def slow_twin(keras_file: bytes, picture: np.ndarray) -> np.ndarray:
    """The logits layer by layer in double precision, nothing folded and every pixel computed."""
    archive = zipfile.ZipFile(io.BytesIO(keras_file))
    file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))["layers"]
    x = picture.astype(float)
    for suffix, dilation in (("", 8), ("_1", 4)):
        kernel, bias = (file[f"conv2d{suffix}/vars/{n}"][...].astype(float) for n in range(2))
        gamma, beta, mean, variance = (file[f"batch_normalization{suffix}/vars/{n}"][...] for n in range(4))
        size = len(x) - 4 * dilation
        y = np.zeros((size, size, kernel.shape[3]))
        for r in range(5):
            for c in range(5):
                y += x[r * dilation :, c * dilation :][:size, :size] @ kernel[r, c]
        y = gamma * (y + bias - mean) / np.sqrt(variance + 1e-3) + beta
        y = np.where(y > 0, y, 0.1 * y)
        x = np.array(
            [
                [y[r : r + 2, c : c + 2].max(axis=(0, 1)) for c in range(0, size - 1, 3)]
                for r in range(0, size - 1, 3)
            ]
        )
    return x.ravel() @ file["dense/vars/0"][...].astype(float) + file["dense/vars/1"][...]


def test_numpy_equals_a_slow_twin_that_folds_nothing(committed):
    pixels = undecided_patches()[:2]
    expected = [slow_twin(COMMITTED.read_bytes(), picture) for picture in pixels]
    np.testing.assert_allclose(committed.logits(pixels), expected, atol=1e-5, rtol=0)


def test_probability_is_the_softmax_and_the_dense_layer_sees_the_penultimate_features(committed):
    pixels = undecided_patches()[:3]
    logits = committed.logits(pixels)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(committed.probability(pixels), softmax[:, 1], rtol=1e-12)
    features = committed.penultimate(pixels)
    assert features.shape == (3, 6144)
    np.testing.assert_allclose(features @ committed.weights + committed.bias, logits, rtol=1e-5)
    huge = dataclasses.replace(committed, bias=np.array([0, 5000], np.float32))
    assert huge.probability(pixels).tolist() == [1, 1, 1]


def test_an_answer_does_not_depend_on_the_company(committed):
    pixels = undecided_patches()[:4]
    alone = np.concatenate([committed.logits(pixels[n : n + 1]) for n in range(4)])
    np.testing.assert_allclose(committed.logits(pixels), alone, atol=1e-5)
    assert committed.logits(pixels[:0]).shape == (0, 2)


def test_patches_of_another_size_are_an_input_error(committed):
    with pytest.raises(InputError, match=r"another size than the network.*224, 224, 3.*96"):
        committed.logits(np.zeros((1, 96, 96, 3)))


WITHOUT_FRAMEWORKS = """
import json
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras", "tensorflow", "torch", "jax", "slicer", "qt"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
import TACEResponseLib.answer.attribution, TACEResponseLib.models.network, TACEResponseLib.measuring.patch
from TACEResponseLib.models.network.keras_file import read_keras_file
from planted_cue import planted_patches
network = read_keras_file(Path(sys.argv[3]).read_bytes())
pixels, labels, _ = planted_patches(32, seed=2)
pixels = 0.8 * pixels[labels == 0][:1] + 0.2 * pixels[labels == 1][:1]
loaded = {"keras", "tensorflow", "torch", "jax"} & set(sys.modules)
print(json.dumps([network.logits(pixels)[0].tolist(), sorted(loaded)]))
"""


def test_predicting_imports_no_framework_and_answers_the_same_without_any(committed):
    paths = [str(ROOT / "TACEResponse"), str(ROOT / "Testing"), str(COMMITTED)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_FRAMEWORKS, *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    logits, loaded = json.loads(done.stdout)
    assert loaded == []
    expected = json.loads(COMMITTED_LOGITS.read_text(encoding="utf-8"))["logits"][0]
    np.testing.assert_allclose(logits, expected, atol=1e-5, rtol=0)


# Files that are old, damaged or hostile


def rewritten(change_config=None, change_weights=None, add=(), compression=zipfile.ZIP_DEFLATED) -> bytes:
    """The committed file with its parsed config or its opened weights changed, and files added."""
    with zipfile.ZipFile(COMMITTED) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    if change_config:
        config = json.loads(files["config.json"])
        change_config(config)
        files["config.json"] = json.dumps(config).encode()
    if change_weights:
        content = io.BytesIO(files["model.weights.h5"])
        with h5py.File(content, "r+") as weights:
            change_weights(weights)
        files["model.weights.h5"] = content.getvalue()
    files |= dict(add)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def replaced(weights, name, values, **options):
    del weights[name]
    weights.create_dataset(name, data=values, **options)


def test_a_rewritten_file_without_changes_is_read():
    pixels = undecided_patches()[:1]
    expected = read_keras_file(COMMITTED.read_bytes()).logits(pixels)
    np.testing.assert_array_equal(read_keras_file(rewritten()).logits(pixels), expected)


@pytest.mark.parametrize("length", [0, 1, 100, 3000, 30_000])
def test_a_truncated_file_is_a_sentence(length):
    with pytest.raises(BundleError, match=r"network file is damaged.*Copy the bundle again"):
        read_keras_file(COMMITTED.read_bytes()[:length])


def test_no_flipped_byte_crashes_or_goes_unnoticed():
    """The archive's checksums see every change of the content; the rest is header."""
    content = COMMITTED.read_bytes()
    pixels = undecided_patches()[:1]
    expected = read_keras_file(content).logits(pixels)
    for place in np.random.default_rng(0).integers(0, len(content), 150):
        flipped = bytearray(content)
        flipped[place] ^= 0xFF
        try:
            np.testing.assert_array_equal(read_keras_file(bytes(flipped)).logits(pixels), expected)
        except BundleError as error:
            assert "Traceback" not in str(error)


def test_no_flipped_byte_of_the_weights_crashes_behind_a_right_checksum():
    with zipfile.ZipFile(COMMITTED) as archive:
        weights = archive.read("model.weights.h5")
    for place in np.random.default_rng(1).integers(0, 6000, 150):  # HDF5's own structures come first
        flipped = bytearray(weights)
        flipped[place] ^= 0xFF
        try:
            read_keras_file(rewritten(add={"model.weights.h5": bytes(flipped)}.items()))
        except BundleError as error:
            assert str(error).startswith("The network file")


def change_layer(number, **changes):
    def change(config):
        layer = config["config"]["layers"][number]
        layer["config"] |= changes.pop("options", {})
        layer |= changes

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (change_layer(3, class_name="Lambda", options={"function": "x"}), "keras.layers.Lambda"),
        (change_layer(3, module="builtins", class_name="eval"), "builtins.eval"),
        (change_layer(3, registered_name="custom>LeakyReLU"), "a layer keras.layers.LeakyReLU"),
        (change_layer(1, options={"padding": "same"}), "Conv2D with padding same"),
        (change_layer(1, options={"data_format": "channels_first"}), "data_format channels_first"),
        (change_layer(1, options={"activation": "relu"}), "activation relu"),
        (change_layer(1, options={"filters": 10**9}), "1000000000"),
        (change_layer(1, options={"filters": 4.0}), "whole number"),
        (change_layer(1, options={"dilation_rate": [8, 4]}), "the same number in both directions"),
        (change_layer(3, options={"negative_slope": -2}), "slope -2"),
        (change_layer(0, options={"batch_shape": [None, 10**6, 10**6, 3]}), "a square input"),
        (change_layer(0, options={"batch_shape": [None, 90, 90, 3]}), "is not plain float32 of shape"),
        (lambda c: c.update(class_name="Functional"), "Sequential"),
        (lambda c: c["config"]["layers"].pop(3), "layers InputLayer"),
        (lambda c: c["config"].pop("layers"), "KeyError"),
        (lambda c: c["config"].update(layers=7), "TypeError"),
    ],
)
def test_a_network_that_is_not_ours_is_refused_by_name(change, sentence):
    with pytest.raises(BundleError, match=sentence):
        read_keras_file(rewritten(change_config=change))


def external_link(weights):
    del weights["layers/dense/vars/0"]
    weights["layers/dense/vars/0"] = h5py.ExternalLink("/etc/hostname", "/")


def soft_link(weights):
    del weights["layers/conv2d/vars/1"]
    weights["layers/conv2d/vars/1"] = h5py.SoftLink("/layers/dense/vars/1")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (external_link, "no array 0 of dense"),
        (soft_link, "no array 1 of conv2d"),
        (lambda w: replaced(w, "layers/dense/vars/1", np.zeros(3, np.float32)), "array 1 of dense is not"),
        (lambda w: replaced(w, "layers/dense/vars/1", np.zeros(2)), "array 1 of dense is not plain float32"),
        (
            lambda w: replaced(w, "layers/dense/vars/1", np.array([np.nan, 0], np.float32)),
            "values that are not numbers",
        ),
        (
            lambda w: replaced(w, "layers/batch_normalization/vars/3", np.full(4, -1, np.float32)),
            "negative variance",
        ),
        (
            lambda w: replaced(w, "layers/dense/vars/0", np.zeros((6144, 2), np.float32), compression="gzip"),
            "array 0 of dense is not plain",
        ),
        (lambda w: w.__delitem__("layers/conv2d_1"), "no array 0 of conv2d_1"),
    ],
)
def test_weights_that_are_not_plain_arrays_of_the_right_shape_are_refused(change, sentence):
    with pytest.raises(BundleError, match=sentence):
        read_keras_file(rewritten(change_weights=change))


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_unpacked():
    bomb = rewritten(add={"metadata.json": bytes(LARGEST_BYTES + 1)}.items())
    assert len(bomb) < 1_000_000
    with pytest.raises(BundleError, match="more when unpacked"):
        read_keras_file(bomb)
    with pytest.raises(BundleError, match="at most 67108864 bytes"):
        read_keras_file(bytes(LARGEST_BYTES + 1))


def test_a_file_with_more_in_it_is_refused():
    with pytest.raises(BundleError, match=r"files __init__\.py"):
        read_keras_file(rewritten(add={"__init__.py": b"import os"}.items()))


@pytest.mark.parametrize("chosen", [None, "jax", "torch"])
def test_a_fit_leaves_keras_backend_as_it_was(chosen, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if chosen is not None:
        monkeypatch.setenv("KERAS_BACKEND", chosen)
    with network_framework._environment(KERAS_BACKEND="jax"):
        assert os.environ["KERAS_BACKEND"] == "jax"
    assert os.environ.get("KERAS_BACKEND") == chosen
