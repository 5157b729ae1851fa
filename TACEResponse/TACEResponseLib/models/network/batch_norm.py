"""Batch norm for the fit: Keras' values, faster on a CPU, and statistics taken while the weights rest.

Keras keeps an average over the last batches, each seen with weights of its own, and answers
differently with it than the fit did. Here the fit keeps none; before the network is asked, its weights
stand still and every batch weighs the same (Wu & Johnson, "Rethinking 'Batch' in BatchNorm",
arXiv:2105.07576, 2021).
"""

from collections.abc import Callable
from types import ModuleType

import numpy as np

from .augmentation import BalancedEpochs
from .framework import Framework

#: Pictures from which batch norm takes its statistics: more than a batch's noise, less than an epoch's time.
SETTLING_PICTURES = 256


def fitting_batch_norm(keras: ModuleType) -> type:
    """A class of layers like Keras' `BatchNormalization` whose training mode works by rows.

    The paper's layers have 4 and 24 maps. Sums and factors along an axis as short as that are slow on a
    CPU; a row of a picture with all its maps is long enough. Training mode leaves the layer's
    statistics alone: `settler` sets them.
    """
    ops = keras.ops

    class FittingBatchNorm(keras.layers.BatchNormalization):
        def statistics(self, maps):
            """Mean and variance (maps,) over a batch (pictures, height, width, maps)."""
            return self._by_rows(maps)[1:]

        def call(self, maps, training=None, mask=None):
            if not training:
                return super().call(maps, training=training, mask=mask)
            centred, _, variance = self._by_rows(maps)
            factor = self.gamma * ops.rsqrt(variance + self.epsilon)
            rows = centred * ops.tile(factor, maps.shape[2]) + ops.tile(self.beta, maps.shape[2])
            return ops.reshape(rows, (-1, *maps.shape[1:]))

        def _by_rows(self, maps):
            """Rows (pictures x height, width x maps) around their mean, mean and variance (maps,)."""
            _, _, width, number = maps.shape

            def mean_of(rows):
                return ops.mean(ops.reshape(ops.mean(rows, axis=0), (width, number)), axis=0)

            rows = ops.reshape(maps, (-1, width * number))
            mean = mean_of(rows)
            centred = rows - ops.tile(mean, width)
            return centred, mean, mean_of(ops.square(centred))

    return FittingBatchNorm


def settler(framework: Framework, network, epochs: BalancedEpochs) -> Callable[[], None]:
    """A function that gives `network` the batch-norm statistics of its weights as they stand.

    They become the mean of those of the fit's first batches, `SETTLING_PICTURES` in all or one epoch.
    network: built with `fitting_batch_norm`.
    """
    keras = framework.keras
    norms = [layer for layer in network.layers if hasattr(layer, "statistics")]

    class Statistics(keras.Model):
        """Answers a batch with what every norm sees of it, as (1, maps)."""

        def __init__(self):
            super().__init__()
            # A layer that the model does not hold is a constant to jax.
            self.upto_last_norm = network.layers[: network.layers.index(norms[-1]) + 1]

        def call(self, pictures, training=None):
            found, maps = [], pictures
            for layer in self.upto_last_norm:
                if layer in norms:
                    found += layer.statistics(maps)
                maps = layer(maps, training=True)
            return [keras.ops.expand_dims(value, 0) for value in found]

    asked = Statistics()
    asked.compile(jit_compile=framework.compiles)
    number = min(-(-SETTLING_PICTURES // epochs.batch_size), epochs.batches_per_epoch)
    # On the device once, since they are the same after every epoch.
    batches = [keras.ops.convert_to_tensor(epochs.batch(index)[0]) for index in range(number)]

    def settle() -> None:
        found = [asked.predict_on_batch(pictures) for pictures in batches]
        means = [np.mean(values, axis=0)[0] for values in zip(*found, strict=True)]
        for norm, mean, variance in zip(norms, means[::2], means[1::2], strict=True):
            norm.moving_mean.assign(mean)
            norm.moving_variance.assign(variance)

    return settle
