"""Downloading HCC-TACE-Seg: which series are needed, fetched whole, checked, and kept.

The segmentations come first: they say which CT series they were drawn on, and only those are
fetched. A series appears in its folder complete, with the SHA-256 of every file beside it, or not
at all; a rerun checks those sums and fetches what is missing. Nothing is sent but the requests.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from TACEResponseLib.messages.errors import Cancelled, DependencyError, InputError, Problem, TACEResponseError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.readers.dicom import is_dicom
from TACEResponseLib.storage import WRITING, make_folder, require_space, whole_file

from .scan import read_references

CHECKSUMS = "checksums.json"
#: How often a series is asked for before it is given up.
ATTEMPTS = 3
#: The index gives sizes in MB rounded; a series may differ from it by this share.
SIZE_TOLERANCE = 0.02
#: Room beside the files themselves for the volumes that are made from them.
LAYOUT_SHARE = 1.0


@dataclass(frozen=True)
class RemoteSeries:
    """One series of the archive as its index lists it."""

    uid: str
    study_uid: str
    patient_id: str
    modality: str
    instances: int
    size_mb: float


class Archive(Protocol):
    """What the download needs of an archive; the tests have one on the local disk."""

    def series(self, collection: str) -> list[RemoteSeries]:
        """Every series of the collection."""

    def download(self, uid: str, folder: Path) -> None:
        """Put all files of a series below `folder`; may raise OSError or stop half way."""


class ImagingDataCommons:
    """The public buckets of the Imaging Data Commons, through the package idc-index."""

    def __init__(self):
        try:
            from idc_index.index import IDCClient
        except ImportError:
            raise DependencyError(
                tr("the download needs the package idc-index"),
                field="fetch",
                remedy=tr(
                    "install it with: pip install idc-index; or download the collection by other means "
                    "and name its folder with --from"
                ),
            ) from None
        self._client = IDCClient()

    def series(self, collection: str) -> list[RemoteSeries]:
        """Every series of the collection in the package's index."""
        index = self._client.index
        return [
            RemoteSeries(
                uid=str(row.SeriesInstanceUID),
                study_uid=str(row.StudyInstanceUID),
                patient_id=str(row.PatientID),
                modality=str(row.Modality),
                instances=int(row.instanceCount),
                size_mb=float(row.series_size_MB),
            )
            for row in index[index.collection_id == collection].itertuples()
        ]

    def download(self, uid: str, folder: Path) -> None:
        """Fetch one series; the package's own messages stay silent."""
        self._client.download_from_selection(
            downloadDir=str(folder), seriesInstanceUID=[uid], quiet=True, show_progress_bar=False
        )


def fetch_collection(
    archive: Archive, collection: str, folder: Path, progress: Progress = silent
) -> list[Problem]:
    """Fetch every segmentation and the CT it was drawn on into `folder`; hands back what failed.

    Raises InputError when the collection is unknown or the disk has too little room, before
    anything is fetched, and whatever `progress` raises.
    """
    listed = archive.series(collection)
    if not listed:
        raise InputError(
            tr("the archive lists no such collection"),
            field="collection",
            received=collection,
            remedy=tr("update the package idc-index"),
        )
    segmentations = [s for s in listed if s.modality == "SEG"]
    studies = {s.study_uid for s in segmentations}
    possible = [s for s in listed if s.modality == "CT" and s.study_uid in studies]
    missing_mb = sum(s.size_mb for s in (*segmentations, *possible) if not _is_there(s, folder))
    require_space(folder, missing_mb * (1 + LAYOUT_SHARE))
    make_folder(folder)
    problems = _fetch(archive, segmentations, folder, tr("fetching segmentations"), progress)
    wanted = {uid for s in segmentations for uid in _drawn_on(_place(s, folder))}
    images = [s for s in possible if s.uid in wanted]
    return problems + _fetch(archive, images, folder, tr("fetching images"), progress)


def _fetch(
    archive: Archive, series: Sequence[RemoteSeries], folder: Path, stage: str, progress: Progress
) -> list[Problem]:
    problems = []
    for done, each in enumerate(series):
        progress(stage, done, len(series))
        if not _is_there(each, folder, verify=True):
            try:
                _fetch_one(archive, each, _place(each, folder))
            except Cancelled:
                raise
            except TACEResponseError as error:
                problems.append(error.about(patient_id=each.patient_id).problem)
    progress(stage, len(series), len(series))
    return problems


def _fetch_one(archive: Archive, series: RemoteSeries, place: Path) -> None:
    """The series in `place`, complete; InputError when it stays incomplete after all attempts."""
    temporary = place.with_name(f"{WRITING}{place.name}")
    reason = ""
    try:
        for _ in range(ATTEMPTS):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            try:
                archive.download(series.uid, temporary)
            except (OSError, RuntimeError) as error:
                reason = f"{type(error).__name__}: {error}"[:200]
                continue
            files = sorted(path for path in temporary.rglob("*") if path.is_file())
            reason = _incomplete(series, files)
            if not reason:
                _keep(files, temporary, place)
                return
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    raise InputError(
        tr("series {uid} could not be fetched", uid=series.uid),
        field="fetch",
        expected=_files_text(series.instances, series.size_mb),
        received=reason,
        remedy=tr("start again; what is complete is kept"),
    )


def _incomplete(series: RemoteSeries, files: Sequence[Path]) -> str:
    """What the files lack, in words; empty when they are the series."""
    size_mb = sum(path.stat().st_size for path in files) / 1e6
    foreign = [path.name for path in files if not is_dicom(path)]
    if len(files) != series.instances:
        return _files_text(len(files), size_mb)
    if foreign:
        return tr("{file}, which is not DICOM", file=foreign[0])
    # The index counts a megabyte as 10^6 or 2^20 bytes, depending on its version.
    if not any(
        abs(size_mb / u - series.size_mb) <= SIZE_TOLERANCE * series.size_mb + 0.01 for u in (1, 1.048576)
    ):
        return _files_text(len(files), size_mb)
    return ""


def _files_text(number: int, size_mb: float) -> str:
    return tr("{n} files, {size:.1f} MB", n=number, size=size_mb)


def _keep(files: Sequence[Path], temporary: Path, place: Path) -> None:
    """Move complete files to their place at once, with their sums beside them."""
    ready = temporary / "ready"
    ready.mkdir()
    sums = {}
    for number, path in enumerate(files):
        name = f"{number:05d}.dcm"
        path.rename(ready / name)
        sums[name] = _sha256(ready / name)
    with whole_file(ready / CHECKSUMS) as stream:
        stream.write(json.dumps(sums, indent=1).encode())
    shutil.rmtree(place, ignore_errors=True)
    ready.rename(place)


def _is_there(series: RemoteSeries, folder: Path, verify: bool = False) -> bool:
    """Whether the series lies complete in the folder; with `verify` every file's sum is checked."""
    place = _place(series, folder)
    try:
        sums = json.loads((place / CHECKSUMS).read_text(encoding="utf-8"))
        fits: Callable[[str], bool] = (
            (lambda name: _sha256(place / name) == sums[name])
            if verify
            else (lambda name: (place / name).is_file())
        )
        return len(sums) == series.instances and all(fits(name) for name in sums)
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def _drawn_on(place: Path) -> set[str]:
    """The CT series that the segmentations in a folder refer to; none where it was not fetched."""
    found = set()
    for path in place.glob("*.dcm"):
        try:
            references = read_references(path)
        except TACEResponseError:
            continue  # said when the patient is laid out
        found |= references.series if references is not None else set()
    return found


def _place(series: RemoteSeries, folder: Path) -> Path:
    return folder / series.patient_id / series.uid


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
