"""A proposal by a program of somebody else, which runs as a child process and is not trusted.

The program is called as TotalSegmentator is: with the CT as a NIfTI file, the name of the label file that
it shall write, and a task. Nothing of it is imported. What it writes is a file from outside like any other.
"""

import contextlib
import gzip
import queue
import re
import shutil
import subprocess
import tempfile
import threading
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.cases.geometry import check_volume, grid_in_words, is_on_grid, to_grid
from TACEResponseLib.messages.errors import DependencyError, GeometryError, InputError, MaskError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.readers.headers import NIFTI_HEADER
from TACEResponseLib.readers.volumes import read_volume
from TACEResponseLib.resumable.process_tree import end_tree, own_group

#: The program that is looked for where none is named, and its task; its class is called lesions, not HCC.
PROGRAM, TASK = "TotalSegmentator", "liver_lesions"
Device = Literal["gpu", "cpu"]
#: How long the program is listened to before whoever waits is asked whether to go on.
POLL_S = 0.05
#: Lines of the program's log that are kept, and how many of them an error repeats.
LOG_LINES, LAST_LINES = 400, 3
#: Longest line of a foreign log that is shown.
LONGEST_LINE = 300
#: Where a NIfTI header says what it is.
NIFTI_MAGIC = slice(344, 348)
#: What tqdm writes: "resampling:  40%|####      | 4/10".
BAR = re.compile(r"^(?P<name>.*?):?\s*(?P<percent>\d{1,3})%\|")
#: How a process ends that the system ended, which is what systems do when memory is gone.
KILLED = (-9, 137)


def propose(
    image: sitk.Image,
    command: Sequence[str] | None = None,
    device: Device = "gpu",
    progress: Progress = silent,
    folder: Path | None = None,
) -> sitk.Image:
    """The lesions that the program finds in a CT: a uint8 mask on its grid, 1 in every lesion.

    image: 3D, HU. command: what is called in front of the options, a program with its own arguments;
    TotalSegmentator on the PATH for None. folder: where the temporary files lie, the system's own for None.
    progress(stage, done, total): called with every bar and line that the program writes, and many times a
    second while it writes nothing; when it raises, the program and everything that it started is ended and
    the exception goes on.

    Raises DependencyError (no such program), InputError (it failed; its last lines are in the error),
    GeometryError (its result lies on another grid), MaskError (it found nothing).
    """
    check_volume(image, "image")
    command = found_command(command)
    with tempfile.TemporaryDirectory(prefix="tace-", dir=folder, ignore_cleanup_errors=True) as place:
        source, result = Path(place, "image.nii.gz"), Path(place, "lesions.nii.gz")
        sitk.WriteImage(image, str(source), True, compressionLevel=1)
        options = ["-i", str(source), "-o", str(result), "--task", TASK, "--ml", "--device", device]
        _run([*command, *options], program_name(command), progress)
        return _label_image(result, image, program_name(command))


def program_name(command: Sequence[str] | None) -> str:
    """The program's name for people and for the record: the last part of the command that is no option."""
    named = [part for part in command or () if not part.startswith("-")]
    return Path(named[-1]).stem if named else PROGRAM


def found_command(command: Sequence[str] | None) -> list[str]:
    """The command with its program found; DependencyError else."""
    first, *rest = command or (PROGRAM,)
    found = shutil.which(first)
    if found is None:
        raise DependencyError(
            tr("the program {name} was not found", name=first),
            expected=tr("a program on the PATH, or the path of one"),
            remedy=tr("install TotalSegmentator, or name the program with --command"),
        )
    return [found, *rest]


def _run(command: Sequence[str], name: str, progress: Progress) -> None:
    """Run the program to its end; InputError with its last lines when it fails."""
    log: deque[str] = deque(maxlen=LOG_LINES)
    stage, done = name, 0
    with _started(command, name) as (process, said):
        while (line := _next(process, said)) is not None:
            bar = BAR.match(line)
            if bar:
                stage = f"{name}: {bar['name']}" if bar["name"] else stage
                done = min(int(bar["percent"]), 100)
            elif line:
                log.append(line)
                stage, done = f"{name}: {line}", 0
            progress(stage, done, 100)
        code = process.wait()
    if code:
        raise _failed(name, code, log)


@contextlib.contextmanager
def _started(command: Sequence[str], name: str) -> Iterator[tuple[subprocess.Popen, queue.Queue]]:
    """The running program and the queue of what it writes; nothing of it is left afterwards."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **own_group(),
        )
    except OSError as error:
        raise DependencyError(
            tr("the program {name} could not be started", name=name), received=str(error)
        ) from None
    said: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process.stdout, said), daemon=True)
    reader.start()
    try:
        yield process, said
    finally:
        end_tree(process)  # also what it left running when it ended by itself
        process.wait()
        reader.join(1)
        if not reader.is_alive():  # else closing would wait for whoever still holds the pipe
            process.stdout.close()


def _read(stream, said: queue.Queue) -> None:
    """Put every line into `said`; a bar that is drawn over itself is a line each time."""
    rest = b""
    with contextlib.suppress(ValueError, OSError):  # closed meanwhile
        while block := stream.read1(4096):
            *lines, rest = re.split(rb"[\r\n]", rest + block)
            for line in lines:
                said.put(_shown(line))
            rest = rest[-LONGEST_LINE:]
    said.put(_shown(rest))


def _shown(line: bytes) -> str:
    """A line from outside without control characters, and not longer than it can be shown."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line.decode("utf-8", "replace"))
    return "".join(c for c in text if c.isprintable()).strip()[:LONGEST_LINE]


def _next(process: subprocess.Popen, said: queue.Queue) -> str | None:
    """The next line, "" when there was none for a moment, None when the program has ended and said all."""
    with contextlib.suppress(queue.Empty):
        return said.get(timeout=POLL_S)
    return None if process.poll() is not None and said.empty() else ""


def _failed(name: str, code: int, log: Sequence[str]) -> InputError:
    if code in KILLED or any("MemoryError" in line for line in log):
        return InputError(
            tr("the program {name} was ended by the system, most likely because memory ran out", name=name),
            kind="program",
            remedy=tr("close other programs, or use a computer with more memory"),
        )
    ended = tr("exit code {code}", code=code)
    last = " / ".join(list(log)[-LAST_LINES:])
    return InputError(
        tr("the program {name} failed", name=name),
        kind="program",
        received=f"{ended}: {last}" if last else ended,
        remedy=tr("see what the program asks for, or click on the tumour instead"),
    )


def _label_image(file: Path, image: sitk.Image, name: str) -> sitk.Image:
    """The checked result; only a NIfTI file is read, whatever else the program wrote."""
    if file.is_symlink() or not file.is_file():
        raise InputError(
            tr("the program {name} wrote no result", name=name),
            kind="program",
            expected=tr("a label image in NIfTI"),
            received=tr("no file"),
            remedy=tr("see whether the program has the task {task}", task=TASK),
        )
    if not _is_nifti(file):
        raise InputError(
            tr("the result of {name} cannot be read", name=name),
            kind="program",
            expected=tr("a label image in NIfTI"),
            received=tr("another file"),
        )
    label = read_volume(file, "mask")
    check_volume(label, "mask")
    if not is_on_grid(label, image):
        raise GeometryError(
            tr("the result of {name} lies on another grid than the CT", name=name),
            field="mask",
            expected=grid_in_words(image),
            received=grid_in_words(label),
            remedy=tr("report this to the authors of the program"),
        )
    label, _ = to_grid(label > 0, image, cropped_is_normal=False)
    if not np.any(sitk.GetArrayViewFromImage(label)):
        raise MaskError(
            tr("the program {name} found no lesion", name=name),
            field="mask",
            expected=tr("at least one lesion in the liver"),
            received=tr("an empty mask"),
            remedy=tr("click on the tumour, or draw it"),
        )
    return label


def _is_nifti(file: Path) -> bool:
    """Whether a packed file begins as one NIfTI file does."""
    try:
        with gzip.open(file) as stream:
            return stream.read(NIFTI_HEADER)[NIFTI_MAGIC] == b"n+1\0"
    except (OSError, EOFError, zlib.error):
        return False
