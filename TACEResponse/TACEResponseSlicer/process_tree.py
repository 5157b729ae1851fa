"""A Python process as the system sees it: how it is found and started, and what its end means."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from TACEResponseLib.messages.errors import DependencyError, Problem, TACEResponseError
from TACEResponseLib.resumable.process_tree import own_group

from .texts import tr as _

#: Exit codes of a process that was ended from outside, which is what systems do when memory is gone.
KILLED = (-9, 137)
#: What Slicer's launcher writes of a Python that did not end by itself; its own exit code is then 1.
LAUNCHER_SAW_IT_KILLED = "exit abnormally"  # not a text


class ChildError(TACEResponseError):
    """The process ended without a result; `log` holds its last lines."""

    kind = "child"
    log = ""

    @classmethod
    def of(cls, message: str, log: str, kind: str = "child", remedy: str = "") -> "ChildError":
        """The error that says `message`, a sentence or a clause."""
        error = cls.from_problem(Problem(kind=kind, message=message.rstrip("."), remedy=remedy))
        error.log = log
        return error

    @classmethod
    def of_end(cls, code: int, log: str) -> "ChildError":
        """The error for a process that ended with this exit code before it had a result."""
        if code in KILLED or LAUNCHER_SAW_IT_KILLED in log or "MemoryError" in log:
            return cls.of(
                _("the computation was ended by the system, most likely because memory ran out"),
                log,
                remedy=_("close other programs, or work on smaller images"),
            )
        return cls.of(
            _("the computation ended unexpectedly (exit code {code})").format(code=code),
            log,
            remedy=_("read the log"),
        )


def python_executable() -> str:
    """Slicer's own Python; DependencyError where there is none."""
    # Inside the application `sys.executable` is empty, and PythonSlicer is on the PATH.
    found = shutil.which("PythonSlicer") or sys.executable
    if not found:
        raise DependencyError(
            _("Slicer's Python was not found"),
            expected=_("PythonSlicer on the PATH"),
            remedy=_("start Slicer through its launcher"),
        )
    return found


def start(command: list[str], temporary_folder: str) -> subprocess.Popen:
    """Start `command`, which finds the library and keeps its temporary files in the given folder.

    `resumable.process_tree.end_tree` ends it with everything that it starts. DependencyError when it
    cannot start.
    """
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(temporary_folder),
            encoding="utf-8",
            errors="replace",
            **own_group(),
        )
    except OSError as error:
        raise DependencyError(_("the computation could not be started"), received=str(error)) from error


def event_of(line: str) -> dict | None:
    """The JSON object of a line, None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _environment(temporary_folder: str) -> dict[str, str]:
    """This process's environment with the library found, UTF-8 spoken, and a temporary folder."""
    library = str(Path(__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([library, inherited] if inherited else [library]),
        "PYTHONUTF8": "1",
        "PYTHONIOENCODING": "utf-8",  # where it is set to something else it would win
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # the extension's folder may be read-only
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), temporary_folder),
    }
