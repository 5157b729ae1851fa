"""JSON and arrays of a bundle: how they are written, and how a damaged one becomes one error."""

import contextlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from TACEResponseLib.messages.errors import BundleError
from TACEResponseLib.messages.language import tr


def damaged(path: Path, received: str, expected: str = "") -> BundleError:
    """The error for a file of a bundle that is not what was written; expected: that, when it is empty."""
    return BundleError(
        tr("the bundle is damaged"),
        file=path.name,
        expected=expected or tr("the file as it was written"),
        received=received,
        remedy=tr("get the bundle again from where it was made"),
    )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Path]:
    """Whatever a parser says of a foreign file becomes the one error of a damaged bundle."""
    try:
        yield path
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise damaged(path, tr("{name} while reading it", name=type(error).__name__)) from None


def write_json(path: Path, content: object) -> None:
    """Readable JSON that never holds NaN, with the same bytes on every system."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def read_json(path: Path) -> dict:
    """The content of a JSON file; BundleError when it is none."""
    with reading(path):
        return json.loads(path.read_text(encoding="utf-8"))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Name -> array of an `.npz` file; no object is unpickled."""
    with reading(path), np.load(path, allow_pickle=False) as stored:
        return dict(stored)
