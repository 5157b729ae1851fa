"""The trained network in numpy: reads a `.keras` file and answers, without Keras and its frameworks.

Predicting then works where no framework runs, also inside Slicer, and a `.keras` file from
elsewhere can run no code: `config.json` is read as plain data and must describe convolutions, batch
norms, leaky ReLUs, maximum pools and one dense layer; anything else is refused. `keras_file` reads
the archive, this room computes.

A maximum pool of 2 x 2 looks at four places per output pixel, so convolution and pool together are
the largest of four convolutions with the pool's stride: only pixels that a pool looks at are ever
computed. Batch norm is a factor and an offset a map and goes into the kernel; leaky ReLU is rising
and may follow the pool. Equal to Keras to 1e-5 on logits.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import listed, tr


@dataclass(frozen=True, eq=False)
class Block:
    """Convolution, batch norm, leaky ReLU and maximum pool as one step.

    kernel: float32 (maps out, maps in, height, width) and bias (maps out,), batch norm included.
    dilation: pixels between the kernel's samples. slope: of the leaky ReLU below 0, in [0, 1].
    pool: side of the pool's window. stride: pixels between two windows. Pictures are
    (maps, size, size) here: whole rows are copied that way, not three numbers at a time.
    """

    kernel: np.ndarray
    bias: np.ndarray
    dilation: int
    slope: float
    pool: int
    stride: int

    def output_size(self, size: int) -> int:
        """Side of the output for an input of side `size`; below 1 when the input is too small."""
        return (size - self.dilation * (self.kernel.shape[2] - 1) - self.pool) // self.stride + 1

    def forward(self, picture: np.ndarray) -> np.ndarray:
        """(maps in, size, size) -> (maps out, output, output)."""
        largest = np.stack([responses.max(axis=1) for responses in self._responses(picture)], axis=1)
        return np.where(largest > 0, largest, self.slope * largest)

    def backward(self, picture: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Gradient with respect to `picture` from the one with respect to `forward(picture)`."""
        responses = np.stack(list(self._responses(picture)), axis=2)
        gradient = gradient * np.where(responses.max(axis=1) > 0, 1, self.slope)
        taken = responses.argmax(axis=1)[:, None] == np.arange(self.pool**2)[:, None, None]
        shares = np.where(taken, gradient[:, None], 0).astype(np.float32).reshape(len(self.kernel), -1)
        result = np.zeros_like(picture)
        places = self._places(result, writeable=True)
        for sample in np.ndindex(self.kernel.shape[2:]):
            pieces = self.kernel[:, :, *sample].T @ shares
            for place, piece in enumerate(np.split(pieces, self.pool**2, axis=1)):
                seen = places[:, :, *sample, *divmod(place, self.pool)]
                seen += piece.reshape(len(picture), *gradient.shape[1:]).transpose(1, 0, 2)
        return result

    def _responses(self, picture: np.ndarray) -> Iterator[np.ndarray]:
        """An output row at a time, (maps out, places of the pool, output): the pool takes the largest.

        A row's products fit the processor's cache and are too small for a BLAS to start threads on,
        which cost ten times the work itself when other programs hold the cores.
        """
        kernel = self.kernel.reshape(len(self.kernel), -1)
        for row in self._places(picture):
            responses = kernel @ row.reshape(kernel.shape[1], -1) + self.bias[:, None]
            yield responses.reshape(len(kernel), self.pool**2, -1)

    def _places(self, picture: np.ndarray, writeable: bool = False) -> np.ndarray:
        """View (output, maps in, height, width, pool, pool, output) of the pixels that are looked at."""
        map_step, row, column = picture.strides
        size = self.output_size(picture.shape[1])
        return as_strided(
            picture,
            (size, *self.kernel.shape[1:], self.pool, self.pool, size),
            (
                row * self.stride,
                map_step,
                row * self.dilation,
                column * self.dilation,
                row,
                column,
                column * self.stride,
            ),
            writeable=writeable,
        )


@dataclass(frozen=True, eq=False)
class NumpyNetwork:
    """A trained network that can answer.

    size_px: side of the patches it takes. blocks: the convolutional part. weights: float32
    (features, 2) and bias (2,) of the dense layer. keras_file: the bytes it was read from.
    """

    size_px: int
    blocks: tuple[Block, ...]
    weights: np.ndarray
    bias: np.ndarray
    keras_file: bytes = b""

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size, 3) -> float64 (n, 2): no response, response."""
        return (self.penultimate(pixels) @ self.weights + self.bias).astype(np.float64)

    def log_odds(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size, 3) -> float64 (n,) log-odds of response, the score that maps explain."""
        logits = self.logits(pixels)
        return logits[:, 1] - logits[:, 0]

    def probability(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size, 3) -> float64 (n,) probability of response (softmax)."""
        from scipy.special import expit

        return expit(self.log_odds(pixels))

    def penultimate(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size, 3) -> float32 (n, features): what the dense layer sees of each patch."""
        pictures = self._maps_first(pixels)
        features = np.empty((len(pictures), len(self.weights)), dtype=np.float32)
        for row, picture in zip(features, pictures, strict=True):
            for block in self.blocks:
                picture = block.forward(picture)
            row[:] = picture.transpose(1, 2, 0).ravel()  # Keras flattens with the maps last
        return features

    def gradient(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size, 3) -> float32, same shape: slope of the log-odds at every pixel value."""
        gradients = np.array([self._gradient(picture) for picture in self._maps_first(pixels)])
        return gradients.transpose(0, 2, 3, 1)

    def _gradient(self, picture: np.ndarray) -> np.ndarray:
        seen = [picture]
        for block in self.blocks:
            seen.append(block.forward(seen[-1]))
        maps, size, _ = seen[-1].shape
        gradient = (self.weights[:, 1] - self.weights[:, 0]).reshape(size, size, maps).transpose(2, 0, 1)
        for block, picture in zip(reversed(self.blocks), reversed(seen[:-1]), strict=True):
            gradient = block.backward(picture, gradient)
        return gradient

    def _maps_first(self, pixels: np.ndarray) -> np.ndarray:
        """Patches as contiguous float32 (n, 3, size, size), or InputError when they do not fit."""
        pixels = np.asarray(pixels, dtype=np.float32)
        expected = (self.size_px, self.size_px, self.blocks[0].kernel.shape[1])
        if pixels.ndim != 4 or pixels.shape[1:] != expected:
            raise InputError(
                tr("the patches have another size than the network"),
                field="pixels",
                expected=tr("(patches, {shape})", shape=listed(map(str, expected))),
                received=str(pixels.shape),
                remedy=tr("make the patches with the settings of the model"),
            )
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
