"""One computation beside the window: a worker thread, a timer that listens, and a way to stop.

The thread puts voxels together, or waits for a Python process (`python_process`) in which everything
computes that takes long: it is the only thing that waits, so the window never does.
"""

import contextlib
import queue
import threading
import time

import qt
import slicer
from TACEResponseLib.messages.errors import Cancelled

TICK_MS = 15
#: Time in which the main thread leaves Python's lock to the worker at every tick; an event loop
#: that waits inside the application holds it otherwise. Short enough that nobody notices it.
YIELD_S = 0.015
#: The same for work of hours, which needs the lock only to hand on lines of its process.
PATIENT_TICK_MS, PATIENT_YIELD_S = 50, 0.002
#: Longest wait for a thread when its panel goes away.
LEAVE_S = 2.0
#: Tasks that were dropped and whose thread has not ended: somebody has to keep their timers.
_ending = set()


class BackgroundTask:
    """Runs `compute(report)` on a thread; hands on what it reports on the main thread, once a tick.

    compute: calls `report(*content)` between its steps; report raises Cancelled once the task is to
    stop, and without content that is all it does. It must not touch nodes or widgets. on_report(*content):
    every report, in order. on_finished(result, error): exactly one of them is not None; Cancelled when
    the task was stopped. patient: for work of hours, which leaves the application more of its time.
    """

    def __init__(self, compute, on_report, on_finished, patient=False):
        self._compute, self._on_report, self._on_finished = compute, on_report, on_finished
        self._reports = queue.SimpleQueue()
        self._result, self._error = None, None
        self._stop = threading.Event()
        self._finished = False
        self._yield_s = PATIENT_YIELD_S if patient else YIELD_S
        self._thread = threading.Thread(target=self._run, name="TACEResponse", daemon=True)
        self._timer = qt.QTimer()
        self._timer.setInterval(PATIENT_TICK_MS if patient else TICK_MS)
        self._timer.connect("timeout()", self._tick)
        self._thread.start()
        self._timer.start()

    @property
    def running(self) -> bool:
        """Whether `on_finished` is still to come."""
        return not self._finished

    def stop(self) -> None:
        """Have the computation stop at its next step; it is reported when it has ended."""
        self._stop.set()

    def cancel(self) -> None:
        """Report Cancelled now; the computation stops at its next step and what it made is dropped."""
        if self.running:
            self.drop()
            self._on_finished(None, Cancelled())

    def drop(self) -> None:
        """Report nothing any more; the computation stops at its next step."""
        # The timer goes on until the thread has ended: without it the thread might never get the lock.
        self._stop.set()
        self._finished = True
        if self._timer is not None:
            _ending.add(self)

    def abandon(self) -> None:
        """Report nothing any more and wait for the thread's end: the panel goes away."""
        self.drop()
        self._thread.join(LEAVE_S)
        self._stop_listening()

    def waitForCompletion(self, timeout_s: float = 600) -> bool:
        """Keep the application alive until the task has been reported; False when time ran out."""
        end = time.monotonic() + timeout_s
        while self.running and time.monotonic() < end:
            slicer.app.processEvents()
            self._tick()
        return not self.running

    def _run(self) -> None:
        try:
            self._result = self._compute(self._report)
        except BaseException as error:
            self._error = error

    def _report(self, *content) -> None:
        if self._stop.is_set():
            raise Cancelled()
        if content:
            self._reports.put(content)

    def _tick(self) -> None:
        self._thread.join(self._yield_s)
        alive = self._thread.is_alive()
        with contextlib.suppress(queue.Empty):
            while not self._finished:
                self._on_report(*self._reports.get_nowait())
        if alive or self._timer is None:
            return
        waited_for, self._finished = not self._finished, True
        finished, outcome = self._on_finished, (self._result, self._error)
        self._stop_listening()
        if waited_for:
            finished(*outcome)

    def _stop_listening(self) -> None:
        """Let go of everything: a connected timer keeps this object, and Python cannot see that it does."""
        _ending.discard(self)
        if self._timer is not None:
            self._timer.stop()
            self._timer.deleteLater()
        self._timer = self._compute = self._on_report = self._on_finished = None
        self._result = self._error = None
