"""How an answer looks in the panel: words, the bar with its cut-off, the table of models."""

from html import escape

import qt
from TACEResponseLib.answer import words
from TACEResponseLib.answer.reading import cut_off

BAR_WIDTH, BAR_HEIGHT = 256, 66
#: Pixels that the words of the cut-off need at most.
MARK_WIDTH = 170
#: Pixels for each further line of a table's cell.
LINE_ROOM = 5
#: A table is at most so high; beyond it scrolls.
TABLE_HEIGHT = 370
#: Letters of a word that fit into a narrow panel, and the character at which a line may end in it.
LONGEST_WORD, BREAK = 24, "\u200b"
SIGN = "\u26a0"
#: Red that can be read on a light and on a dark background; a sign and words always stand beside it.
RED_ON_LIGHT, RED_ON_DARK = "#b3261e", "#ff8a80"


def warning_html(text: str, dark: bool) -> str:
    """`text` in red with a warning sign, for what must not be missed."""
    colour = RED_ON_DARK if dark else RED_ON_LIGHT
    return f'<span style="color:{colour}; font-weight:600">{SIGN} {escape(text)}</span>'  # not a text


def lines_html(texts) -> str:
    """One line a text, each with a warning sign."""
    return "<br>".join(f"<span>{SIGN} {escape(breakable(text))}</span>" for text in texts)


def breakable(text: str) -> str:
    """`text` with places inside its long words where a line may end, which nobody sees.

    A label is at least as wide as its longest word, and a feature's name is wider than the panel.
    """
    return " ".join(_breakable(word) if len(word) > LONGEST_WORD else word for word in text.split(" "))


def _breakable(word: str) -> str:
    parts = (word[n : n + LONGEST_WORD] for n in range(0, len(word), LONGEST_WORD))
    return BREAK.join(parts)


def is_dark(widget) -> bool:
    """Whether the widget's palette is a dark one."""
    return widget.palette.color(qt.QPalette.Window).lightness() < 128


def answer_html(prediction, dark: bool) -> str:
    """A banner where one is needed, the headline, the class in its colour, lesions, and who drew them."""
    read = prediction.reading()
    coloured = f'<span style="color:{read.hex(dark)}; font-weight:600">{{}}</span>'  # not a text
    headline = f"<big>{coloured if read.kind == 'outside' else '<b>{}</b>'}</big>"
    lines = [
        warning_html(read.banner, dark) if read.banner else "",
        headline.format(escape(read.headline)),
        coloured.format(escape(read.verdict)) if read.verdict else "",
        escape(words.lesions(prediction.lesions)),
        escape(prediction.outline.in_words()),
    ]
    return "<br>".join(filter(None, lines))


def similarity_html(similarity) -> str:
    """Whether the case is like the training cases, with a sign where it is not."""
    sentence = words.similarity(similarity)
    return lines_html([sentence]) if words.needs_care(similarity) else escape(breakable(sentence))


def certainty_html(prediction) -> str:
    """The instability, what cannot be excluded, and how the models agree: a line each."""
    return "<br>".join(escape(line) for line in words.certainty_lines(prediction))


def score_rows(scores) -> list[tuple[str, str]]:
    """Rows of text of the scores that could be computed: score and below it what it predicts, group."""
    return [(f"{score.title}\n{score.built_for}", score.text) for score in scores if not score.missing]


def bar_pixmap(label, prediction):
    """QPixmap: the probability as a bar on 0 to 100 %, with the cut-off and the instability.

    Always as wide, because a label never gets narrower than its picture.
    """
    width = BAR_WIDTH
    pixmap = qt.QPixmap(width, BAR_HEIGHT)
    palette = label.palette
    pixmap.fill(palette.color(qt.QPalette.Window))
    read, text = prediction.reading(), palette.color(qt.QPalette.WindowText)
    bar = qt.QColor(read.hex(is_dark(label)))
    painter = qt.QPainter()
    painter.begin(pixmap)
    left, right, top, height = 8, width - 8, 22, 12
    along, cut = (round(left + share * (right - left)) for share in (prediction.fused, prediction.threshold))
    painter.fillRect(left, top, max(along - left, 1), height, bar)
    painter.setPen(text)
    painter.drawRect(left, top, right - left, height)
    if read.has_side:
        painter.fillRect(cut - 1, top - 4, 3, height + 8, text)
        first, wide, place = _over(cut, width)
        painter.drawText(first, 0, wide, top - 4, place | qt.Qt.AlignVCenter, cut_off(prediction.threshold))
    _draw_instability(painter, prediction.certainty, left, right, top + height + 8, text)
    painter.drawText(left, BAR_HEIGHT - 16, 40, 15, qt.Qt.AlignLeft, "0 %")
    painter.drawText(right - 50, BAR_HEIGHT - 16, 50, 15, qt.Qt.AlignRight, "100 %")
    painter.end()
    return pixmap


def _over(x: int, width: int):
    """Where a text over `x` stands in a picture: its first pixel, its room and its side, never cut."""
    room = 2 * min(x, width - x)
    if room >= MARK_WIDTH:
        return x - room // 2, room, qt.Qt.AlignHCenter
    return 0, width, qt.Qt.AlignLeft if x < width // 2 else qt.Qt.AlignRight


def _draw_instability(painter, certainty, left: int, right: int, y: int, colour) -> None:
    """A line with two ends below the bar; nothing where the models of the folds are not known."""
    if certainty.instability is None:
        return
    first, last = (round(left + share * (right - left)) for share in certainty.instability)
    painter.fillRect(first, y, max(last - first, 1), 2, colour)
    for end in (first, last):
        painter.fillRect(end - 1, y - 4, 2, 10, colour)


def fill_table(table, headers, rows, wide: int = 0) -> None:
    """Show rows of text in a QTableWidget; the column `wide` takes the room that is left."""
    table.clear()
    table.setColumnCount(len(headers))
    table.setRowCount(len(rows))
    table.setHorizontalHeaderLabels(list(headers))
    for c, text in enumerate(headers):
        table.horizontalHeaderItem(c).setToolTip(text)
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
    for r, row in enumerate(rows):  # a letter of another font is higher, and Qt leaves out a line that is cut
        table.setRowHeight(r, table.rowHeight(r) + LINE_ROOM * max(str(text).count("\n") for text in row))
    # As high as its rows by number: a size that follows the contents would follow them in width too, and
    # make the panel wider with every answer.
    text_high = table.fontMetrics().lineSpacing() * (1 + max(text.count("\n") for text in headers))
    header_high = max(table.verticalHeader().defaultSectionSize, text_high + 6)
    header.setFixedHeight(header_high)
    rows_high = header_high + sum(table.rowHeight(r) for r in range(len(rows)))
    table.setFixedHeight(min(rows_high + 2 * table.frameWidth, TABLE_HEIGHT))
