"""Names of the columns: what a row of radiomics holds, in pyradiomics' order.

A feature column reads imagetype_class_Feature. The first columns are diagnostics (versions,
settings, grids), then shape, then the other classes once for every image type.
"""

from collections.abc import Collection
from itertools import product

from TACEResponseLib.messages.errors import SettingsError
from TACEResponseLib.messages.language import listed, several, tr
from TACEResponseLib.settings import RadiomicsSettings


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


#: Features of a class in the order of their columns.
FEATURES: dict[str, tuple[str, ...]] = {
    "shape": _names(
        """
        Elongation Flatness LeastAxisLength MajorAxisLength Maximum2DDiameterColumn Maximum2DDiameterRow
        Maximum2DDiameterSlice Maximum3DDiameter MeshVolume MinorAxisLength Sphericity SurfaceArea
        SurfaceVolumeRatio VoxelVolume
        """  # not a text
    ),
    "firstorder": _names(
        """
        10Percentile 90Percentile Energy Entropy InterquartileRange Kurtosis Maximum
        MeanAbsoluteDeviation Mean Median Minimum Range RobustMeanAbsoluteDeviation RootMeanSquared
        Skewness TotalEnergy Uniformity Variance
        """  # not a text
    ),
    "glcm": _names(
        """
        Autocorrelation ClusterProminence ClusterShade ClusterTendency Contrast Correlation
        DifferenceAverage DifferenceEntropy DifferenceVariance Id Idm Idmn Idn Imc1 Imc2 InverseVariance
        JointAverage JointEnergy JointEntropy MCC MaximumProbability SumAverage SumEntropy SumSquares
        """  # not a text
    ),
    "gldm": _names(
        """
        DependenceEntropy DependenceNonUniformity DependenceNonUniformityNormalized DependenceVariance
        GrayLevelNonUniformity GrayLevelVariance HighGrayLevelEmphasis LargeDependenceEmphasis
        LargeDependenceHighGrayLevelEmphasis LargeDependenceLowGrayLevelEmphasis LowGrayLevelEmphasis
        SmallDependenceEmphasis SmallDependenceHighGrayLevelEmphasis SmallDependenceLowGrayLevelEmphasis
        """  # not a text
    ),
    "glrlm": _names(
        """
        GrayLevelNonUniformity GrayLevelNonUniformityNormalized GrayLevelVariance
        HighGrayLevelRunEmphasis LongRunEmphasis LongRunHighGrayLevelEmphasis
        LongRunLowGrayLevelEmphasis LowGrayLevelRunEmphasis RunEntropy RunLengthNonUniformity
        RunLengthNonUniformityNormalized RunPercentage RunVariance ShortRunEmphasis
        ShortRunHighGrayLevelEmphasis ShortRunLowGrayLevelEmphasis
        """  # not a text
    ),
    "glszm": _names(
        """
        GrayLevelNonUniformity GrayLevelNonUniformityNormalized GrayLevelVariance
        HighGrayLevelZoneEmphasis LargeAreaEmphasis LargeAreaHighGrayLevelEmphasis
        LargeAreaLowGrayLevelEmphasis LowGrayLevelZoneEmphasis SizeZoneNonUniformity
        SizeZoneNonUniformityNormalized SmallAreaEmphasis SmallAreaHighGrayLevelEmphasis
        SmallAreaLowGrayLevelEmphasis ZoneEntropy ZonePercentage ZoneVariance
        """  # not a text
    ),
    "ngtdm": ("Busyness", "Coarseness", "Complexity", "Contrast", "Strength"),
}

#: Features that are measured only when they are asked for by name.
ON_REQUEST: dict[str, tuple[str, ...]] = {
    "shape": ("Compactness1", "Compactness2", "SphericalDisproportion"),
    "firstorder": ("StandardDeviation",),
}

_IMAGE_DIAGNOSTICS = ("Spacing", "Size", "Mean", "Minimum", "Maximum")
_MASK_DIAGNOSTICS = ("Spacing", "Size", "BoundingBox", "VoxelNum", "VolumeNum", "CenterOfMassIndex")
_MASK_DIAGNOSTICS += ("CenterOfMass",)
_ROI_DIAGNOSTICS = (*_MASK_DIAGNOSTICS, "Mean", "Minimum", "Maximum")


def column_names(settings: RadiomicsSettings) -> tuple[str, ...]:
    """All columns of a row, diagnostics first; 1167 with the default settings."""
    return (*diagnostic_names(settings), *feature_names(settings))


def feature_names(settings: RadiomicsSettings) -> tuple[str, ...]:
    """The feature columns of a row, without diagnostics; 1130 with the default settings."""
    chosen = features_by_class(settings)
    names = [f"original_shape_{feature}" for feature in chosen.get("shape", ())]
    for image_type in image_type_names(settings):
        for family, features in chosen.items():
            if family != "shape":
                names += [f"{image_type}_{family}_{feature}" for feature in features]
    return tuple(names)


def features_by_class(settings: RadiomicsSettings) -> dict[str, tuple[str, ...]]:
    """Feature class -> its features in the order of their columns."""
    chosen: dict[str, list[str]] = {}
    for name in settings.features:
        family, _, feature = name.partition("_")
        known = (*FEATURES[family], *ON_REQUEST.get(family, ()))
        if feature and feature not in known:
            raise SettingsError(
                tr("there is no feature {name}", name=name),
                field="features",
                expected=listed(known),
                received=feature,
            )
        chosen.setdefault(family, []).extend([feature] if feature else FEATURES[family])
    return {family: tuple(dict.fromkeys(features)) for family, features in chosen.items()}


#: Images that LBP3D gives: the patterns of degree 0 and 1, and the kurtosis.
PATTERN_NAMES = ("lbp-3D-m1", "lbp-3D-m2", "lbp-3D-k")


def image_type_names(settings: RadiomicsSettings) -> tuple[str, ...]:
    """The image types as they stand in column names, one for every filtered image."""
    return tuple(name for image_type in settings.image_types for name in names_of(image_type, settings))


def names_of(image_type: str, settings: RadiomicsSettings) -> tuple[str, ...]:
    """The column names of the images that one image type gives."""
    if image_type == "LoG":
        return tuple(log_name(sigma) for sigma in settings.log_sigmas_mm)
    if image_type == "Wavelet":
        return wavelet_names(settings)
    if image_type == "LBP3D":
        return PATTERN_NAMES
    return (image_type.lower(),)


def log_name(sigma_mm: float) -> str:
    """Column name of the Laplacian of Gaussian with this sigma."""
    return f"log-sigma-{str(float(sigma_mm)).replace('.', '-')}-mm-3D"


def wavelet_names(settings: RadiomicsSettings) -> tuple[str, ...]:
    """Column names of the wavelet images: details level by level, the last approximation at the end."""
    axes = 2 if settings.force_2d else 3
    bands = ["".join(letters) for letters in product("LH", repeat=axes)]
    prefixes = ["wavelet", *(f"wavelet{level}" for level in range(2, settings.wavelet_levels + 1))]
    details = [f"{prefix}-{band}" for prefix in prefixes for band in bands[1:]]
    return (*details, f"{prefixes[-1]}-{bands[0]}")


def diagnostic_names(settings: RadiomicsSettings) -> tuple[str, ...]:
    """The diagnostics columns; which there are depends on resampling and re-segmentation."""
    if not settings.diagnostics:
        return ()
    names = [f"Versions_{what}" for what in ("PyRadiomics", "Numpy", "SimpleITK", "PyWavelet", "Python")]
    names += ["Configuration_Settings", "Configuration_EnabledImageTypes"]
    names += [f"Image-original_{what}" for what in ("Hash", "Dimensionality", *_IMAGE_DIAGNOSTICS)]
    names += [f"Mask-original_{what}" for what in ("Hash", *_MASK_DIAGNOSTICS)]
    if settings.resampled_spacing_mm is not None:
        names += [f"Image-interpolated_{what}" for what in _IMAGE_DIAGNOSTICS]
        names += [f"Mask-interpolated_{what}" for what in _ROI_DIAGNOSTICS]
    if settings.resegment_range is not None:
        names += [f"Mask-resegmented_{what}" for what in _ROI_DIAGNOSTICS]
    return tuple(f"diagnostics_{name}" for name in names)


def restrict(settings: RadiomicsSettings, only: Collection[str] | None) -> tuple[str, ...]:
    """The feature columns to compute, in column order; SettingsError for a name that is none of them."""
    names = feature_names(settings)
    if only is None:
        return names
    unknown = sorted(set(only) - set(names))
    if unknown:
        raise SettingsError(
            several(
                len(unknown),
                "1 of the features asked for is not measured with these settings",
                "{n} of the features asked for are not measured with these settings",
            ),
            field="only",
            expected=tr("names among {n} feature columns", n=len(names)),
            received=listed(unknown[:5]),
            remedy=tr("use the settings with which these features were measured before"),
        )
    return tuple(name for name in names if name in set(only))
