"""A trained model on disk: save, load, verify. The only reader and writer of the format.

A bundle is a folder (zipped to share it): `manifest.json` with the sha256 of every other file,
written last; `settings.json`, `features.json`, `fusion.json`, `similarity.json`, `final/` and
`folds/*` with what was fitted on all patients and on those of each fold, `background.npz`,
`scores.csv`, `conformal.npz`, `selftest.npz`, `model_card.md`. Loading runs no code from the files:
no pickle, skops with a fixed list of types, the network as plain arrays. Sizes are bounded and
checksums compared before anything is parsed, and the self-test is replayed before the model is handed
out. Manifest and card can be read before any package is installed.
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from TACEResponseLib.messages.errors import BundleError, InputError
from TACEResponseLib.messages.language import in_language, listed, several, tr

from .reading import damaged, read_json, write_json
from .safety import require_bounded, require_safe_skops

if TYPE_CHECKING:
    from TACEResponseLib.answer.response_model import ResponseModel
    from TACEResponseLib.selection.reliability import ReliabilityTable

#: The version that is written, and those that are read.
FORMAT_VERSION, READABLE = 3, (2, 3)
MANIFEST, CARD = "manifest.json", "model_card.md"
LARGEST_MANIFEST_BYTES = 1_000_000
LARGEST_BUNDLE_BYTES = 300_000_000
#: Files that operating systems drop into folders; never opened, never a fault.
LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}
#: What the zip of a bundle ends in that is damaged, encrypted or packed in an unknown way.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
    EOFError,
)


@dataclass(frozen=True)
class BundleManifest:
    """What a bundle says of itself. files: relative path -> (sha256, bytes)."""

    id: str
    demonstration: bool
    positive_class: str
    headline: str
    versions: Mapping[str, str]
    files: Mapping[str, tuple[str, int]]
    format_version: int = FORMAT_VERSION


def demonstration_bundle() -> Path:
    """Folder of the demonstration bundle, trained on synthetic images."""
    return _shipped("DemonstrationBundle")


def public_cohort_bundle() -> Path:
    """Folder of the bundle that was trained on 90 patients of the public collection HCC-TACE-Seg."""
    return _shipped("PublicCohortBundle")


def _shipped(name: str) -> Path:
    """A bundle that comes with the extension, installed beside the library or in a checkout."""
    library = Path(__file__).resolve().parent.parent
    places = (library / name, library.parent.parent / "Resources" / name)
    for place in places:
        if (place / MANIFEST).exists():
            return place
    raise BundleError(
        tr("the bundle {name} is not installed", name=name),
        expected=str(places[0]),
        received=tr("no manifest.json there"),
        remedy=tr("install the extension again, or name a bundle of your own"),
    )


def read_manifest(folder: Path) -> BundleManifest:
    """The manifest alone, without opening the model; needs only the standard library."""
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise BundleError(
            tr("the folder is not a model bundle"),
            file=Path(folder).name,
            expected=tr("a folder with {file}", file=MANIFEST),
            received=tr("no such file"),
            remedy=tr("choose the folder that train wrote"),
        )
    if path.stat().st_size > LARGEST_MANIFEST_BYTES:
        found, most = (
            tr("{n} bytes", n=path.stat().st_size),
            tr("at most {n} bytes", n=LARGEST_MANIFEST_BYTES),
        )
        raise damaged(path, found, most)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["format_version"]
        if version not in READABLE:
            raise BundleError(
                tr("the bundle has another format version"),
                file=MANIFEST,
                expected=tr(" or ").join(map(str, READABLE)),
                received=str(version),
                remedy=tr("update TACEResponse, or train the bundle again"),
            )
        return BundleManifest(
            id=str(content["id"]),
            demonstration=bool(content["demonstration"]),
            positive_class=str(content["positive_class"]),
            headline=str(content["headline"]),
            versions={str(k): str(v) for k, v in content["versions"].items()},
            files={str(k): (str(v["sha256"]), int(v["bytes"])) for k, v in content["files"].items()},
            format_version=int(version),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, tr("{name} while reading it", name=type(error).__name__)) from None


def read_card(folder: Path) -> str:
    """The model card as Markdown text."""
    return (Path(folder) / CARD).read_text(encoding="utf-8")


@dataclass(frozen=True)
class KeptReliability:
    """The agreement of two readers as a bundle keeps it: a row a feature."""

    kept: tuple[Mapping, ...]

    def rows(self) -> list[Mapping]:
        """As `ReliabilityTable.rows`."""
        return list(self.kept)


def read_beside(path: Path) -> tuple[str, KeptReliability]:
    """What a bundle folder or `.zip` holds beside its model: the card, and the agreement of two readers."""
    with _as_folder(Path(path)) as folder:
        rows = read_json(folder / "features.json")["reliability"]
        return read_card(folder), KeptReliability(tuple(rows))


def load_bundle(path: Path) -> "ResponseModel":
    """The model of a bundle folder or `.zip`, after checksums and self-test.

    Raises BundleError naming the file that is missing, foreign or changed, or both sets of
    versions when the self-test differs by more than 1e-5; DependencyError when skops is too old.
    """
    with _as_folder(Path(path)) as folder:
        manifest = read_manifest(folder)
        _verify_files(folder, manifest)
        require_safe_skops()
        require_bounded(folder, list(manifest.files))
        from .files import read_model  # needs scikit-learn, reading a manifest does not

        try:
            return read_model(folder, manifest)
        except RecursionError:  # JSON within JSON, deeper than anything that was written here
            raise damaged(folder / MANIFEST, tr("a file of endless depth")) from None


def save_bundle(
    folder: Path,
    model: "ResponseModel",
    reliability: "ReliabilityTable | KeptReliability | None",
    card: str,
) -> Path:
    """Write the bundle whole or not at all: built beside its place, moved there at the end.

    A folder that is there already is replaced when it is a bundle, otherwise InputError.
    """
    from .files import write_model

    folder = Path(folder)
    require_free_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with in_language("en"):  # a bundle is the same whatever the language of whoever trained it
            write_model(building, model, reliability)
        (building / CARD).write_text(card, encoding="utf-8", newline="\n")
        _write_manifest(building, model)
        load_bundle(building)
        building.chmod(0o755)  # mkdtemp makes it private
        if folder.exists():
            shutil.rmtree(folder)
        building.replace(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return folder


def require_free_folder(folder: Path) -> None:
    """Raise InputError unless a bundle can be put at `folder` without overwriting anything else."""
    if folder.exists() and not (folder / MANIFEST).exists() and any(folder.iterdir()):
        raise InputError(
            tr("the output folder is not empty and not a bundle"),
            file=folder.name,
            expected=tr("a new folder, an empty one, or a bundle to replace"),
            received=listed(sorted(p.name for p in folder.iterdir())[:5]),
            remedy=tr("choose another folder"),
        )


def zip_bundle(folder: Path, archive: Path) -> Path:
    """Pack a verified bundle into one `.zip` to share."""
    manifest = read_manifest(folder)
    _verify_files(folder, manifest)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in (MANIFEST, *manifest.files):
            packed.write(Path(folder) / name, name)
    return archive


@contextlib.contextmanager
def _as_folder(path: Path) -> Iterator[Path]:
    """The bundle as a folder; a zip is unpacked into a temporary one, its names and sizes checked."""
    if path.is_dir() or not zipfile.is_zipfile(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="tace-bundle-") as place:
        try:
            _unpack(path, Path(place))
        except UNREADABLE as error:
            raise damaged(path, str(error) or type(error).__name__) from None
        yield Path(place)


def _unpack(path: Path, place: Path) -> None:
    """Unpack a zip whose sizes and names are as they should be; BundleError for others."""
    with zipfile.ZipFile(path) as packed:
        if sum(item.file_size for item in packed.infolist()) > LARGEST_BUNDLE_BYTES:
            raise damaged(path, tr("more than 300 MB unpacked"), tr("at most 300 MB"))
        for item in packed.infolist():
            target = (place / item.filename).resolve()
            if not target.is_relative_to(place.resolve()):
                found = tr("an entry named {name}", name=item.filename)
                raise damaged(path, found, tr("names inside the bundle"))
        packed.extractall(place)


def _verify_files(folder: Path, manifest: BundleManifest) -> None:
    """Every listed file is there, whole and unchanged, and no other file is."""
    if sum(size for _, size in manifest.files.values()) > LARGEST_BUNDLE_BYTES:
        raise damaged(folder / MANIFEST, tr("files of more than 300 MB"), tr("at most 300 MB"))
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    foreign = sorted(n for n in present - set(manifest.files) - {MANIFEST} if Path(n).name not in LITTER)
    if foreign:
        raise BundleError(
            tr("the bundle holds a file that its manifest does not list"),
            file=foreign[0],
            expected=several(len(manifest.files), "1 listed file", "{n} listed files"),
            received=listed(foreign[:3]),
            remedy=tr("remove it, or get the bundle again from where it was made"),
        )
    for name, (sha256, size) in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise damaged(path, tr("no such file"))
        if path.stat().st_size != size:
            raise damaged(path, tr("{n} bytes", n=path.stat().st_size), tr("{n} bytes", n=size))
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != sha256:
            raise damaged(path, f"sha256 {found[:12]}...", f"sha256 {sha256[:12]}...")


def _write_manifest(folder: Path, model: "ResponseModel") -> None:
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    files = {
        name: {
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            "bytes": (folder / name).stat().st_size,
        }
        for name in names
    }
    # The same training writes the same bytes, so it gets the same name.
    identity = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:12]
    from .files import software_versions

    write_json(
        folder / MANIFEST,
        {
            "format_version": FORMAT_VERSION,
            "id": f"{model.settings.preset}-{identity}",
            "demonstration": model.demonstration,
            "positive_class": "responder (mRECIST CR or PR)",  # not a text
            "headline": model.headline,
            "versions": software_versions(),
            "files": files,
        },
    )
