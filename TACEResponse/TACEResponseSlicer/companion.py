"""A process beside the panel that answers its questions, one after the other, and can be ended at once.

In the application itself a computation would share Python's lock with the event loop, which gives it
back only now and then, and could not be stopped inside a step. The companion does not: it imports
while the voxels are still being put together, keeps the model for the next question, and is ended
with everything it started when a question is cancelled.
"""

import contextlib
import queue
import subprocess
import tempfile
import threading
from collections import deque
from pathlib import Path

from TACEResponseLib.errors import Problem, TACEResponseError
from TACEResponseLib.progress import Progress, silent

from . import processes
from .processes import ChildError
from .questions import read, write

#: How long an answer is waited for before `progress` is asked again whether to go on.
POLL_S = 0.05
LOG_LINES = 200


class Companion:
    """Starts when it is first needed. `ask` blocks and belongs on a worker thread."""

    def __init__(self, command=None):
        self._command = command
        self._asking = threading.Lock()
        self._process = self._folder = None
        self._events, self._log = queue.Queue(), deque(maxlen=LOG_LINES)

    @property
    def alive(self) -> bool:
        """Whether a process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Have a process; DependencyError when none can be started."""
        with self._asking:
            self._start()

    def ask(self, question: str, progress: Progress = silent, **content):
        """The answer to a question of `questions.Questions`; content is what it is asked about.

        progress: called with every step, and many times a second while there is none; when it
        raises, the process is ended and the exception goes on. Raises the error of the question, or
        ChildError when the process ended without an answer.
        """
        with self._asking:
            try:
                self._start()
                file = Path(self._folder.name) / "question"
                write(file, (question, content))
                self._process.stdin.write(f"{file}\n")
                self._process.stdin.flush()
                event = self._last_event(progress)
            except OSError as error:  # a pipe that broke with its process, or a disk that is full
                code = self._end(patience_s=1)
                raise self._ended(code, str(error)) from error
            except BaseException:
                self._end()
                raise
            if event["event"] == "error":
                raise TACEResponseError.from_problem(Problem(**event["problem"]))
            return read(Path(event["file"]))

    def close(self) -> None:
        """End the process and remove its files."""
        if self._asking.acquire(timeout=2):
            self._asking.release()
        self._end()

    @property
    def log(self) -> str:
        """The last lines that were not events."""
        return "\n".join(self._log)

    def _start(self) -> None:
        if self.alive:
            return
        self._end()  # what is left of one that ended by itself
        self._events, self._log = queue.Queue(), deque(maxlen=LOG_LINES)
        command = self._command or [processes.python_executable(), "-m", "TACEResponseSlicer.questions"]
        folder = tempfile.TemporaryDirectory(prefix="tace-", ignore_cleanup_errors=True)
        try:
            self._process = processes.start(command, folder.name, stdin=subprocess.PIPE)
        except BaseException:
            folder.cleanup()
            raise
        self._folder = folder
        streams = (self._process.stdout, self._process.stderr)
        self._readers = [
            threading.Thread(target=self._read, args=(s, self._events, self._log), daemon=True)
            for s in streams
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream, events, log) -> None:
        with contextlib.suppress(ValueError):  # closed meanwhile
            for line in stream:
                event = processes.event_of(line)
                if event is None:
                    log.append(line.rstrip("\r\n"))
                else:
                    events.put(event)

    def _last_event(self, progress: Progress) -> dict:
        """Hand progress on until the answer or an error is there."""
        latest = None
        while True:
            try:
                event = self._events.get(timeout=POLL_S)
            except queue.Empty:
                if self._process.poll() is not None and self._events.empty():
                    for reader in self._readers:
                        reader.join(1)
                    raise self._ended(self._process.returncode) from None
                if latest is not None:
                    progress(*latest)
                else:
                    progress("starting", 0, 0)
                continue
            if event.get("event") in ("done", "error"):
                return event
            latest = (event["stage"], event["done"], event["total"])
            progress(*latest)

    def _ended(self, code: int | None, reason: str = "") -> ChildError:
        """The error for a process that ended with `code`; for None it was there, and `reason` says more."""
        return ChildError.of_end(code, self.log) if code is not None else ChildError.of(reason, self.log)

    def _end(self, patience_s: float = 0) -> int | None:
        """Nothing is left: no process of the tree, no stream, no file. Its exit code, if it had one."""
        if self._process is None:
            return None
        process, self._process = self._process, None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
        code = process.returncode
        processes.end_tree(process)
        process.wait(5)
        for reader in self._readers:
            reader.join(1)
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):  # what was still to be written has nowhere to go
                stream.close()
        self._folder.cleanup()
        return code
