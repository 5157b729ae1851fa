"""A fault of ours written down for its report: where in the code it happened, and nothing of a patient."""

import os
import platform
import tempfile
import traceback
from pathlib import Path

from TACEResponseLib import __version__

NAME = "tace-response-fault.txt"


def write_fault(error: BaseException, command: str) -> Path | None:
    """Write what happened where into a new folder that only this user can read; None where nothing can be.

    Messages of errors are left out, since they hold paths, IDs and values of patients: the report has
    the kinds of the errors and the lines of the code.
    """
    lines = [f"TACEResponse {__version__}, Python {platform.python_version()}, {platform.platform()}"]
    lines.append(f"command {command}")
    seen, current = set(), error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        lines.append(f"\n{type(current).__module__}.{type(current).__qualname__}")
        for frame in traceback.extract_tb(current.__traceback__):
            lines.append(f"  {_place(frame.filename)}, line {frame.lineno}, in {frame.name}")  # not a text
            lines.append(f"    {frame.line}")
        current = current.__cause__ or current.__context__
    try:
        path = Path(tempfile.mkdtemp(prefix="tace-response-fault-")) / NAME
        private = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(private, "w", encoding="utf-8") as stream:
            stream.write("\n".join(lines) + "\n")
    except OSError:
        return None
    return path


def _place(file: str) -> str:
    """The last folders of a source file: the first ones may hold a person's name."""
    return "/".join(Path(file).parts[-3:])
