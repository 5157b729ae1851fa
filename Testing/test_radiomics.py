"""The fast engine beside stock pyradiomics: every value on every kind of tumour, errors instead of gaps."""

import logging
import math
import warnings

import numpy as np
import pytest
import pywt
import scipy
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.version import Version
from scipy import ndimage, special, stats
from TACEResponseLib.cases import Case, make_case
from TACEResponseLib.messages.errors import DependencyError, FeatureError, SettingsError
from TACEResponseLib.radiomics import (
    available_engines,
    binary_patterns,
    column_names,
    engine_version,
    extract_row,
    feature_names,
    filters,
)
from TACEResponseLib.radiomics.parameters import to_parameters
from TACEResponseLib.settings import RadiomicsSettings

SHAPE = (22, 30, 28)
DEFAULT = RadiomicsSettings()
NATIVE = RadiomicsSettings(resampled_spacing_mm=None)
RELATIVE, ABSOLUTE = 1e-9, 1e-12


def textured_ct(shape=SHAPE, spacing=(0.9, 0.8, 2.5), seed=0, dtype=np.int16, level=60) -> sitk.Image:
    """Smooth noise of 40 HU around a level."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 1, shape), 0.8)
    values = noise / noise.std() * 40 + level
    image = sitk.GetImageFromArray(
        (np.round(values) if np.dtype(dtype).kind in "iu" else values).astype(dtype)
    )
    image.SetSpacing(spacing)
    image.SetOrigin((-3.3, 12.7, 100.1))
    return image


def mask_of(voxels: np.ndarray, image: sitk.Image) -> sitk.Image:
    mask = sitk.GetImageFromArray(voxels.astype(np.uint8))
    mask.CopyInformation(image)
    return mask


def ball(radius=6, shape=SHAPE) -> np.ndarray:
    places = np.indices(shape) - np.array(shape).reshape(3, 1, 1, 1) // 2
    return (places**2).sum(axis=0) <= radius**2


def block(k: slice, j: slice, i: slice, shape=SHAPE) -> np.ndarray:
    voxels = np.zeros(shape, bool)
    voxels[k, j, i] = True
    return voxels


def stock_row(image: sitk.Image, mask: sitk.Image, chosen: RadiomicsSettings) -> dict:
    """What pyradiomics itself gives, label 1 of the mask."""
    featureextractor = pytest.importorskip(
        "radiomics.featureextractor", reason="pyradiomics is not installed"
    )
    logging.getLogger("radiomics").setLevel(logging.CRITICAL + 1)
    extractor = featureextractor.RadiomicsFeatureExtractor()
    content, image_types = to_parameters(chosen)
    extractor.settings.update(content)
    extractor.enabledImagetypes = image_types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return extractor.execute(image, mask)


def assert_same_values(row: dict, stock: dict) -> None:
    """Same columns in the same order; features to 1e-9; grids and counts of the diagnostics, too."""
    assert list(row) == list(stock)
    apart = {}
    for name, value in stock.items():
        if not name.startswith("diagnostics_"):
            value = float(value)
            assert math.isfinite(value), name
            if abs(row[name] - value) > max(ABSOLUTE, RELATIVE * abs(value)):
                apart[name] = (row[name], value)
        elif name.endswith(("Hash", "VoxelNum", "VolumeNum", "BoundingBox", "Size", "Spacing")):
            assert str(row[name]) == str(value), name
        elif name.endswith(("Mean", "Minimum", "Maximum")):
            assert row[name] == pytest.approx(float(value), rel=RELATIVE), name
    assert not apart


def assert_engine_equals_stock(image: sitk.Image, voxels: np.ndarray, chosen=DEFAULT, threads=1) -> None:
    mask = mask_of(voxels, image)
    row = extract_row(Case("p", image, mask), chosen, threads=threads)
    assert_same_values(row, stock_row(image, mask, chosen))


def test_a_default_row_has_1167_columns_as_pyradiomics_orders_them():
    image = textured_ct()
    stock = stock_row(image, mask_of(ball(), image), DEFAULT)
    assert column_names(DEFAULT) == tuple(stock)
    assert len(column_names(DEFAULT)) == 1167 and len(feature_names(DEFAULT)) == 1130


LINE = block(slice(10, 11), slice(10, 11), slice(5, 20))
TUMOURS = {
    "ball": ball(),
    "pieces": ball() | block(slice(3, 5), slice(3, 6), slice(3, 6)),
    "thirty_voxels": block(slice(9, 11), slice(9, 12), slice(9, 14)),
    "one_slice": ball() & block(slice(11, 12), slice(None), slice(None)),
    "at_the_first_corner": block(slice(0, 6), slice(0, 8), slice(0, 9)),
    "at_the_last_corner": block(slice(16, None), slice(22, None), slice(20, None)),
    "whole_volume": np.ones(SHAPE, bool),
}


@pytest.mark.parametrize("tumour", TUMOURS)
def test_a_tumour_of_any_form_has_pyradiomics_values(tumour):
    assert_engine_equals_stock(textured_ct(), TUMOURS[tumour])


def test_a_tumour_of_three_voxels_has_pyradiomics_values():
    voxels = block(slice(10, 11), slice(10, 11), slice(10, 12))
    voxels[10, 11, 10] = True
    assert_engine_equals_stock(textured_ct(), voxels)
    assert_engine_equals_stock(textured_ct(), voxels, NATIVE)


@pytest.mark.parametrize(
    "dtype, level", [(np.float32, 60), (np.float64, 60), (np.uint16, 1000), (np.uint8, 128)]
)
def test_images_of_other_types_have_pyradiomics_values(dtype, level):
    assert_engine_equals_stock(textured_ct(dtype=dtype, level=level), ball())


@pytest.mark.parametrize("label", [2, 255])
def test_a_tumour_under_another_label_has_pyradiomics_values(label):
    image = textured_ct()
    labels = sitk.Cast(mask_of(ball(), image), sitk.sitkUInt8) * label
    row = extract_row(make_case("p", image, labels, label=label), DEFAULT)
    assert_same_values(row, stock_row(image, mask_of(ball(), image), DEFAULT))


GRIDS = {
    "native_anisotropic": (textured_ct(), NATIVE),
    "in_plane_kept": (textured_ct(), RadiomicsSettings(resampled_spacing_mm=(0.0, 0.0, 1.0))),
    "already_1_mm": (textured_ct(spacing=(1.0, 1.0, 1.0)), DEFAULT),
    "samples_on_samples": (textured_ct(spacing=(2.0, 2.0, 2.0)), DEFAULT),
    "ties_of_nearest_neighbour": (textured_ct(spacing=(1.0, 1.0, 2.5)), DEFAULT),
    "coarser": (
        textured_ct(spacing=(0.5, 0.5, 0.5)),
        RadiomicsSettings(resampled_spacing_mm=(1.5, 1.5, 1.5)),
    ),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_any_grid_has_pyradiomics_values(grid):
    image, chosen = GRIDS[grid]
    assert_engine_equals_stock(image, ball(), chosen)


def test_an_oblique_image_has_pyradiomics_values():
    image, angle = textured_ct(), math.radians(20)
    cos, sin = math.cos(angle), math.sin(angle)
    image.SetDirection((cos, -sin, 0, sin, cos, 0, 0, 0, 1))
    assert_engine_equals_stock(image, ball())


def test_a_filter_on_part_of_the_image_has_the_values_of_the_whole():
    image = textured_ct((90, 96, 94), (1.0, 1.0, 1.0))
    box = (slice(44, 48), slice(45, 51), slice(43, 49))
    laplacian = sitk.LaplacianRecursiveGaussian(image, 1.0, True)
    part = filters.laplacian_of_gaussian(image, box, 1.0)
    assert np.array_equal(part, sitk.GetArrayFromImage(laplacian)[box])
    part = filters.gradient(image, box, True)
    assert np.array_equal(part, sitk.GetArrayFromImage(sitk.GradientMagnitude(image))[box])


@pytest.mark.parametrize("voxel_type", [np.int16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["coif1", "haar", "bior1.3", "db20", "coif17"])
@pytest.mark.parametrize("shape", [(90, 96, 94), (24, 31, 40), (3, 4, 6)], ids=str)
def test_a_wavelet_band_is_pywavelets_to_the_last_bit(shape, name, voxel_type):
    """Within the volume, where the taps reach over its ends, and where they are longer than it."""
    values = np.random.default_rng(1).normal(0, 100, shape).astype(voxel_type)
    box = tuple(slice(n // 2, n // 2 + n // 3) for n in shape)
    even = np.pad(values, [(0, n % 2) for n in shape], "wrap")
    whole = pywt.swtn(even, name, level=1, axes=(2, 1, 0))[0]
    pieces = filters.wavelets(values, box, RadiomicsSettings(wavelet=name))
    bands = dict(pair for piece in pieces for pair in piece())
    assert len(bands) == 8
    for band, found in bands.items():
        expected = whole[band.removeprefix("wavelet-").replace("L", "a").replace("H", "d")][box]
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_a_flat_tumour_has_pyradiomics_values():
    image = textured_ct()
    flat = sitk.GetImageFromArray(np.full(SHAPE, 70, np.int16))
    flat.CopyInformation(image)
    assert_engine_equals_stock(flat, ball())


ORIGINAL = {"image_types": ("Original",)}
SETTINGS = {
    "point_filters": {
        "image_types": ("Square", "SquareRoot", "Logarithm", "Exponential", "Gradient"),
        "bin_widths": (("Exponential", 1.0),),
    },
    "gradient_per_voxel": {"image_types": ("Gradient",), "gradient_per_mm": False},
    "two_wavelet_levels": {"image_types": ("Wavelet",), "wavelet": "db2", "wavelet_levels": 2},
    "second_wavelet_level": {"image_types": ("Wavelet",), "wavelet": "haar", "wavelet_start_level": 1},
    "fine_laplacian": {"image_types": ("LoG",), "log_sigmas_mm": (0.7,)},
    "bin_count": {"bin_count": 32},
    "odd_bin_width": {"image_types": ("Original", "LoG"), "bin_width": 3.7},
    "planes": {"force_2d": True},
    "other_planes": {"force_2d": True, "force_2d_axis": 1},
    "resegmented": {**ORIGINAL, "resegment_range": (20.0, 90.0)},
    "resegmented_by_sigma": {
        **ORIGINAL,
        "resegment_range": (-1.0, 1.5),
        "resegment_mode": "sigma",
        "resegment_shape": True,
    },
    "resegmented_by_maximum": {**ORIGINAL, "resegment_range": (0.4,), "resegment_mode": "relative"},
    "shifted": {**ORIGINAL, "voxel_array_shift": 1000},
    "two_distances": {**ORIGINAL, "distances_voxels": (1, 2)},
    "distance_two": {**ORIGINAL, "distances_voxels": (2,)},
    "manhattan": {**ORIGINAL, "weighting_norm": "manhattan"},
    "euclidean": {**ORIGINAL, "weighting_norm": "euclidean"},
    "infinity": {**ORIGINAL, "weighting_norm": "infinity"},
    "no_weighting": {**ORIGINAL, "weighting_norm": "no_weighting"},
    "asymmetric": {**ORIGINAL, "symmetric_glcm": False},
    "alpha": {**ORIGINAL, "gldm_alpha": 2},
    "normalized": {**ORIGINAL, "normalize": True, "normalize_scale": 100.0, "remove_outliers": 3.0},
    "linear": {**ORIGINAL, "interpolator": "Linear"},
    "pre_crop": {"resampled_spacing_mm": None, "pre_crop": True},
    "narrow_crop": {"pad_distance_voxels": 2},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_any_setting_has_pyradiomics_values(name):
    assert_engine_equals_stock(textured_ct(), ball(), RadiomicsSettings(**SETTINGS[name]))


def give_pyradiomics_the_scipy_it_was_written_for(monkeypatch):
    """Put back what LBP3D of pyradiomics lived on: no SciPy it runs with raises to the fourth power."""
    if not hasattr(
        special, "sph_harm"
    ):  # gone since SciPy 1.17, whose documentation says what to call instead

        def sph_harm(m, n, azimuth, polar):
            return special.sph_harm_y(n, m, polar, azimuth)

        monkeypatch.setattr(special, "sph_harm", sph_harm, raising=False)
    if Version(scipy.__version__) >= Version("1.18"):  # squared twice before; in float32 the bits differ

        def kurtosis(samples, axis):
            squares = (samples - samples.mean(axis=axis, keepdims=True)) ** 2
            with np.errstate(invalid="ignore", divide="ignore"):
                return (squares * squares).mean(axis=axis) / squares.mean(axis=axis) ** 2 - 3

        monkeypatch.setattr(stats, "kurtosis", kurtosis)


def with_flat_tissue(dtype, where, level) -> sitk.Image:
    image = textured_ct(dtype=dtype)
    values = sitk.GetArrayFromImage(image)
    values[where] = level
    flat = sitk.GetImageFromArray(values)
    flat.CopyInformation(image)
    return flat


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_binary_patterns_have_pyradiomics_values_in_flat_tissue_too(dtype, monkeypatch):
    pytest.importorskip("trimesh", reason="trimesh is not installed, from which pyradiomics takes the points")
    give_pyradiomics_the_scipy_it_was_written_for(monkeypatch)
    flat = with_flat_tissue(dtype, np.s_[9:12, 12:15, 12:16], 70)
    patterns = {"image_types": ("Original", "LBP3D"), "bin_widths": (("LBP3D", 0.7),)}
    assert_engine_equals_stock(flat, ball(8), RadiomicsSettings(**patterns), threads=2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_patterns_have_pyradiomics_bits(dtype, monkeypatch):
    """The last bit decides which voxels of flat tissue lie between two percentiles: few patterns differ."""
    imageoperations = pytest.importorskip("radiomics.imageoperations", reason="pyradiomics is not installed")
    pytest.importorskip("trimesh", reason="trimesh is not installed, from which pyradiomics takes the points")
    give_pyradiomics_the_scipy_it_was_written_for(monkeypatch)
    flat, inside = with_flat_tissue(dtype, np.s_[4:17, 6:24, 6:22], 1000.7), ball(8)
    box = tuple(slice(0, n) for n in SHAPE)
    found = binary_patterns.binary_patterns(sitk.GetArrayFromImage(flat), box, inside)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stock = {name: i for i, name, _ in imageoperations.getLBP3DImage(flat, mask_of(inside, flat))}
    assert list(found) == list(stock)
    for name, expected in stock.items():
        np.testing.assert_array_equal(found[name][inside], sitk.GetArrayFromImage(expected)[inside], name)


def test_binary_patterns_of_a_large_tumour_are_those_of_its_parts(monkeypatch):
    values = sitk.GetArrayFromImage(textured_ct())
    box, inside = tuple(slice(0, n) for n in SHAPE), ball(8)
    whole = binary_patterns.binary_patterns(values, box, inside)
    monkeypatch.setattr(binary_patterns, "CHUNK_VOXELS", 100)
    parts = binary_patterns.binary_patterns(values, box, inside)
    for name, expected in whole.items():
        np.testing.assert_array_equal(parts[name], expected)
        assert np.isfinite(expected[inside]).all() and np.isnan(expected[~inside]).all()


def test_the_reference_engine_names_what_it_lacks_for_binary_patterns(monkeypatch):
    pytest.importorskip("radiomics", reason="pyradiomics is not installed")
    monkeypatch.delattr(special, "sph_harm", raising=False)
    image = textured_ct()
    case = Case("p", image, mask_of(ball(), image))
    with pytest.raises(DependencyError, match="a SciPy older than 1.17") as caught:
        extract_row(case, RadiomicsSettings(image_types=("LBP3D",)), engine="pyradiomics")
    assert "engine fast" in caught.value.problem.remedy


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    shape=st.tuples(*[st.integers(6, 11)] * 3),
    spacing=st.tuples(*[st.floats(0.6, 3.0)] * 3),
    seed=st.integers(0, 2**16),
    share=st.floats(0.05, 0.9),
)
def test_small_random_tumours_with_ambiguous_cubes_have_pyradiomics_values(shape, spacing, seed, share):
    voxels = np.random.default_rng(seed).random(shape) < share
    voxels[2:5, 2:5, 2] = True
    image = textured_ct(shape, spacing, seed)
    assert_engine_equals_stock(image, voxels, RadiomicsSettings(resampled_spacing_mm=None, **ORIGINAL))


@pytest.mark.parametrize("engine", ["fast", "pyradiomics"])
def test_a_feature_that_has_no_value_is_an_error_with_its_name(engine):
    if engine not in available_engines():
        pytest.skip(f"the engine {engine} is not installed")
    image, voxels = textured_ct(), np.zeros(SHAPE, bool)
    voxels[8, 8, 8] = voxels[12, 14, 15] = voxels[10, 20, 3] = True  # no two touch: no pairs to count
    with pytest.raises(FeatureError) as caught:
        extract_row(Case("p7", image, mask_of(voxels, image)), NATIVE, engine=engine)
    assert caught.value.problem.patient_id == "p7"
    assert caught.value.problem.field.startswith("original_glcm_")


@pytest.mark.parametrize("engine", ["fast", "pyradiomics"])
def test_a_filter_that_does_not_fit_is_an_error_before_anything_is_computed(engine):
    if engine not in available_engines():
        pytest.skip(f"the engine {engine} is not installed")
    image = textured_ct((3, 30, 28))
    case = Case("p", image, mask_of(ball(4, (3, 30, 28)), image))
    with pytest.raises(FeatureError, match=r"log-sigma-1-0-mm-3D.*at least 4 x 4 x 4 voxels.*28 x 30 x 3"):
        extract_row(case, NATIVE, engine=engine)


def test_one_voxel_is_an_error():
    image = textured_ct()
    with pytest.raises(FeatureError, match="too few dimensions"):
        extract_row(Case("p", image, mask_of(ball(0), image)), DEFAULT)


def test_a_line_is_measured_when_the_settings_allow_it():
    chosen = RadiomicsSettings(minimum_roi_dimensions=1, **ORIGINAL)
    assert_engine_equals_stock(textured_ct(), LINE, chosen)
    with pytest.raises(FeatureError, match="too few dimensions"):
        extract_row(Case("p", textured_ct(), mask_of(LINE, textured_ct())), DEFAULT)


def test_bins_too_narrow_for_the_memory_are_an_error_with_the_number_of_levels():
    image = textured_ct(level=20000)
    chosen = RadiomicsSettings(bin_width=0.001, **ORIGINAL)
    with pytest.raises(FeatureError, match=r"at most 2000 levels; received \d+ bins"):
        extract_row(Case("p", image, mask_of(ball(), image)), chosen)


def test_resegmentation_that_leaves_nothing_is_an_error():
    image = textured_ct()
    chosen = RadiomicsSettings(resegment_range=(900.0, 1000.0), **ORIGINAL)
    with pytest.raises(FeatureError, match="re-segmentation leaves too little"):
        extract_row(Case("p", image, mask_of(ball(), image)), chosen)


@pytest.mark.parametrize("engine", ["fast", "pyradiomics"])
def test_a_few_features_have_the_values_of_the_whole_row(engine):
    if engine not in available_engines():
        pytest.skip(f"the engine {engine} is not installed")
    image = textured_ct()
    case = Case("p", image, mask_of(ball(), image))
    whole = extract_row(case, DEFAULT, engine=engine)
    wanted = list(feature_names(DEFAULT)[3::81])
    few = extract_row(case, DEFAULT, engine=engine, only=wanted[::-1])
    assert few == {name: whole[name] for name in wanted} and list(few) == wanted


def test_asking_for_a_feature_that_is_not_measured_is_an_error():
    image = textured_ct()
    with pytest.raises(SettingsError, match="original_glcm_Beauty"):
        extract_row(Case("p", image, mask_of(ball(), image)), DEFAULT, only=["original_glcm_Beauty"])


def test_threads_change_nothing():
    image = textured_ct()
    case = Case("p", image, mask_of(ball(), image))
    assert extract_row(case, DEFAULT, threads=3) == extract_row(case, DEFAULT, threads=1)


def test_an_engine_that_is_unknown_or_not_installed_is_an_error_with_a_way_out(monkeypatch):
    image = textured_ct()
    case = Case("p", image, mask_of(ball(), image))
    with pytest.raises(DependencyError, match="no radiomics engine named matlab"):
        extract_row(case, DEFAULT, engine="matlab")
    monkeypatch.setattr(
        "TACEResponseLib.radiomics.ENGINES",
        {"fast": (("a_package_that_is_not_there",), "pip install it"), "pyradiomics": (("numpy",), "")},
    )
    assert available_engines() == ("pyradiomics",)
    with pytest.raises(
        DependencyError, match=r"Install it with: pip install it; or choose the engine pyradiomics"
    ):
        extract_row(case, DEFAULT)


def test_the_reference_engine_leaves_the_process_as_it_found_it():
    if "pyradiomics" not in available_engines():
        pytest.skip("the engine pyradiomics is not installed")
    logger, root = logging.getLogger("radiomics"), logging.getLogger()
    before = (
        logger.level,
        logger.propagate,
        list(logger.handlers),
        root.level,
        list(root.handlers),
        sitk.ProcessObject.GetGlobalDefaultCoordinateTolerance(),
        sitk.ProcessObject.GetGlobalDefaultDirectionTolerance(),
        sitk.ProcessObject.GetGlobalDefaultNumberOfThreads(),
    )
    image = textured_ct()
    for engine in ("pyradiomics", "fast"):
        extract_row(Case("p", image, mask_of(ball(), image)), RadiomicsSettings(**ORIGINAL), engine=engine)
    after = (
        logger.level,
        logger.propagate,
        list(logger.handlers),
        root.level,
        list(root.handlers),
        sitk.ProcessObject.GetGlobalDefaultCoordinateTolerance(),
        sitk.ProcessObject.GetGlobalDefaultDirectionTolerance(),
        sitk.ProcessObject.GetGlobalDefaultNumberOfThreads(),
    )
    assert before == after


def test_both_engines_give_the_same_row_and_name_their_version():
    if "pyradiomics" not in available_engines():
        pytest.skip("the engine pyradiomics is not installed")
    image = textured_ct()
    case = Case("p", image, mask_of(ball(), image))
    chosen = RadiomicsSettings(**ORIGINAL)
    own, reference = (extract_row(case, chosen, engine=engine) for engine in ("fast", "pyradiomics"))
    differing = [
        name
        for name in own
        if own[name]
        != (reference[name] if isinstance(own[name], str) else pytest.approx(reference[name], rel=1e-9))
    ]
    assert differing == ["diagnostics_Versions_PyRadiomics"]
    assert engine_version("fast") != engine_version("pyradiomics")


def test_a_phantom_patient_has_pyradiomics_values(phantom_case):
    row = extract_row(phantom_case, DEFAULT, threads=2)
    assert_same_values(row, stock_row(phantom_case.image, phantom_case.mask, DEFAULT))
