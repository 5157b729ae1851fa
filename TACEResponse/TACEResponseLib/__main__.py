"""The command line: `tace-response COMMAND ...`, the same as `python -m TACEResponseLib`.

Exit codes: 0 done, 1 some patients failed, 2 bad input, 130 cancelled. With `--json` every line on
standard output is one JSON event, the last one `done` or `error`.
"""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from TACEResponseLib.commands.fault_report import write_fault
from TACEResponseLib.commands.options import command_line
from TACEResponseLib.commands.output import about_option
from TACEResponseLib.commands.parser import asked_language
from TACEResponseLib.resumable.interruption import interruptible, was_interrupted

from .messages.errors import Cancelled, TableError, TACEResponseError
from .messages.language import LANGUAGES, language, mark, speak, tr
from .messages.progress import JsonProgress, TerminalProgress

DONE, SOME_FAILED, BAD_INPUT, CANCELLED = 0, 1, 2, 130
#: What is left of a command that was cancelled, where something is.
_CANCELLED = {
    **dict.fromkeys(
        ("extract", "train", "fetch", "verify-public"),
        mark("Cancelled; what was measured is kept and a rerun goes on there."),
    ),
    "predict": mark("Cancelled; patients that were answered keep their pages, and a rerun begins anew."),
    "propose": mark("Cancelled; masks that were written are kept and a rerun goes on there."),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors become one sentence and an exit code, never a traceback."""
    with interruptible():
        given = list(sys.argv[1:] if arguments is None else arguments)
        asked, _ = asked_language(given)
        if asked in LANGUAGES:  # the parser refuses any other
            speak(asked)
        for stream in (sys.stdout, sys.stderr):
            _take_every_letter(stream)
        options = command_line().parse_args(given)
        progress = JsonProgress() if options.json else TerminalProgress()
        try:
            return _run(options, progress)
        finally:
            if isinstance(progress, TerminalProgress):
                progress.close()


def program() -> None:
    """The program `tace-response`: `main` in a process of its own, which it ends."""
    try:
        code = main()
    except KeyboardInterrupt:  # before the command began
        code = CANCELLED
    # What is asked of a program that is done has no answer any more, and a traceback is none.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def _take_every_letter(stream) -> None:
    """Show an escape for a letter that a stream lacks, and write UTF-8 where it lacks those of the language.

    Not on a terminal, which would show UTF-8 as other letters. Windows' own console takes every letter; a
    pipe or a file has the code page of the system there.
    """
    if not hasattr(stream, "reconfigure"):  # Slicer's, or none
        return
    stream.reconfigure(errors="backslashreplace")
    try:
        LANGUAGES[language()].encode(stream.encoding)
    except UnicodeEncodeError:
        if not stream.isatty():
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _run(options: argparse.Namespace, progress: JsonProgress | TerminalProgress) -> int:
    """The exit code of one command, after its last word."""
    try:
        from . import commands

        code = getattr(commands, options.command.replace("-", "_"))(options, progress)
        if sys.stdout is not None:
            sys.stdout.flush()  # a full disk is met here, and not when nobody can say so any more
        return code
    except (KeyboardInterrupt, Cancelled):
        return _cancelled(options, progress)
    except TableError as error:
        every = {"problems": [asdict(problem) for problem in error.problems]}
        _fail(progress, error.kind, str(error), **(every if len(error.problems) > 1 else {}))
    except TACEResponseError as error:
        _fail(progress, error.problem.kind, str(about_option(error, options)))
    except (MemoryError, OSError) as error:
        reason = str(error) or tr("the memory of this computer is used up")
        _fail(progress, "system", tr("The computer refused: {reason}.", reason=reason))
    except Exception as error:  # a fault of ours: a sentence for the user, the traceback for us
        if was_interrupted():  # and a library that was just being loaded made another error of it
            return _cancelled(options, progress)
        report = write_fault(error, options.command)
        _fail(progress, "fault", _fault_text(type(error).__name__, report))
    return BAD_INPUT


def _fault_text(kind: str, report: Path | None) -> str:
    if report is None:
        return tr("A fault of TACEResponse ({kind}). There is no room for a report of it.", kind=kind)
    return tr("A fault of TACEResponse ({kind}). Please report {file}.", kind=kind, file=report)


def _cancelled(options: argparse.Namespace, progress: JsonProgress | TerminalProgress) -> int:
    _fail(progress, "cancelled", tr(_CANCELLED.get(options.command, mark("Cancelled."))))
    return CANCELLED


def _fail(progress: JsonProgress | TerminalProgress, kind: str, message: str, **content) -> None:
    """Say what stopped the command; on the error stream where the output takes nothing."""
    try:
        if isinstance(progress, JsonProgress):
            progress.event("error", kind=kind, message=message, **content)
            return
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        message += "\n" + tr("The output cannot be written: {reason}.", reason=reason)
        _abandon_output()
    with contextlib.suppress(OSError, ValueError):
        if isinstance(progress, TerminalProgress):
            progress.close()
        print(message, file=sys.stderr)


def _abandon_output() -> None:
    """Let what is still to be written go nowhere, or Python would fail over it at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


if __name__ == "__main__":
    program()
