"""The patch: which layer, which box, which pixels, and the way back to the CT."""

import numpy as np
import pytest
import SimpleITK as sitk
from TACEResponseLib.cases import make_case
from TACEResponseLib.measuring.patch import largest_layer_patch
from TACEResponseLib.messages.errors import SettingsError
from TACEResponseLib.models.network.augmentation import VARIANTS, BalancedEpochs
from TACEResponseLib.settings import PatchSettings

LPS = np.eye(3)


def make(hu, mask, spacing_mm=(1.0, 1.0, 1.0), origin_mm=(0.0, 0.0, 0.0), direction=LPS):
    """A Case from (k, j, i) arrays."""
    volumes = []
    for values in (np.asarray(hu, np.float32), np.asarray(mask, np.uint8)):
        volume = sitk.GetImageFromArray(values)
        volume.SetSpacing(spacing_mm)
        volume.SetOrigin(origin_mm)
        volume.SetDirection(np.ravel(direction).tolist())
        volumes.append(volume)
    return make_case("p", *volumes)


def ramp(shape=(12, 60, 60), spacing_mm=(1.0, 1.0, 1.0), origin_mm=(0.0, 0.0, 0.0)):
    """HU that say where a voxel is: x + 2 y + 3 z in mm, and the three coordinates."""
    z, y, x = (np.arange(n) for n in shape)
    x, y, z = (
        a * s + o for a, s, o in zip((x, y[:, None], z[:, None, None]), spacing_mm, origin_mm, strict=True)
    )
    return x + 2 * y + 3 * z + np.zeros(shape)


def box_mask(shape, *boxes):
    """1 inside boxes given as (k, j, i) slices."""
    mask = np.zeros(shape, np.uint8)
    for box in boxes:
        mask[box] = 1
    return mask


def test_the_layer_with_the_largest_section_is_shown():
    mask = box_mask((12, 60, 60), np.s_[2:9, 20:30, 20:30], np.s_[6, 18:33, 20:30], np.s_[7, 20:30, 20:31])
    patch = largest_layer_patch(make(ramp(), mask))
    assert patch.layer_index == 6
    assert patch.area_mm2 == 150
    assert patch.box_mm == 15 + 2 * 10
    assert patch.centre_mm == pytest.approx((24.5, 25.0, 6.0))


@pytest.mark.parametrize(("last", "expected"), [(2, 2), (3, 2), (4, 3), (5, 3), (6, 4)])
def test_of_layers_of_one_size_the_middle_one_is_shown(last, expected):
    mask = box_mask((12, 60, 60), np.s_[2 : last + 1, 20:30, 20:30])
    assert largest_layer_patch(make(ramp(), mask)).layer_index == expected


def test_one_large_lesion_outweighs_many_small_ones_on_another_layer():
    small = [np.s_[2, j : j + 5, i : i + 5] for j in (5, 15, 25) for i in (5, 15, 25)]
    large = np.s_[8:10, 30:41, 30:41]
    patch = largest_layer_patch(make(ramp(), box_mask((12, 60, 60), large, *small)))
    assert patch.layer_index == 8
    assert patch.area_mm2 == 121


def test_a_wide_flat_lesion_outweighs_a_tall_thin_one_of_more_volume():
    mask = box_mask((12, 60, 60), np.s_[0:12, 5:12, 5:12], np.s_[9, 30:42, 30:42])
    assert largest_layer_patch(make(ramp(), mask)).layer_index == 9  # 144 pixels; 12 x 49 against 144


def test_the_box_is_drawn_around_one_lesion_and_shows_the_others_in_it_as_tumour():
    mask = box_mask((12, 60, 60), np.s_[5, 20:30, 20:30], np.s_[5, 20:22, 34:36], np.s_[5, 50:55, 50:55])
    patch = largest_layer_patch(make(ramp(), mask), PatchSettings(channels=("mask", "mask", "mask")))
    assert patch.box_mm == 30
    assert patch.centre_mm == pytest.approx((24.5, 24.5, 5.0))
    shown_mm2 = patch.pixels[..., 0].sum() * patch.pixel_spacing_mm**2
    assert shown_mm2 == pytest.approx(100 + 4, rel=0.02)


def test_parts_of_one_lesion_on_a_layer_belong_together():
    """A horseshoe stands on its arms: two sections of 50 are one of 100, more than the bridge's 70."""
    arms = np.s_[5:7, 20:30, 10:15], np.s_[5:7, 20:30, 40:45]
    patch = largest_layer_patch(make(ramp(), box_mask((12, 60, 60), *arms, np.s_[7, 20:22, 10:45])))
    assert (patch.layer_index, patch.area_mm2, patch.box_mm) == (5, 100, 35 + 20)


def test_a_tumour_of_one_voxel_is_a_picture_with_its_margin():
    case = make(ramp(), box_mask((12, 60, 60), np.s_[5, 30, 31:33]))
    case.mask[32, 30, 5] = 0  # a case of one voxel is refused when it is made
    patch = largest_layer_patch(case)
    assert (patch.layer_index, patch.box_mm, patch.area_mm2) == (5, 21, 1)
    assert patch.centre_mm == pytest.approx((31, 30, 5))
    assert patch.pixels.shape == (224, 224, 3)
    assert patch.pixels[..., 2].sum() * patch.pixel_spacing_mm**2 == pytest.approx(1, rel=0.15)


def test_a_tumour_on_one_layer_at_the_end_of_the_volume_is_shown():
    for layer in (0, 11):
        patch = largest_layer_patch(make(ramp(), box_mask((12, 60, 60), np.s_[layer, 20:30, 20:30])))
        assert patch.layer_index == layer


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.5, 1.0, 2.5), (1.0, 0.6, 5.0)])
def test_every_pixel_shows_the_hu_of_its_place_in_mm(spacing_mm):
    origin_mm = (-20.0, 7.0, 100.0)
    hu = ramp(spacing_mm=spacing_mm, origin_mm=origin_mm)
    case = make(hu, box_mask(hu.shape, np.s_[4:7, 26:34, 24:36]), spacing_mm, origin_mm)
    settings = PatchSettings(margin_mm=5, window_hu=(0, 1000), channels=("surroundings", "mask", "tumour"))
    patch = largest_layer_patch(case, settings)
    x0, y0, z0 = patch.first_pixel_mm
    steps_mm = np.arange(224) * patch.pixel_spacing_mm
    expected = (x0 + steps_mm) + 2 * (y0 + steps_mm[:, None]) + 3 * z0
    np.testing.assert_allclose(patch.pixels[..., 0] * 1000, expected, atol=1e-3)
    np.testing.assert_array_equal(patch.pixels[..., 2], patch.pixels[..., 0] * patch.pixels[..., 1])
    assert z0 == pytest.approx(origin_mm[2] + 5 * spacing_mm[2])


def test_anisotropic_pixels_are_not_stretched():
    """A disc in mm stays a disc: as wide as high to a pixel, whatever the pixels were."""
    spacing_mm = (0.5, 1.25, 2.0)
    y, x = np.indices((40, 100)) * np.array([1.25, 0.5])[:, None, None]
    mask = np.zeros((3, 40, 100), np.uint8)
    mask[1] = np.hypot(x - 25, y - 25) <= 12
    hu = np.random.default_rng(0).normal(60, 10, mask.shape)
    patch = largest_layer_patch(make(hu, mask, spacing_mm), PatchSettings(channels=("mask",) * 3))
    rows, columns = (np.ptp(np.flatnonzero(patch.pixels[..., 0].any(axis=axis))) + 1 for axis in (1, 0))
    assert rows * patch.pixel_spacing_mm == pytest.approx(24, abs=1.25)
    assert columns * patch.pixel_spacing_mm == pytest.approx(24, abs=1.25)


def test_the_window_maps_its_ends_to_0_and_1_and_clips():
    hu = np.full((5, 40, 40), 40.0)
    hu[2, 15:25, 15:20], hu[2, 15:25, 20:25] = -500.0, 500.0
    patch = largest_layer_patch(make(hu, box_mask(hu.shape, np.s_[2, 15:25, 15:25])))
    grey = patch.pixels[..., 1]
    assert (grey.min(), grey.max()) == (0, 1)
    assert grey[0, 0] == pytest.approx((40 + 110) / 300)
    assert patch.pixels.dtype == np.float32


def test_the_channels_hold_what_their_names_say():
    hu = np.random.default_rng(1).normal(60, 10, (5, 60, 60))
    case = make(hu, box_mask(hu.shape, np.s_[2, 20:40, 20:40]))
    tumour, surroundings, mask = np.moveaxis(largest_layer_patch(case).pixels, -1, 0)
    assert set(np.unique(mask)) == {0, 1}
    np.testing.assert_array_equal(tumour, surroundings * mask)
    assert (surroundings[mask == 0] > 0).all()
    again = largest_layer_patch(case, PatchSettings(channels=("mask", "tumour", "surroundings"))).pixels
    np.testing.assert_array_equal(again, np.stack([mask, tumour, surroundings], axis=-1))


def test_outside_the_ct_is_as_dark_as_air_and_no_tumour():
    hu = np.full((3, 20, 20), 60.0)
    hu[1, 0, 0] = 70
    patch = largest_layer_patch(make(hu, box_mask(hu.shape, np.s_[1, 0:6, 0:6])), PatchSettings(margin_mm=8))
    outside_px = int(8 / patch.pixel_spacing_mm)
    assert (patch.pixels[: outside_px - 1] == 0).all()
    assert (patch.pixels[:, : outside_px - 1] == 0).all()
    assert patch.pixels[outside_px + 2, outside_px + 2, 1] > 0.5


def test_values_that_are_no_numbers_outside_the_tumour_are_dark():
    hu = np.full((3, 40, 40), 60.0)
    hu[1, 12, 12], hu[1, 20, 20] = np.nan, 61
    patch = largest_layer_patch(make(hu, box_mask(hu.shape, np.s_[1, 18:24, 18:24])))
    assert np.isfinite(patch.pixels).all()
    assert patch.pixels[..., 1].min() < 0.05 < 0.5 < np.median(patch.pixels[..., 1])


@pytest.mark.parametrize(
    "direction",
    [
        np.diag([-1.0, -1.0, 1.0]),
        np.diag([1.0, 1.0, -1.0]),
        np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),  # coronal
        np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]]),  # sagittal
    ],
    ids=["RAS", "feet first", "coronal", "sagittal"],
)
def test_a_volume_stored_in_another_order_gives_the_same_patch(direction):
    rng = np.random.default_rng(2)
    hu, spacing_mm = rng.normal(60, 20, (14, 50, 60)), (0.8, 0.8, 2.0)
    mask = box_mask(hu.shape, np.s_[4:8, 20:30, 18:35], np.s_[6, 15:30, 18:35])
    axial = make(hu, mask, spacing_mm, (5, 6, 7))
    code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(np.ravel(direction).tolist())
    stored = make_case("p", *(sitk.DICOMOrient(v, code) for v in (axial.image, axial.mask)))
    assert stored.image.GetDirection() != axial.image.GetDirection()
    expected, patch = largest_layer_patch(axial), largest_layer_patch(stored)
    np.testing.assert_allclose(patch.pixels, expected.pixels, atol=1e-6)
    assert patch.layer_index == expected.layer_index
    assert patch.centre_mm == pytest.approx(expected.centre_mm)


def test_an_oblique_volume_is_brought_to_the_axial_plane():
    """A gantry tilt of 15 degrees: the patch shows what lies at its place in the patient."""
    angle = np.deg2rad(15)
    tilt = [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    hu, mask = np.zeros((40, 60, 60)), np.zeros((40, 60, 60), np.uint8)
    case = make(hu + np.arange(60), box_mask(mask.shape, np.s_[18:22, 25:35, 25:35]), direction=tilt)
    position = np.array(
        [[case.image.TransformIndexToPhysicalPoint((0, j, k))[1:] for j in range(60)] for k in range(40)]
    )
    y_mm, z_mm = np.moveaxis(position, -1, 0)
    values = np.arange(60) + 2 * y_mm[..., None] + 3 * z_mm[..., None]
    case = make(values, sitk.GetArrayFromImage(case.mask), direction=tilt)
    settings = PatchSettings(margin_mm=2, window_hu=(-500, 500), channels=("surroundings",) * 3)
    patch = largest_layer_patch(case, settings)
    x0, y0, z0 = patch.first_pixel_mm
    steps_mm = np.arange(224) * patch.pixel_spacing_mm
    expected = (x0 + steps_mm) + 2 * (y0 + steps_mm[:, None]) + 3 * z0
    np.testing.assert_allclose(patch.pixels[..., 0] * 1000 - 500, expected, atol=0.01)


def test_a_patch_smaller_than_the_network_can_take_is_a_settings_error():
    with pytest.raises(SettingsError, match="96 to 1024"):
        PatchSettings(size_px=64)


def test_the_five_transformed_pictures_are_the_papers():
    """A letter F: where its corner and its arm end after each transform."""
    picture = np.zeros((4, 4, 3))
    picture[0, 0], picture[0, 3] = 1, 2  # upper left 1, upper right 2
    corners = {
        name: (v[0, 0, 0], v[0, 3, 0], v[3, 3, 0], v[3, 0, 0])
        for name, v in ((name, turn(picture)) for name, turn in VARIANTS.items())
    }
    assert corners == {
        "original": (1, 2, 0, 0),
        "flipped_in_both_directions": (0, 0, 1, 2),
        "flipped_vertically": (0, 0, 2, 1),
        "flipped_horizontally": (2, 1, 0, 0),
        "turned_by_-90_degrees": (0, 1, 2, 0),
        "turned_by_+90_degrees": (2, 0, 0, 1),
    }


def labelled_pixels(labels):
    """Tiny pictures that hold their patient's number."""
    return np.arange(len(labels), dtype=np.float32)[:, None, None, None] + np.zeros((1, 8, 8, 3), np.float32)


def test_half_of_every_epoch_is_responders_and_each_picture_comes_as_often_as_any_of_its_class():
    labels = np.array([1] * 83 + [0] * 56)
    epochs = BalancedEpochs(labelled_pixels(labels), labels, 16, seed=3)
    assert epochs.batches_per_epoch == 53  # 139 x 6 = 834 pictures, the last batch filled
    patients, variants = epochs.plan(0)
    assert len(patients) == 53 * 16
    assert labels[patients].sum() == 53 * 8
    for label, fewest, most in ((1, 0, 1), (0, 1, 2)):
        counts = np.zeros((139, 6), int)
        np.add.at(counts, (patients, variants), 1)
        assert (counts[labels == label].min(), counts[labels == label].max()) == (fewest, most)


def test_a_batch_depends_on_the_seed_and_its_number_alone():
    labels = np.arange(10) % 2
    first, again, other = (BalancedEpochs(labelled_pixels(labels), labels, 4, seed) for seed in (1, 1, 2))
    late_first = again.batch(40), again.batch(2)
    for number, expected in zip((40, 2), late_first, strict=True):
        pixels, batch_labels = first.batch(number)
        np.testing.assert_array_equal(pixels, expected[0])
        np.testing.assert_array_equal(batch_labels, labels[pixels[:, 0, 0, 0].astype(int)])
    assert (first.plan(0)[0] != other.plan(0)[0]).any()
    assert (first.plan(0)[0] != first.plan(1)[0]).any()


def test_augmentation_leaves_the_given_pictures_as_they_were():
    labels = np.arange(4) % 2
    pixels = np.random.default_rng(0).random((4, 8, 8, 3), dtype=np.float32)
    before = pixels.copy()
    batch, _ = BalancedEpochs(pixels, labels, 24, seed=1).batch(0)
    batch[...] = -1
    np.testing.assert_array_equal(pixels, before)


def test_the_phantom_patient_has_a_patch_that_shows_its_tumour(phantom_case):
    patch = largest_layer_patch(phantom_case)
    mask = patch.pixels[..., 2]
    assert mask[112, 112] == 1 or mask.sum() > 0
    case = phantom_case.on_axial_grid()
    layers = sitk.GetArrayViewFromImage(case.mask).sum(axis=(1, 2))
    assert layers[patch.layer_index] > 0
    assert 0 <= patch.pixels.min() <= patch.pixels.max() <= 1


@pytest.mark.parametrize("patient", ["lung1", "lung2"])
def test_a_real_tumour_has_the_area_of_its_largest_section_in_the_patch(real_data, patient):
    """Against SimpleITK's own per-slice count on pyradiomics' two lung tumours (2D, largest slice)."""
    folder = real_data / "pyradiomics"
    image, mask = (sitk.ReadImage(folder / f"{patient}_{name}_crop.nrrd") for name in ("image", "label"))
    patch = largest_layer_patch(make_case(patient, image, mask))
    sections = sitk.GetArrayFromImage(mask).astype(bool).sum(axis=(1, 2))
    spacing_x_mm, spacing_y_mm, _ = image.GetSpacing()
    assert patch.area_mm2 == pytest.approx(sections.max() * spacing_x_mm * spacing_y_mm)
    shown_mm2 = patch.pixels[..., 2].sum() * patch.pixel_spacing_mm**2
    assert shown_mm2 == pytest.approx(patch.area_mm2, rel=0.02)
