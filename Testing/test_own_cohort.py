"""What somebody meets with a first cohort of their own: each refusal says what is true and what to do."""

import csv

import pytest
import SimpleITK as sitk
from scenes import a_scene, as_labelmap
from TACEResponseLib.__main__ import main
from TACEResponseLib.bundle import demonstration_bundle, load_bundle
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.measuring.case import image_hash
from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import in_language
from TACEResponseLib.training.external import external_patients

IMAGE, SEGMENTS = a_scene()


@pytest.fixture
def folder(tmp_path):
    """A folder with a CT, another CT and a mask of both."""
    sitk.WriteImage(IMAGE, str(tmp_path / "ct.nrrd"))
    sitk.WriteImage(IMAGE + 1, str(tmp_path / "other.nrrd"))
    sitk.WriteImage(as_labelmap(IMAGE, {"Mass": SEGMENTS["Mass"]}), str(tmp_path / "mask.nrrd"))
    return tmp_path


def write_cohort(folder, rows, header="patient_id,image,mask,label,cohort"):
    with (folder / "cohort.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(header.split(","))
        table.writerows(rows)
    return folder


def a_cohort(folder, labels, cohorts=()):
    """A patient a label, all with the same files; cohorts: of the last ones, the others train."""
    parts = [*[""] * (len(labels) - len(cohorts)), *cohorts]
    pairs = enumerate(zip(labels, parts, strict=True))
    return write_cohort(folder, [(f"A{n}", "ct.nrrd", "mask.nrrd", *cells) for n, cells in pairs])


# Equal IDs


def trained_with(folder, image: str):
    """The demonstration model as if P0003 had been trained on a CT of this folder."""
    from dataclasses import replace

    model = load_bundle(demonstration_bundle())
    write_cohort(folder, [("P0003", image, "mask.nrrd", 1, "validation")])
    known = image_hash(read_cohort(folder).patients[0].read_case())
    hashes = (known, *model.training.image_hashes[1:])
    return replace(model, training=replace(model.training, image_hashes=hashes))


def refused(model, folder, *ids, **how) -> str:
    """What is said of patients with the CT of the folder, each of them for validation."""
    write_cohort(folder, [(name, "ct.nrrd", "mask.nrrd", 1, "validation") for name in ids])
    with pytest.raises(TrainingError) as caught:
        external_patients(model, read_cohort(folder), **how)
    return str(caught.value)


def test_an_equal_id_with_the_same_image_is_a_training_patient(folder):
    assert refused(trained_with(folder, "ct.nrrd"), folder, "P0003", allow_training_patients=False) == (
        "1 patient of the cohort was used to train this model. Expected patients that the model has not "
        "seen, whatever they are called; received P0003. Remove them, or allow training patients by name and read "
        "the result as optimism."
    )


def test_an_equal_id_with_another_image_is_refused_and_is_not_called_a_training_patient(folder):
    model = trained_with(folder, "other.nrrd")
    assert refused(model, folder, "P0003", "P0001", "B", allow_training_patients=False) == (
        "2 patients have the ID of a training patient, with other images. Expected patients that the model "
        "has not seen; received P0001, P0003. If they are other patients, give them other IDs or pass "
        "--allow-training-patients, with which the report counts them as training patients."
    )
    assert refused(model, folder, "P0003").endswith("If they are other patients, give them other IDs.")
    with in_language("zh"):
        assert refused(model, folder, "P0003", allow_training_patients=False) == (
            "有 1 名患者的编号与训练患者相同，但图像不同。应为 模型未见过的患者；实际为 P0003。"
            "如为其他患者，请改用其他编号，或使用 --allow-training-patients（报告会将其计为训练患者）。"
        )


@pytest.mark.parametrize("unknown", ["the model's images", "the patient's image"])
def test_where_the_images_cannot_be_compared_nobody_is_said_to_have_another_one(folder, unknown):
    from dataclasses import replace

    model = trained_with(folder, "other.nrrd")
    if unknown == "the model's images":
        model = replace(model, training=replace(model.training, image_hashes=model.training.image_hashes[1:]))
    else:
        (folder / "mask.nrrd").unlink()
    said = refused(model, folder, "P0003", allow_training_patients=False)
    assert said.startswith("1 patient of the cohort was used to train this model.")


def test_ten_of_the_ids_are_named_and_the_others_counted(folder, capsys):
    ids = [f"P{n:04d}" for n in range(1, 25, 2)]
    write_cohort(folder, [(name, "ct.nrrd", "mask.nrrd", 1, "validation") for name in ids])
    evaluate = ["evaluate", "--bundle", str(demonstration_bundle()), "--cohort", str(folder)]
    assert main([*evaluate, "--out", str(folder / "report")]) == 2
    said = capsys.readouterr().err
    assert "12 patients have the ID of a training patient, with other images." in said
    assert f"received {', '.join(ids[:10])} and 2 more. If they are other patients" in said
    assert "pass --allow-training-patients" in said
