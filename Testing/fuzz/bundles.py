"""Mutations of a model bundle: damaged as by a bad disk, and changed as by somebody who means harm."""

import functools
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
from TACEResponseLib.bundle import MANIFEST, demonstration_bundle, load_bundle

from .cases import Case, choose, cut, flipped


@functools.cache
def files() -> dict[str, bytes]:
    folder = demonstration_bundle()
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@functools.cache
def expected() -> dict[str, float]:
    return answers(load_bundle(demonstration_bundle()))


def answers(model) -> dict[str, float]:
    """What the model says of a patient in the middle of its range: thresholds, probabilities and names."""
    from TACEResponseLib.bundle.selftest import made_up_patients

    probabilities = model.probabilities(made_up_patients(model))
    return {
        **{n: float(p[1]) for n, p in probabilities.items()},
        **{f"t {n}": t for n, t in model.thresholds.items()},
    }


def is_model(model) -> bool:
    """Whether it gives the answers of the bundle that was written."""
    found = answers(model)
    return found.keys() == expected().keys() and all(abs(found[n] - v) < 1e-5 for n, v in expected().items())


def bundle(folder: Path, rng: np.random.Generator) -> Case:
    """A zipped bundle, damaged in its archive, its files, or in what a file says of itself."""
    expected()
    parts = dict(files())
    name = choose(rng, sorted(set(parts) - {MANIFEST}))
    kind = choose(
        rng,
        [
            "archive cut",
            "archive byte",
            "file byte",
            "extra",
            "missing",
            "stored",
            "hostile cut",
            "hostile byte",
            "json",
        ],
    )
    must_read, said = False, f"{kind} {name}"
    if kind == "file byte":
        parts[name], _ = flipped(parts[name], rng)
    elif kind == "extra":
        parts[choose(rng, ["x.pkl", "classifiers/x.skops", "../x"])] = b"x"
    elif kind == "missing":
        del parts[name]
    elif kind == "stored":
        must_read = True
    elif kind == "hostile cut":
        parts[name], _ = cut(parts[name], rng, (0, 10))
        _rehash(parts, name)
    elif kind == "hostile byte":
        name = choose(rng, [n for n in sorted(parts) if n.endswith((".skops", ".npz", ".keras"))])
        parts[name], _ = flipped(parts[name], rng)
        _rehash(parts, name)
    elif kind == "json":
        name = choose(rng, ["settings.json", "features.json", "fusion.json", "similarity.json"])
        parts[name] = _without_a_key(parts[name], rng)
        _rehash(parts, name)
    content = _zipped(parts, stored=kind == "stored")
    if kind == "archive cut":
        content, said = cut(content, rng, (0, 30, len(content) - 22))
    elif kind == "archive byte":
        content, said = flipped(content, rng)
    path = folder / "bundle.zip"
    path.write_bytes(content)
    right = is_model
    if kind == "json":  # a key that may be left out changes nothing, or is missed
        right = lambda model: isinstance(answers(model), dict)
    return Case(said, lambda: load_bundle(path), right, must_read)


def _rehash(parts: dict[str, bytes], name: str) -> None:
    manifest = json.loads(parts[MANIFEST])
    manifest["files"][name] = {"sha256": hashlib.sha256(parts[name]).hexdigest(), "bytes": len(parts[name])}
    parts[MANIFEST] = json.dumps(manifest).encode()


def _without_a_key(content: bytes, rng: np.random.Generator) -> bytes:
    document = json.loads(content)
    del document[choose(rng, sorted(document))]
    return json.dumps(document).encode()


def _zipped(parts: dict[str, bytes], stored: bool) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(
        stream, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED, compresslevel=1
    ) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()
