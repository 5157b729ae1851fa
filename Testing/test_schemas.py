"""The files that others read, as the program writes them, against the schemas that it prints."""

import csv
import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
import SimpleITK as sitk
from answers import a_full_answer, an_answer
from TACEResponseLib.__main__ import main
from TACEResponseLib.answer.contour_sensitivity import ContourSensitivity, Variant
from TACEResponseLib.commands.schemas import SCHEMAS, read_schema
from TACEResponseLib.follow_up.register import Register
from TACEResponseLib.report import KEYS, evaluation_rows
from TACEResponseLib.report.outlines import KEY as SECOND_OUTLINE
from TACEResponseLib.report.patient_page import write_prediction
from TACEResponseLib.settings import preset
from TACEResponseLib.training.run import train_on_features

QUICK = {
    "network": None,
    "folds": 3,
    "selection": {"sizes": [2], "trees": 20, "folds": 3, "number": 2, "bootstraps": 2},
}


def faults(name, content) -> list[str]:
    """Where `content` is not what its schema says."""
    checker = jsonschema.Draft202012Validator(read_schema(name))
    return [error.json_path for error in checker.iter_errors(content)]


def written(answer, folder, **beside) -> dict:
    return json.loads(write_prediction(answer, folder, **beside).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory) -> list[dict]:
    """Rows of a small training on a table, as the report writes them."""
    folder, rng = tmp_path_factory.mktemp("training"), np.random.default_rng(3)
    labels = np.arange(60) % 2
    values = rng.normal(size=(60, 4)) + labels[:, None]
    ids = [f"{n:04d}" for n in range(60)]
    with (folder / "features.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["patient_id", *(f"original_test_{n}" for n in range(4))])
        table.writerows([name, *row] for name, row in zip(ids, values, strict=True))
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["patient_id", "label", "cohort", "center"])
        rows = zip(ids, labels, ["training"] * 40 + ["validation"] * 20, "AABB" * 15, strict=True)
        table.writerows(rows)
    tables = (folder / "features.csv", folder / "labels.csv")
    return json.loads(json.dumps(evaluation_rows(train_on_features(*tables, preset("peng2021", **QUICK)))))


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_prints_a_valid_schema_that_explains_itself(name, capsys):
    assert main(["schema", name]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == read_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"]
    assert schema["description"].endswith(".")


def test_schema_with_json_is_one_event(capsys):
    assert main(["schema", "audit", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"event": "done", "schema": read_schema("audit")}


@pytest.mark.parametrize("answer", [an_answer(), a_full_answer()], ids=["short", "full"])
def test_prediction_json_is_what_its_schema_says(answer, tmp_path):
    assert faults("prediction", written(answer, tmp_path)) == []


def test_prediction_json_of_the_command_line_is_what_its_schema_says(phantom_case, tmp_path):
    sitk.WriteImage(phantom_case.image, str(tmp_path / "image.nrrd"))
    sitk.WriteImage(phantom_case.mask, str(tmp_path / "mask.nrrd"))
    files = ["--image", str(tmp_path / "image.nrrd"), "--mask", str(tmp_path / "mask.nrrd")]
    assert main(["predict", *files, "--out", str(tmp_path), "--value", "albumin_g_l=38"]) == 0
    content = json.loads((tmp_path / "prediction.json").read_text(encoding="utf-8"))
    assert faults("prediction", content) == []
    assert set(content) >= {*read_schema("prediction")["required"], "model_card"}


def test_what_stands_in_prediction_json_only_at_times_has_a_schema_too(tmp_path):
    drawn = Variant("as drawn", 53.2, 0.72, True)
    unanswered = replace(drawn, name="smaller", probability=None, responder=None, problem="empty")
    card = "A model.\nTrained on 40 patients.\n"
    sensitivity = ContourSensitivity((drawn, unanswered))
    content = written(an_answer(), tmp_path, sensitivity=sensitivity, card=card)
    assert {"contour_sensitivity", "model_card"} <= set(content)
    assert faults("prediction", content) == []
    content["contour_sensitivity"]["lowest"] = "72 %"
    assert faults("prediction", content) == ["$.contour_sensitivity.lowest"]


def test_a_prediction_may_hold_keys_that_the_schema_does_not_know(tmp_path):
    content = written(an_answer(), tmp_path) | {"a_later_version": {"says": "more"}, "another": 0.64}
    assert faults("prediction", content) == []


@pytest.mark.parametrize("key", read_schema("prediction")["required"])
def test_a_prediction_without_a_key_that_is_always_there_is_found(key, tmp_path):
    content = written(an_answer(), tmp_path)
    del content[key]
    assert faults("prediction", content) == ["$"]


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("fused", 1.2, "$.fused"),
        ("fused", "72 %", "$.fused"),
        ("responder", 1, "$.responder"),
        ("format_version", 2, "$.format_version"),
        ("probabilities", {"cnn": None}, "$.probabilities.cnn"),
        ("lesions", {"number": 2, "largest_diameter_mm": 0, "volume_ml": 1}, "$.lesions.largest_diameter_mm"),
    ],
)
def test_a_prediction_with_another_kind_of_value_is_found(key, value, place, tmp_path):
    assert faults("prediction", written(an_answer(), tmp_path) | {key: value}) == [place]


def test_every_required_key_of_prediction_json_is_one_that_is_written(tmp_path):
    assert set(read_schema("prediction")["required"]) <= set(an_answer().to_json())
    assert set(an_answer().to_json()) - {"reading", "training_share"} <= set(
        read_schema("prediction")["properties"]
    )


def test_evaluation_json_is_what_its_schema_says(evaluation):
    assert {row["estimate"] for row in evaluation} == {"out_of_fold", "external", "resubstitution"}
    assert {row["center"] for row in evaluation} == {"", "A", "B"}
    assert faults("evaluation", evaluation) == []
    assert faults("evaluation", []) == []
    assert tuple(read_schema("evaluation")["items"]["properties"]) == (*KEYS, SECOND_OUTLINE)
    assert faults("evaluation", [evaluation[0] | {"auc": None}]) == ["$[0].auc"]
    assert faults("evaluation", [evaluation[0] | {"estimate": "best"}]) == ["$[0].estimate"]


@pytest.fixture
def register(tmp_path):
    """A register with twelve predictions, ten of them with a response."""
    file = tmp_path / "register.sqlite"
    with Register(file, create=True) as opened:
        for n in range(12):
            fused = 0.3 + 0.05 * n
            answer = an_answer(patient_id=f"P{n}", fused=fused, responder=fused > 0.55)
            opened.keep(answer, f"2025-{n + 1:02d}-15")
        for n in range(10):
            opened.record_outcome(f"P{n}", ("SD", "PR")[n % 2])
    return file


def test_audit_json_is_what_its_schema_says(register, tmp_path):
    assert main(["audit", "--register", str(register), "--out", str(tmp_path)]) == 0
    content = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert (content["models"][0]["n"], len(content["models"][0]["periods"])) == (10, 4)
    assert faults("audit", content) == []
    content["models"][0]["periods"][0]["own"]["n"] = -1
    assert faults("audit", content) == ["$.models[0].periods[0].own.n"]


def test_a_recorded_response_is_what_its_schema_says(register, capsys):
    assert (
        main(["follow-up", "--register", str(register), "--patient", "P11", "--response", "CR", "--json"])
        == 0
    )
    event = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert event["predictions"][0]["observed_responder"] is True
    assert faults("register", event) == []
    assert faults("register", event | {"response": "good"}) == ["$.response"]
    measured = event | {"baseline_mm": 60.0, "follow_up_mm": 40.0}
    assert faults("register", measured) == []
    assert faults("register", measured | {"baseline_mm": "60"}) == ["$.baseline_mm"]
