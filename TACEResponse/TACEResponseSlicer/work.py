"""One computation beside the panel: a worker thread, a timer that listens, and a way to stop.

The thread puts voxels together and waits for the companion; what computes for long runs there, in a
process of its own. Training, which takes hours and imports a deep-learning framework, runs in a
child process of its own kind (`background`).
"""

import threading
import time

import qt
import slicer
from TACEResponseLib.errors import Cancelled

TICK_MS = 15
#: Time in which the main thread leaves Python's lock to the worker at every tick; an event loop
#: that waits inside the application holds it otherwise. Short enough that nobody notices it.
YIELD_S = 0.015
#: Longest wait for a thread when its panel goes away.
LEAVE_S = 2.0
#: Work that was dropped and whose thread has not ended: somebody has to keep its timer.
_ending = set()


class Work:
    """Runs `compute(progress)` on a thread; reports on the main thread, once a tick.

    on_progress(stage, done, total). on_finished(result, error): exactly one of them is not None;
    after `cancel` the error is Cancelled. The computation must not touch nodes or widgets.
    """

    def __init__(self, compute, on_progress, on_finished):
        self._compute = compute
        self._on_progress, self._on_finished = on_progress, on_finished
        self._latest = None
        self._result, self._error = None, None
        self._stop = threading.Event()
        self._finished = False
        self._thread = threading.Thread(target=self._run, name="TACEResponse", daemon=True)
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.connect("timeout()", self._tick)
        self._thread.start()
        self._timer.start()

    @property
    def running(self) -> bool:
        """Whether `on_finished` is still to come."""
        return not self._finished

    def cancel(self) -> None:
        """Report Cancelled now; the thread stops at its next step and what it made is dropped."""
        if self.running:
            self.drop()
            self._on_finished(None, Cancelled())

    def drop(self) -> None:
        """Report nothing any more; the thread stops at its next step."""
        # The timer goes on until the thread has ended: without it the thread might never get the lock.
        self._stop.set()
        self._finished = True
        _ending.add(self)

    def abandon(self) -> None:
        """Report nothing any more and wait for the thread's end: the panel goes away."""
        self.drop()
        self._thread.join(LEAVE_S)
        self._stop_listening()

    def waitForCompletion(self, timeout_s: float = 600) -> bool:
        """Keep the application alive until the work has reported; False when time ran out."""
        end = time.monotonic() + timeout_s
        while self.running and time.monotonic() < end:
            slicer.app.processEvents()
            self._tick()
        return not self.running

    def _run(self) -> None:
        try:
            self._result = self._compute(self._progress)
        except BaseException as error:
            self._error = error

    def _progress(self, stage: str, done: int, total: int) -> None:
        self._latest = (stage, done, total)
        if self._stop.is_set():
            raise Cancelled()

    def _tick(self) -> None:
        self._thread.join(YIELD_S)
        alive = self._thread.is_alive()
        latest, self._latest = self._latest, None
        if latest is not None and not self._finished:
            self._on_progress(*latest)
        if alive:
            return
        waited_for, self._finished = not self._finished, True
        report, outcome = self._on_finished, (self._result, self._error)
        self._stop_listening()
        if waited_for:
            report(*outcome)

    def _stop_listening(self) -> None:
        """Let go of everything: a connected timer keeps this object, and Python cannot see that it does."""
        _ending.discard(self)
        if self._timer is not None:
            self._timer.stop()
            self._timer.deleteLater()
        self._timer = self._compute = self._on_progress = self._on_finished = None
        self._result = self._error = None
