"""The command line as a child process: its progress, its log, its end, and how it is stopped.

Training takes long and imports a deep-learning framework, which must never be loaded into the
application; so it runs in Slicer's own Python as a process of its own. A thread reads each of its
streams into a queue and a timer empties the queue on the main thread. Cancelling asks first and
then ends the whole tree of processes. The child's temporary files live in a folder that is removed
with it.
"""

import contextlib
import queue
import subprocess
import tempfile
import threading
import time
from collections import deque

import qt
import slicer
from TACEResponseLib.errors import Cancelled, DependencyError, TACEResponseError

from . import processes
from .processes import ChildError

TICK_MS = 50
#: Time a cancelled child has to stop on its own before it is ended.
GRACE_S = 1.0
LOG_LINES = 400
#: Exit code of the command line when some patients failed and the rest was done.
SOME_FAILED = 1


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
        try:
            command = command or [processes.python_executable(), "-m", "TACEResponseLib"]
            arguments = [*command, *map(str, arguments), "--json"]
            self._process = processes.start(arguments, self._folder.name, stdin=subprocess.DEVNULL)
        except DependencyError:
            self._folder.cleanup()
            raise
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
            processes.ask_to_stop(self._process)

    def abandon(self) -> None:
        """End the child at once and report nothing: the panel goes away."""
        if self.running:
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
            processes.end_tree(self._process)
        if self._process.poll() is None or self._is_stopping():
            return
        for reader in self._readers:
            reader.join(1)
        self._drain()
        self._finished = True
        self._end()
        error = self._error()
        self._on_finished(None if error else self._last, error)

    def _is_stopping(self) -> bool:
        """Whether a cancelled child still has its second: Slicer's launcher ends before what it started."""
        if self._cancelled_at is None or time.monotonic() - self._cancelled_at > GRACE_S:
            return False
        return any(reader.is_alive() for reader in self._readers)

    def _drain(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                line = self._lines.get_nowait()
                event = processes.event_of(line)
                if event is None:
                    self._log.append(line)
                    self._on_log(line)
                elif event.get("event") in ("done", "error"):
                    self._last = event
                else:
                    self._on_event(event)

    def _end(self) -> None:
        """Nothing is left: no timer, no process of the tree, no stream, no temporary file."""
        self._timer.stop()
        self._timer.deleteLater()
        processes.end_tree(self._process)
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
        return ChildError.of_end(code, self.log)
