"""The mask grown, shrunk and jittered: right distances in mm, whatever the voxels, and honest words."""

import dataclasses
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from TACEResponseLib.answer.contour_sensitivity import (
    JITTERS,
    ContourSensitivity,
    Variant,
    _outlines,
    contour_sensitivity,
)
from TACEResponseLib.cases import Case, make_case
from TACEResponseLib.cases.lesions import measure_lesions
from TACEResponseLib.messages.errors import FeatureError


def a_ball(radius_mm: float, spacing_mm=(0.8, 0.8, 2.5), size=(90, 90, 40)) -> Case:
    """A CT of noise with a ball in its middle."""
    k, j, i = np.ogrid[tuple(slice(n) for n in reversed(size))]
    centre = [(n - 1) / 2 for n in size]
    squares = (
        ((i - centre[0]) * spacing_mm[0]) ** 2
        + ((j - centre[1]) * spacing_mm[1]) ** 2
        + ((k - centre[2]) * spacing_mm[2]) ** 2
    )
    voxels = np.random.default_rng(1).normal(60, 15, squares.shape).astype(np.int16)
    image, mask = (
        sitk.GetImageFromArray(voxels),
        sitk.GetImageFromArray((squares <= radius_mm**2).astype(np.uint8)),
    )
    for volume in (image, mask):
        volume.SetSpacing(spacing_mm)
    return make_case("ball", image, mask)


class SizeModel:
    """Answers by the volume alone: larger than 10 mL is a responder. has_side: as an answer is read."""

    settings = SimpleNamespace(seed=1)

    def __init__(self, has_side=True):
        self.reading = lambda: SimpleNamespace(has_side=has_side)

    def predict(self, case, threads):
        lesions = measure_lesions(case)
        probability = min(lesions.volume_ml / 20, 1)
        return SimpleNamespace(
            lesions=lesions, fused=probability, responder=probability > 0.5, reading=self.reading
        )


@pytest.fixture(scope="module")
def ball() -> Case:
    return a_ball(15.0)


@pytest.fixture(scope="module")
def outlines(ball) -> dict[str, np.ndarray]:
    return {name: sitk.GetArrayFromImage(case.mask) > 0 for name, case in _outlines(ball, 1)}


@pytest.mark.parametrize("spacing_mm", [(0.8, 0.8, 2.5), (1.0, 1.0, 1.0), (0.6, 0.9, 1.2)])
def test_a_ball_grows_and_shrinks_by_the_millimetres_that_are_said(spacing_mm):
    size = tuple(int(60 / s) for s in spacing_mm)
    masks = {n: sitk.GetArrayFromImage(c.mask) for n, c in _outlines(a_ball(15.0, spacing_mm, size), 1)}
    voxel_mm3 = np.prod(spacing_mm)
    half_a_voxel_mm = voxel_mm3 ** (1 / 3) / 2
    for name, radius_mm in (
        ("shrunk by 2 mm", 13),
        ("shrunk by 1 mm", 14),
        ("as drawn", 15),
        ("grown by 1 mm", 16),
        ("grown by 2 mm", 17),
    ):
        found_mm = (masks[name].sum() * voxel_mm3 * 3 / 4 / np.pi) ** (1 / 3)
        assert found_mm == pytest.approx(radius_mm, abs=half_a_voxel_mm), name


def test_every_outline_holds_the_smaller_ones(outlines):
    names = ("shrunk by 2 mm", "shrunk by 1 mm", "as drawn", "grown by 1 mm", "grown by 2 mm")
    for inner, outer in pairwise(names):
        assert not (outlines[inner] & ~outlines[outer]).any()
        assert outlines[inner].sum() < outlines[outer].sum()


def test_jitter_is_seeded_keeps_the_size_and_agrees_as_two_readers_do(ball, outlines):
    again = {name: sitk.GetArrayFromImage(case.mask) > 0 for name, case in _outlines(ball, 1)}
    other = {name: sitk.GetArrayFromImage(case.mask) > 0 for name, case in _outlines(ball, 2)}
    jittered = [name for name in outlines if name.startswith("random variation")]
    assert len(jittered) == JITTERS
    drawn = outlines["as drawn"]
    for name in jittered:
        assert (outlines[name] == again[name]).all()
        assert (outlines[name] != other[name]).any()
        dice = 2 * (drawn & outlines[name]).sum() / (drawn.sum() + outlines[name].sum())
        assert 0.85 < dice < 0.99
        assert outlines[name].sum() == pytest.approx(drawn.sum(), rel=0.15)
    assert len({outlines[name].tobytes() for name in jittered}) == JITTERS


def test_a_tumour_at_the_border_of_the_ct_is_no_problem():
    case = a_ball(15.0)
    mask = sitk.GetArrayFromImage(case.mask)
    mask[:] = 0
    mask[:5, :20, :20] = 1
    moved = sitk.GetImageFromArray(mask)
    moved.CopyInformation(case.mask)
    grown = dict(_outlines(dataclasses.replace(case, mask=moved), 1))["grown by 2 mm"]
    voxels = sitk.GetArrayViewFromImage(grown.mask)
    assert voxels[:6, :20, :20].all()
    assert voxels[:5, :22, :20].all()
    assert voxels[:5, :20, :22].all()


def test_the_answers_by_outline_are_those_of_the_model_and_said_in_words(ball):
    found = contour_sensitivity(SizeModel(), a_ball(13.0))
    by_name = {variant.name: variant for variant in found.variants}
    assert len(by_name) == 1 + 4 + JITTERS
    assert by_name["as drawn"].probability == pytest.approx(4 / 3 * np.pi * 1.3**3 / 20, rel=0.03)
    assert not by_name["as drawn"].responder
    assert by_name["grown by 2 mm"].responder
    assert found.changes_class
    assert found.lowest == by_name["shrunk by 2 mm"].probability
    assert found.highest == by_name["grown by 2 mm"].probability
    assert found.sentence().startswith("With 10 other outlines the answer lies between ")
    assert "the class changes with: grown by 1 mm, grown by 2 mm" in found.sentence()
    assert not contour_sensitivity(SizeModel(), a_ball(25.0, size=(140, 140, 60))).changes_class


def test_outlines_of_a_case_outside_the_training_data_have_no_side_of_the_cut_off():
    found = contour_sensitivity(SizeModel(has_side=False), a_ball(13.0))
    assert {variant.responder for variant in found.variants} == {None}
    assert not found.changes_class
    percents = f"{100 * found.lowest:.0f} % and {100 * found.highest:.0f} %"
    assert found.sentence() == f"With 10 other outlines the answer lies between {percents}"


def test_a_tumour_that_vanishes_when_shrunk_is_named_and_the_rest_answers():
    class Strict(SizeModel):
        def predict(self, case, threads):
            if not sitk.GetArrayViewFromImage(case.mask).any():
                raise FeatureError("the mask is empty")
            return super().predict(case, threads)

    found = contour_sensitivity(Strict(), a_ball(1.5, (0.8, 0.8, 1.0)))
    gone = {v.name: v.problem for v in found.variants if v.probability is None}
    assert gone["shrunk by 2 mm"] == "the tumour vanishes"
    assert found.variants[0].probability is not None


def test_an_outline_that_cannot_be_predicted_as_drawn_is_the_models_error(ball):
    class Deaf(SizeModel):
        def predict(self, case, threads):
            raise FeatureError("no model of the bundle can answer for this case")

    with pytest.raises(FeatureError, match="No model"):
        contour_sensitivity(Deaf(), ball)


def test_progress_counts_the_outlines_and_can_stop_the_work(ball):
    seen = []
    contour_sensitivity(SizeModel(), ball, progress=lambda *event: seen.append(event))
    assert seen[0] == ("contour", 0, 11)
    assert seen[-1] == ("contour", 11, 11)


def test_the_json_holds_every_variant():
    found = ContourSensitivity(
        (Variant("as drawn", 10.0, 0.6, True), Variant("shrunk by 2 mm", 0.0, None, None, "gone"))
    )
    content = found.to_json()
    assert content["variants"][1]["problem"] == "gone"
    assert content["lowest"] == content["highest"] == 0.6
    assert content["changes_class"] is False
