"""The result part of the panel: shows a prediction, writes its report, copies it, finds its layer."""

from pathlib import Path

import numpy as np
import qt
import SimpleITK as sitk
import slicer
from slicer.i18n import tr as _

from .answer_view import answer_html, bar_pixmap, fill_table, is_dark, lines_html, warning_html
from .why_section import WhySection


class AnswerSection:
    """The answer, its bar, its tables and its buttons.

    prediction and case: what is shown, None while there is nothing; fingerprint: of the voxels that it
    is about (`found.fingerprint`). outdated: whether those are not the scene's any more. why: the
    answer's explanation.
    """

    def __init__(self, ui):
        self._ui = ui
        self.why = WhySection(ui)
        self.clear()

    def clear(self) -> None:
        """Show nothing: another patient, another model, another scene."""
        self.prediction = self.case = self.fingerprint = None
        self.outdated = False
        self.why.clear()
        self._ui.resultSection.visible = False

    def show(self, case, fingerprint, prediction) -> None:
        """Show an answer and unfold the section."""
        from TACEResponseLib.prediction import title

        self.case, self.fingerprint, self.prediction = case, fingerprint, prediction
        ui = self._ui
        statement = prediction.statement()
        if prediction.demonstration:
            statement = warning_html(statement, is_dark(ui.statementLabel))
        ui.statementLabel.text = statement
        ui.answerLabel.text = answer_html(prediction)
        ui.warningsLabel.text = lines_html(prediction.warnings)
        ui.warningsLabel.visible = bool(prediction.warnings)
        rows = [(title(name), f"{100 * p:.0f} %") for name, p in prediction.probabilities.items()]
        fill_table(ui.modelsTable, (_("model"), _("probability of response")), rows)
        self.outdated = False
        self._say_outdated()
        ui.resultSection.visible = True
        ui.resultSection.collapsed = False
        slicer.app.processEvents()  # the label's width is known after it was laid out
        ui.barLabel.setPixmap(bar_pixmap(ui.answerLabel, prediction.fused, prediction.threshold))

    def mark_outdated(self, outdated: bool) -> None:
        """Grey the answer and say that it is not about what is drawn now, or take that back."""
        outdated = outdated and self.prediction is not None
        if outdated == self.outdated:
            return
        self.outdated = outdated
        if outdated:
            self.why.hide_map()
        self._say_outdated()

    def _say_outdated(self) -> None:
        ui = self._ui
        sentence = _("Out of date: tumour or CT were changed after this answer. Predict again.")
        ui.outdatedLabel.text = warning_html(sentence, is_dark(ui.outdatedLabel)) if self.outdated else ""
        ui.outdatedLabel.visible = self.outdated
        ui.answerFrame.enabled = not self.outdated

    def write_report(self, folder) -> Path:
        """Write `report.html` and `prediction.json` into `folder`; the path of the page."""
        from TACEResponseLib.patient_report import write_patient_report

        return write_patient_report(self.prediction, self.case, Path(folder))

    def report(self) -> None:
        """Ask for a folder, write the report there and open it."""
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder for the report"))
        if folder:
            page = self.write_report(folder)
            qt.QDesktopServices.openUrl(qt.QUrl(page.as_uri()))

    def copy(self) -> None:
        """Put the answer as text on the clipboard."""
        from TACEResponseLib.patient_report import summary

        slicer.app.clipboard().setText(summary(self.prediction))
        slicer.util.showStatusMessage(_("The answer was copied as text"), 3000)

    def go_to_largest_layer(self) -> None:
        """Centre the slice views on the tumour, in the axial layer where it is largest."""
        left, posterior, superior = largest_layer_centre_mm(self.case)
        slicer.vtkMRMLSliceNode.JumpAllSlices(
            slicer.mrmlScene, -left, -posterior, superior, slicer.vtkMRMLSliceNode.CenteredJumpSlice
        )


def largest_layer_centre_mm(case) -> tuple[float, float, float]:
    """Centre in mm (LPS) of the tumour in the layer, along the volume's z axis, that holds most of it."""
    inside = sitk.GetArrayViewFromImage(case.mask) > 0
    k = int(inside.sum(axis=(1, 2)).argmax())
    j, i = (float(np.mean(axis)) for axis in np.nonzero(inside[k]))
    return case.mask.TransformContinuousIndexToPhysicalPoint((i, j, float(k)))
