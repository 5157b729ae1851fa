"""Radiomics settings, pyradiomics' parameter files, the mesh table, and the compiled kernels' folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from TACEResponseLib.compiled import cache_folder
from TACEResponseLib.messages.errors import InputError, SettingsError
from TACEResponseLib.radiomics import column_names, feature_names
from TACEResponseLib.radiomics.columns import FEATURES
from TACEResponseLib.radiomics.parameters import from_parameters, settings_from_file, to_parameters
from TACEResponseLib.radiomics.shape import surface_and_volume
from TACEResponseLib.settings import NetworkSettings, RadiomicsSettings

LIBRARY = Path(__file__).resolve().parent.parent / "TACEResponse"

#: A parameter file as pyradiomics' documentation shows them.
PARAMETERS = """
imageType:
  Original: {}
  LoG:
    sigma: [2.0, 4.0]
  Wavelet:
    binWidth: 10
    wavelet: haar
featureClass:
  shape:
  firstorder: []
  glcm: [Autocorrelation, JointAverage]
setting:
  binWidth: 5
  label: 1
  resampledPixelSpacing: [0, 0, 2]
  interpolator: 'sitkBSpline'
  normalize: true
  normalizeScale: 100
  voxelArrayShift: 300
  resegmentRange: [-3, 3]
  resegmentMode: sigma
  force2D: true
"""


@pytest.fixture
def parameter_file(tmp_path):
    pytest.importorskip("yaml", reason="PyYAML is not installed")

    def write(text: str) -> Path:
        path = tmp_path / "Params äöü.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_pyradiomics_parameter_file_is_read_as_it_is(parameter_file):
    settings = settings_from_file(parameter_file(PARAMETERS))
    assert settings == RadiomicsSettings(
        image_types=("Original", "LoG", "Wavelet"),
        log_sigmas_mm=(2.0, 4.0),
        bin_widths=(("Wavelet", 10.0),),
        wavelet="haar",
        features=("shape", "firstorder", "glcm_Autocorrelation", "glcm_JointAverage"),
        bin_width=5.0,
        resampled_spacing_mm=(0.0, 0.0, 2.0),
        normalize=True,
        normalize_scale=100.0,
        voxel_array_shift=300,
        resegment_range=(-3.0, 3.0),
        resegment_mode="sigma",
        force_2d=True,
    )
    names = feature_names(settings)
    assert len(names) == 14 + (1 + 2 + 4) * (18 + 2)  # planes have four wavelet bands
    assert "wavelet-HL_glcm_JointAverage" in names and "log-sigma-4-0-mm-3D_firstorder_Energy" in names


def test_an_empty_file_means_what_pyradiomics_means_by_it(parameter_file):
    settings = settings_from_file(parameter_file("setting: {}\n"))
    assert settings == RadiomicsSettings(resampled_spacing_mm=None, image_types=("Original",))


def test_without_an_interpolator_nothing_is_resampled(parameter_file):
    text = "setting: {resampledPixelSpacing: [1, 1, 1], interpolator: null}"
    assert settings_from_file(parameter_file(text)).resampled_spacing_mm is None


@pytest.mark.parametrize(
    "text, named",
    [
        ("setting: {geometryTolerance: 0.1}", "geometryTolerance"),
        ("setting: {correctMask: true}", "correctMask"),
        ("setting: {label: 2}", "label"),
        ("setting: {binwidth: 5}", "binwidth"),
        ("setting: {weightingNorm: chessboard}", "weighting_norm"),
        ("setting: {interpolator: sitkMagic}", "interpolator"),
        ("voxelSetting: {kernelRadius: 2}", "voxelSetting"),
        ("imageType: {LBP2D: {}}", "image_types"),
        ("imageType: {LoG: {sigma: [1], level: 2}}", "LoG.level"),
        ("featureClass: {shape2D: []}", "shape2D"),
    ],
)
def test_a_setting_without_a_counterpart_is_an_error_that_names_it(parameter_file, text, named):
    with pytest.raises(SettingsError) as caught:
        settings_from_file(parameter_file(text))
    assert named in str(caught.value)


def test_an_unknown_feature_is_an_error():
    with pytest.raises(SettingsError, match="no feature glcm_Beauty"):
        column_names(RadiomicsSettings(features=("glcm_Beauty",)))


@pytest.mark.parametrize("text", ["setting: [unclosed", "!!python/object/apply:os.system ['echo ran']"])
def test_a_damaged_or_dangerous_file_is_refused(parameter_file, text):
    with pytest.raises(InputError, match="cannot be read"):
        settings_from_file(parameter_file(text))


def test_settings_survive_json_and_the_way_to_pyradiomics_and_back():
    settings = RadiomicsSettings(
        bin_widths=(("LoG", 3.0),),
        image_types=("LoG", "Gradient", "Wavelet"),
        gradient_per_mm=False,
        bin_count=16,
        resegment_range=(-20.0, 180.0),
        distances_voxels=(1, 3),
        weighting_norm="euclidean",
        interpolator="Linear",
    )
    assert RadiomicsSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    setting, image_type = to_parameters(settings)
    assert RadiomicsSettings(**from_parameters({"setting": setting, "imageType": image_type})) == settings


@pytest.mark.parametrize(
    "changes",
    [
        {"bin_width": 0.0},
        {"features": ("size",)},
        {"image_types": ()},
        {"log_sigmas_mm": ()},
        {"bin_widths": (("Square", 2.0),)},
        {"resegment_range": (1.0, 2.0, 3.0)},
        {"distances_voxels": ()},
        {"normalize_scale": 0.0},
    ],
)
def test_a_setting_outside_its_limits_is_an_error(changes):
    with pytest.raises(SettingsError):
        RadiomicsSettings(**changes)


def test_the_feature_names_are_pyradiomics_own():
    radiomics = pytest.importorskip("radiomics", reason="pyradiomics is not installed")
    for family, theirs in radiomics.getFeatureClasses().items():
        if family != "shape2D":
            current = [name for name, deprecated in theirs.getFeatureNames().items() if not deprecated]
            assert list(FEATURES[family]) == current


def test_each_of_256_cubes_has_the_area_and_volume_of_pyradiomics_table():
    shape = pytest.importorskip("radiomics", reason="pyradiomics is not installed").cShape
    for cube in range(1, 256):
        mask = np.array([cube >> n & 1 for n in range(8)], bool).reshape(2, 2, 2)
        for spacing in np.array([(1.0, 1.0, 1.0), (1.3, 0.7, 2.1), (0.4, 1.9, 1.1)]):
            expected = shape.calculate_coefficients(mask, spacing)[:2]
            assert surface_and_volume(mask, spacing) == pytest.approx(expected, rel=1e-12, abs=1e-12), cube


def test_a_sphere_has_its_volume_and_nearly_its_surface():
    places = np.indices((45, 45, 45)) - 22
    area, volume = surface_and_volume((places**2).sum(axis=0) <= 20**2, np.ones(3))
    assert volume == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.01)
    assert 4 * np.pi * 20**2 < area < 1.1 * 4 * np.pi * 20**2  # steps of half a voxel make it larger


def test_the_compiled_kernels_are_kept_in_a_folder_that_can_be_written(monkeypatch, tmp_path):
    kept = tmp_path / "read only"
    kept.mkdir()
    monkeypatch.setattr("TACEResponseLib.compiled._user_folders", lambda: [kept / "is a file" / "x"])
    (kept / "is a file").write_text("")
    cache_folder.cache_clear()
    try:
        folder = cache_folder()
        assert folder.is_dir() and os.access(folder, os.W_OK) and kept not in folder.parents
    finally:
        cache_folder.cache_clear()


def test_without_numba_the_fast_engine_is_refused_with_a_sentence(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'numba':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    code = (
        "from TACEResponseLib.radiomics import available_engines, extract_row\n"
        "from TACEResponseLib.messages.errors import DependencyError\n"
        "print(available_engines())\n"
        "try:\n    extract_row(None, None)\nexcept DependencyError as error:\n    print(error)\n"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(tmp_path), str(LIBRARY)]))
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "'fast'" not in done.stdout
    assert "The radiomics engine fast needs numba" in done.stdout and "pip install numba" in done.stdout


def test_a_setting_that_meant_nothing_is_gone_and_old_files_that_hold_it_are_read():
    assert NetworkSettings.from_json({"batch_norm_momentum": 0.99, "epochs": 3}) == NetworkSettings(epochs=3)
    with pytest.raises(SettingsError, match="has no setting momentum"):
        NetworkSettings.from_json({"momentum": 0.9})
