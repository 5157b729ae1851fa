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

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .errors import InputError


@dataclass(frozen=True, eq=False)
class Block:
    """Convolution, batch norm, leaky ReLU and maximum pool as one step.

    kernel: float32 (height, width, maps in, maps out) and bias (maps out), batch norm included.
    dilation: pixels between the kernel's samples. slope: of the leaky ReLU below 0, in [0, 1].
    pool: side of the pool's window. stride: pixels between two windows.
    """

    kernel: np.ndarray
    bias: np.ndarray
    dilation: int
    slope: float
    pool: int
    stride: int

    def output_size(self, size: int) -> int:
        """Side of the output for an input of side `size`; below 1 when the input is too small."""
        return (size - self.dilation * (len(self.kernel) - 1) - self.pool) // self.stride + 1

    def forward(self, picture: np.ndarray) -> np.ndarray:
        """(size, size, maps in) -> (output, output, maps out)."""
        largest = self._responses(picture).max(axis=0)
        return np.where(largest > 0, largest, self.slope * largest)

    def backward(self, picture: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Gradient with respect to `picture` from the one with respect to `forward(picture)`."""
        responses = self._responses(picture)
        taken = responses.argmax(axis=0)
        rising = np.where(responses.max(axis=0) > 0, 1, self.slope)
        kernel = self.kernel.reshape(-1, self.kernel.shape[-1])
        result = np.zeros_like(picture)
        for place, offset in enumerate(self._offsets()):
            share = np.where(taken == place, gradient * rising, 0).astype(np.float32)
            windows = self._windows(result, offset, writeable=True)
            pieces = (share.reshape(-1, share.shape[-1]) @ kernel.T).reshape(windows.shape)
            for row in range(windows.shape[2]):
                for column in range(windows.shape[3]):
                    windows[:, :, row, column] += pieces[:, :, row, column]
        return result

    def _responses(self, picture: np.ndarray) -> np.ndarray:
        """(places of the pool, output, output, maps out) before the largest is taken."""
        kernel = self.kernel.reshape(-1, self.kernel.shape[-1])
        size = self.output_size(len(picture))
        columns = (self._windows(picture, offset).reshape(-1, len(kernel)) for offset in self._offsets())
        return np.stack([(c @ kernel + self.bias).reshape(size, size, -1) for c in columns])

    def _offsets(self) -> list[tuple[int, int]]:
        return [(row, column) for row in range(self.pool) for column in range(self.pool)]

    def _windows(self, picture: np.ndarray, offset: tuple[int, int], writeable: bool = False) -> np.ndarray:
        """View (output, output, height, width, maps in) of what each output pixel looks at."""
        row_step, column_step, map_step = picture.strides
        size, (height, width) = self.output_size(len(picture)), self.kernel.shape[:2]
        return as_strided(
            picture[offset[0] :, offset[1] :],
            (size, size, height, width, picture.shape[2]),
            (
                row_step * self.stride,
                column_step * self.stride,
                row_step * self.dilation,
                column_step * self.dilation,
                map_step,
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

    @classmethod
    def from_bytes(cls, keras_file: bytes) -> "NumpyNetwork":
        """The network in the bytes of a `.keras` file; BundleError when it is damaged or foreign."""
        from .keras_file import read_keras_file  # h5py is needed to read, not to compute

        return read_keras_file(keras_file)

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
        features = np.empty((len(self._checked(pixels)), len(self.weights)), dtype=np.float32)
        for row, picture in zip(features, self._checked(pixels), strict=True):
            for block in self.blocks:
                picture = block.forward(picture)
            row[:] = picture.ravel()
        return features

    def gradient(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size, 3) -> float32, same shape: slope of the log-odds at every pixel value."""
        return np.stack([self._gradient(picture) for picture in self._checked(pixels)])

    def _gradient(self, picture: np.ndarray) -> np.ndarray:
        seen = [picture]
        for block in self.blocks:
            seen.append(block.forward(seen[-1]))
        gradient = (self.weights[:, 1] - self.weights[:, 0]).reshape(seen[-1].shape)
        for block, picture in zip(reversed(self.blocks), reversed(seen[:-1]), strict=True):
            gradient = block.backward(picture, gradient)
        return gradient

    def _checked(self, pixels: np.ndarray) -> np.ndarray:
        """The patches as contiguous float32, or InputError when they have another size."""
        pixels = np.ascontiguousarray(pixels, dtype=np.float32)
        expected = (self.size_px, self.size_px, self.blocks[0].kernel.shape[2])
        if pixels.ndim != 4 or pixels.shape[1:] != expected:
            raise InputError(
                "the patches have another size than the network",
                field="pixels",
                expected=f"(patches, {', '.join(map(str, expected))})",
                received=str(pixels.shape),
                remedy="make the patches with the settings of the model",
            )
        return pixels
