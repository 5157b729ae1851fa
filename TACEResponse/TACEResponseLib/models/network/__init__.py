"""The paper's CNN in Keras: what it is and how it is trained.

The text of Peng et al. (Front Oncol 2021;11:730282) fits one network, with 15,130 parameters:

    input 224 x 224 x 3
    C1 convolution 5 x 5, 4 maps, dilation 8       192 x 192 x 4    batch norm, leaky ReLU 0.1
    S2 maximum of 2 x 2, stride 3                   64 x 64 x 4
    C3 convolution 5 x 5, 24 maps, dilation 4       48 x 48 x 24    batch norm, leaky ReLU 0.1
    S4 maximum of 2 x 2, stride 3                   16 x 16 x 24
    F5 dense                                        6144 -> 2 logits

Dilation and stride 3 are our inference from the sizes it states. Training is on logits; softmax
belongs to the reader of the network (`network.inference`), which needs no Keras. The start values
come from numpy, so one seed starts from one network on every backend; on a CPU it also ends with
one network, run after run.
"""

import dataclasses
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from TACEResponseLib.messages.errors import Problem, TrainingError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.settings import NetworkSettings

from .augmentation import BalancedEpochs
from .batch_norm import fitting_batch_norm, settler
from .framework import Framework, is_out_of_memory, start_framework

#: Smallest picture that leaves the second convolution something to see.
SMALLEST_SIZE_PX = 85
#: Fewest patients of a class: one to fit and one to hold out for early stopping.
FEWEST_PER_CLASS = 2
#: Of batch norm. Stands in the file alone; the statistics are taken with the weights at rest.
MOMENTUM = 0.9
#: Date of all files inside a `.keras` file, so that the same seed gives the same bytes.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class TrainedNetwork:
    """A fitted network as a `.keras` file, and how the fit went.

    keras_file: bytes of the file, without optimizer. history: name -> one value an epoch; `loss` and
    `accuracy` are Keras' means over the epoch's batches, while the weights still move; `inner_loss`
    and `inner_accuracy` are those of the patients held out for early stopping, after the epoch (absent
    when none were). best_epoch: the epoch, from 1, whose weights were kept. inner_patients: positions
    of the held-out patients. runs_on: framework and device in words, and why not the GPU. warnings:
    what to read beside the result.
    """

    keras_file: bytes
    history: Mapping[str, tuple[float, ...]]
    best_epoch: int
    inner_patients: tuple[int, ...]
    runs_on: str
    warnings: tuple[Problem, ...] = ()


def build_network(
    framework: Framework,
    settings: NetworkSettings,
    size_px: int = 224,
    seed: int = 0,
    norm: type | None = None,
):
    """The paper's network as an uncompiled `keras.Sequential`, Glorot-uniform start from `seed`.

    norm: class of its batch-norm layers; Keras' own when None, and so in every file.
    """
    keras, layers = framework.keras, framework.keras.layers
    norm = norm or layers.BatchNormalization
    common = {"dtype": "float32"}
    images = {"data_format": "channels_last", **common}

    def l2():  # one a layer: Keras would number a shared one by its address in memory
        return keras.regularizers.L2(settings.l2)

    with framework.scope():
        network = keras.Sequential([layers.Input((size_px, size_px, 3), name="patch")], name="peng2021")
        for number, maps, dilation in ((1, 4, 8), (3, 24, 4)):
            name = f"C{number}"
            network.add(
                layers.Conv2D(maps, 5, dilation_rate=dilation, kernel_regularizer=l2(), name=name, **images)
            )
            network.add(norm(momentum=MOMENTUM, name=f"{name}_norm", **common))
            network.add(layers.LeakyReLU(negative_slope=0.1, name=f"{name}_relu", **common))
            network.add(layers.MaxPooling2D(2, strides=3, name=f"S{number + 1}", **images))
        network.add(layers.Flatten(name="flatten", **images))
        network.add(layers.Dense(2, kernel_regularizer=l2(), name="F5", **common))
        rng = np.random.default_rng(seed)
        for layer in network.layers:
            if hasattr(layer, "kernel"):
                kernel, bias = layer.get_weights()
                layer.set_weights([_glorot_uniform(kernel.shape, rng), bias])
    return network


def _glorot_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Start values after Glorot & Bengio (AISTATS 2010), equal on every backend."""
    field = int(np.prod(shape[:-2]))
    limit = np.sqrt(6 / (field * (shape[-2] + shape[-1])))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def train_network(
    pixels: np.ndarray,
    labels: np.ndarray,
    settings: NetworkSettings | None = None,
    *,
    seed: int,
    progress: Progress = silent,
) -> TrainedNetwork:
    """Fit the paper's network to one patch a patient.

    pixels: (n, size, size, 3) in [0, 1]. labels: (n,) 1 = responder, 0 = not. The five transformed
    pictures and the balance of the classes are made on the way (`BalancedEpochs`). A stratified
    share of the patients is held out, and the epoch with their lowest loss (both classes weighing
    the same) is kept. `progress("network", epoch, epochs)` is called once an epoch.

    Raises TrainingError for unusable arrays, DependencyError without a framework or without the
    device that was asked for, and what `progress` raises.
    """
    settings = settings or NetworkSettings()
    pixels, labels = _checked(pixels, labels)
    framework = start_framework(settings)
    try:
        return _train(framework, pixels, labels, settings, seed, progress)
    except Exception as error:
        if framework.device == "cpu" or not is_out_of_memory(error):
            raise
    framework = framework.on_cpu(tr("the GPU ran out of memory"))
    trained = _train(framework, pixels, labels, settings, seed, progress)
    note = Problem(
        "device",
        tr("the GPU ran out of memory, and the network was trained on the CPU"),
        field="device",
        remedy=tr(
            "close other programs that use the GPU, or choose a batch size below {batch_size}",
            batch_size=settings.batch_size,
        ),
        severity="warning",
    )
    return dataclasses.replace(trained, warnings=(note,))


def _checked(pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels as float32 and labels as int64, or TrainingError."""
    pixels, labels = np.asarray(pixels, dtype=np.float32), np.asarray(labels)
    if pixels.ndim != 4 or pixels.shape[1] != pixels.shape[2] or pixels.shape[3] != 3:
        raise TrainingError(
            tr("the patches are not square pictures of three channels"),
            field="pixels",
            expected=tr("(patients, size, size, 3)"),
            received=str(pixels.shape),
        )
    if pixels.shape[1] < SMALLEST_SIZE_PX:
        raise TrainingError(
            tr("the patches are too small for the network"),
            field="pixels",
            expected=tr("at least {n} pixels a side", n=SMALLEST_SIZE_PX),
            received=str(pixels.shape[1]),
        )
    if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
        raise TrainingError(tr("the patches hold values outside [0, 1]"), field="pixels")
    if labels.shape != (len(pixels),) or not np.isin(labels, (0, 1)).all():
        raise TrainingError(
            tr("the labels do not fit the patches"),
            field="labels",
            expected=tr("{n} values of 0 or 1", n=len(pixels)),
            received=tr("shape {shape}, values {values}", shape=labels.shape, values=np.unique(labels)[:5]),
        )
    numbers = np.bincount(labels.astype(int), minlength=2)
    if numbers.min() < FEWEST_PER_CLASS:
        raise TrainingError(
            tr("there are too few patients to train the network"),
            field="labels",
            expected=tr("at least {n} responders and {n} non-responders", n=FEWEST_PER_CLASS),
            received=tr("{first} and {second}", first=numbers[1], second=numbers[0]),
        )
    return pixels, labels.astype(np.int64)


def _train(
    framework: Framework,
    pixels: np.ndarray,
    labels: np.ndarray,
    settings: NetworkSettings,
    seed: int,
    progress: Progress,
) -> TrainedNetwork:
    """`train_network` on one device."""
    inner = _inner_patients(labels, settings, seed)
    fitted = np.setdiff1d(np.arange(len(labels)), inner)
    epochs = BalancedEpochs(pixels[fitted], labels[fitted], settings.batch_size, seed)
    held_out = (pixels[inner], labels[inner], _class_weights(labels[inner])) if len(inner) else None
    with framework.scope():
        norm = fitting_batch_norm(framework.keras)
        network = build_network(framework, settings, pixels.shape[1], seed, norm)
        history = _fit(framework, network, epochs, held_out, settings, progress)
        keras_file = _keras_file(network, framework, settings, pixels.shape[1])
    framework.keras.utils.clear_session()  # the graphs of earlier folds would pile up
    progress("network", settings.epochs, settings.epochs)
    best = int(np.argmin(history["inner_loss"])) + 1 if held_out else settings.epochs
    return TrainedNetwork(keras_file, history, best, tuple(inner.tolist()), framework.in_words)


def _fit(
    framework: Framework,
    network,
    epochs: BalancedEpochs,
    held_out: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
    settings: NetworkSettings,
    progress: Progress,
) -> dict[str, tuple[float, ...]]:
    """Give `network` the weights of the best epoch; how the fit went, as in `TrainedNetwork.history`.

    held_out: pixels, labels and weights of the patients that choose the epoch; None: the last one.
    """
    keras = framework.keras
    network.compile(
        optimizer=keras.optimizers.Adam(settings.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=framework.compiles,
    )
    settle = settler(framework, network, epochs)
    callbacks = [_epoch_callback(keras, settle, settings, progress)]
    if held_out:
        stop = keras.callbacks.EarlyStopping(
            monitor="val_loss", patience=settings.patience, restore_best_weights=True
        )
        callbacks.append(stop)
    if framework.backend != "tensorflow":
        # Builds loss and metrics, for which the others would take the first batch out of the row.
        network.test_on_batch(*epochs.batch(0))
    fit = network.fit(
        _as_dataset(keras, epochs),
        epochs=settings.epochs,
        steps_per_epoch=epochs.batches_per_epoch,
        validation_data=held_out,
        validation_batch_size=settings.batch_size,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )
    if not held_out:
        settle()
    return {name.replace("val_", "inner_"): tuple(map(float, v)) for name, v in fit.history.items()}


def _inner_patients(labels: np.ndarray, settings: NetworkSettings, seed: int) -> np.ndarray:
    """Positions of the patients held out for early stopping: a share of each class, at least one."""
    if settings.patience == 0 or settings.inner_validation == 0:
        return np.empty(0, dtype=int)
    rng = np.random.default_rng((seed, 0x1A7E))  # another stream than the order of the batches
    held_out = []
    for label in (0, 1):
        patients = np.flatnonzero(labels == label)
        number = min(max(round(settings.inner_validation * len(patients)), 1), len(patients) - 1)
        held_out.append(rng.permutation(patients)[:number])
    return np.sort(np.concatenate(held_out))


def _class_weights(labels: np.ndarray) -> np.ndarray:
    """A weight a patient with which both classes weigh the same and the mean weight is 1."""
    return (len(labels) / (2 * np.bincount(labels, minlength=2)))[labels].astype(np.float32)


def _as_dataset(keras, epochs: BalancedEpochs):
    """The batches as Keras takes them: endless, so that fetching ahead crosses the epochs' borders.

    With two workers Keras fetches ahead itself, on every framework. With one, TensorFlow does it and
    tunes its buffers in a thread that now and then slept on when the fit was over, as long as the fit
    had taken.
    """

    class Batches(keras.utils.PyDataset):
        num_batches = None

        def __init__(self):
            super().__init__(workers=2, max_queue_size=4)

        def __getitem__(self, index):
            return epochs.batch(index)

    return Batches()


def _epoch_callback(keras, settle: Callable[[], None], settings: NetworkSettings, progress: Progress):
    """A Keras callback that reports each epoch; `progress` may raise to stop the fit.

    It settles batch norm before the held-out patients are asked: what they choose is what is kept.
    """

    class Epochs(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            progress("network", epoch, settings.epochs)

        def on_test_begin(self, logs=None):
            settle()

    return Epochs()


def _keras_file(network, framework: Framework, settings: NetworkSettings, size_px: int) -> bytes:
    """The network without optimizer as the bytes of a `.keras` file, the same bytes every time."""
    plain = build_network(framework, settings, size_px)
    plain.set_weights(network.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        plain.save(path)
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = {**json.loads(files["metadata.json"]), "date_saved": "1980-01-01@00:00:00"}
    files["metadata.json"] = json.dumps(metadata).encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, ZIP_EPOCH), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()
