"""What the CNN costs and what it learns, on whatever device is here.

    python Testing/benchmarks/cnn.py                  device, time per epoch, time per answer, agreement
    python Testing/benchmarks/cnn.py --cohort 200     out-of-fold AUC on the phantom, and on shuffled labels
    KERAS_BACKEND=torch python Testing/benchmarks/cnn.py --device gpu --json figures.json

An epoch of 139 patients x 6 pictures, made on the way as the training does, is compared with Keras'
own `fit` on the same number of pictures lying ready in memory, in alternating runs. Both ask the same
patients held out after every epoch; ours settles batch norm before it does. Of the cohort
each fold's network is asked again about the pictures it was fitted on: in training mode, where every
batch is normalised by itself, and in inference mode, where the file's statistics are used.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "TACEResponse"), str(ROOT / "Testing")]

from planted_cue import planted_patches
from TACEResponseLib.answer.attribution import attention_map
from TACEResponseLib.measuring.patch import Patch, largest_layer_patch
from TACEResponseLib.models.network import build_network, train_network
from TACEResponseLib.models.network.framework import start_framework
from TACEResponseLib.models.network.keras_file import read_keras_file
from TACEResponseLib.settings import NetworkSettings
from two_modes import accuracy_by_mode

PATIENTS, HELD_OUT = 139, 36


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--rounds", type=int, default=3, help="alternating runs of each kind")
    parser.add_argument("--cohort", type=int, metavar="N", help="patients of the phantom, 5-fold")
    parser.add_argument("--epochs", type=int, default=30, help="of each fold of --cohort")
    parser.add_argument("--patches", type=Path, help="file that keeps the cohort's patches between runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    figures = cohort(options) if options.cohort else {**speed(options), **answers(options)}
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


class Clock:
    """Seconds of every epoch but the first, in which the framework compiles."""

    def __init__(self):
        self.times = []

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.times.append(time.perf_counter())

    def seconds(self, epochs: int) -> list[float]:
        return np.diff(self.times[: epochs + 1])[1:].tolist()


def speed(options) -> dict:
    """Seconds an epoch, ours and a plain fit on ready arrays, alternating."""
    epochs = 4
    share = HELD_OUT / (PATIENTS + HELD_OUT)
    settings = NetworkSettings(epochs=epochs, inner_validation=share, device=options.device)
    framework = start_framework(settings)
    keras = framework.keras
    keras.utils.set_random_seed(options.seed)  # the plain fit shuffles; ours draws from numpy
    pixels, labels, _ = planted_patches(PATIENTS + HELD_OUT, seed=1)
    ready, ready_labels = np.tile(pixels[:PATIENTS], (6, 1, 1, 1)), np.tile(labels[:PATIENTS], 6)
    held_out = pixels[PATIENTS:], labels[PATIENTS:]

    class Epochs(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            clock("", 0, 0)

        def on_train_end(self, logs=None):
            clock("", 0, 0)

    ours, plain = [], []
    for _ in range(options.rounds):
        clock = Clock()
        # The last interval would hold the writing of the file, so one epoch more is run than read.
        train_network(pixels, labels, settings, seed=1, progress=clock)
        ours += clock.seconds(epochs - 1)
        clock = Clock()
        with framework.scope():
            network = build_network(framework, settings, 224, seed=1)
            network.compile(
                optimizer=keras.optimizers.Adam(settings.learning_rate),
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=["accuracy"],
            )
            network.fit(
                ready,
                ready_labels,
                batch_size=16,
                epochs=epochs,
                validation_data=held_out,
                validation_batch_size=16,
                callbacks=[Epochs()],
                verbose=0,
            )
        plain += clock.seconds(epochs - 1)
    ratio = median(ours) / median(plain)
    print(framework.in_words)
    print(
        f"epoch of {PATIENTS} patients x 6: {median(ours):.2f} s (fastest {min(ours):.2f}); plain fit on"
        f" ready arrays {median(plain):.2f} s ({min(plain):.2f}); ratio {ratio:.3f} of medians,"
        f" {min(ours) / min(plain):.3f} of the fastest"
    )
    return {"runs_on": framework.in_words, "epoch_s": ours, "plain_epoch_s": plain, "ratio": ratio}


def milliseconds(task, times: int) -> float:
    """Median of single runs, after one that warms up."""
    task()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        task()
        taken.append(1000 * (time.perf_counter() - start))
    return median(taken)


def answers(options) -> dict:
    """Time of one answer in numpy and in Keras on the device, and how far the two are apart."""
    settings = NetworkSettings(epochs=4, device=options.device)
    framework = start_framework(settings)
    pixels, labels, _ = planted_patches(40, seed=1)
    trained = train_network(pixels, labels, settings, seed=1)
    ours = read_keras_file(trained.keras_file)
    with tempfile.TemporaryDirectory() as folder, framework.scope():
        file = Path(folder) / "network.keras"
        file.write_bytes(trained.keras_file)
        network = framework.keras.saving.load_model(file, safe_mode=True)

    def by_keras(some):
        with framework.scope():
            return framework.keras.ops.convert_to_numpy(network(some, training=False))

    patch = Patch(pixels[0], 0, (0.0, 0.0, 0.0), 100.0, 1.0, 1.0)
    figures = {
        "numpy_ms": milliseconds(lambda: ours.logits(pixels[:1]), 50),
        "keras_call_ms": milliseconds(lambda: by_keras(pixels[:1]), 20),
        "read_file_ms": milliseconds(lambda: read_keras_file(trained.keras_file), 10),
        "occlusion_ms": milliseconds(lambda: attention_map(ours, patch), 3),
        "integrated_gradients_ms": milliseconds(
            lambda: attention_map(ours, patch, "integrated_gradients"), 3
        ),
        "largest_logit": float(np.abs(ours.logits(pixels)).max()),
        "largest_difference": float(np.abs(ours.logits(pixels) - by_keras(pixels)).max()),
    }
    print("; ".join(f"{name} {value:.3g}" for name, value in figures.items()))
    return figures


def cohort(options) -> dict:
    """Five-fold out-of-fold AUC on the phantom, with true and with shuffled labels."""
    from TACEResponseLib.phantom import best_auc
    from TACEResponseLib.phantom.response import auc_interval
    from TACEResponseLib.statistics.discrimination import auc_delong

    pixels, labels, latent = phantom_patches(options)
    responders = int(labels.sum())
    low, high = auc_interval(best_auc(), responders, len(labels) - responders)
    truth = auc_delong(labels, latent)
    print(f"{len(labels)} patients, {responders} responders; AUC of the latent score {truth.auc:.3f},")
    print(f"best possible {best_auc():.3f}, by chance {low:.3f} to {high:.3f} in a cohort of this size")
    print("(the running mean is what Keras prints: over the epoch, while its weights still move)")
    figures = {"patients": len(labels), "best_auc": best_auc(), "best_auc_interval": [low, high]}
    shuffled = np.random.default_rng(options.seed).permutation(labels)
    for name, targets in (("labels", labels), ("shuffled labels", shuffled)):
        start = time.perf_counter()
        scores, fits, words = out_of_fold(pixels, targets, options)
        gap = max(abs(fit["training_mode"] - fit["inference_mode"]) for fit in fits)
        found = auc_delong(targets, scores)
        print(f"{name}: out-of-fold AUC {found.auc:.3f} ({found.ci_low:.3f} to {found.ci_high:.3f})")
        print(
            f"  largest gap of the two modes {gap:.3f}; {time.perf_counter() - start:.0f} s on {words}",
            flush=True,
        )
        figures[name] = {"auc": found.auc, "ci": [found.ci_low, found.ci_high], "gap": gap, "folds": fits}
    return figures


def phantom_patches(options) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patches, labels and latent scores of the phantom's first patients."""
    from TACEResponseLib.cases import make_case
    from TACEResponseLib.phantom import make_patient

    if options.patches and options.patches.exists():
        kept = np.load(options.patches)
        return kept["pixels"], kept["labels"], kept["latent"]
    pixels, labels, latent = [], [], []
    for index in range(options.cohort):
        patient = make_patient(index, options.seed)
        pixels.append(largest_layer_patch(make_case(patient.patient_id, patient.image, patient.mask)).pixels)
        labels.append(int(patient.truth.responder))
        latent.append(patient.truth.latent)
    arrays = np.stack(pixels), np.array(labels), np.array(latent)
    if options.patches:
        np.savez(options.patches, pixels=arrays[0], labels=arrays[1], latent=arrays[2])
    return arrays


def out_of_fold(pixels, labels, options) -> tuple[np.ndarray, list[dict], str]:
    """Scores of patients not fitted, what each fold's network says of those fitted, and on what it ran."""
    from sklearn.model_selection import StratifiedKFold

    settings = NetworkSettings(epochs=options.epochs, device=options.device)
    framework = start_framework(settings)
    scores, fits = np.empty(len(labels)), []
    folds = StratifiedKFold(5, shuffle=True, random_state=options.seed).split(pixels, labels)
    for number, (fitted, held_out) in enumerate(folds):
        data = pixels[fitted], labels[fitted], settings
        trained = train_network(*data, seed=options.seed + number)
        scores[held_out] = read_keras_file(trained.keras_file).log_odds(pixels[held_out])
        training, inference = accuracy_by_mode(framework, trained, *data, options.seed + number)
        fit = {
            "best_epoch": trained.best_epoch,
            "epochs": len(trained.history["loss"]),
            "training_mode": training,
            "inference_mode": inference,
            "running": trained.history["accuracy"][trained.best_epoch - 1],
        }
        fits.append(fit)
        print(
            f"  fold {number + 1}: best epoch {fit['best_epoch']} of {fit['epochs']}; accuracy {training:.3f}"
            f" in training mode, {inference:.3f} in inference mode; running mean {fit['running']:.3f}",
            flush=True,
        )
    return scores, fits, framework.in_words


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
