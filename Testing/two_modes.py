"""How often a trained network is right about what it was fitted on, asked in both of its modes."""

import tempfile
from pathlib import Path

import numpy as np
from TACEResponseLib.models.network import TrainedNetwork
from TACEResponseLib.models.network.augmentation import BalancedEpochs
from TACEResponseLib.models.network.framework import Framework
from TACEResponseLib.settings import NetworkSettings


def accuracy_by_mode(
    framework: Framework,
    trained: TrainedNetwork,
    pixels: np.ndarray,
    labels: np.ndarray,
    settings: NetworkSettings,
    seed: int,
) -> tuple[float, float]:
    """Share of right answers in training mode and in inference mode, on the same pictures.

    pixels, labels, settings and seed as `train_network` had them. The pictures are an epoch of the
    fitted patients, balanced and transformed as in the fit, and not the epoch from which batch norm
    took its statistics. Training mode normalises each batch by itself, inference mode by what the file
    holds.
    """
    fitted = np.delete(np.arange(len(labels)), trained.inner_patients)
    epochs = BalancedEpochs(pixels[fitted], labels[fitted], settings.batch_size, seed)
    number = epochs.batches_per_epoch
    keras = framework.keras
    with tempfile.TemporaryDirectory() as folder, framework.scope():
        file = Path(folder) / "network.keras"
        file.write_bytes(trained.keras_file)
        network = keras.saving.load_model(file, safe_mode=True)

        def share_right(training: bool) -> float:
            right = []
            for pictures, truth in map(epochs.batch, range(number, 2 * number)):
                logits = keras.ops.convert_to_numpy(network(pictures, training=training))
                right.append(logits.argmax(axis=1) == truth)
            return float(np.mean(right))

        inference = share_right(False)  # first: training mode moves the statistics
        return share_right(True), inference
