"""The register in the panel: who waits for a response, what it was, and how the model did."""

from pathlib import Path

import qt

from . import register_questions
from .answer_view import breakable
from .texts import tr as _


class RegisterSection:
    """Shows the register in which answers were kept last. on_changed(): what can be pressed may differ.

    waiting: (ID, day of the scan) of the patients whose response is not recorded yet.
    """

    def __init__(self, ui, logic, run, on_changed):
        self._ui, self._logic, self._run, self._on_changed = ui, logic, run, on_changed
        self.waiting, self._known, self._there = [], False, False
        ui.responseComboBox.addItems([_("not chosen"), *_titles().values()])
        for button, handler in {
            ui.chooseRegisterButton: self.ask_file,
            ui.recordButton: self.record,
            ui.auditButton: self.audit,
        }.items():
            button.connect("clicked(bool)", handler)
        ui.responseComboBox.connect("currentIndexChanged(int)", self._on_choice)
        ui.registerSection.connect("contentsCollapsed(bool)", self._on_folded)
        self._say("")
        self._show_name()

    @property
    def file(self) -> Path | None:
        """The register that is shown; None before one was chosen."""
        remembered = register_questions.remembered()
        return Path(remembered) if remembered else None

    def check(self) -> None:
        """Enable what can be done now, and read a register that is shown and was not read yet."""
        ui, idle = self._ui, not self._run.running
        ui.chooseRegisterButton.enabled = idle
        ui.openPatientsComboBox.enabled = ui.responseComboBox.enabled = bool(self.waiting)
        ui.recordButton.enabled = idle and bool(self.waiting) and ui.responseComboBox.currentIndex > 0
        ui.auditButton.enabled = idle and self._there
        if idle and self._there and not self._known and not ui.registerSection.collapsed:
            self.read()

    def show_file(self) -> None:
        """An answer was kept: the register is this one now, and is read when it is looked at."""
        self._look()
        self._show_name()
        self._on_changed()

    def read(self) -> None:
        """List the patients without a response, beside the panel."""
        self._known, file = True, self.file
        self._run.start(
            lambda progress: self._logic.register.waiting(file),
            _("The register was not read."),
            self._show_waiting,
        )

    def ask_file(self, _checked=False) -> None:
        """Ask for the register and show it."""
        file = register_questions.ask_file()
        if file:
            register_questions.remember(file)
            self._show_waiting([])
            self._say("" if self.file.exists() else _("No answer was kept in this file yet."))
            self.show_file()

    def record(self, _checked=False) -> None:
        """Record the chosen response of the chosen patient, beside the panel."""
        file, (patient_id, _day) = self.file, self.waiting[self._ui.openPatientsComboBox.currentIndex]
        response = list(_titles())[self._ui.responseComboBox.currentIndex - 1]
        said = _("Recorded: {patient_id}, {response}.").format(patient_id=patient_id, response=response)
        self._run.start(
            lambda progress: self._logic.register.record(file, patient_id, response),
            _("The response was not recorded."),
            lambda waiting: self._show_waiting(waiting, said),
        )

    def audit(self, _checked=False, show=None) -> None:
        """Write the page of the audit beside the register, and open it; or `show(page)`."""
        file = self.file
        self._run.start(
            lambda progress: self._logic.register.audit(file, file.with_name(f"{file.stem}-audit"), progress),
            _("The audit was not made."),
            show or _open,
        )

    def _show_waiting(self, waiting, said: str = "") -> None:
        self.waiting = list(waiting)
        ui = self._ui
        ui.openPatientsComboBox.clear()
        line = _("{patient_id}, scan {day}")
        ui.openPatientsComboBox.addItems(
            [line.format(patient_id=patient_id, day=day) for patient_id, day in self.waiting]
        )
        ui.responseComboBox.setCurrentIndex(0)
        left = _("Without a response: {count}.").format(count=len(self.waiting))
        self._say(f"{said} {left}".strip())
        self._on_changed()

    def _show_name(self) -> None:
        label, file = self._ui.registerFileLabel, self.file
        label.text = breakable(file.name) if file else _("No answer was kept in a register yet.")
        label.toolTip = str(file) if file else _("Press Register below an answer to keep it.")

    def _say(self, sentence: str) -> None:
        self._ui.registerLabel.text, self._ui.registerLabel.visible = breakable(sentence), bool(sentence)

    def _on_choice(self, _index: int) -> None:
        self._on_changed()

    def _on_folded(self, folded: bool) -> None:
        if not folded:
            self._look()
            self._on_changed()

    def _look(self) -> None:
        """Whether the file is there, and to be read again: somebody else may have written into it.

        Not asked oftener: on a network folder even that can take long.
        """
        self._known, self._there = False, self.file is not None and self.file.exists()


def _titles() -> dict[str, str]:
    """Response -> its words."""
    return {
        "CR": _("CR: complete response"),
        "PR": _("PR: partial response"),
        "SD": _("SD: stable disease"),
        "PD": _("PD: progressive disease"),
    }


def _open(page) -> None:
    qt.QDesktopServices.openUrl(qt.QUrl(Path(page).resolve().as_uri()))
