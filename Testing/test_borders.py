"""Borders that a machine checks: who may import whom, style, and what never enters the library."""

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
