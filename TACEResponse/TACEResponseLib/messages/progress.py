"""How long work speaks while it runs, and how it is stopped.

Every long function takes one callable, `progress(stage, done, total)`, and calls it between
steps. The callable may raise `Cancelled`: this is the only way work is cancelled, so that
cancelling always happens between two steps and never inside one.
"""

import json
import sys
import time
from collections.abc import Callable

from .language import tr

Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Say nothing."""


def within(where: str, progress: Progress) -> Progress:
    """`progress` for a part of the work: its stages are named `where: stage`."""
    return lambda stage, done, total: progress(tr("{where}: {stage}", where=where, stage=stage), done, total)


class JsonProgress:
    """One JSON object a line on a stream: what the panels read from the child process.

    Events are `{event: progress, stage, done, total, eta_s}`, last `{event: done, ...}` or
    `{event: error, kind, message}`. `eta_s` is None until a stage has finished a step.
    """

    def __init__(self, stream=None):
        self._stream = stream or sys.stdout
        self._stage, self._started = "", 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._started = stage, now
        eta_s = (now - self._started) / done * (total - done) if done else None
        eta_s = None if eta_s is None else round(eta_s, 1)
        self.event("progress", stage=stage, done=done, total=total, eta_s=eta_s)

    def event(self, event: str, **content) -> None:
        """Write one event line and flush, so that a reader sees it at once."""
        self.line({"event": event, **content})

    def line(self, content: dict) -> None:
        """Write one line that is no event, for example a verdict of `check`.

        Escaped to ASCII, so that no code page of a pipe or terminal can break it.
        """
        self._stream.write(json.dumps(content) + "\n")
        self._stream.flush()


class TerminalProgress:
    """A tqdm bar a stage on a terminal, one line a stage elsewhere; nothing on a missing stream.

    Slicer's `sys.stderr` has no `fileno` and no `encoding`, and under `pythonw` there is no
    stream at all; neither is assumed.
    """

    def __init__(self, stream=None):
        self._stream = stream or sys.stderr
        self._bar, self._stage = None, ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._stream is None:
            return
        if stage != self._stage:
            self.close()
            self._stage = stage
            self._open(stage, total)
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(done - self._bar.n)

    def _open(self, stage: str, total: int) -> None:
        if getattr(self._stream, "isatty", lambda: False)():
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=stage, file=self._stream, leave=True)
        else:
            self._stream.write(f"{stage} ...\n")

    def close(self) -> None:
        """End the bar that is open, if one is."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None
