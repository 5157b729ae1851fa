"""The command line as a child process: its progress, its log, its end, and how it is stopped.

Training takes long and imports a deep-learning framework, which must never be loaded into the
application; so it runs in Slicer's own Python as a process of its own. A thread reads each of its
streams into a queue and a timer empties the queue on the main thread. Cancelling asks first and
then ends the whole tree of processes. The child's temporary files live in a folder that is removed
with it.
"""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _
from TACEResponseLib.errors import Cancelled, DependencyError, Problem, TACEResponseError

TICK_MS = 50
#: Time a cancelled child has to stop on its own before it is ended.
GRACE_S = 1.0
LOG_LINES = 400
#: Exit code of the command line when some patients failed and the rest was done.
SOME_FAILED = 1
#: Exit codes of a process that was ended from outside, which is what systems do when memory is gone.
KILLED = (-9, 137)


class ChildError(TACEResponseError):
    """The child ended without a result; `log` holds its last lines."""

    kind = "child"
    log = ""

    @classmethod
    def of(cls, message: str, log: str, kind: str = "child", remedy: str = "") -> "ChildError":
        """The error that says `message`, a sentence or a clause."""
        error = cls.from_problem(Problem(kind=kind, message=message.rstrip("."), remedy=remedy))
        error.log = log
        return error


def python_executable() -> str:
    """Slicer's own Python; DependencyError where there is none."""
    # Inside the application `sys.executable` is empty, and PythonSlicer is on the PATH.
    found = shutil.which("PythonSlicer") or sys.executable
    if not found:
        raise DependencyError(
            "Slicer's Python was not found",
            expected="PythonSlicer on the PATH",
            remedy="start Slicer through its launcher",
        )
    return found


class ChildProcess:
    """Runs `python -m TACEResponseLib ARGUMENTS --json` and reports on the main thread.

    on_event(event): every JSON event but the last, a dictionary. on_log(line): every other line.
    on_finished(done, error): the last event, a dictionary, or an error - ChildError with its log,
    or Cancelled - exactly one of them not None.
    """

    def __init__(self, arguments, on_event, on_log, on_finished, command=None):
        self._on_event, self._on_log, self._on_finished = on_event, on_log, on_finished
        self._lines = queue.Queue()
        self._log = deque(maxlen=LOG_LINES)
        self._last = None
        self._cancelled_at = None
        self._finished = False
        self._folder = tempfile.TemporaryDirectory(prefix="tace-", ignore_cleanup_errors=True)
        command = command or [python_executable(), "-m", "TACEResponseLib"]
        try:
            self._process = subprocess.Popen(
                [*command, *map(str, arguments), "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(self._folder.name),
                encoding="utf-8",
                errors="replace",
                **_own_group(),
            )
        except OSError as error:
            self._folder.cleanup()
            raise DependencyError("the computation could not be started", received=str(error)) from error
        streams = (self._process.stdout, self._process.stderr)
        self._readers = [threading.Thread(target=self._read, args=(s,), daemon=True) for s in streams]
        for reader in self._readers:
            reader.start()
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.connect("timeout()", self._tick)
        self._timer.start()

    @property
    def running(self) -> bool:
        """Whether `on_finished` is still to come."""
        return not self._finished

    @property
    def log(self) -> str:
        """The last lines that were not events."""
        return "\n".join(self._log)

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def cancel(self) -> None:
        """Ask the child to stop; when it has not after a second, end it and all it started."""
        if self.running and self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
            _ask_to_stop(self._process)

    def abandon(self) -> None:
        """End the child at once and report nothing: the panel goes away."""
        if self.running:
            self._timer.stop()
            self._finished = True
            self._end()

    def waitForCompletion(self, timeout_s: float = 3600) -> bool:
        """Keep the application alive until the child has been reported; False when time ran out."""
        end = time.monotonic() + timeout_s
        while self.running and time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.01)
            self._tick()
        return not self.running

    def _read(self, stream) -> None:
        for line in stream:
            self._lines.put(line.rstrip("\r\n"))

    def _tick(self) -> None:
        if self._finished:
            return
        time.sleep(0.002)  # an idle Qt loop may hold Python's lock: let the readers read
        self._drain()
        if self._cancelled_at is not None and time.monotonic() - self._cancelled_at > GRACE_S:
            _end_tree(self._process)
        if self._process.poll() is None:
            return
        for reader in self._readers:
            reader.join(1)
        self._drain()
        self._timer.stop()
        self._finished = True
        self._end()
        error = self._error()
        self._on_finished(None if error else self._last, error)

    def _drain(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                line = self._lines.get_nowait()
                event = _event(line)
                if event is None:
                    self._log.append(line)
                    self._on_log(line)
                elif event.get("event") in ("done", "error"):
                    self._last = event
                else:
                    self._on_event(event)

    def _end(self) -> None:
        """Nothing is left: no process of the tree, no stream, no temporary file."""
        _end_tree(self._process)
        self._process.wait(5)
        for reader in self._readers:
            reader.join(1)
        self._process.stdout.close()
        self._process.stderr.close()
        self._folder.cleanup()

    def _error(self) -> TACEResponseError | None:
        code, last = self._process.returncode, self._last or {}
        if self._cancelled_at is not None or last.get("kind") == "cancelled":
            return Cancelled()
        if last.get("event") == "error":
            return ChildError.of(last.get("message", ""), self.log, last.get("kind", "child"))
        if last.get("event") == "done" and code in (0, SOME_FAILED):
            return None
        if (
            code in (-signal.SIGKILL if hasattr(signal, "SIGKILL") else None, 137)
            or "MemoryError" in self.log
        ):
            return ChildError.of(
                _("the computation was ended by the system, most likely because memory ran out"),
                self.log,
                remedy=_("close other programs, or train on smaller images"),
            )
        return ChildError.of(
            _("the computation ended unexpectedly (exit code {code})").format(code=code),
            self.log,
            remedy=_("read the log below"),
        )


def _event(line: str) -> dict | None:
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


def _own_group() -> dict:
    """How to start a child whose whole tree can be ended, and without a console window."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _ask_to_stop(process) -> None:
    """Ctrl-C, where a process without a console can be sent one; elsewhere end it."""
    if os.name == "nt":
        _end_tree(process)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGINT)


def _end_tree(process) -> None:
    """End the child and everything that it started and that is still there."""
    if os.name == "nt":
        subprocess.run(
            ["taskkill", "/F", "/T", "/PID", str(process.pid)],
            capture_output=True,
            check=False,
            creationflags=subprocess.CREATE_NO_WINDOW,
        )
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
