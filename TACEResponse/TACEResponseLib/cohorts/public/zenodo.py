"""Files of a Zenodo record: listed, fetched in pieces that are kept, and checked by their sums.

A file that was stopped half way lies beside its place as `NAME.part` and goes on from there; it gets its
own name only when size and MD5 are those of the record. Nothing is sent but the requests.
"""

import hashlib
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.storage import make_folder

#: Where records are; the tests have a server of their own.
RECORDS = "https://zenodo.org/api/records"
#: How often a file is asked for before it is given up; each try goes on where the last one stopped.
ATTEMPTS = 5
SECONDS_WITHOUT_A_BYTE = 60
PIECE_BYTES = 2**20
PARTIAL = ".part"


@dataclass(frozen=True)
class RemoteFile:
    """One file of a record: its name, size and MD5, and where it is."""

    name: str
    bytes: int
    md5: str
    url: str


def list_record(record: str) -> list[RemoteFile]:
    """The files of a record; InputError when it cannot be read."""
    try:
        with urllib.request.urlopen(f"{RECORDS}/{record}", timeout=SECONDS_WITHOUT_A_BYTE) as answer:
            files = json.loads(answer.read())["files"]
        return [
            RemoteFile(
                str(f["key"]),
                int(f["size"]),
                str(f["checksum"]).removeprefix("md5:"),
                str(f["links"]["self"]),
            )
            for f in files
        ]
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        raise InputError(
            tr("the Zenodo record {record} cannot be read", record=record),
            field="fetch",
            expected=tr("a list of files with sizes and checksums"),
            received=f"{type(error).__name__}: {error}"[:200],
            remedy=tr("check the network, or download the files otherwise and name their folder with --from"),
        ) from None


def fetch_file(remote: RemoteFile, folder: Path, progress: Progress = silent) -> Path:
    """The file in `folder`, whole; what an earlier try has fetched is kept and goes on.

    Raises InputError when it stays incomplete or its checksum is another one, and whatever `progress`
    raises.
    """
    place = folder / remote.name
    if place.is_file() and place.stat().st_size == remote.bytes and md5_of(place) == remote.md5:
        return place
    make_folder(folder)
    partial, reason = folder / f"{remote.name}{PARTIAL}", ""
    for _ in range(ATTEMPTS):
        try:
            _go_on(remote, partial, progress)
        except (OSError, HTTPException) as error:
            reason = f"{type(error).__name__}: {error}"[:200]
            continue
        reason = _fault(remote, partial)
        if not reason:
            partial.replace(place)
            return place
        if partial.stat().st_size >= remote.bytes:  # whole and wrong: nothing of it can be trusted
            partial.unlink()
    raise InputError(
        tr("{name} could not be fetched", name=remote.name),
        field="fetch",
        expected=tr("{n} bytes with MD5 {md5}", n=remote.bytes, md5=remote.md5),
        received=reason,
        remedy=tr("start again; what has been fetched is kept"),
    )


def _go_on(remote: RemoteFile, partial: Path, progress: Progress) -> None:
    """Fetch what `partial` lacks and append it; from the beginning where the server cannot go on."""
    there = partial.stat().st_size if partial.exists() else 0
    if there >= remote.bytes:
        return
    request = urllib.request.Request(remote.url, headers={"Range": f"bytes={there}-"} if there else {})
    with urllib.request.urlopen(request, timeout=SECONDS_WITHOUT_A_BYTE) as answer:
        goes_on = there > 0 and answer.status == 206
        there = there if goes_on else 0
        with partial.open("ab" if goes_on else "wb") as stream:
            while piece := answer.read(PIECE_BYTES):
                stream.write(piece)
                there += len(piece)
                progress(
                    tr("fetching {file}, MB", file=remote.name), there // 10**6, max(1, remote.bytes // 10**6)
                )


def _fault(remote: RemoteFile, partial: Path) -> str:
    """What a fetched file lacks, in words; empty when it is the record's."""
    found = partial.stat().st_size
    if found != remote.bytes:
        return tr("{n} bytes", n=found)
    found_md5 = md5_of(partial)
    return "" if found_md5 == remote.md5 else f"MD5 {found_md5}"


def md5_of(path: Path) -> str:
    """The MD5 of a file: what Zenodo states; against damage, not against forgery."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
