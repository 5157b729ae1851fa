"""What the science refuses is said in Chinese, and a bundle is the same whoever trains it."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from TACEResponseLib.bundle import load_bundle, read_manifest, require_free_folder, save_bundle
from TACEResponseLib.messages.errors import Problem, TACEResponseError
from TACEResponseLib.messages.language import in_language
from TACEResponseLib.radiomics.parameters import from_parameters
from TACEResponseLib.selection.reliability import reliable_features
from TACEResponseLib.settings import RadiomicsSettings, ReliabilitySettings, TrainingSettings, preset
from TACEResponseLib.statistics.discrimination import auc_delong
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.training import refusals
from TACEResponseLib.training.inputs import Labelled
from TACEResponseLib.training.model import fit_response_model
from TACEResponseLib.training.updating import require_enough, require_original, update_response_model
from test_training import QUICK, a_table

TABLE, LABELS = a_table(48, 12, 1.5, seed=4)


def a_model(**settings):
    return fit_response_model(TABLE, Outcome(LABELS), preset("peng2021", **QUICK, **settings))[0]


@pytest.fixture(scope="module")
def model():
    return a_model()


def a_damaged_bundle(model, folder):
    save_bundle(folder, model, None, "card\n")
    (folder / "settings.json").write_bytes(b"{}")
    load_bundle(folder)


def another_format(model, folder):
    save_bundle(folder, model, None, "card\n")
    content = json.loads((folder / "manifest.json").read_text("utf-8"))
    (folder / "manifest.json").write_text(json.dumps({**content, "format_version": 9}), "utf-8")
    load_bundle(folder)


def a_full_folder(model, folder):
    folder.mkdir()
    (folder / "notes.txt").write_text("mine", "utf-8")
    require_free_folder(folder)


def an_updated_model(model, folder):
    updated = update_response_model(model, Labelled(a_table(40, 12, 1.5, seed=9)[0], Outcome(LABELS[:40])))
    require_original(updated)


#: What is refused -> how it comes about, and the sentence.
REFUSED = {
    "a setting outside its limits": (
        lambda model, folder: TrainingSettings(folds=2),
        "设置 TrainingSettings.folds 超出限定范围。应为 3 至 50；嵌套拟合要留出两折；实际为 2。",
    ),
    "a setting of the wrong type": (
        lambda model, folder: RadiomicsSettings(bin_width="wide"),
        "设置 RadiomicsSettings.bin_width 的类型有误。应为 float；实际为 'wide'。",
    ),
    "an unknown preset": (
        lambda model, folder: preset("peng2020"),
        "没有名为 peng2020 的预设。应为 peng2021、recommended、public2026；实际为 peng2020。",
    ),
    "a setting of pyradiomics that is not supported": (
        lambda model, folder: from_parameters({"setting": {"label": 2}}),
        "此处不支持 pyradiomics 设置 label。实际为 2。请在读取掩膜处选择标签。",
    ),
    "a foreign headline": (
        lambda model, folder: a_model(fusion={"headline": "oracle"}),
        "没有模型使用该主要结果名称。",
    ),
    "patients of the training": (
        lambda model, folder: refusals.require_unseen(["0003", "0007"]),
        "队列中有 2 名患者曾用于训练该模型。应为 模型未见过的患者（无论编号如何）；实际为 0003、0007。"
        "请移除这些患者，或按编号允许训练患者并将结果视为乐观估计。",
    ),
    "no outline of the second reader": (
        lambda model, folder: refusals.require_second_reading(
            {"0001": None}, {}, {"0001": Problem("mask", "掩膜为空")}
        ),
        "第二位阅片者的轮廓均无法测量。应为 1 名患者的轮廓；实际为 无。"
        "已略去第二位阅片者的轮廓：掩膜为空。请更正这些轮廓，或清空该列以便不使用第二位阅片者进行训练。",
    ),
    "too few patients to update": (
        lambda model, folder: require_enough(Outcome(np.array([1, 0, 0, 0, 0, 0]))),
        "某一类别的患者太少，无法更新模型。应为 至少 5 名应答者和 5 名非应答者；"
        "实际为 1 名应答者、5 名非应答者。请在有更多患者之前按原样使用该模型。",
    ),
    "a model that was updated before": (an_updated_model, "该模型此前已更新过。"),
    "one class": (
        lambda model, folder: auc_delong(np.ones(4, dtype=int), np.arange(4.0)),
        "只有一个类别。应为 至少 2 名应答者和 2 名其他患者；实际为 4 名应答者、0 名其他患者。",
    ),
    "a damaged bundle": (
        a_damaged_bundle,
        "settings.json：模型包已损坏。",
    ),
    "a bundle of another format": (
        another_format,
        "manifest.json：模型包的格式版本不同。应为 2或3；实际为 9。请更新 TACEResponse，或重新训练模型包。",
    ),
    "a folder of something else": (
        a_full_folder,
        "place：输出文件夹非空且不是模型包。应为 新文件夹、空文件夹或待替换的模型包；实际为 notes.txt。"
        "请选择其他文件夹。",
    ),
}
THREE_WORDS = re.compile(r"(?<![\w.-])[A-Za-z]{2,}(?:[,;:]? [A-Za-z]{2,}){2,}")


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_a_chinese_sentence(name, model, tmp_path):
    refused, sentence = REFUSED[name]
    with in_language("zh"), pytest.raises(TACEResponseError) as error:
        refused(model, tmp_path / "place")
    said = str(error.value)
    assert said.startswith(sentence)
    assert THREE_WORDS.findall(said) == []
    with pytest.raises(TACEResponseError) as error:
        refused(model, tmp_path / "another")
    assert re.search("[一-鿿]", str(error.value).replace("掩膜为空", "")) is None


@pytest.fixture(scope="module")
def both_readers():
    """The agreement of two readers, of whom the second is close to the first in most features."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=TABLE.features.shape) * np.linspace(0.05, 1.5, TABLE.features.shape[1])
    return reliable_features(TABLE, replace(TABLE, features=TABLE.features + noise), ReliabilitySettings())


def test_a_bundle_is_the_same_in_whatever_language_it_was_trained(both_readers, tmp_path):
    elsewhere = Labelled(a_table(40, 12, 1.5, seed=9)[0], Outcome(LABELS[:40]))
    names = {}
    for code in ("en", "zh"):
        with in_language(code):
            trained = a_model()
            one = save_bundle(tmp_path / code, trained, both_readers, "card\n")
            other = save_bundle(
                tmp_path / f"{code}-updated",
                update_response_model(load_bundle(one), elsewhere),
                None,
                "card\n",
            )
        names[code] = [read_manifest(folder).id for folder in (one, other)]
    assert names["zh"] == names["en"]
    kept = json.loads((tmp_path / "zh" / "features.json").read_text("utf-8"))["reliability"]
    assert {row["reason"] for row in kept} == {"ICC above 0.75", "ICC not above 0.75"}
    # To the reader the same is said in the reader's language.
    with in_language("zh"):
        assert set(both_readers.reasons) == {"ICC 高于 0.75", "ICC 不高于 0.75"}
