"""What can be done with an answer: why, with other outlines, on the CT, as report, text, DICOM, record."""

import qt
import slicer

from . import register_questions
from .dicom_source import scan_day, source_files, why_no_source
from .texts import listed
from .texts import tr as _


class AnswerActions:
    """The buttons under an answer. node(): the parameter node; bundle(): folder of the chosen model.

    on_kept(file): the answer was kept in this register.
    """

    def __init__(self, ui, logic, answer, run, errors_shown, node, bundle, on_kept):
        self._ui, self._logic, self._answer, self._run = ui, logic, answer, run
        self._errors_shown, self._node, self._bundle = errors_shown, node, bundle
        self._on_kept = on_kept
        for button, handler in {
            ui.explainButton: self.explain,
            ui.mapButton: self.toggle_map,
            ui.largestSliceButton: self.go_to_largest_slice,
            ui.sensitivityButton: self.try_other_outlines,
            ui.reportButton: self.ask_and_write_report,
            ui.copyButton: self.copy,
            ui.dicomButton: self.ask_and_write_dicom,
            ui.registerButton: self.ask_and_keep,
        }.items():
            button.connect("clicked(bool)", handler)
        for section, unfolded in (
            (ui.explainSection, self._on_explain_unfolded),
            (ui.contourSection, self._on_contour_unfolded),
        ):
            section.connect("contentsCollapsed(bool)", unfolded)

    def check(self) -> None:
        """Enable what can be done now; the DICOM button says why it cannot."""
        ui, idle, node = self._ui, not self._run.running, self._node()
        for button in (ui.explainButton, ui.sensitivityButton, ui.reportButton, ui.registerButton):
            button.enabled = idle
        reason = why_no_source(node.ctVolume) if node else ""
        ui.dicomButton.enabled = idle and not reason
        ui.dicomButton.toolTip = reason or _("Write a structured report and the tumour's outline as DICOM")

    def _on_explain_unfolded(self, folded: bool) -> None:
        """Whoever opens the section wants to read what is in it."""
        if not folded and self._can_work_out(self._answer.why.explanation):
            self.explain()

    def _on_contour_unfolded(self, folded: bool) -> None:
        if not folded and self._can_work_out(self._answer.sensitivity.sensitivity):
            self.try_other_outlines()

    def _can_work_out(self, known) -> bool:
        asked = self._answer.prediction is not None and not self._answer.outdated
        return asked and known is None and not self._run.running

    def explain(self, _checked=False) -> None:
        """Work out what speaks for and against response in the patient that was predicted."""
        case, bundle = self._answer.case, self._bundle()
        self._run.start(
            lambda progress: self._logic.runExplanation(case, bundle, progress),
            _("The answer was not explained."),
            self._show_explanation,
        )

    def _show_explanation(self, explanation) -> None:
        self._answer.why.show(explanation)
        self._logic.publishExplanation(explanation, self._answer.prediction.statement())

    def toggle_map(self, _checked=False) -> None:
        """Lay the network's map over the CT in its slice, or take it away again."""
        node, statement = self._node(), self._answer.prediction.statement()
        self._answer.why.toggle_map(node.ctVolume, node.segmentation, statement)

    def go_to_largest_slice(self, _checked=False) -> None:
        """Centre the slice views where the tumour is largest."""
        self._answer.go_to_largest_slice()

    def try_other_outlines(self, _checked=False) -> None:
        """Work out what the answer would be with other outlines of the tumour."""
        case, bundle = self._answer.case, self._bundle()
        self._run.start(
            lambda progress: self._logic.runSensitivity(case, bundle, progress),
            _("Other outlines were not tried."),
            self._answer.sensitivity.show,
        )

    def copy(self, _checked=False) -> None:
        """Put the answer as text on the clipboard."""
        self._answer.copy(named=self._ui.namedCheckBox.checked)

    def ask_and_write_report(self, _checked=False) -> None:
        """Ask for a folder, write the report there and open it."""
        folder = _ask_folder(_("Folder for the report"))
        if folder:
            self.write_report(folder)

    def write_report(self, folder, show=None) -> None:
        """Write `report.html` and `prediction.json` into `folder` beside the panel; then `show(page)`."""
        answer = self._answer
        content = (answer.prediction, answer.case, folder, self._bundle())
        options = {"sensitivity": answer.sensitivity.sensitivity, "named": self._ui.namedCheckBox.checked}
        self._run.start(
            lambda progress: self._logic.writeReport(*content, progress=progress, **options),
            _("The report was not written."),
            show or _open_page,
        )

    def ask_and_write_dicom(self, _checked=False) -> None:
        """Ask for a folder and write the DICOM results there."""
        folder = _ask_folder(_("Folder for the DICOM report and segmentation"))
        if folder:
            self.write_dicom(folder)

    def write_dicom(self, folder) -> None:
        """Write the DICOM report and segmentation into `folder` beside the panel."""
        sentence = _("The DICOM results were not written.")
        with self._errors_shown(sentence):
            content = (self._answer.prediction, self._answer.case, source_files(self._node().ctVolume))
            self._run.start(
                lambda progress: self._logic.writeDicom(*content, folder, progress), sentence, _say_written
            )

    def ask_and_keep(self, _checked=False) -> None:
        """Ask for the register's file and the patient's ID in it, and keep the answer there."""
        file = register_questions.ask_file()
        day = scan_day(self._node().ctVolume)
        patientId = register_questions.ask_id(day) if file else ""
        if patientId:
            self.keep(file, patientId, day)

    def keep(self, file, patientId, day=None) -> None:
        """Keep the answer in the register `file` under an ID of the user's choice, beside the panel.

        day: of the scan, "2025-03-31"; today where it is not known, and that is said.
        """
        prediction = self._answer.prediction
        self._run.start(
            lambda progress: self._logic.keepInRegister(prediction, file, patientId, day),
            _("The answer was not kept."),
            lambda kept: self._say_kept(kept, patientId, day),
        )

    def _say_kept(self, file, patientId, day) -> None:
        register_questions.remember(file)
        self._answer.say_kept(
            _("Kept as {patientId} in {file}. {date}").format(
                patientId=patientId, file=file.name, date=register_questions.date_sentence(day)
            )
        )
        self._on_kept()


def _ask_folder(question: str) -> str:
    return qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), question)


def _open_page(page) -> None:
    qt.QDesktopServices.openUrl(qt.QUrl(page.resolve().as_uri()))


def _say_written(paths) -> None:
    slicer.util.showStatusMessage(_("Written: {files}").format(files=listed(map(str, paths))), 5000)
