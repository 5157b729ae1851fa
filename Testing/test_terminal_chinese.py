"""The terminal in Chinese: help, faults, answers and tables; data, keys and exit codes as in English.

Sentences that other rooms make are not looked at here: `test_language.py` finds those without Chinese.
"""

import argparse
import inspect
import io
import json
import os
import re
import subprocess
import sys

import pytest
import SimpleITK as sitk
from answers import an_answer
from conftest import ROOT
from scenes import a_scene, as_labelmap
from TACEResponseLib.__main__ import main
from TACEResponseLib.commands.options import command_line
from TACEResponseLib.commands.parser import ARGPARSE, asked_language
from TACEResponseLib.commands.training import _performance_text
from TACEResponseLib.follow_up.register import Register
from TACEResponseLib.messages import language
from TACEResponseLib.messages.language import in_language, width

COMMANDS = tuple(command_line().commands)
CHINESE = re.compile(r"[\u4e00-\u9fff]")
FOUR_WORDS = re.compile(r"[A-Za-z]+(?:[,;:]? [A-Za-z]+){3}")
#: What is copied into a terminal and stays as it is: lines of examples.
COPIED = re.compile(r"^  tace-response .*$", flags=re.MULTILINE)


@pytest.fixture(autouse=True)
def english_before_and_after(monkeypatch):
    """The language is one for a process: what a test speaks is unsaid after it."""
    monkeypatch.setattr(language, "_spoken", "en")
    monkeypatch.setitem(os.environ, language.VARIABLE, "en")
    monkeypatch.setenv("COLUMNS", "80")


def printed(capsys, *arguments):
    """Exit code, standard output and error stream of a run that may end in the parser."""
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as end:
        code = end.code or 0
    return code, *capsys.readouterr()


def run_apart(*arguments, **environment) -> subprocess.CompletedProcess:
    """The program in a process of its own, with what it wrote as bytes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "TACEResponse"), **environment}
    command = [sys.executable, "-m", "TACEResponseLib", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, check=False)


def close(text: str) -> str:
    """Without spaces: those between sentences are of `messages`."""
    return text.replace(" ", "")


def parser_of(name: str):
    parser = command_line()
    return parser.commands.get(name, parser)


@pytest.mark.parametrize("name", ["tace-response", *COMMANDS])
def test_help_in_chinese_holds_no_english_sentence_and_fits_its_terminal(name):
    with in_language("zh"):
        text = parser_of(name).format_help()
    usage, _, said = text.partition("\n\n")
    assert usage.startswith("用法： tace-response")
    assert FOUR_WORDS.findall(" ".join(COPIED.sub("", said).split())) == []
    assert re.findall(r"^\S.*:$", said, flags=re.MULTILINE) == []  # a heading with the colon of English
    lines = text.partition("示例：")[0].splitlines()
    assert max(map(width, lines)) <= 80
    indent = len("用法：") * 2 + len(f" tace-response {name} ")
    assert all(line.startswith(" " * indent) for line in usage.splitlines()[1:]) or name == "tace-response"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_chinese_sentence_with_its_default(name):
    with in_language("zh"):
        actions = parser_of(name)._actions
    for action in actions:
        assert CHINESE.search(action.help) and action.help.endswith("。"), action.dest
        if action.default not in (None, False, "", [], argparse.SUPPRESS):
            assert "（默认：%(default)s" in action.help, action.dest


def test_chinese_keeps_what_argparse_fills_in():
    with in_language("zh"):
        catalogue = language._catalogue("zh")
    filled = re.compile(r"%\(\w+\)[rs]|%[rs]")
    differing = [
        english
        for english, chinese in catalogue.items()
        if sorted(filled.findall(english)) != sorted(filled.findall(chinese))
    ]
    assert differing == []


def test_argparse_of_this_python_says_what_the_catalogue_translates():
    source = inspect.getsource(argparse)
    assert [text for text in ARGPARSE if text not in source] == []
    assert "as _, ngettext" in source


@pytest.mark.parametrize("name", ["tace-response", *COMMANDS])
def test_without_the_option_everything_is_english(capsys, name):
    given = [] if name == "tace-response" else [name]
    code, out, err = printed(capsys, *given, "--help")
    language.speak("zh")
    with in_language("en"):
        assert (code, out, err) == (0, parser_of(name).format_help(), "")
    assert not CHINESE.search(out)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["predcit"], "tace-response：没有命令“predcit”。您是想用 predict 吗？"),
        (["xyz"], "tace-response：没有命令“xyz”。"),
        (
            ["predict", "--out", "o", "--imgae=c"],
            "tace-response predict：没有选项 --imgae。您是想用 --image 吗？",
        ),
        (["predict", "--out", "o", "--qqq"], "tace-response predict：没有选项 --qqq。"),
        (["predict", "--out", "o", "ct.nii"], "tace-response predict：“ct.nii”不属于任何选项。"),
        (["predict"], "tace-response predict：缺少必填的参数：--out。"),
        (["predict", "--out"], "tace-response predict：参数 --out：需要一个值。"),
        (
            ["predict", "--s"],
            "tace-response predict：选项 --s 不明确，可能是 --segment, --series, --show-identifier。",
        ),
        (["demo", "--seed", "x"], "tace-response demo：参数 --seed：值 'x' 无效，类型应为 int。"),
        (["demo", "--json=3"], "tace-response demo：参数 --json：该选项不带值，却给出了 '3'。"),
        (
            ["extract", "--cohort", "c", "--out", "o", "--backend", "x"],
            "tace-response extract：参数 --backend：值 'x' 无效，可选：'loky', 'dask'。",
        ),
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_a_fault_of_the_command_line_is_a_chinese_sentence(capsys, given, sentence, before):
    chinese = ["--language", "zh"]
    code, out, err = printed(capsys, *([*chinese, *given] if before else [*given, *chinese]))
    program = sentence.partition("：")[0]
    expected = f"{sentence}\n请参阅 {program} --help。\n"
    # Newer Pythons list choices without quotes.
    assert (code, out, err.replace("'", "")) == (2, "", expected.replace("'", ""))
    language.speak("en")
    english = printed(capsys, *given)
    assert english[0] == 2
    assert not CHINESE.search(english[2])


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (["--language", "zh", "demo"], "zh"),
        (["demo", "--language=zh"], "zh"),
        (["demo", "--lang", "zh"], "zh"),
        (["demo", "--language"], None),
        (["predict", "--label", "2", "--lesions", "3"], None),
    ],
)
def test_the_language_is_known_before_the_parser(given, asked):
    assert asked_language(given)[0] == asked


def test_a_language_without_a_catalogue_is_refused(capsys):
    code, _, err = printed(capsys, "demo", "--language", "de")
    assert (code, language.language()) == (2, "en")
    assert err.startswith("tace-response demo: argument --language: invalid choice: 'de'")


def test_the_language_alone_shows_the_help_and_the_environment_is_asked_where_it_is_not_given(capsys):
    code, out, _ = printed(capsys, "--language", "zh")
    assert (code, out[:3]) == (0, "用法：")
    chinese = {language.VARIABLE: "zh", "PYTHONIOENCODING": "utf-8"}
    assert run_apart("--help", **chinese).stdout.decode("utf-8").splitlines() == out.splitlines()
    assert run_apart("--help", "--language", "en", **chinese).stdout.startswith(b"usage: ")


@pytest.mark.parametrize(
    ("stream", "written"), [("ascii", "utf-8"), ("cp1252", "utf-8"), ("gb18030", "gb18030")]
)
def test_a_pipe_takes_chinese_whatever_its_code_page(stream, written):
    done = run_apart("predict", "--help", "--language", "zh", PYTHONIOENCODING=stream)
    assert done.stdout.decode(written).startswith("用法： tace-response predict")
    failed = run_apart("predict", "--out", "o", "--language", "zh", PYTHONIOENCODING=stream)
    said = failed.stderr.decode(written)
    assert close(said).startswith(close("没有可预测的对象。应为 --image 和 --mask，或 --cohort。"))
    assert (done.returncode, failed.returncode) == (0, 2)


def test_a_terminal_keeps_its_code_page(monkeypatch, capsys):
    class Terminal(io.TextIOWrapper):
        def isatty(self):
            return True

    terminal = Terminal(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr("sys.stdout", terminal)
    with pytest.raises(SystemExit):
        main(["demo", "--help", "--language", "zh"])
    terminal.flush()
    assert terminal.buffer.getvalue().startswith(rb"\u7528\u6cd5\uff1a tace-response demo")


def test_workers_beside_each_other_speak_the_language_too():
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'TACEResponse')!r})\n"
        "from TACEResponseLib.messages.language import language, speak\n"
        "from TACEResponseLib.resumable.workers import in_any_order\n"
        "speak('zh')\n"
        "how = {'jobs_in_parallel': 2, 'threads': 1, 'backend': 'loky', 'scheduler': None}\n"
        "print(list(in_any_order(language, [(), (), ()], **how)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['zh', 'zh', 'zh']\n"


@pytest.fixture(scope="module")
def patient(tmp_path_factory, phantom_case):
    """Folder with the CT and the mask of the phantom patient, and a mask without a voxel."""
    folder = tmp_path_factory.mktemp("patient")
    sitk.WriteImage(phantom_case.image, str(folder / "image.nrrd"))
    sitk.WriteImage(phantom_case.mask, str(folder / "mask.nrrd"))
    image, segments = a_scene()
    sitk.WriteImage(image, str(folder / "scene.nrrd"))
    sitk.WriteImage(as_labelmap(image, segments) * 0, str(folder / "empty.nrrd"))
    return folder


def keys(content):
    """What is there but for the texts: keys, and how many of what kind."""
    if isinstance(content, dict):
        return {key: keys(value) for key, value in content.items()}
    if isinstance(content, list):
        return [keys(value) for value in content]
    return type(content).__name__


def events(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_prediction_in_chinese_has_the_keys_and_numbers_of_english(patient, tmp_path, capsys):
    given = ["predict", "--image", patient / "image.nrrd", "--mask", patient / "mask.nrrd"]
    given += ["--out", tmp_path]
    english = printed(capsys, *given, "--json")
    chinese = printed(capsys, *given, "--json", "--language", "zh")
    last, last_chinese = events(english[1])[-1], events(chinese[1])[-1]
    assert (english[0], chinese[0], last["event"], last_chinese["event"]) == (0, 0, "done", "done")
    assert keys(last) == keys(last_chinese)
    prediction, prediction_chinese = last["prediction"], last_chinese["prediction"]
    for key in ("patient_id", "bundle_id", "fused", "responder", "probabilities", "lesions"):
        assert prediction[key] == prediction_chinese[key], key
    assert prediction["similarity"]["verdict"] == prediction_chinese["similarity"]["verdict"]


def test_the_files_of_a_prediction_are_named_in_chinese(patient, tmp_path, capsys, monkeypatch):
    service = "TACEResponseLib.service.PredictionService"
    monkeypatch.setattr(f"{service}.predict", lambda *_, **__: an_answer(patient_id="P1"))
    monkeypatch.setattr(f"{service}.report", lambda *_, **__: tmp_path / "out" / "report.html")
    given = ["predict", "--image", patient / "image.nrrd", "--mask", patient / "mask.nrrd", "--patient", "P1"]
    given += ["--out", tmp_path / "out", "--register", tmp_path / "register.sqlite"]
    code, out, _ = printed(capsys, *given, "--language", "zh")
    assert code == 0
    # What stands before is of `answer` and `report`.
    assert out.splitlines()[-2:] == [
        f"页面：{tmp_path / 'out' / 'report.html'}",
        f"登记簿：{tmp_path / 'register.sqlite'}",
    ]


def test_a_response_is_recorded_in_chinese_with_the_keys_of_english(tmp_path, capsys):
    register = tmp_path / "register.sqlite"
    with Register(register, create=True) as opened:
        opened.keep(an_answer(patient_id="P1"))
    given = ["follow-up", "--register", register, "--patient", "P1", "--response", "PR"]
    english = events(printed(capsys, *given, "--json")[1])
    chinese = events(printed(capsys, *given, "--replace", "--json", "--language", "zh")[1])
    assert english == chinese
    code, out, _ = printed(capsys, *given, "--replace", "--language", "zh")
    assert code == 0
    observed, predicted = "患者 P1：观察到的应答为 PR（应答）", r"预测为(非)?应答者（.+：.+ %，截断值 .+ %）"
    assert re.match(rf"{observed}，{predicted}：与预测(相|不)符。模型 ", out)


def test_a_check_is_told_in_chinese_with_the_keys_of_english(patient, tmp_path, capsys):
    rows = [
        f"P1,{patient}/image.nrrd,{patient}/mask.nrrd,1",
        f"P2,{patient}/scene.nrrd,{patient}/empty.nrrd,0",
    ]
    text = "\n".join(["patient_id,image,mask,label", *rows])
    (tmp_path / "cohort.csv").write_text(text, encoding="utf-8")
    given = ["check", "--cohort", tmp_path, "--jobs", "1"]
    code, english, _ = printed(capsys, *given, "--json")
    code_chinese, chinese, _ = printed(capsys, *given, "--json", "--language", "zh")
    assert (code, code_chinese) == (1, 1)
    assert [keys(event) for event in events(english)] == [keys(event) for event in events(chinese)]
    codes = ("event", "verdict", "patient_id", "ok", "warning", "error", "counts")
    for event, event_chinese in zip(events(english), events(chinese), strict=True):
        assert [event.get(key) for key in codes] == [event_chinese.get(key) for key in codes]
        for one, other in zip(event.get("problems", ()), event_chinese.get("problems", ()), strict=True):
            assert (one["kind"], one["field"]) == (other["kind"], other["field"])
    # What is printed is of `cohorts`; the frame of a problem is of `messages`.
    assert "患者 P2" in printed(capsys, *given, "--language", "zh")[1]


@pytest.mark.parametrize("missing", ["image", "mask"])
def test_a_missing_file_is_the_same_fault_in_both_languages(capsys, tmp_path, missing):
    for name in {"image", "mask"} - {missing}:
        (tmp_path / name).touch()
    given = ["predict", "--image", tmp_path / "image", "--mask", tmp_path / "mask", "--out", tmp_path / "out"]
    english = printed(capsys, *given, "--json")
    chinese = printed(capsys, *given, "--json", "--language", "zh")
    assert english[0] == chinese[0] == 2
    assert [(e["event"], e["kind"]) for e in events(english[1])] == [("error", "input")]
    assert [(e["event"], e["kind"]) for e in events(chinese[1])] == [("error", "input")]
    # The clause is of `readers`; the frame is of `messages`.
    sentence = printed(capsys, *given, "--language", "zh")[2]
    assert str(tmp_path / missing) in sentence
    assert sentence.endswith("。\n")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            ["predict", "--value", "kalium=4"],
            "有一个临床数值的名称无法识别。应为 形如 albumin_g_l=38、bilirubin_umol_l=14、afp_ng_ml=>1210、"
            "ascites=none；实际为 --value kalium=4。",
        ),
        (
            ["predict", "--dicom"],
            "a：DICOM 结果需要可供引用的 DICOM 层面。应为 一个 DICOM 序列的文件夹；实际为 文件。请用",
        ),
        (["predict", "--date", "2025-01-02"], "日期仅用于登记簿。应为 同时给出 --register。"),
        (
            ["predict", "--cohort", "c"],
            "同时给出了一名患者和一个队列。应为 --image 和 --mask，或 --cohort，二者不可同用。",
        ),
        (["predict", "--patient", "a\u200bb"], "患者编号含有"),
    ],
)
def test_what_a_command_refuses_is_a_chinese_sentence(capsys, tmp_path, given, sentence):
    files = ["--image", tmp_path / "a", "--mask", tmp_path / "b", "--out", tmp_path / "out"]
    code, out, err = printed(capsys, *given, *files, "--language", "zh")
    assert (code, out) == (2, "")
    assert close(err).startswith(close(sentence))


def test_a_command_that_is_cancelled_and_a_fault_of_ours_are_said_in_chinese(capsys, tmp_path, monkeypatch):
    (tmp_path / "a").touch()
    given = ["predict", "--image", tmp_path / "a", "--mask", tmp_path / "a", "--out", tmp_path / "out"]
    monkeypatch.setattr("TACEResponseLib.service.PredictionService.open", raising(KeyboardInterrupt))
    cancelled = printed(capsys, *given, "--language", "zh")
    assert cancelled == (130, "", "已取消；已预测患者的患者页会保留，再次运行将从头开始。\n")
    monkeypatch.setattr("TACEResponseLib.service.PredictionService.open", raising(ZeroDivisionError))
    code, _, err = printed(capsys, *given, "--language", "zh")
    assert code == 2
    assert re.fullmatch(r"TACEResponse 自身出错（ZeroDivisionError）。请将 .+\.txt 报告给开发者。\n", err)


def raising(kind):
    def fail(*_, **__):
        raise kind

    return fail


def test_the_columns_of_the_table_of_models_stand_below_each_other():
    rows = [
        {"model": model, "estimate": estimate, "cohort": "training", "center": "", **figures}
        for model in ("size", "random_forest")
        for estimate, figures in (
            ("out_of_fold", {"auc": 0.7, "ci_low": 0.6, "ci_high": 0.8}),
            ("external", {"auc": 0.65, "ci_low": None, "ci_high": None}),
            ("resubstitution", {"auc": 0.9, "ci_low": None, "ci_high": None}),
        )
    ]
    with in_language("zh"):
        head, *lines = _performance_text(rows, [0, 1]).splitlines()
    heads = ("折外 AUC（95 % CI）", "外部验证（95 % CI）", "乐观偏差")
    assert [width(head[: head.index(text)]) for text in heads] == [36, 64, 92]
    for line in lines:
        cells = ("0.700（0.600 至 0.800）", "0.650", "+0.200")
        assert [width(line[: line.index(text)]) for text in cells] == [36, 64, 92]


@pytest.mark.parametrize("given", [["schema", "audit"], ["completion", "zsh"]])
def test_a_schema_and_a_script_are_data(capsys, given):
    english = printed(capsys, *given)
    assert english[0] == 0
    assert not CHINESE.search(english[1])
    assert printed(capsys, *given, "--language", "zh") == english
