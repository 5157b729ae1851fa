"""The contour part of the panel: what the answer would be with other outlines of the same tumour."""

from TACEResponseLib.answer.numbers import percent
from TACEResponseLib.answer.reading import side_of_cut_off

from .answer_view import fill_table, lines_html
from .texts import tr as _


class SensitivitySection:
    """sensitivity: what is shown (`answer.contour_sensitivity`), None while there is nothing."""

    def __init__(self, ui):
        self._ui = ui
        self.clear()

    def clear(self) -> None:
        """Show nothing."""
        self.sensitivity = None
        self._ui.sensitivityLabel.visible = self._ui.sensitivityTable.visible = False

    def show(self, sensitivity) -> None:
        """The sentence, and a row an outline."""
        self.sensitivity = sensitivity
        ui, sentence = self._ui, f"{sensitivity.sentence()}."
        ui.sensitivityLabel.text = lines_html([sentence]) if sensitivity.changes_class else sentence
        headers = (_("outline and volume"), _("response"))
        fill_table(ui.sensitivityTable, headers, list(map(_row, sensitivity.variants)), wide=1)
        ui.sensitivityLabel.visible = ui.sensitivityTable.visible = True


def _row(variant) -> tuple[str, str]:
    """Two lines a cell, which fit side by side into the narrowest panel."""
    outline = f"{variant.name}\n{variant.volume_ml:.1f} mL"
    if variant.probability is None:
        return outline, _("NA\n{reason}").format(reason=variant.problem)
    side = "" if variant.responder is None else side_of_cut_off(variant.responder)
    return outline, f"{percent(variant.probability)}\n{side}"
