"""`python Testing/slicer_host/pictures.py FOLDER`: both panels, at three widths, light and dark, as pictures.

A sheet for each language (`panels-en.png`, `panels-zh.png`): the upper row is the panel that predicts,
with the demonstration model's answer for the sample patient, the lower row the one that trains. The
pictures are those of the tests of the panels, which also look for texts that are cut.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
TESTS = ("inside_prediction.py", "inside_training.py")
CHOICE = "whole_answer or clipped"
ROWS = ("answered", "training")
LOOKS = [f"{width}{dark}" for dark in ("", "-dark") for width in (330, 480, 800)]
GAP = 16


def main(folder: Path) -> None:
    """Run the tests that take the pictures, and put these together."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6 import QtGui, QtWidgets

    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    with tempfile.TemporaryDirectory() as taken:
        for test in TESTS:
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", CHOICE]
            environment = {**os.environ, "TACE_SCREENSHOTS": taken}
            subprocess.run([*command, str(FOLDER / test)], env=environment, check=True)
        for language in ("en", "zh"):
            rows = [
                [QtGui.QImage(str(Path(taken) / f"{row}-{language}-{look}.png")) for look in LOOKS]
                for row in ROWS
            ]
            sheet(rows).save(str(folder / f"panels-{language}.png"))
    del application


def sheet(rows: list[list]):
    """Pictures beside each other, a row below the other."""
    from PySide6 import QtGui

    widths = [sum(picture.width() + GAP for picture in row) + GAP for row in rows]
    heights = [max(picture.height() for picture in row) + GAP for row in rows]
    paper = QtGui.QImage(max(widths), sum(heights) + GAP, QtGui.QImage.Format_RGB32)
    paper.fill(QtGui.QColor("white"))
    painter, y = QtGui.QPainter(paper), GAP
    for row, height in zip(rows, heights, strict=True):
        x = GAP
        for picture in row:
            painter.drawImage(x, y, picture)
            x += picture.width() + GAP
        y += height
    painter.end()
    return paper


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
