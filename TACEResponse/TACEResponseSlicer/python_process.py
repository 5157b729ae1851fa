"""A Python process beside the application: it is asked, or listened to, and nothing of it is left.

Two programs run in one: the service that answers about a patient (`TACEResponseLib.service`) and the
command line that trains. In the application itself they would share Python's lock with the event loop,
could not be stopped inside a step, and training would load a deep-learning framework that crashes it.
Everything here blocks and belongs on a worker thread (`background`).
"""

import contextlib
import logging
import queue
import subprocess
import tempfile
import threading
import time
from collections import deque
from pathlib import Path

from TACEResponseLib.messages.errors import Cancelled, Problem, TACEResponseError
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.resumable.process_tree import ask_to_stop, end_tree

from .process_tree import ChildError, event_of, python_executable, start
from .texts import tr as _

#: How long the process is listened to before whoever waits is asked whether to go on.
POLL_S = 0.05
#: Time that a process has to stop on its own, and that its pipes have after it ended.
GRACE_S = 1.0
LOG_LINES = 400
#: Exit code of the command line when some patients failed and the rest was done.
SOME_FAILED = 1


class PythonProcess:
    """One process, started when it is first needed; nothing of it is left after `end`.

    arguments: what Python is called with. command: in the place of Slicer's own Python and these.
    pid: of the process that was started last.
    Its standard output is read as JSON events, one a line; every other line, and its standard error,
    is its log. Its temporary files lie in a folder that goes with it.
    """

    def __init__(self, *arguments: str, command=None):
        self._arguments, self._command = arguments, command
        self._turn = threading.Lock()
        self._process = self._folder = None
        self._held = ""
        self._stage = ""
        self.pid = None
        self._said, self._log = queue.Queue(), deque(maxlen=LOG_LINES)

    @property
    def alive(self) -> bool:
        """Whether a process is there."""
        process = self._process
        return process is not None and process.poll() is None

    @property
    def log(self) -> str:
        """The last lines that were not events."""
        return "\n".join(self._log)

    def ask(self, question: str, progress: Progress = silent, *, case=None, **content):
        """The answer to a question of `service.PredictionService`, which this process runs.

        case: sent only when the process does not hold it already. content: what else is asked about.
        progress: called with every step, and many times a second while there is none; when it raises,
        the process is ended and the exception goes on. Raises the error of the question, or ChildError
        when the process ended without an answer.
        """
        self._wait_for_turn(progress)
        try:
            self._start()
            if case is not None:
                content["case"] = self._hand_over(case, progress)
            return self._exchange(question, content, progress)
        finally:
            self._turn.release()

    def run(self, on_event, on_log, on_quiet=lambda: None) -> dict:
        """Let the program run to its end; its last event, which is `done`.

        on_event(event), on_log(line): what it writes. on_quiet(): many times a second while it writes
        nothing. When one of them raises, the program is asked to stop, ended a second later with all it
        started, and the exception goes on. Raises Cancelled when the program says so, ChildError with
        its log for any other end.
        """
        last = {}
        self._start()
        self._process.stdin.close()  # nobody will answer it
        try:
            while not self._has_ended():
                said = self._next()
                if said is None:
                    on_quiet()
                elif isinstance(said, str):
                    on_log(said)
                elif said.get("event") in ("done", "error"):
                    last = said
                else:
                    on_event(said)
        except BaseException:
            self.stop()
            raise
        code = self.end()
        if last.get("kind") == "cancelled":
            raise Cancelled()
        if last.get("event") == "error":
            raise ChildError.of(last.get("message", ""), self.log, last.get("kind", "child"))
        if not last or code not in (0, SOME_FAILED):
            raise ChildError.of_end(code, self.log)
        return last

    def start(self) -> None:
        """Have a process, or leave that to whoever asks right now; DependencyError when none can start."""
        if self._turn.acquire(blocking=False):
            try:
                self._start()
            finally:
                self._turn.release()

    def stop(self) -> None:
        """Ask the process to stop, and end it when it has not after a second."""
        if self._process is not None:
            ask_to_stop(self._process)
        end = time.monotonic() + GRACE_S
        while time.monotonic() < end and not self._has_ended():
            time.sleep(0.02)
        self.end()

    def close(self) -> None:
        """End the process after what it is being asked, if that ends soon."""
        if self._turn.acquire(timeout=2):
            self._turn.release()
        self.end()

    def end(self, patience_s: float = 0) -> int | None:
        """Nothing is left: no process of the tree, no stream, no file. Its exit code, if it had one."""
        process, self._process, self._held = self._process, None, ""
        if process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
        code = process.returncode
        end_tree(process)
        process.wait(5)
        for reader in self._readers:
            reader.join(1)
        for stream in filter(None, (process.stdin, process.stdout, process.stderr)):
            with contextlib.suppress(OSError):  # what was still to be written has nowhere to go
                stream.close()
        self._folder.cleanup()
        return code

    # Starting and reading

    def _start(self) -> None:
        if self.alive:
            return
        self.end()  # what is left of one that ended by itself
        self._said, self._log = queue.Queue(), deque(maxlen=LOG_LINES)
        self._ended_at = None
        command = self._command or [python_executable(), *self._arguments]
        folder = tempfile.TemporaryDirectory(prefix="tace-", ignore_cleanup_errors=True)
        try:
            self._process = start(command, folder.name)
        except BaseException:
            folder.cleanup()
            raise
        self._folder, self.pid = folder, self._process.pid
        self._readers = [
            threading.Thread(target=_read, args=(stream, self._said, self._log), daemon=True)
            for stream in (self._process.stdout, self._process.stderr)
        ]
        for reader in self._readers:
            reader.start()

    def _next(self) -> dict | str | None:
        """The next event or line of the log; None when there was none for a moment."""
        try:
            return self._said.get(timeout=POLL_S)
        except queue.Empty:
            return None

    def _has_ended(self) -> bool:
        """Whether the process has ended and everything that it wrote has been taken.

        Slicer's launcher ends before the Python that it started, which then still holds the pipes.
        """
        if not self._said.empty() or self.alive:
            return False
        self._ended_at = self._ended_at or time.monotonic()
        late = time.monotonic() - self._ended_at > GRACE_S
        return (late or not any(reader.is_alive() for reader in self._readers)) and self._said.empty()

    # Asking

    def _wait_for_turn(self, progress: Progress) -> None:
        while not self._turn.acquire(timeout=POLL_S):
            progress(self._stage or _("getting ready"), 0, 0)  # what the one before waits for

    def _hand_over(self, case, progress: Progress) -> str:
        """The name by which the process knows the case, which it gets when it does not hold it."""
        from TACEResponseLib.cases.fingerprint import case_fingerprint

        name = case_fingerprint(case)
        if name != self._held:
            self._exchange("hold", {"case": case, "fingerprint": name}, progress)
            self._held = name
        return name

    def _exchange(self, question: str, content: dict, progress: Progress):
        from TACEResponseLib.service import read, write

        try:
            file = Path(self._folder.name) / "question"
            write(file, (question, content))
            self._process.stdin.write(f"{file}\n")
            self._process.stdin.flush()
            event = self._last_event(progress)
        except OSError as error:  # a pipe that broke with its process, or a disk that is full
            code = self.end(patience_s=1)
            if code is None:
                raise ChildError.of(str(error), self.log) from error
            raise ChildError.of_end(code, self.log) from error
        except BaseException:
            self.end()
            raise
        if event["event"] == "error":
            raise TACEResponseError.from_problem(Problem(**event["problem"]))
        return read(Path(event["file"]))

    def _last_event(self, progress: Progress) -> dict:
        """Hand progress on until the answer or an error is there."""
        process, latest, self._stage = self._process, (_("starting"), 0, 0), ""
        while not self._has_ended():
            said = self._next()
            if isinstance(said, dict):
                if said.get("event") in ("done", "error"):
                    return said
                if "stage" in said:
                    latest = (said["stage"], said["done"], said["total"])
                    self._stage = said["stage"]
            progress(*latest)
        raise ChildError.of_end(process.returncode, self.log)


def service_process() -> PythonProcess:
    """The process that answers about patients; see `PythonProcess.ask`."""
    return PythonProcess("-m", "TACEResponseLib.service")


def started(service: PythonProcess | None) -> PythonProcess | None:
    """The service with its process started; None, and a line in the log, where none can start."""
    if service is not None:
        try:
            service.start()
        except TACEResponseError as error:
            logging.warning(f"TACE Response computes inside the application, which reacts late. {error}")
            return None
    return service


def command_line(arguments) -> PythonProcess:
    """The process of `tace-response ARGUMENTS --json`; see `PythonProcess.run`."""
    return PythonProcess("-m", "TACEResponseLib", *map(str, arguments), "--json")


def _read(stream, said: queue.Queue, log: deque) -> None:
    """Put every event and every line of the log of a stream into `said`, until it closes."""
    with contextlib.suppress(ValueError):  # closed meanwhile
        for line in stream:
            event = event_of(line)
            if event is None:
                log.append(line.rstrip("\r\n"))
            said.put(line.rstrip("\r\n") if event is None else event)
