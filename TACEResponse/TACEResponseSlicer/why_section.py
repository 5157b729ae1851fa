"""The "why" part of the panel: shares of the features in a table and a chart, the map over the CT."""

from .answer_view import fill_table, lines_html
from .map_layer import MapLayer
from .texts import listed
from .texts import tr as _

#: Features that are listed one by one; the rest is summed up in a line of its own.
MOST_ROWS = 8


class WhySection:
    """explanation: what is shown, None while there is nothing."""

    def __init__(self, ui):
        self._ui = ui
        self._map = MapLayer()
        self.explanation = None
        self.clear()

    def clear(self) -> None:
        """Show nothing, and take the map out of the views."""
        self.hide_map()
        self.explanation = None
        self._ui.whyLabel.visible = self._ui.whyTable.visible = False
        self._ui.mapButton.enabled = False

    @property
    def map_is_shown(self) -> bool:
        """Whether the map lies over the CT now."""
        return self._map.shown

    def show(self, explanation) -> None:
        """List the largest shares and say what they sum to."""
        self.explanation = explanation
        ui = self._ui
        ui.whyLabel.text = (
            lines_html([str(explanation.problem)]) if explanation.problem else said(explanation)
        )
        ui.whyLabel.toolTip = tip(explanation)
        rows = share_rows(explanation)
        fill_table(ui.whyTable, (_("feature"), _("response\nvalue")), rows)
        ui.whyLabel.visible, ui.whyTable.visible = True, bool(rows)
        ui.mapButton.enabled = explanation.network_map is not None

    def toggle_map(self, volume_node, segmentation_node, statement: str) -> None:
        """Lay the map over the CT in the slice views, or take it away again."""
        if self._map.shown:
            self.hide_map()
            return
        self._map.show(self.explanation, volume_node, segmentation_node, statement)
        self._ui.mapButton.text = _("Hide map")

    def hide_map(self) -> None:
        """Give the slice views back what they showed, and remove the map's nodes."""
        self._map.hide()
        self._ui.mapButton.text = _("Show map on CT")


def said(explanation) -> str:
    """What the features together speak for, in a sentence."""
    from TACEResponseLib.models.combination import title

    if not explanation.contributions:
        return _("{headline} uses no radiomics features; the map shows where the network looks.").format(
            headline=title(explanation.headline)
        )
    push = explanation.total - explanation.base
    sentence = _("Main reasons (1 feature, net {direction})")
    if len(explanation.contributions) != 1:
        sentence = _("Main reasons ({count} features, net {direction})")
    return sentence.format(count=len(explanation.contributions), direction=_direction(push))


def tip(explanation) -> str:
    """What the shares sum to, in numbers."""
    from TACEResponseLib.models.combination import title

    if not explanation.contributions:
        return _("Where the network looks.")
    return _(
        "Net {push:+.2f} {unit} ({models}: {total:.2f} here, {base:.2f} on average of training patients)."
    ).format(
        push=explanation.total - explanation.base,
        unit=explanation.unit,
        models=listed(map(title, explanation.members)),
        total=explanation.total,
        base=explanation.base,
    )


def share_rows(explanation) -> list[tuple[str, str]]:
    """Rows of text: feature; its share in words and the patient's value. The smallest summed up last.

    Two lines a cell, so that the names of features can be read in a narrow panel.
    """
    shares = list(explanation.contributions.items())
    listed, rest = shares[:MOST_ROWS], shares[MOST_ROWS:]
    rows = [
        (
            "\n".join(filter(None, name.rpartition("_")[::2])),
            f"{_in_words(share)}\n{explanation.values[name]:.4g}",
        )
        for name, share in listed
    ]
    if rest:
        other = _("{count} others together").format(count=len(rest))
        rows.append((other, _in_words(sum(share for _name, share in rest))))
    return rows


def _in_words(share: float) -> str:
    return f"{share:+.2f} {_('for') if share > 0 else _('against')}"


def _direction(share: float) -> str:
    return _("towards response") if share > 0 else _("away from response")
