"""Every choice of the pipeline as frozen dataclasses that know their limits and their JSON.

A settings object that exists is valid: limits are checked on construction and a violation is a
`SettingsError` naming the setting, what was expected and what was received. The defaults are the
paper's (Peng et al., Front Oncol 2021;11:730282) where it states a value; elsewhere the comment
says where the number comes from. Presets are data: `PRESETS`.
"""

import typing
from dataclasses import dataclass, field

from TACEResponseLib.messages.errors import SettingsError
from TACEResponseLib.messages.language import listed, mark, tr

from .checked import Settings

#: Classes of radiomics features in the order of their columns.
FEATURE_CLASSES = ("shape", "firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm")
#: What the features are measured on: the image, or the image after a filter.
ImageType = typing.Literal[
    "Original",
    "LoG",
    "Wavelet",
    "Square",
    "SquareRoot",
    "Logarithm",
    "Exponential",
    "Gradient",
    "LBP3D",
]
#: SimpleITK's interpolators by name.
Interpolator = typing.Literal[
    "NearestNeighbor",
    "Linear",
    "BSpline",
    "Gaussian",
    "LabelGaussian",
    "HammingWindowedSinc",
    "CosineWindowedSinc",
    "WelchWindowedSinc",
    "LanczosWindowedSinc",
    "BlackmanWindowedSinc",
]
#: Whose reading is the outcome: the first reader's, what most readers say, or that with the share of the
#: readers who saw a response for the models that can learn from it.
LabelSource = typing.Literal["reader1", "majority", "soft"]
#: What a channel of the patch can show: CT inside the tumour only, CT as it is, the mask as 0/1.
Channel = typing.Literal["tumour", "surroundings", "mask"]


@dataclass(frozen=True)
class RadiomicsSettings(Settings):
    """Image types, grid and grey levels of the feature extraction; defaults give 1167 columns.

    Every setting that pyradiomics has for a whole region of interest is here under a name that
    says its unit; `radiomics.parameters.settings_from_file` reads pyradiomics' own parameter files.
    """

    #: Target voxel size (x, y, z) in mm; None keeps the image's; 0 in one place keeps that axis.
    resampled_spacing_mm: tuple[float, float, float] | None = (1.0, 1.0, 1.0)
    #: How the image is resampled; the mask always by nearest neighbour.
    interpolator: Interpolator = "BSpline"
    #: Voxels around the tumour's box that the filters see after resampling; pyradiomics' 5.
    pad_distance_voxels: int = 5
    #: Whether that crop is also made where nothing is resampled.
    pre_crop: bool = False
    #: Width of a grey-level bin, in HU for the original image.
    bin_width: float = 25.0
    #: Image types with a bin width of their own, as pairs, for example (("Wavelet", 10.0),).
    bin_widths: tuple[tuple[str, float], ...] = ()
    #: Number of grey-level bins; used instead of the width unless None.
    bin_count: int | None = None
    #: Image types in the order of their columns.
    image_types: tuple[ImageType, ...] = ("Original", "LoG", "Wavelet")
    #: PyWavelets name and number of decomposition levels; coif1 is pyradiomics' default.
    wavelet: str = "coif1"
    wavelet_levels: int = 1
    #: First decomposition level that is measured, counted from 0.
    wavelet_start_level: int = 0
    #: Sigmas of the Laplacian of Gaussian in mm; the paper does not give them (our inference).
    log_sigmas_mm: tuple[float, ...] = (1.0, 2.0, 3.0)
    #: Whether the gradient is per mm (or per voxel).
    gradient_per_mm: bool = True
    #: Feature classes, or single features as class_Feature, in the order of their columns.
    features: tuple[str, ...] = FEATURE_CLASSES
    #: Intensities a tumour voxel must have to be measured: lower, or lower and upper; None keeps all.
    resegment_range: tuple[float, ...] | None = None
    #: `absolute`: in HU; `relative`: times the tumour's maximum; `sigma`: deviations from its mean.
    resegment_mode: typing.Literal["absolute", "relative", "sigma"] = "absolute"
    #: Whether shape, too, is measured on the re-segmented tumour.
    resegment_shape: bool = False
    #: Added to intensities before Energy, TotalEnergy and RootMeanSquared.
    voxel_array_shift: int = 0
    #: Texture within planes only, and the array axis that is left out (0 z, 1 y, 2 x).
    force_2d: bool = False
    force_2d_axis: int = 0
    #: Distances of neighbours in voxels for GLCM, GLDM and NGTDM.
    distances_voxels: tuple[int, ...] = (1,)
    #: Whether a pair of voxels counts in both directions in the GLCM.
    symmetric_glcm: bool = True
    #: How directions are weighted by distance in GLCM and GLRLM; None averages over directions.
    weighting_norm: typing.Literal["manhattan", "euclidean", "infinity", "no_weighting"] | None = None
    #: Grey-level difference up to which neighbours are dependent in the GLDM.
    gldm_alpha: int = 0
    #: Whether the whole image is scaled to zero mean and this standard deviation first.
    normalize: bool = False
    normalize_scale: float = 1.0
    #: Deviations from the mean at which a normalized image is clipped; None keeps all.
    remove_outliers: float | None = None
    #: Axes along which the tumour must have more than one voxel, and voxels it must have more than.
    minimum_roi_dimensions: int = 2
    minimum_roi_size_voxels: int | None = None
    #: Whether the columns on versions, settings and grids are part of the table.
    diagnostics: bool = True

    def check(self):
        spacing = self.resampled_spacing_mm or (1.0,)
        self.require(all(0 <= s <= 20 for s in spacing), "resampled_spacing_mm", mark("0 to 20 mm an axis"))
        self.require(0 <= self.pad_distance_voxels <= 100, "pad_distance_voxels", mark("0 to 100 voxels"))
        widths = (self.bin_width, *(width for _, width in self.bin_widths))
        self.require(all(0.001 <= width <= 10_000 for width in widths), "bin_width", mark("0.001 to 10000"))
        own = {image_type for image_type, _ in self.bin_widths}
        self.require(own <= set(self.image_types), "bin_widths", mark("image types that are measured"))
        self.require(self.bin_count is None or 1 <= self.bin_count <= 10_000, "bin_count", mark("1 to 10000"))
        self.require(1 <= self.wavelet_levels <= 4, "wavelet_levels", mark("1 to 4"))
        self.require(0 <= self.wavelet_start_level <= 4, "wavelet_start_level", mark("0 to 4"))
        self.require(
            all(0.1 <= s <= 20 for s in self.log_sigmas_mm), "log_sigmas_mm", mark("0.1 to 20 mm each")
        )
        self.require(len(self.image_types) > 0, "image_types", mark("at least one image type"))
        self.require(
            "LoG" not in self.image_types or self.log_sigmas_mm, "log_sigmas_mm", mark("at least one")
        )
        self.require(len(self.features) > 0, "features", mark("at least one feature class or feature"))
        classes = {name.split("_")[0] for name in self.features}
        self.require(classes <= set(FEATURE_CLASSES), "features", listed(FEATURE_CLASSES))
        limits = self.resegment_range or (0.0,)
        self.require(len(limits) in (1, 2), "resegment_range", mark("one or two limits"))
        self.require(0 <= self.force_2d_axis <= 2, "force_2d_axis", mark("0 (z), 1 (y) or 2 (x)"))
        near = bool(self.distances_voxels) and all(1 <= d <= 10 for d in self.distances_voxels)
        self.require(near, "distances_voxels", mark("1 to 10 voxels each"))
        self.require(0 <= self.gldm_alpha <= 1000, "gldm_alpha", mark("0 to 1000"))
        self.require(self.normalize_scale > 0, "normalize_scale", mark("above 0"))
        self.require(
            self.remove_outliers is None or self.remove_outliers > 0, "remove_outliers", mark("above 0")
        )
        self.require(1 <= self.minimum_roi_dimensions <= 3, "minimum_roi_dimensions", mark("1 to 3"))
        size = self.minimum_roi_size_voxels
        self.require(size is None or size > 0, "minimum_roi_size_voxels", mark("above 0"))


@dataclass(frozen=True)
class PatchSettings(Settings):
    """The square picture of the largest tumour layer that the network sees."""

    #: Tissue shown around the tumour's box on every side, in mm.
    margin_mm: float = 10.0
    #: Side of the picture in pixels; the paper's 224.
    size_px: int = 224
    #: HU mapped to 0 and 1; the paper says [0, 1] and no window, this one is the usual liver window.
    window_hu: tuple[float, float] = (-110.0, 190.0)
    #: Content of the three channels; the paper names three channels and no content.
    channels: tuple[Channel, Channel, Channel] = ("tumour", "surroundings", "mask")

    def check(self):
        self.require(0 <= self.margin_mm <= 100, "margin_mm", mark("0 to 100 mm"))
        self.require(96 <= self.size_px <= 1024, "size_px", mark("96 to 1024 pixels"))
        self.require(self.window_hu[0] < self.window_hu[1], "window_hu", mark("lower below upper"))


@dataclass(frozen=True)
class NetworkSettings(Settings):
    """The CNN and its training; the paper's where it states a value, see `network`."""

    RETIRED = frozenset({"batch_norm_momentum"})

    epochs: int = 30
    batch_size: int = 16
    learning_rate: float = 0.001
    l2: float = 1e-6
    #: Epochs without a better inner-validation loss before training stops; 0 never stops early.
    patience: int = 8
    #: Share of the training patients held out inside the fit for early stopping.
    inner_validation: float = 0.2
    #: Framework behind Keras; auto: the KERAS_BACKEND of the environment, else the first installed.
    backend: typing.Literal["auto", "tensorflow", "torch", "jax"] = "auto"
    #: auto: the GPU when the framework can use one; gpu: an error when it cannot.
    device: typing.Literal["auto", "cpu", "gpu"] = "auto"

    def check(self):
        self.require(1 <= self.epochs <= 10_000, "epochs", mark("1 to 10000"))
        self.require(1 <= self.batch_size <= 4096, "batch_size", mark("1 to 4096"))
        self.require(0 < self.learning_rate <= 1, "learning_rate", mark("above 0, at most 1"))
        self.require(0 <= self.l2 <= 1, "l2", mark("0 to 1"))
        self.require(0 <= self.patience <= 10_000, "patience", mark("0 to 10000"))
        self.require(0 <= self.inner_validation <= 0.5, "inner_validation", mark("0 to 0.5"))


@dataclass(frozen=True)
class ReliabilitySettings(Settings):
    """Which features two readers agree on; the paper keeps ICC above 0.75."""

    form: typing.Literal["ICC(1,1)", "ICC(2,1)", "ICC(3,1)"] = "ICC(2,1)"
    threshold: float = 0.75
    #: What must exceed the threshold: the point estimate (the paper) or its lower confidence bound.
    compare: typing.Literal["estimate", "ci_low"] = "estimate"

    def check(self):
        self.require(-1 <= self.threshold <= 1, "threshold", mark("-1 to 1"))


@dataclass(frozen=True)
class SelectionSettings(Settings):
    """Recursive feature elimination as caret's `rfe` with random-forest functions does it."""

    #: Subset sizes tried; the number of all features is always added.
    sizes: tuple[int, ...] = (1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 30, 50, 100)
    folds: int = 5
    trees: int = 500
    #: How the size is chosen: `number` features, the best accuracy, or the smallest in tolerance.
    rule: typing.Literal["number", "best", "tolerance"] = "number"
    number: int = 14
    tolerance_percent: float = 1.5
    #: Drop features correlated above this with an earlier one before elimination; 1 drops none.
    max_correlation: float = 1.0
    #: Resamples of the patients over which the final list's selection frequency is counted.
    bootstraps: int = 50

    def check(self):
        self.require(all(s >= 1 for s in self.sizes), "sizes", mark("positive numbers"))
        self.require(2 <= self.folds <= 50, "folds", mark("2 to 50"))
        self.require(1 <= self.trees <= 100_000, "trees", mark("1 to 100000"))
        self.require(1 <= self.number <= 10_000, "number", mark("1 to 10000"))
        self.require(0 <= self.tolerance_percent <= 100, "tolerance_percent", mark("0 to 100"))
        self.require(0 < self.max_correlation <= 1, "max_correlation", mark("above 0, at most 1"))
        self.require(0 <= self.bootstraps <= 10_000, "bootstraps", mark("0 to 10000"))


@dataclass(frozen=True)
class ExtraTreesSettings(Settings):
    """Extremely randomised trees on all reliable features; see `models.extra_trees`."""

    trees: int = 500
    #: Fewest patients of a leaf: small cohorts are learned by heart below this.
    smallest_leaf: int = 3

    def check(self):
        self.require(1 <= self.trees <= 100_000, "trees", mark("1 to 100000"))
        self.require(1 <= self.smallest_leaf <= 1000, "smallest_leaf", mark("1 to 1000"))


@dataclass(frozen=True)
class FusionSettings(Settings):
    """How the models' scores become one probability."""

    #: `average`: log-odds of the calibrated models; `stacking`: a slope a model; `mean`: of probabilities.
    method: typing.Literal["average", "stacking", "mean"] = "average"
    #: The fusion that is shown first; the paper's best is random forest with the CNN.
    headline: str = "cnn+random_forest"


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """Everything `train` needs beside the data; stored whole in the bundle."""

    preset: str = "peng2021"
    #: Whose reading of the response is predicted, where the cohort has several readers.
    outcome: LabelSource = "reader1"
    #: Names of the models that are fitted, see `models.learners.LEARNERS`; these are the paper's.
    models: tuple[str, ...] = ("size", "linear", "logistic", "svm", "gbm", "random_forest", "cnn")
    #: `combat`: features are brought to one level between the training centres, inside the fold.
    harmonisation: typing.Literal["none", "combat"] = "none"
    radiomics: RadiomicsSettings = field(default_factory=RadiomicsSettings)
    reliability: ReliabilitySettings = field(default_factory=ReliabilitySettings)
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    #: `paper`: R's defaults; `tuned`: tuned inside the fold, classes balanced.
    classifiers: typing.Literal["paper", "tuned"] = "paper"
    extra_trees: ExtraTreesSettings = field(default_factory=ExtraTreesSettings)
    patch: PatchSettings = field(default_factory=PatchSettings)
    network: NetworkSettings | None = field(default_factory=NetworkSettings)
    fusion: FusionSettings = field(default_factory=FusionSettings)
    #: What an explanation compares a patient with: some training patients, nameless and shuffled, or
    #: `quantiles` of every feature, each shuffled by itself, which hold no patient's row.
    background: typing.Literal["patients", "quantiles"] = "patients"
    folds: int = 5
    repeats: int = 1
    seed: int = 1

    @property
    def predictors(self) -> int:
        """Predictors of the recipe for a sample size: what the selection keeps, or is meant to keep."""
        return self.selection.number

    def check(self):
        self.require(3 <= self.folds <= 50, "folds", mark("3 to 50; nested fits leave two out"))
        self.require(1 <= self.repeats <= 100, "repeats", mark("1 to 100"))
        self.require(0 <= self.seed < 2**31, "seed", mark("0 to 2147483647"))


#: Named recipes: only what differs from the defaults above.
PRESETS: dict[str, dict] = {
    "peng2021": {},
    "recommended": {
        "classifiers": "tuned",
        "selection": {"rule": "tolerance", "max_correlation": 0.9},
    },
    # The model of the public collection: one model without any selection, chosen beforehand among many
    # that its 90 patients cannot tell apart, see Docs/public-cohort.md.
    "public2026": {
        "models": ("size", "extra_trees"),
        "fusion": {"headline": "extra_trees"},
        "extra_trees": {"trees": 300},
        "background": "quantiles",
        "network": None,
        "repeats": 10,
    },
}


def preset(name: str, **changes) -> TrainingSettings:
    """The recipe `name` with `changes` (keyword a field of TrainingSettings) on top."""
    if name not in PRESETS:
        raise SettingsError(
            tr("no preset is named {name}", name=name), expected=listed(PRESETS), received=name
        )
    return TrainingSettings.from_json({"preset": name, **PRESETS[name], **changes})
