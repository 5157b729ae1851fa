"""How work ends that is stopped from outside: Ctrl-C, a request to end, or a parent that was killed.

A request to end (SIGTERM, a closed terminal) is taken as Ctrl-C, so that everything is cleaned up on
the one road. Worker processes leave both to their parent, and end when it is gone.
"""

import _thread
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

#: How often a worker looks for its parent.
LOOK_S = 0.5
#: How long after an interrupt that was lost it is repeated.
REPEAT_S = 0.05
REQUESTS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
_watched: set[int] = set()
#: Set by the first request to end: a library that is just being loaded may turn it into another error.
_asked = threading.Event()


def was_interrupted() -> bool:
    """Whether this program was asked to end, whatever became of the exception that said so."""
    return _asked.is_set()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within it a request to end raises KeyboardInterrupt, and no interrupt is lost.

    Does nothing outside the main thread, where Python gives no signals, and leaves handlers of others.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    free = (signal.SIG_DFL, signal.default_int_handler)
    numbers = [signal.SIGINT, *REQUESTS]
    taken = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) in free}
    _asked.clear()
    for number in taken:
        signal.signal(number, _interrupt)
    before, sys.unraisablehook = sys.unraisablehook, _repeat_lost_interrupt
    try:
        yield
    finally:
        sys.unraisablehook = before
        for number, handler in taken.items():
            signal.signal(number, handler)


def _interrupt(number, frame) -> None:
    _asked.set()
    raise KeyboardInterrupt


def _repeat_lost_interrupt(unraisable) -> None:
    """An interrupt within a finalizer is swallowed by Python; here it comes again a moment later."""
    if unraisable.exc_type is not None and issubclass(unraisable.exc_type, KeyboardInterrupt):
        timer = threading.Timer(REPEAT_S, _interrupt_main)
        timer.daemon = True
        timer.start()
    else:
        sys.__unraisablehook__(unraisable)


def _interrupt_main() -> None:
    if hasattr(signal, "pthread_kill"):  # wakes the main thread, too
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    else:
        _thread.interrupt_main()


@contextlib.contextmanager
def workers_deaf() -> Iterator[None]:
    """Processes that are started within it never get Ctrl-C or a request to end; the parent ends them.

    What arrives meanwhile reaches the parent afterwards. On Windows, which has no masks, nothing is done.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, *REQUESTS])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with(parent: int) -> None:
    """End this worker process soon after the process `parent` has ended, however that ended."""
    if parent not in _watched and parent != os.getpid():
        _watched.add(parent)
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    is_alive = _is_alive_on_windows(parent) if os.name == "nt" else lambda: os.getppid() == parent
    while is_alive():
        time.sleep(LOOK_S)
    os._exit(1)


def _is_alive_on_windows(parent: int):
    import psutil

    try:
        return psutil.Process(parent).is_running  # knows when the number is given to another
    except psutil.NoSuchProcess:
        return lambda: False
