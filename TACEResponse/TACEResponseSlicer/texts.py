"""Texts of the panels in Slicer's own language: the one that its settings name when it starts.

The road is the library's (`TACEResponseLib.messages.language`), so that a panel, an answer and a page
speak alike, and a text has its Chinese in one place. Slicer changes its language at its next start.
"""

import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import slicer
from TACEResponseLib.messages.language import language, listed, speak, tr

__all__ = ["listed", "load_ui", "tr"]

#: Properties of a widget that people read.
READ = ("text", "toolTip", "title", "placeholderText", "specialValueText", "suffix")


def application_language() -> str:
    """What Slicer's settings say, such as "zh-CN"; "" where its texts stay English."""
    if not hasattr(slicer, "app"):  # MRML in a plain Python, without the application
        return ""
    settings = slicer.app.userSettings()
    enabled = str(settings.value("Internationalization/Enabled")).lower() in ("true", "1")
    return str(settings.value("language") or "") if enabled else ""


def load_ui(path: str):
    """The widget of a `.ui` file, in the language of the application."""
    if language() == "en":
        return slicer.util.loadUI(path)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(path).name
        file.write_bytes(translated(Path(path).read_bytes()))
        return slicer.util.loadUI(str(file))


def translated(ui: bytes) -> bytes:
    """The content of a `.ui` file with every text that people read in the language that is spoken."""
    tree = ElementTree.fromstring(ui)
    for string in strings_of(tree):
        string.text = tr(string.text)
    return ElementTree.tostring(tree, encoding="utf-8", xml_declaration=True)


def strings_of(tree: ElementTree.Element) -> list[ElementTree.Element]:
    """The elements of a `.ui` file that hold a text for people."""
    found = [tree.findall(f".//property[@name='{name}']/string") for name in READ]
    return [string for strings in found for string in strings if (string.text or "").strip()]


speak(application_language())
