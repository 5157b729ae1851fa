"""Image and mask end on one grid, or in an error that names patient, expected, received, remedy."""

import numpy as np
import pytest
import SimpleITK as sitk
from TACEResponseLib.cases import make_case
from TACEResponseLib.cases.lesions import measure_lesions
from TACEResponseLib.follow_up.mrecist import mrecist_response
from TACEResponseLib.messages.errors import GeometryError, IntensityError, MaskError

SIZE_KJI = (12, 20, 24)


def a_ct(seed: int = 1) -> sitk.Image:
    """A CT of 24 x 20 x 12 voxels, 0.8 x 0.8 x 2.5 mm, with noise around 60 HU."""
    values = np.random.default_rng(seed).normal(60, 15, SIZE_KJI).round().astype(np.int16)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.8, 0.8, 2.5))
    image.SetOrigin((-10.0, 5.0, 30.0))
    return image


def a_mask(image: sitk.Image, value: int = 1, dtype=np.uint8) -> sitk.Image:
    """A box of 8 x 6 x 4 voxels on the grid of `image`."""
    values = np.zeros(sitk.GetArrayFromImage(image).shape, dtype=dtype)
    values[4:8, 6:12, 8:16] = value
    mask = sitk.GetImageFromArray(values)
    mask.CopyInformation(image)
    return mask


def shifted(mask: sitk.Image, *millimetres: float) -> sitk.Image:
    moved = sitk.Image(mask)
    moved.SetOrigin(tuple(o + d for o, d in zip(mask.GetOrigin(), millimetres, strict=True)))
    return moved


def test_a_mask_on_the_same_grid_becomes_zero_and_one_without_a_word():
    image = a_ct()
    case = make_case("0012", image, a_mask(image))
    assert case.patient_id == "0012"
    assert case.warnings == ()
    assert case.mask.GetPixelID() == sitk.sitkUInt8
    assert sitk.GetArrayFromImage(case.mask).sum() == 8 * 6 * 4
    assert case.mask.GetOrigin() == image.GetOrigin()


@pytest.mark.parametrize("value", [1, 2, 255])
def test_a_mask_with_one_value_needs_no_choice_whatever_the_value(value):
    image = a_ct()
    case = make_case("P1", image, a_mask(image, value))
    assert sitk.GetArrayFromImage(case.mask).max() == 1
    assert case.provenance["label"] == value


def test_several_labels_ask_for_a_choice_and_all_takes_every_one():
    image = a_ct()
    values = sitk.GetArrayFromImage(a_mask(image))
    values[1, 1, 1:3] = 255
    mask = sitk.GetImageFromArray(values)
    mask.CopyInformation(image)
    with pytest.raises(MaskError) as caught:
        make_case("P1", image, mask)
    assert str(caught.value) == (
        "Patient P1: the mask holds several labels. Expected one label, or a choice; "
        "received labels 1, 255. Choose one label, or all."
    )
    assert sitk.GetArrayFromImage(make_case("P1", image, mask, label="all").mask).sum() == 194
    assert sitk.GetArrayFromImage(make_case("P1", image, mask, label=255).mask).sum() == 2


def test_a_label_that_is_not_there_is_named_with_those_that_are():
    image = a_ct()
    with pytest.raises(MaskError) as caught:
        make_case("P1", image, a_mask(image, 2), label=7)
    assert str(caught.value) == (
        "Patient P1: label 7 is not in the mask. Expected label 7; received labels 2. "
        "Choose one of those labels, or all."
    )


def test_an_empty_mask_is_an_error():
    image = a_ct()
    with pytest.raises(MaskError, match="the mask is empty"):
        make_case("P1", image, a_mask(image, 0))


def test_probabilities_are_not_a_mask():
    image = a_ct()
    mask = sitk.Cast(a_mask(image), sitk.sitkFloat32) * 0.7
    with pytest.raises(MaskError, match="fractions"):
        make_case("P1", image, mask)


def test_a_flipped_mask_of_the_same_place_gives_the_same_voxels():
    image = a_ct()
    mask = a_mask(image)
    flipped = sitk.Flip(mask, (False, True, True))  # keeps the physical place
    assert flipped.GetDirection() != mask.GetDirection()
    case = make_case("P1", image, flipped)
    assert case.warnings == ()
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(case.mask), sitk.GetArrayFromImage(make_case("P1", image, mask).mask)
    )


def test_a_permuted_mask_gives_the_same_voxels():
    image = a_ct()
    mask = a_mask(image)
    case = make_case("P1", image, sitk.PermuteAxes(mask, (2, 0, 1)))
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(case.mask), sitk.GetArrayFromImage(make_case("P1", image, mask).mask)
    )


def test_rounding_of_the_header_is_no_movement():
    image = a_ct()
    case = make_case("P1", image, shifted(a_mask(image), 1e-4, 0, -1e-4))
    assert case.warnings == ()
    assert case.mask.GetOrigin() == image.GetOrigin()


def test_a_shift_below_half_a_voxel_is_moved_and_said():
    image = a_ct()
    case = make_case("P1", image, shifted(a_mask(image), 0.3, 0, 0))
    assert [str(w) for w in case.warnings] == [
        "Patient P1: the mask is shifted by 0.3 mm, less than half a voxel. It was moved onto the CT's "
        "grid by nearest neighbour; look at the outline."
    ]
    assert sitk.GetArrayFromImage(case.mask).sum() == 192


@pytest.mark.parametrize("millimetres", [(0.8, 0, 0), (0, 0, 7.5), (100, 0, 0)])
def test_a_shift_of_a_voxel_or_more_is_an_error_with_millimetres(millimetres):
    image = a_ct()
    with pytest.raises(GeometryError) as caught:
        make_case("P1", image, shifted(a_mask(image), *millimetres))
    assert f"{max(millimetres):.1f} mm away" in caught.value.problem.received
    assert caught.value.problem.remedy.startswith("export the mask on the CT's grid")


def test_a_cropped_mask_is_completed_and_said_unless_its_format_always_crops():
    image = a_ct()
    cropped = a_mask(image)[6:20, 4:16, 2:10]
    case = make_case("P1", image, cropped)
    assert "covers 14 x 12 x 8 voxels and the CT 24 x 20 x 12" in str(case.warnings[0])
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(case.mask),
        sitk.GetArrayFromImage(make_case("P1", image, a_mask(image)).mask),
    )
    assert make_case("P1", image, cropped, cropped_is_normal=True).warnings == ()


def test_a_mask_that_reaches_beyond_the_ct_is_an_error_with_voxel_counts():
    image = a_ct()
    with pytest.raises(GeometryError) as caught:
        make_case("P1", image[0:12, :, :], a_mask(image))
    assert caught.value.problem.expected == "192 tumour voxels inside the CT"
    assert caught.value.problem.received == "96 inside"


def test_a_mask_without_geometry_offers_to_copy_that_of_the_ct():
    image = a_ct()
    bare = sitk.GetImageFromArray(sitk.GetArrayFromImage(a_mask(image)))
    with pytest.raises(GeometryError) as caught:
        make_case("P1", image, bare)
    assert caught.value.problem.message == "the mask has lost its geometry"
    assert "copy the CT's geometry" in caught.value.problem.remedy


def test_another_spacing_is_an_error():
    image = a_ct()
    mask = a_mask(image)
    mask.SetSpacing((0.9, 0.8, 2.5))
    with pytest.raises(GeometryError, match="another grid"):
        make_case("P1", image, mask)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda i: sitk.JoinSeries([i, i]), "not a three-dimensional volume"),
        (lambda i: sitk.Compose(i, i), "several values a voxel"),
    ],
)
def test_a_ct_that_is_no_volume_is_an_error(change, sentence):
    image = a_ct()
    with pytest.raises(GeometryError, match=sentence):
        make_case("P1", change(image), a_mask(image))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda i: i * 0 + 60, "constant inside the tumour"),
        (lambda i: sitk.Cast(i, sitk.sitkFloat32) / 2000, "looks scaled"),
        (lambda i: i + 1024, "rescale intercept of -1024 was not applied"),
        (lambda i: i * 0 - 3024 + sitk.Cast(i > 90, sitk.sitkInt16), "padding"),
        (lambda i: sitk.Cast(i, sitk.sitkFloat32) * float("nan"), "not numbers"),
    ],
)
def test_intensities_that_cannot_be_hu_are_refused(change, sentence):
    image = a_ct()
    mask = a_mask(image)
    with pytest.raises(IntensityError, match=sentence):
        make_case("P1", change(image), mask)


def scene_of(tumour: float, around: float, air: float | None, noise: float = 8.0) -> np.ndarray:
    """HU (k, j, i) of a tumour in its surroundings, with air on a quarter of the volume unless None."""
    values = np.full(SIZE_KJI, around)
    values[4:8, 6:12, 8:16] = tumour
    if air is not None:
        values[:, :, 18:] = air
    return values + np.random.default_rng(4).normal(0, noise, SIZE_KJI)


def with_values(values: np.ndarray, dtype=np.int16) -> sitk.Image:
    image = sitk.GetImageFromArray((values.round() if np.dtype(dtype).kind != "f" else values).astype(dtype))
    image.CopyInformation(a_ct())
    return image


WINDOW = np.clip((scene_of(84, -80, -1000) + 160) / 400 * 255, 0, 255)
WINDOW_WITH_BONE = np.where(np.arange(24) < 2, 255.0, WINDOW)


@pytest.mark.parametrize(
    ("values", "dtype", "sentence"),
    [
        (scene_of(84, -80, -1000) - 1024, np.int16, "intercept of -1024 was applied twice"),
        (scene_of(84, 60, None) - 1024, np.int16, "intercept of -1024 was applied twice"),
        (-scene_of(84, -80, -1000), np.int16, "negated"),
        (WINDOW_WITH_BONE, np.uint8, "windowed to 0 to 255"),
        (WINDOW_WITH_BONE, np.int16, "windowed to 0 to 255"),
        (WINDOW_WITH_BONE, np.float32, "windowed to 0 to 255"),
        ((scene_of(84, -80, -1000) + 200) / 450, np.float32, "scaled, not in HU"),
        ((scene_of(84, -80, None, noise=40) + 20) / 50, np.float32, "scaled, not in HU"),
    ],
    ids=[
        "twice",
        "twice, cropped",
        "negated",
        "window",
        "window as int16",
        "window as fractions",
        "z-scores",
        "z-scores, noisy",
    ],
)
def test_a_ct_whose_values_are_no_hu_is_refused_by_what_was_done_to_it(values, dtype, sentence):
    with pytest.raises(IntensityError, match=sentence):
        make_case("P1", with_values(values, dtype), a_mask(a_ct()))


@pytest.mark.parametrize(
    ("values", "dtype", "sentences"),
    [
        (WINDOW, np.uint8, ["the CT holds only values from 0 to 255, as a windowed picture does"]),
        (WINDOW, np.int16, ["the CT holds only values from 0 to 255, as a windowed picture does"]),
        (-scene_of(84, -80, None), np.int16, ["what looks like fat (median -84 HU)"]),
        (scene_of(-90, 60, -1000), np.int16, ["what looks like fat (median -90 HU)"]),
        (scene_of(-980, 60, -1000), np.int16, ["what looks like air or lung (median -980 HU)"]),
        (scene_of(-700, 60, -1000), np.int16, ["what looks like air or lung (median -700 HU)"]),
        (scene_of(-400, 60, -1000), np.int16, ["what looks like air or lung (median -400 HU)"]),
        (scene_of(-31, -80, -1000), np.int16, []),  # a lung tumour of a public data set measures this
        (scene_of(420, 60, -1000), np.int16, ["what looks like bone, metal or lipiodol (median 420 HU)"]),
        (scene_of(84, 60, -1000), np.int16, []),
        (scene_of(84, 60, None), np.float32, []),
        (scene_of(190, 110, -1000), np.int16, []),
        (scene_of(5, -80, -3024), np.int16, []),
    ],
)
def test_values_that_no_organ_has_are_said_and_those_of_a_tumour_are_not(values, dtype, sentences):
    case = make_case("P1", with_values(values, dtype), a_mask(a_ct()))
    said = [warning.message for warning in case.warnings]
    assert len(said) == len(sentences)
    for message, sentence in zip(said, sentences, strict=True):
        assert sentence in message


@pytest.mark.parametrize(
    ("box", "where"),
    [
        (np.s_[0:4, 6:12, 8:16], "the first slice"),
        (np.s_[9:12, 6:12, 8:16], "the last slice"),
        (np.s_[4:8, 0:6, 8:16], "the border"),
        (np.s_[4:8, 14:20, 8:16], "the border"),
        (np.s_[4:8, 6:12, 0:2], "the border"),
        (np.s_[4:8, 6:12, 20:24], "the border"),
        (np.s_[0:12, 6:12, 20:24], "the first slice and the last slice and the border"),
        (np.s_[1:11, 1:19, 1:23], None),
    ],
)
def test_a_tumour_that_the_scan_cuts_off_is_said(box, where):
    values = np.zeros(SIZE_KJI, np.uint8)
    values[box] = 1
    mask = sitk.GetImageFromArray(values)
    mask.CopyInformation(a_ct())
    said = [str(warning) for warning in make_case("P1", a_ct(), mask).warnings]
    assert said == [
        f"Patient P1: the tumour is cut off: it touches {where} of the scan. Use a scan that holds all of it."
    ] * (where is not None)


def test_some_padding_inside_the_tumour_is_a_warning_with_its_share():
    image = a_ct()
    values = sitk.GetArrayFromImage(image)
    values[4, 6:12, 8:16] = -3024
    padded = sitk.GetImageFromArray(values)
    padded.CopyInformation(image)
    case = make_case("P1", padded, a_mask(image))
    assert "25.0 % of the tumour is at padding value (-3024 HU)" in str(case.warnings[0])


def test_one_slice_and_the_whole_volume_are_answers_with_a_warning():
    image = a_ct()
    values = np.zeros(SIZE_KJI, np.uint8)
    values[5, 6:12, 8:16] = 1
    for array, sentence in ((values, "one slice only (48 voxels)"), (values * 0 + 1, "the whole volume")):
        mask = sitk.GetImageFromArray(array)
        mask.CopyInformation(image)
        assert sentence in str(make_case("P1", image, mask).warnings[0])


def test_an_oblique_case_is_brought_to_the_axial_plane_and_keeps_its_volume():
    image = a_ct()
    angle = np.deg2rad(15)
    direction = (np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1)
    mask = a_mask(image)
    for volume in (image, mask):
        volume.SetDirection(direction)
    axial = make_case("P1", image, mask).on_axial_grid()
    assert axial.image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert abs(sitk.GetArrayFromImage(axial.mask).sum() - 192) <= 0.05 * 192


def test_two_lesions_of_29_mm_under_one_label_are_two_lesions_of_29_mm():
    k, j, i = np.mgrid[0:35, 0:80, 0:180]
    z_mm, y_mm, x_mm = k - 17.0, j * 0.5 - 20.0, i * 0.5
    spheres = [z_mm**2 + y_mm**2 + (x_mm - x) ** 2 <= 14.5**2 for x in (20, 20 + 29 + 10)]
    mask = sitk.GetImageFromArray((spheres[0] | spheres[1]).astype(np.uint8))
    image = sitk.GetImageFromArray(np.random.default_rng(1).normal(60, 9, k.shape).astype(np.int16))
    for volume in (image, mask):
        volume.SetSpacing((0.5, 0.5, 1.0))
    lesions = measure_lesions(make_case("P1", image, mask))
    assert lesions.number == 2
    assert lesions.largest_diameter_mm == pytest.approx(29, abs=0.5)
    assert lesions.volume_ml == pytest.approx(2 * 4 / 3 * np.pi * 14.5**3 / 1000, rel=0.01)


def test_stray_voxels_are_dropped_and_counted():
    image = a_ct()
    values = sitk.GetArrayFromImage(a_mask(image))
    values[0, 0, 0] = values[11, 19, 23] = 1
    mask = sitk.GetImageFromArray(values)
    mask.CopyInformation(image)
    lesions = measure_lesions(make_case("P1", image, mask))
    assert (lesions.number, lesions.dropped) == (1, 2)
    assert lesions.volume_ml == pytest.approx(192 * 0.8 * 0.8 * 2.5 / 1000)


@pytest.mark.parametrize(
    ("baseline_mm", "follow_up_mm", "response"),
    [(33, 23.1, "PR"), (33, 23.2, "SD"), (50, 0, "CR"), (50, 60, "PD"), (50, 59.9, "SD"), (50, 35, "PR")],
)
def test_mrecist_follows_the_sums_with_a_tolerance(baseline_mm, follow_up_mm, response):
    assert mrecist_response(baseline_mm, follow_up_mm) == response


def test_mrecist_progression_is_measured_from_the_smallest_sum_and_a_new_lesion_is_progression():
    assert mrecist_response(50, 36, smallest_mm=30) == "PD"
    assert mrecist_response(50, 20, new_lesion=True) == "PD"


def test_checking_a_case_leaves_the_given_mask_as_it_was():
    image, mask = sitk.Image([6, 5, 4], sitk.sitkInt16), sitk.Image([6, 5, 4], sitk.sitkUInt8)
    for volume, shift_mm in ((image, 0.0), (mask, 1e-4)):
        volume.SetOrigin((shift_mm, 0.0, 0.0))
        volume[1, 1, 1] = volume[2, 2, 2] = 1
    image[1, 1, 1], image[2, 2, 2] = 40, 90
    case = make_case("p", image, mask)
    assert case.mask.GetOrigin() == (0.0, 0.0, 0.0) and mask.GetOrigin() == (1e-4, 0.0, 0.0)
