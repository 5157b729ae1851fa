"""The training report in Chinese: its words, figures whose letters exist, and data that stay as they are."""

import dataclasses
import html
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager
from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.messages.language import in_language
from TACEResponseLib.report import _tables, drawing, fonts, write_training_report
from TACEResponseLib.report.columns import header
from TACEResponseLib.report.figures import draw_all
from TACEResponseLib.report.forest import draw_forest
from TACEResponseLib.report.patients import _compared
from TACEResponseLib.report.study import Study
from TACEResponseLib.selection.reliability import reliable_features
from TACEResponseLib.training.controls import Controls, RegionControl
from TACEResponseLib.training.run import Trained
from TACEResponseLib.training.stability import Refits
from test_report import held_out, patients, train

#: Four English words and more in a row.
ENGLISH = re.compile(r"[A-Za-z][A-Za-z'’-]+(?:[,;:]? [A-Za-z][A-Za-z'’-]+){3,}")
#: What stays English on a Chinese page: papers; a problem, whose words are those of the run that met it
#: (here of the test); and what rooms beside the report say.
STAYS = (
    "Front Oncol",
    "Riley and Collins",
    "no response is known",
    "model was left out",
    "For research use only",
    "chi-squared",
    "fewer than three values in a group",
)
#: Words in headers that are the same in Chinese.
SAME = {"Brier", "Holm", "Mann-Whitney", "kappa"}


def instable(run: Trained, rng: np.random.Generator) -> Refits:
    """Resamples as if the training had been repeated on them."""
    original = dict(run.record.resubstitution)
    noise = {name: 0.1 * rng.normal(size=(5, len(values))) for name, values in original.items()}
    aucs = 0.7 + 0.1 * rng.random((4, 3)) + np.linspace(0, 0.1, 4)[:, None]
    return Refits(
        original=original,
        bootstrap={name: np.clip(values + noise[name], 0, 1) for name, values in original.items()},
        thresholds=dict.fromkeys(original, 0.5),
        shown="all",
        selected={"original_test_0": 0.8},
        sizes=np.array([30, 40, 50, 60]),
        aucs=dict.fromkeys(original, aucs),
        models_left_out=("cnn",),
        failed=(),
    )


def controlled(run: Trained) -> Controls:
    """Controls as if they had been measured: the tumours again."""
    tumours = {name: run.record.out_of_fold.aucs[name] for name in ("linear", "all")}
    hu = np.array([50.0, 60.0, 70.0])
    left_out = {"P001": Problem("mask", "no response is known", patient_id="P001")}
    region = RegionControl(tumours, 60, hu, True, left_out)
    regions = {"shuffled_voxels": region, "moved_region": region}
    return Controls(tumours, hu, "all", dict.fromkeys(tumours, np.array([0.4, 0.6])), regions)


@pytest.fixture(scope="module")
def run() -> Trained:
    """A training with every part that a report has tables and figures for."""
    training, external = patients(60, seed=1), patients(40, seed=2, first=60, centers="BC")
    run, rng = train(training, external), np.random.default_rng(3)
    labels, table = training.outcome.labels, training.table
    readings = np.column_stack([labels, *(np.abs(labels - (rng.random(60) < 0.2)) for _ in range(2))])
    outcome = dataclasses.replace(training.outcome, readers=readings.astype(float), softened=False)
    noisy = table.features + rng.normal(size=table.features.shape) * np.linspace(0.05, 3, 8)
    second = dataclasses.replace(table, features=noisy)
    network = SimpleNamespace(history={"loss": (0.9, 0.6), "inner_loss": (0.8, 0.7)})
    final = dataclasses.replace(run.record.final, models={**run.record.final.models, "cnn": network})
    return dataclasses.replace(
        run,
        training=dataclasses.replace(training, outcome=outcome),
        reliability=reliable_features(table, second, run.model.settings.reliability),
        left_out={"P999": Problem("table", "no response is known", patient_id="P999")},
        warnings=(Problem("training", "the model was left out", severity="warning"),),
        record=dataclasses.replace(run.record, final=final),
        by_center=tuple(held_out(run, external, center) for center in "BC"),
        refits=instable(run, rng),
        controls=controlled(run),
    )


@pytest.fixture(scope="module")
def reports(run, tmp_path_factory) -> dict[str, Path]:
    """The same report for readers of both languages; a warning, of a letter without a picture too, fails."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.setattr(drawing, "DOTS_PER_INCH", 30)
        patch.setattr(drawing, "PRINT_DOTS_PER_INCH", 40)
        folders = {}
        for language in ("en", "zh"):
            with in_language(language):
                folders[language] = write_training_report(run, tmp_path_factory.mktemp(language) / "report")
    return folders


def visible(page: str) -> str:
    """The words of a page, without its model card and the rows of the checklists, which others write.

    Without figures as well where this machine has no Chinese font: they are in English then.
    """
    page = page.replace("<wbr>", "")
    page = re.sub(r"<(style|script|pre|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    before, heading, after = page.partition('<h2 id="checklists">')
    page = before + heading + re.sub(r"<details>.*?</details>", " ", after, flags=re.DOTALL)
    with in_language("zh"):
        if fonts.lacking():
            page = re.sub(r"<figure>.*?</figure>", " ", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", "\n", page))


def test_the_page_says_that_it_is_chinese_and_holds_no_english_sentence(reports):
    pages = {language: (folder / "report.html").read_text("utf-8") for language, folder in reports.items()}
    assert '<html lang="en">' in pages["en"]
    assert '<html lang="zh-CN">' in pages["zh"]
    assert len(ENGLISH.findall(visible(pages["en"]))) > 150  # the pattern finds what it is to find
    found = ENGLISH.findall(visible(pages["zh"]))
    assert [words for words in found if not any(part in words for part in STAYS)] == []


def test_the_words_of_patients_under_the_pointer_are_chinese(reports):
    page = (reports["zh"] / "report.html").read_text("utf-8")
    with in_language("zh"):
        outcomes = "responder|non-responder" if fonts.lacking() else "应答者|非应答者"
    titles = re.findall(r"<title>(P\d+.*?)</title>", page)
    assert len(titles) == 2 * 100  # on the ROC curves of the integrated models and on the calibration
    assert all(re.search(rf"[:：] ?({outcomes})[,，]", title) for title in titles)


def test_data_are_the_same_whatever_the_reader_speaks(reports):
    names = sorted(path.name for path in reports["en"].glob("*.csv"))
    assert len(names) > 35
    assert names == sorted(path.name for path in reports["zh"].glob("*.csv"))
    names.append("evaluation.json")
    assert [n for n in names if (reports["en"] / n).read_bytes() != (reports["zh"] / n).read_bytes()] == []


def test_clinical_values_are_chinese_in_the_tables():
    columns = {
        "Sex": ["F", "M"] * 20,
        "Ascites": ["none", "mild"] * 20,
        "Phase": ["arterial", "portal venous"] * 20,
        "Grade": ["F", "M"] * 20,  # not a sex
        "Macrovascular invasion": ["yes", "no"] * 20,
        "CRP (mg/dL)": [float(n) for n in range(40)],
    }
    with in_language("zh"):
        rows = _compared("t", "", columns, ["responder", "non-responder", *["responder"] * 38]).rows
    levels = {}
    for row in rows:
        levels.setdefault(row["variable"] or list(levels)[-1], []).extend(filter(None, [row["level"]]))
    assert levels == {
        "性别": ["女", "男"],
        "腹水": ["轻度", "无"],
        "期相": ["动脉期", "门静脉期"],
        "Grade": ["F", "M"],
        "大血管侵犯": [],
        "CRP（mg/dL）": [],
    }


def test_every_column_has_a_chinese_header(run):
    with in_language("zh"):
        tables = [table for table in _tables(Study.of_training(run)) if not table.name.startswith("scores_")]
        headers = {text for table in tables for text in table.headers}
    assert len(headers) > 90
    english = {text for text in headers if set(re.findall(r"[A-Za-z-]{4,}", text)) - SAME}
    assert english == set()
    with in_language("zh"):
        assert header("auc_out_of_fold") == "折外 AUC（95 % CI）"
        assert header("accuracy", ("accuracy", "accuracy_ci_low")) == "准确率（95 % CI）"
    assert header("accuracy", ("accuracy", "accuracy_ci_low")) == "accuracy (95 % CI)"


def test_texts_of_figures_stay_text_in_chinese_or_say_why_not(reports):
    page = (reports["zh"] / "report.html").read_text("utf-8")
    roc = (reports["zh"] / "paper" / "figure_roc.svg").read_text("utf-8")
    with in_language("zh"):
        installed = fonts.families()
    assert ("图中文字为英文" in page) == (not installed)
    assert (">灵敏度<" in roc) == bool(installed)
    assert (">sensitivity<" in roc) == (not installed)


def test_without_a_chinese_font_figures_are_english_and_the_page_says_the_remedy(run, monkeypatch):
    monkeypatch.setattr(fonts, "_installed", lambda code: "")
    study = Study.of_training(dataclasses.replace(run, external=None))
    with in_language("zh"):
        figures = {one.name: one for one in draw_all(study)}
        axes = figures["figure_roc"].figure.axes[0]
        assert axes.get_ylabel() == "sensitivity"
        assert figures["figure_roc"].caption.startswith("ROC curves of the single models: out of fold")
        assert axes.yaxis.label.get_family() == matplotlib.rcParams["font.family"]
        assert fonts.lacking() == (
            "图中文字为英文，因为本机未安装中文字体：请安装一种中文字体（例如 Noto Sans CJK SC），"
            "然后重新生成报告。"
        )
        several = SimpleNamespace(pooled={}, hospitals=[])
        assert draw_forest(several).caption.startswith("Each hospital with its 95 % CI")
    assert fonts.lacking() == ""


def test_a_font_that_was_installed_after_matplotlib_listed_them_is_found(monkeypatch):
    entry = next(one for one in font_manager.fontManager.ttflist if one.name == "DejaVu Sans Display")
    listed = [one for one in font_manager.fontManager.ttflist if one.name != "DejaVu Sans Display"]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", listed)
    monkeypatch.setattr(fonts, "FAMILIES", {"zh": "No such family, DejaVu Sans Display"})
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: ["/nowhere/damaged.ttf"])
    assert fonts._installed.__wrapped__("zh") == ""
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: ["/nowhere/damaged.ttf", entry.fname])
    assert fonts._installed.__wrapped__("zh") == "DejaVu Sans Display"
    assert fonts._installed.__wrapped__("en") == ""
