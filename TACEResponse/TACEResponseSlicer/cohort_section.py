"""The cohort part of the training panel: what the preflight found, one line a patient."""

from .answer_view import fill_table
from .texts import tr as _


class CohortSection:
    """Collects the verdicts of `check --json` and shows them."""

    def __init__(self, ui):
        self._ui = ui
        self.clear()

    def clear(self) -> None:
        """Forget what was found: another cohort, or a new check."""
        self.verdicts = []
        self._ui.cohortTable.visible = self._ui.cohortSummaryLabel.visible = False

    def add(self, verdict: dict) -> None:
        """Keep one patient's verdict: `{patient_id, verdict, problems}`."""
        self.verdicts.append(verdict)

    def show(self, counts: dict) -> None:
        """List all patients under the counts of `ok`, `warning` and `error`."""
        self._ui.cohortSummaryLabel.text = _(
            "{total} patients: {ok} ok, {warning} with warnings, {error} with errors"
        ).format(total=len(self.verdicts), **counts)
        words = {"ok": _("ok"), "warning": _("warning"), "error": _("error")}
        rows = [(v["patient_id"], words[v["verdict"]], _sentences(v["problems"])) for v in self.verdicts]
        headers = (_("patient"), _("verdict"), _("what to know"))
        fill_table(self._ui.cohortTable, headers, rows, wide=2)
        self._ui.cohortTable.visible = self._ui.cohortSummaryLabel.visible = True

    def patient_id(self, row: int) -> str:
        """Whose line this is."""
        return self.verdicts[row]["patient_id"]


def _sentences(problems: list[dict]) -> str:
    """The problems of one patient as text: what is wrong, what was received, what to do."""
    keys = ("message", "received", "remedy")
    return ". ".join("; ".join(problem[key] for key in keys if problem.get(key)) for problem in problems)
