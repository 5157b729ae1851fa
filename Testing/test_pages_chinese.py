"""The pages, the plain text and the paper kit in Chinese: nothing of them stays English by mistake."""

import io
import json
import re
from html import unescape

import pytest
from answers import a_full_answer, an_answer
from openpyxl import load_workbook
from readings import CASES
from TACEResponseLib.answer import words
from TACEResponseLib.answer.reading import cut_off
from TACEResponseLib.bundle import demonstration_bundle, public_cohort_bundle, read_card
from TACEResponseLib.follow_up.audit import audit_register
from TACEResponseLib.messages.language import in_language, tr, width
from TACEResponseLib.models.combination import title
from TACEResponseLib.report import audit_page, drawing, methods_text, model_card
from TACEResponseLib.report.aligned import padded
from TACEResponseLib.report.answer_index import IndexRow, write_index
from TACEResponseLib.report.card_in_words import card_in_words
from TACEResponseLib.report.checklist_answers import checklist_tables
from TACEResponseLib.report.latex import latex
from TACEResponseLib.report.paper_kit import KINDS
from TACEResponseLib.report.patient_page import summarize_card, summary, write_patient_report
from TACEResponseLib.report.sources import bibliography, cited
from TACEResponseLib.report.study import Study
from TACEResponseLib.report.workbook import workbook
from test_audit import a_register
from test_patient_report import HEADER, SENSITIVITY
from test_report import patients, train

CARD = read_card(demonstration_bundle())
ANSWERS = {**{name: answer for name, (answer, _) in CASES.items()}, "everything": a_full_answer()}
ENGLISH = re.compile(r"[A-Za-z][a-z'’-]+(?:[,;:.]? [A-Za-z][a-z'’-]*){3,}")
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def said_on(page: str) -> str:
    """What a reader sees or hears of a page: its title, its text, and what pictures are for."""
    page = re.sub(r"<style>.*?</style>|data:image/png;base64,[^\"]*", "", page, flags=re.S)
    heard = re.findall(r'(?:alt|aria-label)="([^"]*)"', page)
    return unescape("\n".join([*heard, *(text.strip() for text in re.split(r"<[^>]+>", page))]))


def left_english(said: str, known=()) -> list[str]:
    """Runs of four English words and more that are not among the texts that may be English."""
    for text in sorted(filter(None, known), key=len, reverse=True):
        said = said.replace(text, " | ")
    return ENGLISH.findall(said)


def may_be_english(answer) -> set[str]:
    """What an answer made in English holds."""
    texts = {*answer.warnings, *answer.checked, *answer.similarity.reasons, answer.certainty.agreement}
    texts.add(HEADER["vessels"])
    return texts | {variant.name for variant in SENSITIVITY.variants} | of_other_rooms(answer)


def of_other_rooms(answer) -> set[str]:
    """Sentences of rooms whose own tests ask for their Chinese; call it in the language of the page."""
    reading = answer.reading()
    texts = {reading.banner, reading.headline, reading.verdict, answer.statement()}
    texts |= {*words.certainty_lines(answer), answer.similarity.sentence()}
    texts |= {words.lesions(answer.lesions), cut_off(answer.threshold), SENSITIVITY.sentence()}
    texts |= {part for s in answer.clinical_scores for part in (s.title, s.text, s.built_for)}
    return texts | set(map(title, answer.probabilities))


@pytest.fixture(autouse=True)
def coarse_figures(monkeypatch):
    monkeypatch.setattr(drawing, "DOTS_PER_INCH", 40)


@pytest.mark.parametrize("name", ANSWERS)
def test_page_and_text_of_an_answer_are_chinese_and_agree(tmp_path, phantom_case, name):
    answer = ANSWERS[name]
    with in_language("zh"):
        page = write_patient_report(answer, phantom_case, tmp_path, sensitivity=SENSITIVITY, card=CARD)
        page, text, reading = page.read_text(encoding="utf-8"), summary(answer), answer.reading()
        known = may_be_english(answer)
    assert '<html lang="zh-CN">' in page and 'lang="en"' not in page
    for said in (said_on(page), text):
        assert left_english(said, known) == []
        assert len(CHINESE.findall(said)) > 25
        for part in (reading.banner, reading.headline, reading.verdict):
            assert part in said
    content = json.loads((tmp_path / "prediction.json").read_text(encoding="utf-8"))
    assert content["reading"]["headline"] == reading.headline
    assert content["reading"]["kind"] == reading.kind and content["reading"]["colour"] == reading.colour
    assert content["similarity"]["verdict"] == answer.similarity.verdict
    assert content["model_card"] == list(summarize_card(CARD, answer.headline))


@pytest.mark.parametrize("of", ["demonstration", "public cohort", "trained", "table"])
def test_the_lines_of_a_card_that_the_program_wrote_are_chinese(of, trained):
    cards = {
        "demonstration": (CARD, "cnn+random_forest"),
        "public cohort": (read_card(public_cohort_bundle()), "extra_trees"),
        "trained": (model_card.model_card(trained), trained.model.headline),
        "table": (
            CARD.replace(
                "radiomics engine fast", "features from a table that does not say how they were extracted"
            ),
            "cnn+random_forest",
        ),
    }
    card, headline = cards[of]
    lines = summarize_card(card, headline)
    assert len(lines) >= 4
    assert card_in_words(lines, headline) == tuple((line, "en") for line in lines)
    with in_language("zh"):
        said = card_in_words(lines, headline)
        known = title(headline)
    assert [tag for _, tag in said] == ["zh-CN"] * len(lines)
    for line, (text, _tag) in zip(lines, said, strict=True):
        assert not re.search(r"\b(patients|features|folds|repeats?|Limits|of|to)\b", text), text
        for figure in re.findall(r"\d+\.\d+|\d+", line):
            assert figure in text
    assert any(known in text and "折外" in text for text, _ in said)


def test_a_line_by_whoever_trained_the_model_stays_english():
    line = "Trained on patients of our own clinic."
    with in_language("zh"):
        assert card_in_words([line], "cnn") == ((line, "en"),)


def test_the_labels_of_the_page_are_chinese_one_by_one(tmp_path, phantom_case):
    """Texts of one word, which no search for English finds."""
    with in_language("zh"):
        page = write_patient_report(a_full_answer(), phantom_case, tmp_path, card=CARD)
    page = page.read_text(encoding="utf-8")
    labels = re.findall(r"<(?:dt|h1|h2|figcaption[^>]*|th scope=\"col\")>([^<]*)<", page)
    assert [text for text in labels if not CHINESE.search(text) and text != "CT"] == []
    assert {"期相", "警告", "肿瘤", "各模型的应答概率", "模型", "评分", "结果"} <= set(labels)
    assert (
        "病灶数" in page and "轴位最长径" in page and "体积" in page and "96.4、41.0、22.8、12.5 mm" in page
    )


def test_an_english_page_is_the_same_after_a_chinese_one(tmp_path, phantom_case):
    pages = []
    for code in ("en", "zh", "en"):
        with in_language(code):
            page = write_patient_report(a_full_answer(), phantom_case, tmp_path / code, card=CARD)
        pages.append(re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "", page.read_text(encoding="utf-8")))
    assert pages[0] == pages[2] and '<html lang="en">' in pages[0]
    assert pages[1] != pages[0] and not CHINESE.search(pages[0])


def test_columns_of_the_text_stand_under_each_other_on_a_terminal():
    assert (width("模型 CNN"), width("A 1")) == (8, 3)
    assert padded("模型", 6) == "模型  " and padded("model", 3) == "model"
    with in_language("zh"):
        lines = summary(an_answer()).splitlines()
    head = next(line for line in lines if line.startswith("模型 ") and line.endswith("应答概率"))
    assert width(head.removesuffix("应答概率")) == 36
    numbers = [line for line in lines if re.search(r" {3,}\d+ %$", line)]
    assert len(numbers) == 3 and {width(line) for line in numbers} == {36 + 6}


def test_the_index_is_chinese(tmp_path):
    rows = [IndexRow.of(answer, f"folder-{k}") for k, answer in enumerate(ANSWERS.values())]
    with in_language("zh"):
        page = write_index([*rows, IndexRow("P/2", problem="P/2")], tmp_path).read_text(encoding="utf-8")
        known = set().union(*map(of_other_rooms, ANSWERS.values()))
    known |= {text for row in rows for text in (row.statement, row.reading.headline, row.reading.banner)}
    known |= {row.reading.verdict for row in rows}
    assert '<html lang="zh-CN">' in page
    assert left_english(said_on(page), known) == []
    assert "1 名没有结果、2 名超出训练数据范围、" in page and "需要注意的排在前面" in page
    assert re.findall(r'<th scope="col">([^<]*)<', page) == ["患者", "请先阅读", "结果"]
    assert "6 条警告" in page and "没有警告" in page


# The font of Chinese letters is the figures' own matter.
@pytest.mark.filterwarnings("ignore:Glyph")
def test_the_audit_is_chinese(tmp_path):
    audits = audit_register(a_register())
    with in_language("zh"):
        page = audit_page.write_audit(audits, tmp_path).read_text(encoding="utf-8")
        text = audit_page.as_text(audits)
        tables = (audit_page.periods_table(audits[0]), audit_page.similarity_table(audits[0]))
        known = {audits[0].statement, title(audits[0].model), *audits[0].cautions()}
        known |= {header for table in tables for header in table.headers}
    assert '<html lang="zh-CN">' in page
    assert left_english(said_on(page), known) == []
    assert left_english(text, known) == []
    assert "<h1>审核：预测的与观察到的 TACE 应答</h1>" in page
    assert tables[1].rows[0]["like_the_training_cases"] == "在训练数据范围内"
    figures = [line for line in text.splitlines() if "置信区间" in line]
    assert len(figures) >= 4
    content = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert content["models"][0]["similarity"][0]["verdict"] == "inside"


@pytest.fixture(scope="module")
def trained():
    return train(patients(60, seed=1), patients(40, seed=2, first=60, centers="BC"))


@pytest.mark.parametrize("from_images", [True, False])
def test_the_methods_text_is_chinese_and_cites_the_same_papers(trained, from_images, monkeypatch):
    monkeypatch.setattr(methods_text, "extracted_here", lambda study: from_images)
    study = Study.of_training(trained)
    english = methods_text.methods_text(study)
    with in_language("zh"):
        chinese = methods_text.methods_text(study)
        known = set(map(title, study.models))
        known |= {learner.sourced for learner in learners_of(study)}
        assert bibliography(chinese) == bibliography(english)
    assert cited(chinese) == cited(english)
    assert left_english(chinese, known) == []
    assert ("pyradiomics 的定义" in chinese) == from_images
    assert "训练队列：60 名患者，" in chinese and "外部验证队列：来自 2 个中心的 40 名患者，" in chinese
    assert chinese.count("【作者补充】") == english.count("AUTHORS")
    headings = re.findall(r"^#+ (.*)$", chinese, re.M)
    assert headings == ["方法", "患者", "图像和特征", "特征选择", "模型", "评估", "样本量和稳定性", "软件"]


def learners_of(study):
    from TACEResponseLib.models.learners import LEARNERS

    return [LEARNERS[name] for name in study.singles]


def test_checklists_are_filled_in_the_same_way_in_both_languages(trained):
    study = Study.of_training(trained)
    english = checklist_tables(study)
    with in_language("zh"):
        chinese = checklist_tables(study)
        known = {title(name) for name in study.models}
    of = {"yes": "是", "partly": "部分", "no": "否"}
    for ours, theirs in zip(english, chinese, strict=True):
        assert [of[row["filled"]] for row in ours.rows] == [row["filled"] for row in theirs.rows]
        for row in theirs.rows:
            assert CHINESE.search(row["topic"])
            assert left_english(f"{row['topic']}\n{row['answer']}", known) == []


def test_the_workbook_and_latex_are_chinese(trained):
    with in_language("zh"):
        tables = checklist_tables(Study.of_training(trained))
        book = load_workbook(io.BytesIO(workbook(tables)))
        source = latex(tables[0])
    assert book.sheetnames == ["目录", *(table.name[:31] for table in tables)]
    assert [cell.value for cell in book.worksheets[0][1]] == ["工作表", "表", "说明"]
    cells = [str(cell.value) for sheet in book for row in sheet.iter_rows() for cell in row if cell.value]
    assert left_english("\n".join(cells), map(title, Study.of_training(trained).models)) == []
    longest = max(width(row["topic"]) for row in tables[0].rows)
    assert book[tables[0].name[:31]].column_dimensions["B"].width == min(60, longest + 2)
    assert source.startswith("% 需要 \\usepackage{array,booktabs,longtable,pdflscape}；")


def test_a_card_is_english_whatever_the_language(trained, monkeypatch):
    monkeypatch.setattr(model_card, "title", lambda name: f"{tr('Patients')} {name}")
    english = model_card.model_card(trained)
    assert "Patients cnn" in english or "Patients random_forest" in english
    with in_language("zh"):
        assert model_card.model_card(trained) == english
    assert not CHINESE.search(english)


def test_the_kit_says_the_dots_of_its_pictures():
    assert f" {drawing.PRINT_DOTS_PER_INCH} dots per inch" in KINDS["figure_*.png"]
