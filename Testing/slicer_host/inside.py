"""Runs a file of tests in a process of its own, where `slicer`, `qt` and `ctk` are the host's.

The host enters modules and an application into its process and never takes them out again, so
tests that need it stay apart; outside, every one of them is reported as a test of its own.
"""

import ast
import functools
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

FOLDER = Path(__file__).resolve().parent
NEEDED = {"slicer": "slicer-core", "PySide6": "PySide6-Essentials"}


def names(file: str) -> list[str]:
    """The test functions of a file of this folder, in their order."""
    tree = ast.parse((FOLDER / file).read_text(encoding="utf-8"))
    return [n.name for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]


def report(file: str, name: str) -> None:
    """Pass, fail or skip as the test of this name did inside."""
    missing = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed here, so no panel can be opened")
    outcomes, output = _run(file)
    if name not in outcomes:
        pytest.fail(f"the process ended before {name}:\n{output[-4000:]}")
    kind, text = outcomes[name]
    if kind == "skipped":
        pytest.skip(text)
    if kind != "passed":
        pytest.fail(text, pytrace=False)


@functools.cache
def _run(file: str) -> tuple[dict[str, tuple[str, str]], str]:
    """Test name -> (outcome, text) and the whole output; runs once."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={results}"]
        done = subprocess.run(
            [*command, str(FOLDER / file)],
            cwd=FOLDER.parents[1],
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=900,
            check=False,
        )
        output = done.stdout + done.stderr
        if not results.exists():
            return {}, output
        outcomes = {}
        for case in ElementTree.parse(results).getroot().iter("testcase"):
            name = case.get("name").partition("[")[0]  # the worst of all its parameters counts
            outcomes[name] = min(outcomes.get(name, ("passed", "")), _outcome(case), key=_badness)
        return outcomes, output


def _badness(outcome: tuple[str, str]) -> int:
    return ("failed", "skipped", "passed").index(outcome[0])


def _outcome(case) -> tuple[str, str]:
    for kind in ("failure", "error", "skipped"):
        found = case.find(kind)
        if found is not None:
            text = found.get("message", "") if kind == "skipped" else found.text or ""
            return ("skipped" if kind == "skipped" else "failed"), text
    return "passed", ""
