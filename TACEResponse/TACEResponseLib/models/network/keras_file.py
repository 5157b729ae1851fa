"""Reads a `.keras` file into a `NumpyNetwork`, as data: no code in it is ever run.

The file is a zip archive of `config.json` (the layers), `metadata.json` and `model.weights.h5`.
Everything is bounded and checked before it is used: sizes before unpacking, the layers against a
fixed list with fixed options, each array's shape and type before it is read. Python's pickle, Keras'
Lambda layers and HDF5's links to other files have no way in.
"""

import io
import json
import math
import zipfile

import h5py
import numpy as np

from TACEResponseLib.messages.errors import BundleError
from TACEResponseLib.messages.language import listed, tr

from .inference import Block, NumpyNetwork

#: Largest file, packed and unpacked; the paper's network has about 0.1 MB.
LARGEST_BYTES = 64 * 1024**2
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = {CONFIG, "metadata.json", WEIGHTS}
#: The layers of one block, in their order.
BLOCK = ("Conv2D", "BatchNormalization", "LeakyReLU", "MaxPooling2D")
#: Options that must read exactly so, since nothing else is computed here.
FIXED = {
    "InputLayer": {},
    "Conv2D": {
        "strides": [1, 1],
        "padding": "valid",
        "data_format": "channels_last",
        "groups": 1,
        "activation": "linear",
        "use_bias": True,
    },
    "BatchNormalization": {"axis": -1, "center": True, "scale": True},
    "LeakyReLU": {},
    "MaxPooling2D": {"padding": "valid", "data_format": "channels_last"},
    "Flatten": {"data_format": "channels_last"},
    "Dense": {"units": 2, "activation": "linear", "use_bias": True},
}


def read_keras_file(content: bytes) -> NumpyNetwork:
    """The network in the bytes of a `.keras` file; BundleError with a sentence for anything else."""
    files = _unpack(content)
    try:
        layers = _layers(json.loads(files[CONFIG]))
        with h5py.File(io.BytesIO(files[WEIGHTS]), "r") as weights:
            return _network(layers, _Arrays(weights), content)
    except BundleError:
        raise
    except Exception as error:  # a damaged file can fail anywhere in json, numpy and HDF5
        raise _damaged(f"{type(error).__name__}: {error}") from error


def _damaged(received: str) -> BundleError:
    return BundleError(
        tr("the network file is damaged"),
        field="network",
        expected=tr("a .keras file as the training writes it"),
        received=received,
        remedy=tr("copy the bundle again, or train the network again"),
    )


def _foreign(received: str, expected: str) -> BundleError:
    return BundleError(
        tr("the network file describes a network that is not known here"),
        field="network",
        expected=expected,
        received=received,
        remedy=tr("use a bundle that was made by this program, of this version or an older one"),
    )


def _unpack(content: bytes) -> dict[str, bytes]:
    """Name -> bytes of the files in the archive, never more than LARGEST_BYTES of them."""
    if len(content) > LARGEST_BYTES:
        raise _foreign(tr("{n} bytes", n=len(content)), tr("at most {n} bytes", n=LARGEST_BYTES))
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            names = sorted(entry.filename for entry in entries)
            if names != sorted(MEMBERS):
                raise _foreign(
                    tr("files {names}", names=listed(names[:10]) or tr("none")), listed(sorted(MEMBERS))
                )
            if sum(entry.file_size for entry in entries) > LARGEST_BYTES:
                raise _foreign(tr("more when unpacked"), tr("at most {n} bytes", n=LARGEST_BYTES))
            return {entry.filename: archive.read(entry) for entry in entries}
    except BundleError:
        raise
    except Exception as error:  # zipfile and zlib have errors of their own
        raise _damaged(f"{type(error).__name__}: {error}") from error


def _layers(config: dict) -> list[tuple[str, dict]]:
    """(class name, options) of each layer, all of them from the fixed list with the fixed options."""
    if config["class_name"] != "Sequential":
        raise _foreign(tr("a {name}", name=config["class_name"]), tr("a Sequential network"))
    layers = []
    for layer in config["config"]["layers"]:
        name, options = layer["class_name"], layer["config"]
        known = layer["module"] == "keras.layers" and not layer.get("registered_name")
        if not known or name not in FIXED:
            raise _foreign(
                tr("a layer {name}", name=f"{layer['module']}.{name}"),
                tr("only {names}", names=listed(FIXED)),
            )
        for option, expected in FIXED[name].items():
            if options[option] != expected:
                raise _foreign(
                    tr("{name} with {option} {value}", name=name, option=option, value=options[option]),
                    f"{option} {expected}",
                )
        layers.append((name, options))
    names = [name for name, _ in layers]
    blocks = (len(names) - 3) // len(BLOCK)
    if blocks < 1 or names != ["InputLayer", *BLOCK * blocks, "Flatten", "Dense"]:
        raise _foreign(
            tr("layers {names}", names=listed(names)),
            tr("blocks of {names}, then Flatten, Dense", names=listed(BLOCK)),
        )
    return layers


class _Arrays:
    """The arrays of the HDF5 file, by layer; each is checked before it is read."""

    def __init__(self, file: h5py.File):
        self._file = file

    def __call__(self, layer: str, number: int, shape: tuple[int, ...]) -> np.ndarray:
        """float32 array `number` of a layer; BundleError unless it is there with this shape, finite."""
        where = self._file
        for name in ("layers", layer, "vars", str(number)):
            if not isinstance(where.get(name, getlink=True), h5py.HardLink):
                raise _damaged(tr("no array {number} of {layer}", number=number, layer=layer))
            where = where[name]
        plain = (
            isinstance(where, h5py.Dataset)
            and where.dtype == np.float32
            and where.shape == shape
            and not where.is_virtual
            and where.external is None
            and where.id.get_create_plist().get_nfilters() == 0
            # Every value stands in the file: HDF5 would make up any number of those that do not.
            and where.id.get_storage_size() == math.prod(shape) * 4 <= LARGEST_BYTES
        )
        if not plain:
            raise _damaged(
                tr(
                    "array {number} of {layer} is not plain float32 of shape {shape}",
                    number=number,
                    layer=layer,
                    shape=shape,
                )
            )
        values = where[...]
        if not np.isfinite(values).all():
            raise _damaged(
                tr("array {number} of {layer} holds values that are not numbers", number=number, layer=layer)
            )
        return values


def _network(layers: list[tuple[str, dict]], arrays: _Arrays, content: bytes) -> NumpyNetwork:
    """Build the network block by block, following the size of the picture through it."""
    _, size, width, maps = layers[0][1]["batch_shape"]
    if not (type(size) is int and size == width and 1 <= size <= 1024 and type(maps) is int and maps == 3):
        raise _foreign(
            tr("an input of {size} x {width} x {maps}", size=size, width=width, maps=maps),
            tr("a square input of three channels"),
        )
    blocks, side = [], size
    for number in range((len(layers) - 3) // len(BLOCK)):
        options = [layer[1] for layer in layers[1 + number * len(BLOCK) :][: len(BLOCK)]]
        blocks.append(_block(options, number, maps, arrays))
        side, maps = blocks[-1].output_size(side), len(blocks[-1].kernel)
        if side < 1:
            raise _foreign(
                tr("a picture of {size} pixels", size=size),
                tr("a picture that the layers leave something of"),
            )
    weights = arrays("dense", 0, (side * side * maps, 2))
    return NumpyNetwork(size, tuple(blocks), weights, arrays("dense", 1, (2,)), content)


def _block(options: list[dict], number: int, maps_in: int, arrays: _Arrays) -> Block:
    """Convolution, batch norm, leaky ReLU and pool as one; batch norm folded in double precision."""
    convolution, norm, relu, pool = options
    suffix = f"_{number}" if number else ""
    maps = _whole(convolution["filters"], 1024)
    height, width = (_whole(n, 64) for n in convolution["kernel_size"])
    kernel = arrays(f"conv2d{suffix}", 0, (height, width, maps_in, maps))
    bias = arrays(f"conv2d{suffix}", 1, (maps,))
    gamma, beta, mean, variance = (arrays(f"batch_normalization{suffix}", n, (maps,)) for n in range(4))
    if (variance < 0).any():
        raise _damaged(tr("a negative variance"))
    factor = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + float(norm["epsilon"]))
    slope = float(relu["negative_slope"])
    if not 0 <= slope <= 1:
        raise _foreign(tr("a leaky ReLU of slope {slope}", slope=slope), tr("a slope of 0 to 1"))
    with np.errstate(all="ignore"):
        kernel = np.ascontiguousarray((kernel * factor).astype(np.float32).transpose(3, 2, 0, 1))
        bias = ((bias - mean) * factor + beta).astype(np.float32)
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise _damaged(tr("weights beyond all bounds"))
    return Block(
        kernel=kernel,
        bias=bias,
        dilation=_same(convolution["dilation_rate"]),
        slope=slope,
        pool=_same(pool["pool_size"]),
        stride=_same(pool["strides"]),
    )


def _same(values: list[int]) -> int:
    """The number that is given for both directions."""
    first, second = values
    if first != second:
        raise _foreign(f"{first} x {second}", tr("the same number in both directions"))
    return _whole(first, 64)


def _whole(value: int, largest: int) -> int:
    if type(value) is not int or not 1 <= value <= largest:
        raise _foreign(str(value), tr("a whole number from 1 to {largest}", largest=largest))
    return value
