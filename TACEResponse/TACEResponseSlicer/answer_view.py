"""How an answer looks in the panel: words, the bar with its threshold, the table of models."""

from html import escape

import qt
from slicer.i18n import tr as _

BAR_HEIGHT = 62
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


def similarity_html(similarity) -> str:
    """Whether the case is like the training cases, with a sign where it is not."""
    sentence = escape(similarity.sentence())
    return sentence if similarity.verdict == "inside" else f"<span>{SIGN} {sentence}</span>"


def certainty_html(certainty) -> str:
    """The interval, what cannot be excluded, and how the models agree: a line each."""
    lines = [certainty.sentence(), certainty.agreement]
    if certainty.low is not None:
        interval = _("{level:.0f} % interval {low:.0f} % to {high:.0f} %, from the models of the folds")
        lines.insert(
            0,
            interval.format(level=100 * certainty.level, low=100 * certainty.low, high=100 * certainty.high),
        )
    return "<br>".join(escape(line) for line in lines)


def score_rows(scores) -> list[tuple[str, str, str]]:
    """Rows of text of the scores that could be computed: score, its group, what it was built for."""
    return [(score.title, score.text, score.built_for) for score in scores if not score.missing]


def lacking_text(scores) -> str:
    """The scores that could not be computed, and the items that they lack; empty when there are none."""
    lacking = [score for score in scores if score.missing]
    if not lacking:
        return ""
    items = dict.fromkeys(item for score in lacking for item in score.missing)
    return _("NA: {scores}; missing: {items}").format(
        scores=", ".join(score.title for score in lacking), items=", ".join(items)
    )


def bar_pixmap(label, prediction):
    """QPixmap as wide as `label`: the probability as a bar on 0 to 100 %, threshold and interval on it."""
    width = max(label.width, 200)
    pixmap = qt.QPixmap(width, BAR_HEIGHT)
    palette = label.palette
    pixmap.fill(palette.color(qt.QPalette.Window))
    text, bar = palette.color(qt.QPalette.WindowText), palette.color(qt.QPalette.Highlight)
    painter = qt.QPainter()
    painter.begin(pixmap)
    left, right, top, height = 8, width - 8, 18, 12
    along, cut = (round(left + share * (right - left)) for share in (prediction.fused, prediction.threshold))
    painter.fillRect(left, top, max(along - left, 1), height, bar)
    painter.setPen(text)
    painter.drawRect(left, top, right - left, height)
    painter.fillRect(cut - 1, top - 4, 3, height + 8, text)
    words = _("threshold {percent:.0f} %").format(percent=100 * prediction.threshold)
    wide = 110
    painter.drawText(min(max(cut - wide // 2, 0), width - wide), 0, wide, top - 4, qt.Qt.AlignCenter, words)
    _draw_interval(painter, prediction.certainty, left, right, top + height + 8, text)
    painter.drawText(left, BAR_HEIGHT - 16, 40, 15, qt.Qt.AlignLeft, "0 %")
    painter.drawText(right - 50, BAR_HEIGHT - 16, 50, 15, qt.Qt.AlignRight, "100 %")
    painter.end()
    return pixmap


def _draw_interval(painter, certainty, left: int, right: int, y: int, colour) -> None:
    """A line with two ends below the bar; nothing where there is no interval."""
    if certainty.low is None:
        return
    first, last = (round(left + share * (right - left)) for share in (certainty.low, certainty.high))
    painter.fillRect(first, y, max(last - first, 1), 2, colour)
    for end in (first, last):
        painter.fillRect(end - 1, y - 4, 2, 10, colour)


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
