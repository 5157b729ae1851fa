"""A bundle is whole or refused: checksums, a fixed list of types, and a self-test that is replayed."""

import hashlib
import io
import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from TACEResponseLib import bundle as bundles
from TACEResponseLib.bundle import demonstration_bundle, load_bundle, read_card, read_manifest, zip_bundle
from TACEResponseLib.messages.errors import BundleError, DependencyError, InputError

STATEMENT = "This model was trained on synthetic images and is not for patients."


@pytest.fixture
def copy(tmp_path):
    """The demonstration bundle in a folder with a space and letters beyond ASCII, free to damage."""
    return shutil.copytree(demonstration_bundle(), tmp_path / "Mödel 肝")


def rehash(folder, name):
    """Make the manifest agree with a changed file, as somebody who means harm would."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    content = (folder / name).read_bytes()
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_the_demonstration_bundle_says_first_that_it_is_synthetic_and_stays_below_5_mb():
    folder = demonstration_bundle()
    assert read_card(folder).splitlines()[0] == STATEMENT
    manifest = read_manifest(folder)
    assert manifest.demonstration is True
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 5_000_000
    assert {"settings.json", "features.json", "fusion.json", "final/network.keras", "scores.csv"} <= set(
        manifest.files
    )


def test_a_whole_bundle_loads_and_knows_its_name(copy):
    model = load_bundle(copy)
    assert model.identity == read_manifest(copy).id
    assert model.demonstration
    assert len(model.models.selected) == 14
    assert tuple(model.models.models) == ("size", "linear", "logistic", "svm", "gbm", "random_forest", "cnn")


@pytest.mark.parametrize("name", sorted(read_manifest(demonstration_bundle()).files))
@pytest.mark.parametrize("damage", ["one byte changed", "cut off", "missing"])
def test_any_damage_to_any_file_is_refused_by_name(copy, name, damage):
    path = copy / name
    content = bytearray(path.read_bytes())
    if damage == "one byte changed":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "cut off":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    with pytest.raises(BundleError) as caught:
        load_bundle(copy)
    assert caught.value.problem.message == "the bundle is damaged"
    assert caught.value.problem.file == path.name


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format_version": 2}', b"\xff\xfe"])
def test_a_damaged_manifest_is_a_sentence(copy, content):
    (copy / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match="the bundle is damaged"):
        load_bundle(copy)


def test_another_format_version_says_so(copy):
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    manifest["format_version"] = 99
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError, match="another format version. Expected 2 or 3; received 99"):
        load_bundle(copy)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pickle_placed_inside_is_never_opened(copy, tmp_path):
    proof = tmp_path / "executed"
    for name in ("extra.pkl", "final/extra.skops"):
        (copy / name).write_bytes(pickle.dumps(Bomb(proof)))
        with pytest.raises(BundleError, match="a file that its manifest does not list"):
            load_bundle(copy)
        (copy / name).unlink()
    name = "final/svm.skops"
    (copy / name).write_bytes(pickle.dumps(Bomb(proof)))
    rehash(copy, name)
    with pytest.raises(BundleError):
        load_bundle(copy)
    np.savez(copy / "selftest.npz", features=np.array([Bomb(proof)], dtype=object))
    rehash(copy, "selftest.npz")
    with pytest.raises(BundleError):
        load_bundle(copy)
    assert not proof.exists()


def test_a_type_that_is_not_ours_is_refused_before_it_is_built(copy):
    import skops.io

    name = "final/svm.skops"
    skops.io.dump(np.polynomial.Polynomial([1, 2]), copy / name)
    rehash(copy, name)
    with pytest.raises(BundleError, match="a type that is not ours"):
        load_bundle(copy)


def test_a_model_that_no_longer_gives_its_own_answers_names_both_sets_of_versions(copy):
    fusion = json.loads((copy / "fusion.json").read_text(encoding="utf-8"))
    fusion["combinations"]["svm"]["intercepts"][0] += 0.01
    (copy / "fusion.json").write_text(json.dumps(fusion), encoding="utf-8")
    rehash(copy, "fusion.json")
    with pytest.raises(BundleError, match="does not reproduce its self-test") as caught:
        load_bundle(copy)
    assert "numpy" in caught.value.problem.expected
    assert "numpy" in caught.value.problem.received


def test_a_zip_loads_like_its_folder_and_a_zip_that_climbs_out_is_refused(copy, tmp_path):
    archive = zip_bundle(copy, tmp_path / "model.zip")
    assert load_bundle(archive).identity == load_bundle(copy).identity
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("../outside.txt", "x")
    with pytest.raises(BundleError, match="the bundle is damaged"):
        load_bundle(archive)
    assert not (tmp_path / "outside.txt").exists()


def test_any_byte_of_a_zip_may_be_wrong_and_it_is_a_bundle_error(tmp_path):
    """Of a damaged stream zlib complains, of an unknown method or an encryption zipfile does."""
    archive = tmp_path / "small.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("text.txt", b"".join(b"%d " % (n * n) for n in range(60)))
    whole = archive.read_bytes()
    for place in range(len(whole)):
        for mask in (0x01, 0x06, 0x40, 0xFF):
            archive.write_bytes(whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :])
            with pytest.raises(BundleError):
                load_bundle(archive)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "LARGEST_BUNDLE_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("manifest.json", "0" * 2000)
    with pytest.raises(BundleError, match="the bundle is damaged"):
        load_bundle(tmp_path / "bomb.zip")


def test_a_folder_that_is_no_bundle_says_what_one_is(tmp_path):
    with pytest.raises(BundleError, match="not a model bundle. Expected a folder with manifest.json"):
        load_bundle(tmp_path)


def test_a_bundle_never_overwrites_a_folder_of_something_else(tmp_path):
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(InputError, match="not empty and not a bundle"):
        bundles.require_free_folder(tmp_path)
    bundles.require_free_folder(tmp_path / "new")


def test_litter_of_the_operating_system_is_no_fault(copy):
    (copy / ".DS_Store").write_bytes(b"x")
    load_bundle(copy)


@pytest.mark.parametrize("version", ["0.11.0", "0.13", "0.9.1", None])
def test_a_skops_that_would_run_code_is_refused_before_a_model_is_opened(copy, monkeypatch, version):
    from importlib import metadata

    def installed(name):
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr("TACEResponseLib.bundle.safety.metadata.version", installed)
    monkeypatch.setattr("skops.io.get_untrusted_types", None)  # whoever opens one fails
    monkeypatch.setattr("skops.io.load", None)
    with pytest.raises(DependencyError, match=r'(?i)skops is.*pip install "skops>=0.14"') as caught:
        load_bundle(copy)
    assert caught.value.problem.received == (f"version {version}" if version else "")


@pytest.mark.parametrize("version", ["0.14", "0.14.dev0", "0.16.0", "1.0"])
def test_a_skops_that_is_safe_is_taken(monkeypatch, version):
    from TACEResponseLib.bundle import safety

    monkeypatch.setattr(safety.metadata, "version", lambda name: version)
    safety.require_safe_skops()


def npy(shape, content: bytes, descr: str = "<f8") -> bytes:
    """An array whose header says `shape`, whatever follows."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue() + content


@pytest.mark.parametrize(
    ("entries", "received"),
    [
        ({"features.npy": npy((10**6, 10**6), b"")}, "an array of 8000000000000 bytes in 0 bytes"),
        ({"features.npy": npy((10**18, 10**18), bytes(8))}, "bytes in 8 bytes"),
        ({"features.npy": npy((3,), bytes(16))}, "an array of 24 bytes in 16 bytes"),
        ({"features.npy": npy((-1,), bytes(8))}, "bytes in 8 bytes"),
        ({"features.npy": npy((1,), bytes(8), "|O")}, "an array of Python objects"),
        ({"features.npy": b"no array"}, "ValueError in its sizes"),
        ({"features.npy": bytes(17 * 2**20)}, "17825792 bytes unpacked"),
        ({"inner.npz": "nested"}, "an array of 24 bytes in 16 bytes"),
        ({"schema.json": b"[" * 5000 + b"]" * 5000}, "more than 100 objects within each other"),
    ],
)
@pytest.mark.parametrize("name", ["background.npz", "final/svm.skops"])
def test_an_array_that_is_not_what_it_says_is_refused_before_it_is_allocated(
    copy, monkeypatch, name, entries, received
):
    monkeypatch.setattr("TACEResponseLib.bundle.safety.LARGEST_ARCHIVE_BYTES", 16 * 2**20)
    for loader in ("skops.io.get_untrusted_types", "skops.io.load", "numpy.load"):
        monkeypatch.setattr(loader, None)  # whoever opens the file fails
    with zipfile.ZipFile(copy / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries.items():
            if content == "nested":
                inner = io.BytesIO()
                with zipfile.ZipFile(inner, "w") as nested:
                    nested.writestr("x.npy", npy((3,), bytes(16)))
                content = inner.getvalue()
            archive.writestr(entry, content)
    rehash(copy, name)
    with pytest.raises(BundleError, match="the bundle is damaged") as caught:
        load_bundle(copy)
    assert received in caught.value.problem.received
    assert caught.value.problem.file == name.rpartition("/")[2]


def test_json_of_endless_depth_is_a_damaged_bundle(copy):
    (copy / "settings.json").write_text("[" * 200_000)
    rehash(copy, "settings.json")
    with pytest.raises(BundleError, match="the bundle is damaged"):
        load_bundle(copy)


#: Objects that a `.skops` can name and that would do something when they are built.
ACTING = [
    {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "content": "os.system"},
    {"__class__": "eval", "__module__": "builtins", "__loader__": "TypeNode"},
    {
        "__class__": "methodcaller",
        "__module__": "operator",
        "__loader__": "OperatorFuncNode",
        "attrs": {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": []},
    },
    {"__class__": "Popen", "__module__": "subprocess", "__loader__": "ObjectNode", "content": None},
    {"__class__": "x", "__module__": "numpy.random", "__loader__": "RandomGeneratorNode", "content": {
        "bit_generator": {"bit_generator": "system"}}},
]  # fmt: skip


@pytest.mark.parametrize("acting", ACTING, ids=lambda a: a["__loader__"])
def test_no_object_that_acts_is_built_before_its_type_is_checked(copy, acting, monkeypatch):
    import os

    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("a file of a bundle ran a command"))
    name = "final/svm.skops"
    with zipfile.ZipFile(copy / name) as archive:
        schema = json.loads(archive.read("schema.json"))
        arrays = {n: archive.read(n) for n in archive.namelist() if n != "schema.json"}
    a_list = {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "__id__": 2}
    a_list["content"] = [{"__id__": 1, **acting}]
    with zipfile.ZipFile(copy / name, "w") as archive:
        archive.writestr("schema.json", json.dumps({**schema, **a_list}))
        for entry, content in arrays.items():
            archive.writestr(entry, content)
    rehash(copy, name)
    with pytest.raises(BundleError):
        load_bundle(copy)


def test_values_that_a_network_file_only_claims_are_never_made_up():
    """HDF5 gives any number of values of an array that was never written, all the same."""
    import h5py
    from TACEResponseLib.models.network.keras_file import read_keras_file

    content = (demonstration_bundle() / "final" / "network.keras").read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        kernel = file["layers/dense/vars/0"]
        shape = kernel.shape
        del file["layers/dense/vars/0"]
        file["layers/dense/vars"].create_dataset("0", shape, np.float32, fillvalue=1.0)
    damaged = io.BytesIO()
    with zipfile.ZipFile(damaged, "w") as archive:
        for name, part in {**parts, "model.weights.h5": weights.getvalue()}.items():
            archive.writestr(name, part)
    read_keras_file(content)
    with pytest.raises(BundleError, match="array 0 of dense is not plain float32"):
        read_keras_file(damaged.getvalue())
