"""Every text that a person reads has its Chinese, and none stands in the code beside the road of texts."""

import ast
import json
import re
import string
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from conftest import ROOT
from jinja2 import Environment
from jinja2.ext import extract_from_ast
from TACEResponseLib.messages import language
from TACEResponseLib.messages.language import in_language, known, several, tr

MODULES = ROOT / "TACEResponse"
LIBRARY = MODULES / "TACEResponseLib"
CATALOGUES = LIBRARY / "messages" / "zh"
ROOMS = sorted(
    {path.relative_to(LIBRARY).parts[0] for path in LIBRARY.rglob("*.py")} - {"__init__.py", "compiled.py"}
)
#: The panels: Slicer's side and the two module files.
PANELS = [
    *sorted((MODULES / "TACEResponseSlicer").glob("*.py")),
    MODULES / "TACEResponse.py",
    ROOT / "TACEResponseTraining" / "TACEResponseTraining.py",
]
#: Functions whose literals are texts; an underscore is what Slicer's modules call `tr`.
ROAD = {"tr", "several", "mark", "_"}
#: A comment on a line of a string that is no text: a pattern, a formula, a line of a file format.
NO_TEXT = "# not a text"
#: A card is part of its bundle, whose identity is a hash, and goes to other hospitals; a paper has its own
#: title. Both are English in every language of the program.
ALWAYS_ENGLISH = {LIBRARY / "report" / name for name in ("model_card.py", "updated_card.py", "sources.py")}
#: Errors of ours, for programmers, that no user meets.
FOR_PROGRAMMERS = {
    "ValueError",
    "TypeError",
    "RuntimeError",
    "AssertionError",
    "NotImplementedError",
    "KeyError",
}
#: Properties of a widget in a `.ui` file that people read.
READ_OF_A_WIDGET = ("text", "toolTip", "title", "placeholderText", "specialValueText", "suffix")
TWO_WORDS = re.compile(r"[A-Za-z]{2,}[,;:]? [A-Za-z]{2,}")


def files_of(room: str) -> list[Path]:
    if room == "panels":
        return PANELS
    place = LIBRARY / room
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def is_log(node: ast.Call) -> bool:
    """Whether a call writes a line of a log, which developers read."""
    return isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "logging"


def texts_of(path: Path) -> set[str]:
    """The literals that the code of a file gives to the road of texts."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and called(node) in ROAD:
            for argument in node.args:
                found |= {
                    part.value
                    for part in ast.walk(argument)
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                }
    return found


def catalogue() -> dict[str, str]:
    with in_language("zh"):
        return dict(language._catalogue("zh"))


def fields(text: str) -> list[tuple[str, str]]:
    """Names in braces with how they are written, sorted: {share:.1f} is ("share", ".1f")."""
    return sorted({(name, spec) for _, name, spec, _ in string.Formatter().parse(text) if name is not None})


@pytest.mark.parametrize("room", [*ROOMS, "panels"])
def test_every_text_of_a_room_has_its_chinese(room):
    chinese = catalogue()
    missing = [
        f"{path.relative_to(ROOT)}: {text}"
        for path in files_of(room)
        for text in sorted(texts_of(path))
        if text not in chinese
    ]
    assert missing == []


def test_the_catalogues_hold_no_text_that_is_not_said():
    said = {text for room in [*ROOMS, "panels"] for path in files_of(room) for text in texts_of(path)}
    said |= texts_of_windows()
    said |= {text for page in LIBRARY.rglob("*.html") for text in texts_of_page(page)}
    assert sorted(set(catalogue()) - said) == []


def test_braces_are_the_same_in_both_languages():
    differing = {
        english: chinese for english, chinese in catalogue().items() if fields(english) != fields(chinese)
    }
    assert differing == {}


def test_no_text_has_two_chinese_texts():
    met, two = {}, {}
    for file in sorted(CATALOGUES.glob("*.json")):
        for english, chinese in json.loads(file.read_text(encoding="utf-8")).items():
            if met.setdefault(english, chinese) != chinese:
                two[english] = (met[english], chinese)
    assert two == {}


@pytest.mark.parametrize("room", [*ROOMS, "panels"])
def test_no_text_stands_beside_the_road(room):
    assert [text for path in files_of(room) for text in beside_the_road(path)] == []


def beside_the_road(path: Path) -> list[str]:
    """Literals of two words and more that are neither given to the road nor marked as no text."""
    if path in ALWAYS_ENGLISH:
        return []
    source = path.read_text(encoding="utf-8")
    lines, tree = source.splitlines(), ast.parse(source)
    passed = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (called(node) in ROAD | FOR_PROGRAMMERS or is_log(node)):
            passed |= {id(part) for part in ast.walk(node)}
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            passed.add(id(node.value))  # documentation
        elif isinstance(node, (ast.AnnAssign, ast.arg, ast.FunctionDef)):
            annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
            passed |= {id(part) for part in ast.walk(annotation)} if annotation else set()
    found = []
    for node in ast.walk(tree):
        if id(node) in passed:
            continue
        if isinstance(node, ast.JoinedStr):
            said = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            passed |= {id(part) for part in node.values if isinstance(part, ast.Constant)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            said = node.value
        else:
            continue
        span = lines[node.lineno - 1 : node.end_lineno]
        if TWO_WORDS.search(said) and not any(NO_TEXT in line for line in span):
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {said}")
    return found


def texts_of_page(page: Path) -> set[str]:
    """The texts of a template: `{{ tr("Warnings") }}`."""
    tree = Environment().parse(page.read_text(encoding="utf-8"))
    found = set()
    for _line, _function, said in extract_from_ast(tree, tuple(ROAD)):
        found |= set(said) if isinstance(said, tuple) else {said}
    return found - {None}


def texts_of_windows() -> set[str]:
    """The texts of the `.ui` files."""
    files = sorted(ROOT.glob("*/Resources/UI/*.ui"))
    return {
        string.text
        for file in files
        for name in READ_OF_A_WIDGET
        for string in ElementTree.parse(file).iterfind(f".//property[@name='{name}']/string")
        if (string.text or "").strip()
    }


def test_every_text_of_a_window_has_its_chinese():
    assert len(texts_of_windows()) > 100
    assert sorted(texts_of_windows() - set(catalogue())) == []


def test_every_text_of_a_template_has_its_chinese():
    chinese = catalogue()
    missing = {
        page.name: lacking
        for page in LIBRARY.rglob("*.html")
        if (lacking := sorted(texts_of_page(page) - set(chinese)))
    }
    assert missing == {}


def test_a_text_is_said_in_the_language_of_its_reader():
    assert tr("... and {n} more", n=3) == "... and 3 more"
    with in_language("zh_CN.UTF-8"):
        assert tr("... and {n} more", n=3) == "……另有 3 项"
        assert tr("A text without Chinese") == "A text without Chinese"
    assert several(1, "1 case", "{n} cases") == "1 case"
    assert several(0, "1 case", "{n} cases") == "0 cases"


@pytest.mark.parametrize(
    ("code", "expected"),
    [("zh-CN", "zh"), ("zh", "zh"), ("zh_Hans", "zh"), ("zh-TW", "en"), ("fr", "en"), ("", "en")],
)
def test_languages_that_have_a_catalogue(code, expected):
    assert known(code) == expected


def test_a_language_is_that_of_the_child_process_as_well(monkeypatch):
    import os
    import subprocess
    import sys

    monkeypatch.setattr(language, "_spoken", "en")
    monkeypatch.setitem(os.environ, language.VARIABLE, "en")
    language.speak("zh-CN")
    code = (
        f"import sys; sys.path.insert(0, {str(MODULES)!r});"
        "from TACEResponseLib.messages.language import tr, language_tag;"
        "print(ascii(tr('cancelled')), language_tag())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == [ascii("已取消"), "zh-CN"]
