"""Borders that a machine checks: who may import whom, style, and what never enters the library."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

LIBRARY = ROOT / "TACEResponse" / "TACEResponseLib"
SCIENCE = sorted(
    path.relative_to(LIBRARY.parent).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for path in LIBRARY.rglob("*.py")
)
BLOCK = """
import sys
class Border:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("slicer", "qt", "ctk", "vtk"):
            raise ImportError(f"the science imports {name}")
sys.meta_path.insert(0, Border())
"""


def python(code: str) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter that finds the library."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(LIBRARY.parent)!r})\n{code}"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_every_science_file_imports_with_slicer_qt_ctk_and_vtk_blocked():
    imports = "\n".join(f"import {name}" for name in SCIENCE if not name.endswith("__main__"))
    result = python(f"{BLOCK}\n{imports}")
    assert result.returncode == 0, result.stderr


def test_the_border_would_notice_an_import_of_slicer():
    result = python(f"{BLOCK}\nimport slicer")
    assert "the science imports slicer" in result.stderr


def rooms_in_order() -> list[str]:
    """The rooms of the library as `Docs/development.md` lists them, those first that import least."""
    text = (ROOT / "Docs" / "development.md").read_text(encoding="utf-8")
    table = text[text.index("| room | holds |") :].split("\n\n")[0]
    return re.findall(r"^\| `([\w/.]+)` \|", table, re.MULTILINE)


def imports_of(path: Path) -> set[Path]:
    """Files of the library that a file imports, anywhere in it, for types only or not."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = path.parent
            for _ in range(node.level - 1):
                base = base.parent
            module = node.module or ""
            if not node.level:
                if module.partition(".")[0] != LIBRARY.name:
                    continue
                base, module = LIBRARY, module.partition(".")[2]
            place = base.joinpath(*module.split(".")) if module else base
            for alias in node.names:
                below = place / alias.name
                candidates = (below.with_suffix(".py"), below / "__init__.py")
                inner = next((file for file in candidates if file.is_file()), None)
                found.add(inner or (place / "__init__.py" if place.is_dir() else place.with_suffix(".py")))
    return found - {path}


def room_of(path: Path) -> str:
    first, *rest = path.relative_to(LIBRARY).parts
    return f"{first}/" if rest else first


def test_every_room_is_in_the_table_and_imports_only_from_those_above_it():
    order = rooms_in_order()
    files = sorted(LIBRARY.rglob("*.py"))
    version = LIBRARY / "__init__.py"  # holds the version alone, which anybody may name
    assert {room_of(path) for path in files if path != version} == set(order)
    wrong = [
        f"{path.relative_to(LIBRARY)} imports {other.relative_to(LIBRARY)}"
        for path in files
        for other in imports_of(path) - {version}
        if path != version
        and room_of(path) != room_of(other)
        and order.index(room_of(other)) > order.index(room_of(path))
    ]
    assert wrong == []


def test_no_files_import_each_other_in_a_circle():
    # A package's own files may name what stands in its __init__: that is its face.
    uses = {path: imports_of(path) - {path.parent / "__init__.py"} for path in LIBRARY.rglob("*.py")}
    while free := [path for path, others in uses.items() if not others & set(uses)]:
        for path in free:
            del uses[path]
    assert sorted(str(path.relative_to(LIBRARY)) for path in uses) == []


def test_ruff_finds_nothing():
    ruff = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ruff.returncode == 0, ruff.stdout + ruff.stderr
    style = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", "--no-cache", str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert style.returncode == 0, style.stdout + style.stderr


@pytest.mark.parametrize("heavy", ["keras", "tensorflow", "torch", "jax", "numba", "sklearn", "pandas"])
def test_the_library_itself_imports_nothing_heavy(heavy):
    result = python(f"import TACEResponseLib, TACEResponseLib.bundle\nprint({heavy!r} in sys.modules)")
    assert result.stdout.strip() == "False", result.stdout + result.stderr


def test_predicting_imports_no_deep_learning_framework():
    result = python(
        "import TACEResponseLib.answer.response_model, TACEResponseLib.bundle.files\n"
        "print([n for n in ('keras', 'tensorflow', 'torch', 'jax') if n in sys.modules])"
    )
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_no_tracked_file_has_windows_line_ends_or_is_larger_than_five_megabytes():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, tracked.stdout.decode().split("\0")):
        path = ROOT / name
        if not path.exists():
            continue
        content = path.read_bytes()
        assert len(content) < 5_000_000, f"{name} is larger than 5 MB"
        if Path(name).suffix in {".py", ".md", ".txt", ".toml", ".ui", ".json", ".html", ".csv"}:
            assert b"\r\n" not in content, f"{name} has Windows line ends"


#: Texts of two words that nobody reads as a sentence: names of data, of the sample, of contributors.
NOT_READ = {
    "3D Slicer scene", "TACE sample patient", "TACEResponse contributors", "exit abnormally", "one click",
    "portal venous", "probability of response",
}  # fmt: skip
#: Calls whose texts are translated, or written for developers.
SPARED = {"_", "translate", "connect", "info", "warning"}


def untranslated(tree: ast.Module) -> list[str]:
    """Texts of at least two words that are no docstring and go through no translation."""
    spared = set()
    for node in ast.walk(tree):
        name = getattr(node, "func", None)
        if isinstance(node, ast.ClassDef) and node.name.endswith("Test"):
            spared |= set(ast.walk(node))
        if name is not None and getattr(name, "id", getattr(name, "attr", "")) in SPARED:
            spared |= set(ast.walk(node))
        if isinstance(node, ast.Expr):
            spared |= set(ast.walk(node)) if isinstance(node.value, ast.Constant) else set()
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and n not in spared]
    words = re.compile(r"^[^<>;#]*[A-Za-z]{2,} [A-Za-z]+[^<>;#]*$")
    return [text for text in texts if isinstance(text, str) and words.match(text) and text not in NOT_READ]


def test_every_text_of_the_panels_goes_through_translation():
    files = [*(LIBRARY.parent / "TACEResponseSlicer").glob("*.py"), LIBRARY.parent / "TACEResponse.py"]
    files.append(ROOT / "TACEResponseTraining" / "TACEResponseTraining.py")
    found = {path.name: untranslated(ast.parse(path.read_text(encoding="utf-8"))) for path in files}
    assert {name: texts for name, texts in found.items() if texts} == {}
    assert untranslated(ast.parse('label.text = "Choose a CT"')) == ["Choose a CT"]
