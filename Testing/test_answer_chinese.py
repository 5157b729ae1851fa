"""An answer in Chinese: what a radiologist reads is Chinese, what programs compare is as in English."""

import dataclasses
import re

import numpy as np
import pytest
from readings import CASES
from TACEResponseLib.answer import remarks, words
from TACEResponseLib.answer.certainty import RESPONSE, agreement
from TACEResponseLib.answer.contour_sensitivity import _outlines
from TACEResponseLib.answer.similarity import TrainingSpread
from TACEResponseLib.bundle import demonstration_bundle, load_bundle, public_cohort_bundle
from TACEResponseLib.cases.lesions import Lesions
from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.messages.language import in_language
from TACEResponseLib.models.combination import fusions_of, title
from TACEResponseLib.models.learners import LEARNERS
from test_contour import a_ball

OUTSIDE = "超出训练数据范围：请勿采信该数值"
SEVENTY_TWO = "每 100 名相似患者中约有 72 名出现应答（训练数据中为 64 名）"
ABOVE = "高于本模型的截断值（每 100 名中 55 名）"
NONE = "本模型没有截断值"
#: Name of a case of `readings` -> banner, headline and class.
READ = {
    "clear yes": ("", SEVENTY_TWO, ABOVE),
    "clear no": (
        "",
        "每 100 名相似患者中约有 21 名出现应答（训练数据中为 64 名）",
        "低于本模型的截断值（每 100 名中 55 名）",
    ),
    "undecided": (
        "",
        "每 100 名相似患者中约有 60 名出现应答（训练数据中为 64 名）",
        "无法判定（截断值为每 100 名中 55 名）",
    ),
    "outside": (OUTSIDE, "模型计算结果为每 100 名中约 72 名应答（训练数据中为 64 名）", ""),
    "no texture": (
        "",
        "每 100 名相似患者中约有 69 名出现应答（训练数据中为 64 名）",
        "高于本模型的截断值（每 100 名中 50 名）",
    ),
    "warnings": ("", SEVENTY_TWO, ABOVE),
    "several lesions": ("", SEVENTY_TWO, ABOVE),
    "follow-up": ("", SEVENTY_TWO, ABOVE),
    "no cut-off, 1": ("", SEVENTY_TWO, NONE),
    "no cut-off, 0": ("", "每 100 名相似患者中有超过 99 名出现应答（训练数据中为 64 名）", NONE),
    "table model": ("", SEVENTY_TWO, ABOVE),
}
#: Where `prediction.json` holds sentences; everything else is compared by programs.
SENTENCES = {
    ("statement",),
    ("reading", "banner"),
    ("reading", "headline"),
    ("reading", "class"),
    ("similarity", "reasons"),
    ("similarity", "features_beyond_range"),
    ("certainty", "agreement"),
    ("warnings",),
    ("checked",),
    ("clinical_scores",),  # in words of its own room
}
#: Names that stay as they are: two English words in a row and more, in letters of a Chinese sentence.
NAMES = ("TACEResponse", "mRECIST CR", "Youden")


def english_runs(text: str, words_in_a_row: int) -> list[str]:
    """Runs of English words in a text that are no names; columns and file names have no spaces."""
    for name in NAMES:
        text = text.replace(name, "")
    word = r"(?<![\w.-])[A-Za-z]{2,}(?![\w-])"
    return re.findall(rf"{word}(?:[,;:]? {word}){{{words_in_a_row - 1},}}", text)


def leaves(content, path=()):
    """Path and value of everything in a JSON tree; entries of a list stand at the list's path."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from leaves(value, (*path, name))
    elif isinstance(content, list):
        for value in content:
            yield from leaves(value, path)
    else:
        yield path, content


def is_sentence(path) -> bool:
    return any(path[: len(start)] == start for start in SENTENCES)


def codes(content: dict) -> list:
    return [(path, value) for path, value in leaves(content) if not is_sentence(path)]


def sentences(content: dict) -> list[str]:
    told = [value for path, value in leaves(content) if is_sentence(path) and path[0] != "clinical_scores"]
    return [text for text in told if text]


@pytest.mark.parametrize("name", CASES)
def test_banner_headline_and_class_of_every_kind(name):
    answer, english = CASES[name]
    with in_language("zh"):
        read = answer.reading()
    assert (read.banner, read.headline, read.verdict) == READ[name]
    assert (read.kind, read.colour) == (english.kind, english.colour)
    assert answer.reading().headline == english.headline  # the language was for a while


def test_the_ends_and_an_answer_without_a_training_share():
    answer = CASES["clear yes"][0]
    outside = CASES["outside"][0]
    with in_language("zh"):
        said = [
            dataclasses.replace(of, fused=fused, training_share=None).reading().headline
            for of in (answer, outside)
            for fused in (0.004, 0.7, 0.996)
        ]
    assert said == [
        "每 100 名相似患者中出现应答者不足 1 名",
        "每 100 名相似患者中约有 70 名出现应答",
        "每 100 名相似患者中有超过 99 名出现应答",
        "模型计算结果为每 100 名中不足 1 名应答",
        "模型计算结果为每 100 名中约 70 名应答",
        "模型计算结果为每 100 名中超过 99 名应答",
    ]


@pytest.fixture(scope="module")
def answered(phantom_case) -> dict:
    """Bundle -> its answer for one patient in English and in Chinese."""
    found = {}
    for bundle in (demonstration_bundle(), public_cohort_bundle()):
        model = load_bundle(bundle)
        measured = model.measure(phantom_case)
        for code in ("en", "zh"):
            with in_language(code):
                found[bundle.name, code] = model.predict(phantom_case, measured=measured).to_json()
    return found


@pytest.mark.parametrize("bundle", ["DemonstrationBundle", "PublicCohortBundle"])
def test_an_answer_of_a_model_is_chinese_in_its_sentences_and_the_same_in_its_codes(answered, bundle):
    english, chinese = answered[bundle, "en"], answered[bundle, "zh"]
    assert codes(chinese) == codes(english)
    said = sentences(chinese)
    assert len(said) == len(sentences(english)) >= 9
    assert [text for text in said if english_runs(text, 4)] == []
    assert all(re.search("[一-鿿]", text) for text in said), said
    # The same rule finds the English ones, so it can fail.
    assert len([text for text in sentences(english) if english_runs(text, 4)]) >= 4


def test_the_words_beside_an_answer():
    answer = CASES["clear no"][0]
    with in_language("zh"):
        certainty = dataclasses.replace(
            answer.certainty,
            agreement=agreement({"cnn": 0.69, "size": 0.35}, {"cnn": 0.5, "size": 0.5}, responder=False),
        )
        lines = words.certainty_lines(dataclasses.replace(answer, certainty=certainty))
        lesions = words.lesions(Lesions((96.4, 41.0), (412.3, 30.1), 2))
        similar = words.similarity(CASES["clear yes"][0].similarity)
        notes = [
            str(problem)
            for problem in (
                *remarks.about_missing_features(Problem("feature", "小波特征需要 4 个层面"), title("cnn")),
                *remarks.about_extraction(False),
                *remarks.about_dropped(Lesions((96.4,), (412.3,), 3)),
            )
        ]
        outlines = [name for name, _ in _outlines(a_ball(6.0, size=(30, 30, 16)), 1)]
    assert lines == (
        "不稳定性：2 个模型（各自训练时均略去一部分患者）的结果为 11 % 至 31 %",
        "可排除应答（90 % 共形预测）",
        "2 个模型中有 1 个低于各自的截断值；高于截断值的是：卷积神经网络（69 %）",
    )
    assert lesions == "2 个病灶，最大轴位直径 96.4 mm，体积 442.4 mL"
    assert similar == "与训练患者相似：是"
    assert notes == [
        "小波特征需要 4 个层面。该结果仅依据卷积神经网络。",
        "模型的特征来自一个未说明提取方式的表。应为 与训练时提取方式相同的特征；"
        "实际为 按默认设置提取的特征。请勿采信该结果；请用图像训练，或用带有 diagnostics 列的表训练。",
        "掩膜中有 3 个小于 0.01 mL 的碎块未计为病灶。请删除零散体素。",
    ]
    assert outlines[:3] == ["原始轮廓", "外扩 1 mm", "内缩 1 mm"]
    assert outlines[-1] == "随机变化 6"


def test_why_a_case_is_not_like_the_training_cases():
    diameters = np.linspace(20.0, 90.0, 40)
    spread = TrainingSpread.of({"diameter_mm": diameters}, 1, ("arterial",) * 40)
    with in_language("zh"):
        found = spread.compare({"diameter_mm": 180.0}, (), "native", around_hu=-200.0)
        said = found.sentence()
    assert found.verdict == "outside"
    assert said == (
        "与训练患者相似：否（肿瘤直径（mm）为 180，训练数据为 20 至 90；平扫，训练数据为动脉期；"
        "肿瘤周围的 HU 中位数为 -200，肝脏内为 -50 至 300）"
    )
    assert spread.compare({"diameter_mm": 50.0}, ()).sentence() == "Similar to training patients: yes"


def test_every_model_and_fusion_has_a_chinese_title():
    with in_language("zh"):
        titles = {name: title(name) for name in (*LEARNERS, *fusions_of(LEARNERS))}
    assert titles["cnn+random_forest"] == "卷积神经网络 + 随机森林"
    assert titles["all"] == "全部模型"
    assert titles["extra_trees"] == "极端随机树"
    assert [text for text in titles.values() if re.search("[A-Za-z]", text)] == []
    assert title("cnn+random_forest") == "CNN + random forest"


def test_codes_that_decide_are_english_in_chinese():
    answer = CASES["clear yes"][0]
    with in_language("zh"):
        content = answer.to_json()
    assert content["certainty"]["conformal_set"] == [RESPONSE]
    assert content["similarity"]["verdict"] == "inside"
    assert content["headline"] == "cnn+random_forest"
    assert (content["reading"]["kind"], content["reading"]["colour"]) == ("above", "orange")
    assert content["responder"] is True
