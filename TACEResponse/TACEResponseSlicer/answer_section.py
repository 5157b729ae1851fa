"""The result part of the panel: shows a prediction, copies it as text, finds its largest slice."""

import dataclasses

import slicer
from TACEResponseLib.answer import words
from TACEResponseLib.answer.numbers import percent
from TACEResponseLib.cases.lesions import largest_slice

from .answer_view import (
    answer_html,
    bar_pixmap,
    breakable,
    certainty_html,
    fill_table,
    is_dark,
    lines_html,
    score_rows,
    similarity_html,
    warning_html,
)
from .map_layer import jump_to
from .sensitivity_section import SensitivitySection
from .texts import tr as _
from .why_section import WhySection


class AnswerSection:
    """The answer, its bar, its tables and its buttons.

    prediction and case: what is shown, None while there is nothing; fingerprint: of the voxels that it
    is about (`cases.fingerprint`). outdated: whether those are not the scene's any more. why: the
    answer's explanation. sensitivity: the answers with other outlines.
    """

    def __init__(self, ui):
        self._ui = ui
        self.why = WhySection(ui)
        self.sensitivity = SensitivitySection(ui)
        self.clear()

    def clear(self) -> None:
        """Show nothing: another patient, another model, another scene."""
        self.prediction = self.case = self.fingerprint = None
        self.outdated = False
        self.why.clear()
        self.sensitivity.clear()
        self._ui.resultSection.visible = False
        self._ui.explainSection.collapsed = self._ui.contourSection.collapsed = True
        self.say_kept("")

    def say_kept(self, sentence: str) -> None:
        """Say where the answer was kept, and with which date."""
        self._ui.keptLabel.text, self._ui.keptLabel.visible = breakable(sentence), bool(sentence)

    def show(self, case, fingerprint, prediction) -> None:
        """Show an answer and unfold the section."""
        self.case, self.fingerprint, self.prediction = case, fingerprint, prediction
        self.outdated = False
        self._say_outdated()
        self._show_statement()
        ui = self._ui
        ui.answerLabel.text = answer_html(prediction, is_dark(ui.answerLabel))
        ui.similarityLabel.text = similarity_html(prediction.similarity)
        ui.certaintyLabel.text = certainty_html(prediction)
        ui.warningsLabel.text = lines_html(prediction.warnings)
        ui.warningsLabel.visible = bool(prediction.warnings)
        self._show_models()
        self.show_scores(prediction.clinical_scores)
        ui.resultSection.visible = True
        ui.resultSection.collapsed = False
        ui.barLabel.setPixmap(bar_pixmap(ui.answerLabel, prediction))

    def show_scores(self, scores) -> None:
        """Show other clinical scores beside the answer, which they do not change."""
        self.prediction = dataclasses.replace(self.prediction, clinical_scores=tuple(scores))
        headers = (_("score\ndeveloped to predict"), _("group"))
        ui, lacking = self._ui, words.lacking_scores(tuple(scores))
        fill_table(ui.scoresTable, headers, score_rows(scores))
        ui.scoresLabel.text, ui.scoresLabel.visible = lacking, bool(lacking)

    def mark_outdated(self, outdated: bool) -> None:
        """Grey the answer and say that it is not about what is drawn now, or take that back."""
        outdated = outdated and self.prediction is not None
        if outdated == self.outdated:
            return
        self.outdated = outdated
        if outdated:
            self.why.hide_map()
        self._say_outdated()

    def copy(self, named: bool = False) -> None:
        """Put the answer as text on the clipboard; named: with the patient's identifier."""
        from TACEResponseLib.report.patient_page import summary

        slicer.app.clipboard().setText(summary(self.prediction, show_identifier=named))
        slicer.util.showStatusMessage(_("The answer was copied as text"), 3000)

    def go_to_largest_slice(self) -> None:
        """Show the largest lesion, in the slice that the network saw and the map lies on."""
        left, posterior, superior = largest_slice(self.case).centre_mm
        jump_to((-left, -posterior, superior))

    def _show_statement(self) -> None:
        statement = self.prediction.statement()
        if self.prediction.demonstration:
            statement = warning_html(statement, is_dark(self._ui.statementLabel))
        self._ui.statementLabel.text = statement

    def _show_models(self) -> None:
        from TACEResponseLib.models.combination import title

        rows = [(title(name), percent(p)) for name, p in self.prediction.probabilities.items()]
        fill_table(self._ui.modelsTable, (_("model"), _("probability of response")), rows)

    def _say_outdated(self) -> None:
        ui = self._ui
        sentence = _("Out of date: tumour or CT were changed after this answer. Predict again.")
        ui.outdatedLabel.text = warning_html(sentence, is_dark(ui.outdatedLabel)) if self.outdated else ""
        ui.outdatedLabel.visible = self.outdated
        ui.answerFrame.enabled = not self.outdated
