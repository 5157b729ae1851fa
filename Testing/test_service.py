"""The service: a case is measured once, sent once, and known by its fingerprint."""

import dataclasses
import json
import os
import subprocess
import sys

import numba
import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ROOT
from TACEResponseLib import __version__, compiled
from TACEResponseLib.answer.response_model import ResponseModel
from TACEResponseLib.bundle import demonstration_bundle, load_bundle
from TACEResponseLib.cases import make_case
from TACEResponseLib.cases.fingerprint import case_fingerprint, tumour_fingerprint
from TACEResponseLib.messages.errors import BundleError, InputError
from TACEResponseLib.phantom import make_patient
from TACEResponseLib.service import PREPARING, PredictionService, read, write


@pytest.fixture(scope="module")
def model() -> ResponseModel:
    return load_bundle(demonstration_bundle())


@pytest.fixture(scope="module")
def case():
    patient = make_patient(3, seed=1, size="small")
    return make_case("somebody", patient.image, patient.mask)


@pytest.fixture
def measured(monkeypatch) -> list[str]:
    """The patients that were measured, in order."""
    seen, measure = [], ResponseModel.measure

    def counting(self, case, **options):
        seen.append(case.patient_id)
        return measure(self, case, **options)

    monkeypatch.setattr(ResponseModel, "measure", counting)
    return seen


def changed(case, **parts):
    return dataclasses.replace(case, **parts)


def with_voxel(image: sitk.Image, index, value) -> sitk.Image:
    copy = sitk.Image(image)
    copy[index] = value
    return copy


def test_the_service_answers_what_the_model_answers(model, case):
    prediction = PredictionService().predict(case)
    assert dict(prediction.probabilities) == dict(model.predict(case).probabilities)


def test_a_case_is_measured_once_for_its_answer_its_explanation_and_its_own_outline(case, measured, tmp_path):
    service = PredictionService()
    prediction = service.predict(case)
    assert measured == ["somebody"]
    explanation = service.explain(case)
    service.report(prediction, case, tmp_path)
    assert measured == ["somebody"]
    sensitivity = service.sensitivity(case)
    others = [variant for variant in sensitivity.variants[1:] if variant.probability is not None]
    assert len(measured) == 1 + len(others)  # each other outline is another tumour
    assert sensitivity.variants[0].probability == prediction.fused
    assert_the_map_is_a_part_of_the_ct(explanation.network_map, case.image)
    service.predict(case, diameter_mm=61.0)
    assert len(measured) == 1 + len(others)
    service.predict(changed(case, patient_id="another"))
    assert measured[-1] == "another"


def assert_the_map_is_a_part_of_the_ct(part: sitk.Image, image: sitk.Image):
    """The box holds a value on every side, and its voxels are those of the CT."""
    values = sitk.GetArrayViewFromImage(part)
    assert all(values.take(end, axis).any() for axis in range(3) for end in (0, -1))
    assert part.GetNumberOfPixels() < image.GetNumberOfPixels()
    index = image.TransformPhysicalPointToContinuousIndex(part.GetOrigin())
    np.testing.assert_allclose(index, np.round(index), atol=1e-6)
    assert part.GetSpacing() == image.GetSpacing()


def test_another_model_measures_again(case, measured, tmp_path, monkeypatch):
    from TACEResponseLib import bundle

    service = PredictionService()
    service.predict(case)
    monkeypatch.setattr(bundle, "load_bundle", lambda folder: load_bundle(demonstration_bundle()))
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_text(
        (demonstration_bundle() / "manifest.json").read_text(encoding="utf-8"), encoding="utf-8"
    )
    service.predict(case, other)
    assert measured == ["somebody"] * 2
    service.predict(case, other)
    assert measured == ["somebody"] * 2


def test_a_held_case_is_asked_about_by_its_fingerprint_and_no_other(case, measured):
    service = PredictionService()
    service.hold(case, case_fingerprint(case))
    by_name = service.predict(case_fingerprint(case))
    assert by_name.patient_id == "somebody"
    with pytest.raises(InputError, match="not held any more"):
        service.predict(case_fingerprint(changed(case, patient_id="another")))
    service.hold(changed(case, patient_id="another"), "other")
    with pytest.raises(InputError, match="not held any more"):
        service.explain(case_fingerprint(case))


def test_getting_ready_keeps_the_case_that_is_held(case, measured):
    service = PredictionService()
    service.hold(case, "name")
    stages = []
    service.warm_up(progress=lambda stage, done, total: stages.append(stage))
    assert stages[-1] in ("getting ready", PREPARING)
    assert service.predict("name").patient_id == "somebody"


def test_the_first_prediction_after_an_installation_says_that_the_engine_is_prepared_and_only_that_one(
    case, monkeypatch, tmp_path
):
    monkeypatch.setattr(compiled, "cache_folder", lambda: tmp_path)  # nothing was ever compiled here
    said = []
    for _time in range(2):
        stages = []
        PredictionService().predict(case, progress=lambda stage, done, total, to=stages: to.append(stage))
        said.append(stages.count(PREPARING))
    assert said == [1, 0]
    assert PREPARING == "preparing the engine, once after installation (about 10 s)"
    assert [file.name for file in tmp_path.iterdir()] == [f"prepared-{__version__}-numba-{numba.__version__}"]
    tmp_path.joinpath(f"prepared-{__version__}-numba-{numba.__version__}").unlink()
    stages = []
    PredictionService().warm_up(progress=lambda stage, done, total: stages.append(stage))
    assert PREPARING in stages


def test_a_folder_that_is_no_model_is_refused(case, tmp_path):
    with pytest.raises(BundleError, match="not a model bundle"):
        PredictionService().predict(case, tmp_path)


def test_anything_that_changes_in_a_case_changes_its_fingerprint(case):
    first = (0, 0, 0)
    moved = sitk.Image(case.image)
    moved.SetOrigin([x + 1e-6 for x in moved.GetOrigin()])
    others = (
        changed(case, image=with_voxel(case.image, first, case.image[first] + 1)),
        changed(case, mask=with_voxel(case.mask, first, 1)),
        changed(case, image=moved),
        changed(case, image=sitk.Cast(case.image, sitk.sitkFloat64)),
        changed(case, patient_id="another"),
        changed(case, provenance={"image": {"phase": "arterial"}}),
    )
    fingerprints = {case_fingerprint(one) for one in (case, *others)}
    assert len(fingerprints) == 1 + len(others)
    again = changed(case, image=sitk.Image(case.image), provenance=dict(case.provenance))
    assert case_fingerprint(again) == case_fingerprint(case)


def test_the_tumours_fingerprint_is_that_of_a_crop_around_it_and_changes_with_outline_place_and_hu(case):
    voxels = sitk.GetArrayFromImage(case.mask)
    where = np.argwhere(voxels)[:, ::-1]
    low = [int(n) for n in where.min(axis=0)]
    size = [int(n) for n in where.max(axis=0) - where.min(axis=0) + 1]
    crop = changed(
        case,
        image=sitk.RegionOfInterest(case.image, size, low),
        mask=sitk.RegionOfInterest(case.mask, size, low),
    )
    known = tumour_fingerprint(case)
    assert tumour_fingerprint(crop) == known
    inside = tuple(int(n) for n in where[0])
    moved, shifted = sitk.Image(case.image), sitk.Image(case.mask)
    for volume in (moved, shifted):
        volume.SetOrigin([x + 1 for x in volume.GetOrigin()])
    for other in (
        changed(case, image=with_voxel(case.image, inside, case.image[inside] + 1)),
        changed(case, mask=with_voxel(case.mask, inside, 0)),
        changed(case, image=moved, mask=shifted),
    ):
        assert tumour_fingerprint(other) != known


def test_the_process_answers_a_question_a_line_and_ends_when_nobody_can_ask_any_more(case, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "TACEResponse")}
    process = subprocess.Popen(
        [sys.executable, "-m", "TACEResponseLib.service"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        env=environment,
    )
    file = tmp_path / "question"

    def ask(question, **content):
        write(file, (question, content))
        process.stdin.write(f"{file}\n")
        process.stdin.flush()
        events = []
        while not events or events[-1]["event"] == "progress":
            events.append(json.loads(process.stdout.readline()))
        return events

    with process:
        held = ask("hold", case=case, fingerprint="name")
        assert held[-1] == {"event": "done", "file": str(file)}
        assert read(file) is None
        answered = ask("predict", case="name")
        assert {"measure texture", "predict"} <= {event.get("stage") for event in answered}
        prediction = read(file)
        assert not file.exists()
        refused = ask("predict", case="another")
        assert refused[-1]["event"] == "error"
        assert "not held" in refused[-1]["problem"]["message"]
        process.stdin.close()
        assert process.wait(30) == 0
    assert prediction.fused == PredictionService().predict(case).fused
