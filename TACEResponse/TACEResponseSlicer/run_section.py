"""What runs beside the panel right now: its progress in a row of its own, its end, its cancelling."""

from slicer.i18n import tr as _
from TACEResponseLib.errors import Cancelled

from .work import Work


class RunSection:
    """One computation at a time. work: the last one, None before the first.

    errors_shown: the panel's way to show an error. on_changed(): something began or ended.
    on_cancelled(): called on the worker's thread when a computation was stopped.
    """

    def __init__(self, ui, errors_shown, on_changed, on_cancelled):
        self._ui = ui
        self._errors_shown, self._on_changed, self._on_cancelled = errors_shown, on_changed, on_cancelled
        self.work = None
        ui.runRow.visible = False

    @property
    def running(self) -> bool:
        """Whether something runs."""
        return self.work is not None and self.work.running

    def start(self, compute, sentence: str, show) -> None:
        """Run `compute(progress)` beside the panel, then `show(result)`; `sentence` begins its error."""
        self._show_progress(_("starting"), 0, 0)
        self.work = Work(
            lambda progress: self._compute(compute, progress),
            self._show_progress,
            lambda result, error: self._finish(sentence, show, result, error),
        )
        self._on_changed()

    def cancel(self) -> None:
        """Stop what runs."""
        if self.work is not None:
            self.work.cancel()

    def abandon(self) -> None:
        """Stop what runs, and wait for its end: the panel goes away."""
        if self.work is not None:
            self.work.abandon()

    def _compute(self, compute, progress):
        try:
            return compute(progress)
        except Cancelled:
            self._on_cancelled()
            raise

    def _show_progress(self, stage: str, done: int, total: int) -> None:
        ui = self._ui
        ui.runRow.visible = ui.predictProgress.visible = True
        ui.predictProgress.setRange(0, total)
        ui.predictProgress.setValue(done)
        ui.stageLabel.text = stage

    def _finish(self, sentence: str, show, result, error) -> None:
        self._ui.runRow.visible = False
        self._on_changed()
        with self._errors_shown(sentence):
            if error is not None:
                raise error
            show(result)
