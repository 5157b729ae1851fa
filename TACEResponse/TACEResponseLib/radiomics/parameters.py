"""pyradiomics' parameter files, and our settings as pyradiomics' parameters.

Both directions use the tables below, so a setting is supported in both or in none. Nothing in a
file is ignored: what has no counterpart is a SettingsError that names it.
"""

import ast
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from TACEResponseLib.messages.errors import DependencyError, InputError, SettingsError
from TACEResponseLib.messages.language import listed, mark, tr
from TACEResponseLib.settings import FEATURE_CLASSES, RadiomicsSettings

#: pyradiomics' name -> ours, where the value is the same.
_SAME = {
    "binWidth": "bin_width",
    "binCount": "bin_count",
    "resampledPixelSpacing": "resampled_spacing_mm",
    "padDistance": "pad_distance_voxels",
    "preCrop": "pre_crop",
    "resegmentRange": "resegment_range",
    "resegmentMode": "resegment_mode",
    "resegmentShape": "resegment_shape",
    "voxelArrayShift": "voxel_array_shift",
    "force2D": "force_2d",
    "force2Ddimension": "force_2d_axis",
    "distances": "distances_voxels",
    "symmetricalGLCM": "symmetric_glcm",
    "weightingNorm": "weighting_norm",
    "gldm_a": "gldm_alpha",
    "normalize": "normalize",
    "normalizeScale": "normalize_scale",
    "removeOutliers": "remove_outliers",
    "minimumROIDimensions": "minimum_roi_dimensions",
    "minimumROISize": "minimum_roi_size_voxels",
    "additionalInfo": "diagnostics",
}
#: Settings of one image type.
_OF_IMAGE_TYPE = {
    "LoG": {"sigma": "log_sigmas_mm"},
    "Wavelet": {
        "wavelet": "wavelet",
        "level": "wavelet_levels",
        "start_level": "wavelet_start_level",
    },
    "Gradient": {"gradientUseSpacing": "gradient_per_mm"},
}
#: Settings that are fulfilled at one value only, and where the choice is made instead.
_FIXED = {
    "label": (1, mark("choose the label where the mask is read")),
    "label_channel": (0, mark("choose the segment where the mask is read")),
    "correctMask": (False, mark("masks are brought to the CT's grid, or refused, where they are read")),
    "geometryTolerance": (None, mark("geometry is compared in mm where the mask is read")),
}
#: Characters of the longest record of settings that is read from a table.
LONGEST_RECORD = 20_000
#: SimpleITK's numbers for the interpolators, as a parameter file may give them.
_INTERPOLATOR_NUMBERS = ("NearestNeighbor", "Linear", "BSpline", "Gaussian", "LabelGaussian")
_INTERPOLATOR_NUMBERS += ("HammingWindowedSinc", "CosineWindowedSinc", "WelchWindowedSinc")
_INTERPOLATOR_NUMBERS += ("LanczosWindowedSinc", "BlackmanWindowedSinc")


def settings_from_file(path: str | Path) -> RadiomicsSettings:
    """Settings that a pyradiomics parameter file (YAML or JSON) asks for.

    Raises InputError when the file cannot be read and SettingsError naming any setting in it
    that has no counterpart here; nothing in the file is ignored.
    """
    return RadiomicsSettings(**_read_parameter_file(path))


def _read_parameter_file(path: str | Path) -> dict:
    """Keywords of RadiomicsSettings that say what the file at `path` says."""
    path = Path(path)
    try:
        import yaml
    except ImportError:
        raise DependencyError(
            tr("a pyradiomics parameter file cannot be read without the package PyYAML"),
            file=str(path),
            remedy=tr("install it with: pip install PyYAML"),
        ) from None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            tr("the parameter file cannot be read"), file=str(path), received=reason, expected="YAML"
        ) from None
    try:
        return from_parameters(content or {})
    except SettingsError as error:
        raise error.about(file=str(path)) from None


def from_parameters(parameters: dict) -> dict:
    """Keywords of RadiomicsSettings for pyradiomics' parameters (setting, imageType, featureClass)."""
    if not isinstance(parameters, dict):
        raise SettingsError(tr("the parameters are not a mapping"), received=type(parameters).__name__)
    for part, content in parameters.items():
        if part not in ("setting", "imageType", "featureClass"):
            raise _unsupported(part)
        if not isinstance(content, dict | None):
            raise SettingsError(
                tr("the part {part} is not a mapping", part=part), field=part, received=repr(content)
            )
    keywords = {"resampled_spacing_mm": None}
    keywords.update(_settings(parameters.get("setting") or {}))
    keywords.update(_image_types(parameters.get("imageType") or {"Original": {}}))
    keywords["features"] = _features(parameters.get("featureClass") or dict.fromkeys(FEATURE_CLASSES))
    return keywords


def _settings(content: dict) -> dict:
    keywords = {}
    shared = {name: ours for own in _OF_IMAGE_TYPE.values() for name, ours in own.items()}
    for name, value in content.items():
        if name in _FIXED:
            if value != _FIXED[name][0]:
                raise _unsupported(name, value, tr(_FIXED[name][1]))
        elif name == "interpolator":
            if value is not None:
                keywords["interpolator"] = _interpolator(value)
        elif name in _SAME or name in shared:
            keywords[_SAME.get(name) or shared[name]] = value
        else:
            raise _unsupported(name, value)
    if "interpolator" in content and content["interpolator"] is None:
        keywords["resampled_spacing_mm"] = None  # pyradiomics then resamples nothing
    for name in ("normalize_scale", "bin_width"):
        if keywords.get(name, 0) is None:
            del keywords[name]
    return keywords


def _interpolator(value) -> str:
    if isinstance(value, int) and 1 <= value <= len(_INTERPOLATOR_NUMBERS):
        return _INTERPOLATOR_NUMBERS[value - 1]
    return str(value).removeprefix("sitk")


def _image_types(content: dict) -> dict:
    keywords, widths = {"image_types": tuple(content)}, []
    for image_type, own in content.items():
        for name, value in (own or {}).items():
            if name in _OF_IMAGE_TYPE.get(image_type, {}):
                keywords[_OF_IMAGE_TYPE[image_type][name]] = value
            elif name == "binWidth":
                widths.append((image_type, value))
            else:
                raise _unsupported(f"{image_type}.{name}", value, tr("set it for all image types"))
    if widths:
        keywords["bin_widths"] = tuple(widths)
    return keywords


def _features(content: dict) -> tuple[str, ...]:
    features = []
    for family, names in content.items():
        if family not in FEATURE_CLASSES:
            raise _unsupported(
                family, remedy=tr("the feature classes are {names}", names=listed(FEATURE_CLASSES))
            )
        features += [f"{family}_{name}" for name in names] if names else [family]
    return tuple(features)


def _unsupported(name: str, value=None, remedy: str = "") -> SettingsError:
    return SettingsError(
        tr("the pyradiomics setting {name} is not supported here", name=name),
        field=name,
        received="" if value is None else repr(value),
        remedy=remedy or tr("take it out of the file"),
    )


def recorded_settings(rows: Iterable[Mapping[str, str]]) -> RadiomicsSettings | None:
    """The settings that all rows' diagnostics name, as pyradiomics or this engine writes them.

    None where there are none, where rows differ, and where they ask for what is not supported here.
    """
    columns = [f"diagnostics_Configuration_{part}" for part in ("Settings", "EnabledImageTypes")]
    told = {tuple(row.get(name, "") for name in columns) for row in rows}
    if len(told) != 1 or max(map(len, *told)) > LONGEST_RECORD:
        return None
    try:
        setting, image_types = map(_dictionary, *told)
        setting.pop("label", None)  # each mask's own
        return RadiomicsSettings(**from_parameters({"setting": setting, "imageType": image_types}))
    except (SettingsError, SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None


def _dictionary(text: str) -> dict:
    """A dictionary that JSON or Python wrote; ValueError or SyntaxError for anything else."""
    try:
        content = json.loads(text)
    except ValueError:
        content = ast.literal_eval(text)
    if not isinstance(content, dict):
        raise ValueError(type(content).__name__)
    return content


def to_parameters(settings: RadiomicsSettings) -> tuple[dict, dict]:
    """pyradiomics' settings and its image types (with their own settings) that say the same."""
    content = {theirs: _plain(getattr(settings, ours)) for theirs, ours in _SAME.items()}
    if settings.bin_count is None:
        del content["binCount"]
    content["interpolator"] = f"sitk{settings.interpolator}"
    content["label"] = 1
    widths = dict(settings.bin_widths)
    image_types = {}
    for image_type in settings.image_types:
        own = {
            theirs: _plain(getattr(settings, ours))
            for theirs, ours in _OF_IMAGE_TYPE.get(image_type, {}).items()
        }
        if image_type in widths:
            own["binWidth"] = widths[image_type]
        image_types[image_type] = own
    return content, image_types


def _plain(value):
    return list(value) if isinstance(value, tuple) else value
