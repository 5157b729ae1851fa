"""Downloading WAW-TACE: one archive of scans at a time, laid out and removed before the next one.

So the disk holds one archive (12 GB) instead of four. An archive that was laid out leaves a small note with
its checksum and what there was to say; a rerun passes it over. What is half fetched goes on.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from TACEResponseLib.messages.errors import InputError, Problem
from TACEResponseLib.messages.language import listed, tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.readers.tables import Row
from TACEResponseLib.storage import require_space

from . import waw_tace
from .layout import write_text
from .waw_layout import LAYOUT_VERSION, find, lay_out_found
from .zenodo import RemoteFile, fetch_file, list_record

DOWNLOAD, DONE = "download", ".done"
#: Room for an archive and for the volumes that are made from it, in sizes of the archive.
ROOM = 2.0


def fetch_scans(
    out: Path,
    masks: Path,
    archives: dict[int, RemoteFile],
    rows: dict[str, Row],
    phase: str,
    progress: Progress = silent,
) -> list[Problem]:
    """Fetch each archive of scans and lay its patients out in `out`; hands back what there is to say.

    Raises InputError when an archive stays incomplete or the disk has too little room, and whatever
    `progress` raises; what is laid out until then stays.
    """
    problems = []
    for archive in archives.values():
        note = out / DOWNLOAD / f"{archive.name}{DONE}"
        said = _said_before(note, archive, phase)
        if said is None:
            require_space(out, ROOM * archive.bytes / 10**6)
            place = fetch_file(archive, out / DOWNLOAD, progress)
            said = lay_out_found(find(archives=[masks, place]), rows, out, phase, progress)
            content = {**_recipe(archive, phase), "problems": [asdict(problem) for problem in said]}
            write_text(note, json.dumps(content, indent=1))
            place.unlink()
        problems += said
    return problems


def _recipe(archive: RemoteFile, phase: str) -> dict:
    return {"md5": archive.md5, "layout": LAYOUT_VERSION, "asked": phase}


def _said_before(note: Path, archive: RemoteFile, phase: str) -> list[Problem] | None:
    """What an earlier run said of this very archive; None where it was not laid out."""
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        said = [Problem(**problem) for problem in content.pop("problems")]
        return said if content == _recipe(archive, phase) else None
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None


def fetch_tables(out: Path, clinical: Path | None, progress: Progress = silent):
    """The clinical table, the zip of masks, and number -> each archive of scans, still to be fetched.

    clinical: a table that lies here already. Raises InputError when the record holds something else.
    """
    files, folder = list_record(waw_tace.RECORD), out / DOWNLOAD
    fetch: Callable[[object], Path] = lambda pattern: fetch_file(_only(files, pattern), folder, progress)
    masks = fetch(waw_tace.MASKS)
    archives = {int(match[1]): file for file in files if (match := waw_tace.SCANS.search(file.name))}
    if not archives:
        raise _another_record(files, waw_tace.SCANS.pattern)
    return clinical or fetch(waw_tace.CLINICAL), masks, dict(sorted(archives.items()))


def _only(files: list[RemoteFile], pattern) -> RemoteFile:
    fitting = sorted((f for f in files if pattern.search(f.name)), key=lambda f: f.name)
    if not fitting:
        raise _another_record(files, pattern.pattern)
    return fitting[-1]  # the newest where there are several versions


def _another_record(files: list[RemoteFile], pattern: str) -> InputError:
    return InputError(
        tr("the Zenodo record {record} holds other files than were known", record=waw_tace.RECORD),
        field="fetch",
        expected=tr("a file that is called like {pattern}", pattern=pattern),
        received=listed(f.name for f in files)[:500],
        remedy=tr("download the files with a browser and name their folder with --from"),
    )
