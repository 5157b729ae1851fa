"""How an answer looks in the panel: words, the bar with its threshold, the table of models."""

from html import escape

import qt
from slicer.i18n import tr as _

BAR_HEIGHT = 40
SIGN = "\u26a0"
#: Red that can be read on a light and on a dark background; a sign and words always stand beside it.
RED_ON_LIGHT, RED_ON_DARK = "#b3261e", "#ff8a80"


def warning_html(text: str, dark: bool) -> str:
    """`text` in red with a warning sign, for what must not be missed."""
    colour = RED_ON_DARK if dark else RED_ON_LIGHT
    return f'<span style="color:{colour}; font-weight:600">{SIGN} {escape(text)}</span>'


def lines_html(texts) -> str:
    """One line a text, each with a warning sign."""
    return "<br>".join(f"<span>{SIGN} {escape(text)}</span>" for text in texts)


def is_dark(widget) -> bool:
    """Whether the widget's palette is a dark one."""
    return widget.palette.color(qt.QPalette.Window).lightness() < 128


def answer_html(prediction) -> str:
    """The headline: what is likely, how much, and the threshold."""
    verdict = _("likely") if prediction.responder else _("unlikely")
    lesions = prediction.lesions
    number = _("1 lesion") if lesions.number == 1 else _("{n} lesions").format(n=lesions.number)
    size = f"{lesions.largest_diameter_mm:.1f} mm, {lesions.volume_ml:.1f} mL"
    return (
        f"<big>{_('Response (CR + PR)')} <b>{verdict}: {100 * prediction.fused:.0f} %</b></big>"
        f"<br>{_('threshold')} {100 * prediction.threshold:.0f} %; {number}, {_('largest')} {size}"
    )


def bar_pixmap(label, probability: float, threshold: float):
    """QPixmap as wide as `label`: the probability as a bar on 0 to 100 %, the threshold as a line."""
    width = max(label.width, 200)
    pixmap = qt.QPixmap(width, BAR_HEIGHT)
    palette = label.palette
    pixmap.fill(palette.color(qt.QPalette.Window))
    text, bar = palette.color(qt.QPalette.WindowText), palette.color(qt.QPalette.Highlight)
    painter = qt.QPainter()
    painter.begin(pixmap)
    left, right, top, height = 8, width - 8, 14, 12
    along = round(left + probability * (right - left))
    cut = round(left + threshold * (right - left))
    painter.fillRect(left, top, max(along - left, 1), height, bar)
    painter.setPen(text)
    painter.drawRect(left, top, right - left, height)
    painter.fillRect(cut - 1, top - 4, 3, height + 8, text)
    words = _("threshold {percent:.0f} %").format(percent=100 * threshold)
    wide = 110
    painter.drawText(min(max(cut - wide // 2, 0), width - wide), 0, wide, top - 3, qt.Qt.AlignCenter, words)
    painter.drawText(left, top + height, 40, 14, qt.Qt.AlignLeft, "0 %")
    painter.drawText(right - 50, top + height, 50, 14, qt.Qt.AlignRight, "100 %")
    painter.end()
    return pixmap


def fill_table(table, headers, rows, wide: int = 0) -> None:
    """Show rows of text in a QTableWidget; the column `wide` takes the room that is left."""
    table.clear()
    table.setColumnCount(len(headers))
    table.setRowCount(len(rows))
    table.setHorizontalHeaderLabels(list(headers))
    for r, row in enumerate(rows):
        for c, text in enumerate(row):
            item = qt.QTableWidgetItem(str(text))
            item.setToolTip(str(text))  # a narrow panel may show less than all of it
            table.setItem(r, c, item)
    table.verticalHeader().setVisible(False)
    header = table.horizontalHeader()
    for c in range(len(headers)):
        mode = qt.QHeaderView.Stretch if c == wide else qt.QHeaderView.ResizeToContents
        header.setSectionResizeMode(c, mode)
    table.setWordWrap(False)
    table.resizeRowsToContents()
    table.updateGeometry()  # it is as high as its rows, by its size policy
