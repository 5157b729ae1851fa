"""A scikit-learn pipeline in a `.skops` file: written with the same bytes each time, read as data.

skops builds nothing but the types of its own list and of ours; any other is refused before a single
object is made.
"""

import warnings
import zipfile
from pathlib import Path

import skops.io
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline

from TACEResponseLib.errors import BundleError

#: What `skops` must be told to trust to load these models: the array of nodes of a decision tree.
TRUSTED_TYPES = ("sklearn.tree._tree.Tree",)


def write_skops(fitted: Pipeline, path: Path) -> None:
    """Write a fitted pipeline, packed as small as it gets."""
    skops.io.dump(fitted, path, compression=zipfile.ZIP_DEFLATED, compresslevel=9)


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
        "the bundle holds a type that is not ours",
        file=path.name,
        expected="scikit-learn models of this software",
        received=", ".join(foreign[:3]),
        remedy="do not use this bundle",
    )
