"""What the documentation shows is run, so that it stays true."""

import ast
import re
import shlex

import pytest
import SimpleITK as sitk
from answers import an_answer
from conftest import ROOT
from TACEResponseLib.commands.options import command_line
from TACEResponseLib.follow_up.register import Register

PAGES = [ROOT / "README.md", *sorted((ROOT / "Docs").glob("*.md"))]


def blocks(page, language: str) -> list[str]:
    """The fenced code blocks of one language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def commands() -> list[str]:
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()]
    return [line.partition("  #")[0] for line in lines if line.startswith("tace-response")]


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_docs_is_one_that_the_command_line_takes(line):
    command_line().parse_args(shlex.split(line)[1:])


def test_the_python_example_of_the_readme_predicts(tmp_path, monkeypatch, phantom_case, capsys):
    sitk.WriteImage(phantom_case.image, str(tmp_path / "image.nrrd"))
    sitk.WriteImage(phantom_case.mask, str(tmp_path / "mask.nrrd"))
    monkeypatch.chdir(tmp_path)
    example = next(code for code in blocks(ROOT / "README.md", "python") if "load_bundle" in code)
    exec(compile(example, "README.md", "exec"), {})
    fused, threshold, diameter_mm = map(float, capsys.readouterr().out.split())
    assert 0 < fused < 1
    assert 0 < threshold < 1
    assert diameter_mm > 10


def test_the_python_example_of_the_register_audits(tmp_path, monkeypatch, capsys):
    with Register(tmp_path / "register.sqlite", create=True) as register:
        register.keep(an_answer(patient_id="0012"))
        register.record_outcome("0012", "PR")
    monkeypatch.chdir(tmp_path)
    (example,) = blocks(ROOT / "Docs" / "register.md", "python")
    exec(compile(example, "register.md", "exec"), {})
    assert capsys.readouterr().out.startswith("peng2021-0123456789ab 1 None ('There is no AUC")


def test_the_console_example_names_arguments_that_process_has():
    example = next(code for code in blocks(ROOT / "README.md", "python") if "TACEResponseLogic" in code)
    module = ast.parse((ROOT / "TACEResponse" / "TACEResponse.py").read_text(encoding="utf-8"))
    process = next(
        node for node in ast.walk(module) if isinstance(node, ast.FunctionDef) and node.name == "process"
    )
    taken = {argument.arg for argument in process.args.args}
    call = next(
        node
        for node in ast.walk(ast.parse(example))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "process"
    )
    assert {keyword.arg for keyword in call.keywords} <= taken


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_to_files_of_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"
