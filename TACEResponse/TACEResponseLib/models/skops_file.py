"""A scikit-learn pipeline in a `.skops` file: written with the same bytes each time, read as data.

skops builds nothing but the types of its own list and of ours; any other is refused before a single
object is made.
"""

import hashlib
import io
import itertools
import json
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skops.io
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline

from TACEResponseLib.messages.errors import BundleError
from TACEResponseLib.messages.language import listed, tr

#: What `skops` must be told to trust to load these models: the array of nodes of a decision tree.
TRUSTED_TYPES = ("sklearn.tree._tree.Tree",)
#: The entry that says what the objects are; every other one is an array.
SCHEMA = "schema.json"


def write_skops(fitted: Pipeline, path: Path) -> None:
    """Write a fitted pipeline, packed as small as it gets; the same model gives the same bytes.

    skops names objects and arrays after their places in memory. Here objects are counted instead, and
    arrays are named after their place in the order of the objects. Arrays with equal bytes are one
    entry, because whether two objects share one depends on the process that fitted them.
    """
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(fitted))) as stored:
        schema = json.loads(stored.read(SCHEMA))
        entries: dict[str, bytes] = {}
        name_of: dict[str, str] = {}
        for number, node in zip(itertools.count(), _objects(schema), strict=False):
            node["__id__"] = number
            if "file" in node:
                content = _without_padding(node["file"], stored.read(node["file"]))
                digest = hashlib.sha256(content).hexdigest()
                name = name_of.setdefault(digest, f"{len(name_of)}{Path(node['file']).suffix}")
                entries[name] = content
                node["file"] = name
    entries[SCHEMA] = json.dumps(schema, indent=2).encode()
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in entries.items():
            packed.writestr(_entry(name), content, compresslevel=9)


def _objects(node: object) -> Iterator[dict]:
    """Every object of a schema, parents before children, in the order in which they are written."""
    if isinstance(node, dict) and "__loader__" in node:
        yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from _objects(child)


def _without_padding(name: str, content: bytes) -> bytes:
    """An array with zeros between the fields of its records, where memory holds whatever was there."""
    if not name.endswith(".npy"):
        return content
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    clean = np.zeros(array.shape, array.dtype)
    for field in array.dtype.names:
        clean[field] = array[field]
    buffer = io.BytesIO()
    np.save(buffer, clean, allow_pickle=False)
    return buffer.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    """An entry of a fixed date, as if written on one system by everybody."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o600 << 16
    return entry


def read_skops(path: Path) -> Pipeline:
    """The pipeline in the file; BundleError for a type outside our fixed list, before anything is built.

    scikit-learn's warning of another version is not passed on: the bundle's self-test judges.
    """
    foreign = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES))
    if not foreign:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            return skops.io.load(path, trusted=list(TRUSTED_TYPES))
    raise BundleError(
        tr("the bundle holds a type that is not ours"),
        file=path.name,
        expected=tr("scikit-learn models of this software"),
        received=listed(foreign[:3]),
        remedy=tr("do not use this bundle"),
    )
