"""Everything that needs a framework, once, in a process of its own: `backend_trial.py BACKEND FOLDER`.

Trains a small network, trains it again, reads the committed network, and leaves in FOLDER what
`test_network` and `test_explanation` compare: `trial.json`, `arrays.npz` and `trained.keras`.
Keras runs on one backend a process, so each backend is a child of the tests. Nothing is printed.
"""

import dataclasses
import json
import sys
import warnings
from pathlib import Path
from unittest import mock

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "TACEResponse"), str(ROOT / "Testing")]

from planted_cue import planted_patches
from TACEResponseLib.messages.errors import Cancelled
from TACEResponseLib.models import network as network_room
from TACEResponseLib.models.network import build_network, train_network
from TACEResponseLib.models.network import framework as network_framework
from TACEResponseLib.models.network.batch_norm import fitting_batch_norm
from TACEResponseLib.settings import NetworkSettings
from two_modes import accuracy_by_mode

warnings.simplefilter("error")  # as in the tests: the library may not pass a framework's warnings on
COMMITTED = ROOT / "Testing" / "data" / "planted_cue.keras"
COMMITTED_LOGITS = ROOT / "Testing" / "data" / "planted_cue_logits.json"
SEED = 5


def run(backend: str, folder: Path) -> None:
    """Do all of it on one backend."""
    settings = NetworkSettings(backend=backend, device="cpu", epochs=7)
    framework = network_framework.start_framework(settings)
    keras = framework.keras
    pixels, labels, _ = planted_patches(40, seed=1)
    events = []
    trained = train_network(pixels, labels, settings, seed=SEED, progress=lambda *e: events.append(e))
    (folder / "trained.keras").write_bytes(trained.keras_file)
    impatient = dataclasses.replace(settings, patience=1)
    wrong = partly_wrong(labels)  # the held-out patients soon find it worse, and it is never sure
    early = train_network(pixels, wrong, impatient, seed=SEED)
    (folder / "early.keras").write_bytes(early.keras_file)
    short = NetworkSettings(backend=backend, device="cpu", epochs=2, patience=0)
    twice = [train_network(pixels[:12], labels[:12], short, seed=SEED) for _ in range(2)]
    (folder / "short.keras").write_bytes(twice[0].keras_file)
    other = train_network(pixels[:12], labels[:12], short, seed=SEED + 1)
    try:
        train_network(pixels[:12], labels[:12], short, seed=SEED, progress=stop_after_one_epoch)
        stopped = "no"
    except Cancelled as error:
        stopped = str(error)
    fresh = build_network(framework, settings, 224, seed=SEED)
    with framework.scope():
        loaded = keras.saving.load_model(folder / "trained.keras", safe_mode=True)
        committed = keras.saving.load_model(COMMITTED, safe_mode=True)
        start = np.concatenate([weights.ravel() for weights in fresh.get_weights()])
    unseen = undecided_patches()
    step_loss, step_weights = a_step(framework, settings)
    content = {
        "keras": keras.__version__,
        "runs_on": trained.runs_on,
        "history": trained.history,
        "early": {
            "history": early.history,
            "best_epoch": early.best_epoch,
            "inner_patients": early.inner_patients,
        },
        "short_history": twice[0].history,
        "best_epoch": trained.best_epoch,
        "inner_patients": trained.inner_patients,
        "events": events,
        "stopped": stopped,
        "shapes": {layer.name: list(layer.output.shape) for layer in fresh.layers},
        "parameters": fresh.count_params(),
        "momenta": [layer.momentum for layer in fresh.layers if hasattr(layer, "momentum")],
        "accuracy_by_mode": accuracy_by_mode(framework, trained, pixels, labels, settings, SEED),
        **undecided_accuracies(framework, pixels, wrong),
        "loss_of_a_step": step_loss,
        "same_bytes": twice[0].keras_file == twice[1].keras_file,
        "same_history": twice[0].history == twice[1].history,
        "other_seed_same_bytes": other.keras_file == twice[0].keras_file,
    }
    (folder / "trial.json").write_text(json.dumps(content), encoding="utf-8")
    arrays = {
        "start": start,
        "trained_logits": _logits(keras, loaded, unseen),
        "committed_logits": _logits(keras, committed, unseen),
        "weights_after_a_step": step_weights,
    }
    if backend == "tensorflow":
        arrays["committed_gradient"] = _tensorflow_gradient(committed, unseen[:2])
    np.savez(folder / "arrays.npz", **arrays)


def partly_wrong(labels: np.ndarray) -> np.ndarray:
    """The labels, of which a quarter says the opposite."""
    wrong = np.random.default_rng(3).permutation(len(labels))[: len(labels) // 4]
    return np.where(np.isin(np.arange(len(labels)), wrong), 1 - labels, labels)


def undecided_accuracies(framework, pixels: np.ndarray, labels: np.ndarray) -> dict:
    """Accuracy in training and in inference mode, as trained and with batch norm never settled."""
    settings = NetworkSettings(backend=framework.backend, device="cpu", epochs=3, patience=0)
    data = pixels, labels, settings
    settled = train_network(*data, seed=SEED)
    with mock.patch.object(network_room, "settler", lambda *_: lambda: None):
        unsettled = train_network(*data, seed=SEED)
    return {
        "undecided_by_mode": accuracy_by_mode(framework, settled, *data, SEED),
        "unsettled_by_mode": accuracy_by_mode(framework, unsettled, *data, SEED),
    }


def a_step(framework, settings: NetworkSettings) -> tuple[float, np.ndarray]:
    """Loss of one batch in training mode, and the weights after its step of plain descent by 0.01."""
    keras = framework.keras
    with framework.scope():
        network = build_network(framework, settings, 224, SEED, fitting_batch_norm(keras))
        network.compile(
            optimizer=keras.optimizers.SGD(0.01),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=framework.compiles,
        )
        loss = float(network.train_on_batch(*batch_of_noise()))
        weights = [keras.ops.convert_to_numpy(w).ravel() for w in network.trainable_weights]
    return loss, np.concatenate(weights)


def batch_of_noise() -> tuple[np.ndarray, np.ndarray]:
    """Four pictures, in which no two pixels of a pool tie, and their labels."""
    return np.random.default_rng(SEED).random((4, 224, 224, 3), dtype=np.float32), np.arange(4) % 2


def undecided_patches() -> np.ndarray:
    """16 patches between non-responder and responder: most answers lie far from 0 and 1."""
    pixels, labels, _ = planted_patches(32, seed=2)
    share = np.linspace(0.2, 0.6, 16, dtype=np.float32)[:, None, None, None]
    return (1 - share) * pixels[labels == 0] + share * pixels[labels == 1]


def _logits(keras, network, pixels: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return keras.ops.convert_to_numpy(network(pixels, training=False))


def _tensorflow_gradient(network, pixels: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    inputs = tf.constant(pixels)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        logits = network(inputs, training=False)
        log_odds = logits[:, 1] - logits[:, 0]
    return tape.gradient(log_odds, inputs).numpy()


def commit_network() -> None:
    """Train the network that the tests read without a framework, and put it where they find it."""
    pixels, labels, _ = planted_patches(60, seed=4)
    settings = NetworkSettings(epochs=8, l2=0.5)  # keeps the logits small, so that no softmax hides an error
    trained = train_network(pixels, labels, settings, seed=1)
    COMMITTED.write_bytes(trained.keras_file)
    keras = network_framework.start_framework(settings).keras
    logits = _logits(keras, keras.saving.load_model(COMMITTED), undecided_patches())
    content = {"by": f"Keras {keras.__version__}, {trained.runs_on}", "logits": logits.round(7).tolist()}
    COMMITTED_LOGITS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(trained.runs_on, trained.history, logits[:, 1] - logits[:, 0])


def stop_after_one_epoch(stage: str, done: int, total: int) -> None:
    """A user who loses patience."""
    if done == 1:
        raise Cancelled()


if __name__ == "__main__":
    if sys.argv[1] == "commit":
        commit_network()
    else:
        run(sys.argv[1], Path(sys.argv[2]))
