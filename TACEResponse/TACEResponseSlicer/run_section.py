"""What runs beside the panel right now: its progress in a row of its own, its end, its stopping."""

from .answer_view import breakable
from .background import BackgroundTask
from .texts import tr as _


class RunSection:
    """One computation at a time. task: the last one, None before the first.

    row, bar, label: where its progress stands. errors_shown: the panel's way to show an error.
    on_changed(): something began or ended. patient: for work of hours.
    """

    def __init__(self, row, bar, label, errors_shown, on_changed, patient=False):
        self._row, self._bar, self._label = row, bar, label
        self._errors_shown, self._on_changed, self._patient = errors_shown, on_changed, patient
        self.task = None
        row.visible = False

    @property
    def running(self) -> bool:
        """Whether something runs."""
        return self.task is not None and self.task.running

    def start(self, compute, sentence: str, show, on_report=None, on_failed=None) -> None:
        """Run `compute(report)` beside the panel, then `show(result)`; `sentence` begins its error.

        on_report: what to do with its reports, by default progress (stage, done, total). on_failed(error):
        called before an error is shown.
        """

        def finish(result, error):
            self._row.visible = False
            self._on_changed()
            if error is not None and on_failed is not None:
                on_failed(error)
            with self._errors_shown(sentence):
                if error is not None:
                    raise error
                show(result)

        self.show_progress(_("starting"), 0, 0)
        self.task = BackgroundTask(compute, on_report or self.show_progress, finish, self._patient)
        self._on_changed()

    def show_progress(self, stage: str, done: int, total: int) -> None:
        """The stage in words, and how far it has come."""
        self._row.visible = self._bar.visible = True
        self._bar.setRange(0, total)
        self._bar.setValue(done)
        self._label.text = breakable(stage)

    def cancel(self) -> None:
        """Stop what runs; that it was cancelled is reported at once."""
        if self.task is not None:
            self.task.cancel()

    def stop(self) -> None:
        """Stop what runs; that it was cancelled is reported when it has ended."""
        if self.task is not None:
            self.task.stop()

    def abandon(self) -> None:
        """Stop what runs, and wait for its end: the panel goes away."""
        if self.task is not None:
            self.task.abandon()
