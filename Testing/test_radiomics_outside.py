"""The engines against outside answers: pyradiomics' baseline tables, and the IBSI consensus by name."""

import ast
import csv
import math

import numpy as np
import pytest
import SimpleITK as sitk
from TACEResponseLib.cases import Case
from TACEResponseLib.radiomics import extract_row, feature_names
from TACEResponseLib.radiomics.parameters import from_parameters
from TACEResponseLib.settings import FEATURE_CLASSES, RadiomicsSettings

#: Configurations of the baseline tables that a crop of the image decides. `normalization` needs the
#: mean of the whole image, and `resampling` was computed on a grid that begins at its corner.
CONFIGURATIONS = ("", "_2d", "_FBN", "_combined", "_flatRegion", "_resegmentation")
BEYOND_A_CROP = ("_normalization", "_resampling")


def read_binary_case(image_file, mask_file) -> Case:
    """A Case whose tumour is label 1, without the checks that real CT must pass."""
    image, mask = sitk.ReadImage(str(image_file)), sitk.ReadImage(str(mask_file))
    binary = sitk.Cast(mask == 1, sitk.sitkUInt8)
    binary.CopyInformation(image)
    return Case(image_file.name, image, binary)


@pytest.fixture(scope="module")
def lungs(real_data) -> dict[str, Case]:
    folder = real_data / "pyradiomics"
    names = ("lung1", "lung2")
    return {
        n: read_binary_case(folder / f"{n}_image_crop.nrrd", folder / f"{n}_label_crop.nrrd") for n in names
    }


def read_baseline(folder, family: str) -> dict[str, dict[str, str]]:
    """Configuration -> row name -> text, for the two lungs."""
    with (folder / "pyradiomics" / f"baseline_{family}.csv").open(newline="") as stream:
        header, *lines = list(csv.reader(stream))
    columns = {name: n for n, name in enumerate(header) if name.startswith("lung")}
    return {name: {line[0]: line[n] for line in lines} for name, n in columns.items()}


@pytest.mark.parametrize("family", FEATURE_CLASSES)
def test_a_lung_has_the_values_of_pyradiomics_baseline_table(family, lungs, real_data):
    baseline, compared = read_baseline(real_data, family), set()
    for configuration, expected in baseline.items():
        patient, kind = configuration[:5], configuration[5:]
        assert kind in (*CONFIGURATIONS, *BEYOND_A_CROP)
        if kind in BEYOND_A_CROP:
            continue
        parameters = {
            "setting": ast.literal_eval(expected["diagnostics_Configuration_Settings"]),
            "imageType": {"Original": {}},
            "featureClass": {family: None},
        }
        settings = RadiomicsSettings(**from_parameters(parameters))
        row = extract_row(lungs[patient], settings)
        names = {name for name in expected if name.startswith("original_")}
        assert names == set(feature_names(settings)), "a feature is on one side only"
        for name in names:
            assert row[name] == pytest.approx(float(expected[name]), rel=1e-9, abs=1e-12), name
        compared.add(configuration)
    wanted = {n for n in baseline if n[5:] not in BEYOND_A_CROP}
    assert compared == wanted and len(compared) >= 2


#: IBSI's tag for the digital phantom -> our feature, in the aggregation that pyradiomics has: 3D,
#: directions averaged for GLCM and GLRLM.
IBSI = {
    "morph_volume": "shape_MeshVolume",
    "morph_vol_approx": "shape_VoxelVolume",
    "morph_area_mesh": "shape_SurfaceArea",
    "morph_av": "shape_SurfaceVolumeRatio",
    "morph_comp_1": "shape_Compactness1",
    "morph_comp_2": "shape_Compactness2",
    "morph_sph_dispr": "shape_SphericalDisproportion",
    "morph_sphericity": "shape_Sphericity",
    "morph_diam": "shape_Maximum3DDiameter",
    "morph_pca_maj_axis": "shape_MajorAxisLength",
    "morph_pca_min_axis": "shape_MinorAxisLength",
    "morph_pca_least_axis": "shape_LeastAxisLength",
    "morph_pca_elongation": "shape_Elongation",
    "morph_pca_flatness": "shape_Flatness",
    "stat_mean": "firstorder_Mean",
    "stat_var": "firstorder_Variance",
    "stat_skew": "firstorder_Skewness",
    "stat_kurt": "firstorder_Kurtosis",
    "stat_median": "firstorder_Median",
    "stat_min": "firstorder_Minimum",
    "stat_p10": "firstorder_10Percentile",
    "stat_p90": "firstorder_90Percentile",
    "stat_max": "firstorder_Maximum",
    "stat_iqr": "firstorder_InterquartileRange",
    "stat_range": "firstorder_Range",
    "stat_mad": "firstorder_MeanAbsoluteDeviation",
    "stat_rmad": "firstorder_RobustMeanAbsoluteDeviation",
    "stat_energy": "firstorder_Energy",
    "stat_rms": "firstorder_RootMeanSquared",
    "ih_entropy": "firstorder_Entropy",
    "ih_uniformity": "firstorder_Uniformity",
    "cm_joint_max_3D_avg": "glcm_MaximumProbability",
    "cm_joint_avg_3D_avg": "glcm_JointAverage",
    "cm_joint_var_3D_avg": "glcm_SumSquares",
    "cm_joint_entr_3D_avg": "glcm_JointEntropy",
    "cm_diff_avg_3D_avg": "glcm_DifferenceAverage",
    "cm_diff_var_3D_avg": "glcm_DifferenceVariance",
    "cm_diff_entr_3D_avg": "glcm_DifferenceEntropy",
    "cm_sum_avg_3D_avg": "glcm_SumAverage",
    "cm_sum_entr_3D_avg": "glcm_SumEntropy",
    "cm_energy_3D_avg": "glcm_JointEnergy",
    "cm_contrast_3D_avg": "glcm_Contrast",
    "cm_inv_diff_3D_avg": "glcm_Id",
    "cm_inv_diff_norm_3D_avg": "glcm_Idn",
    "cm_inv_diff_mom_3D_avg": "glcm_Idm",
    "cm_inv_diff_mom_norm_3D_avg": "glcm_Idmn",
    "cm_inv_var_3D_avg": "glcm_InverseVariance",
    "cm_corr_3D_avg": "glcm_Correlation",
    "cm_auto_corr_3D_avg": "glcm_Autocorrelation",
    "cm_clust_tend_3D_avg": "glcm_ClusterTendency",
    "cm_clust_shade_3D_avg": "glcm_ClusterShade",
    "cm_clust_prom_3D_avg": "glcm_ClusterProminence",
    "cm_info_corr1_3D_avg": "glcm_Imc1",
    "cm_info_corr2_3D_avg": "glcm_Imc2",
    "ngt_coarseness_3D": "ngtdm_Coarseness",
    "ngt_contrast_3D": "ngtdm_Contrast",
    "ngt_busyness_3D": "ngtdm_Busyness",
    "ngt_complexity_3D": "ngtdm_Complexity",
    "ngt_strength_3D": "ngtdm_Strength",
}
for tag, ours in {
    "rlm_{}_3D_avg": {
        "sre": "ShortRunEmphasis",
        "lre": "LongRunEmphasis",
        "lgre": "LowGrayLevelRunEmphasis",
        "hgre": "HighGrayLevelRunEmphasis",
        "srlge": "ShortRunLowGrayLevelEmphasis",
        "srhge": "ShortRunHighGrayLevelEmphasis",
        "lrlge": "LongRunLowGrayLevelEmphasis",
        "lrhge": "LongRunHighGrayLevelEmphasis",
        "glnu": "GrayLevelNonUniformity",
        "glnu_norm": "GrayLevelNonUniformityNormalized",
        "rlnu": "RunLengthNonUniformity",
        "rlnu_norm": "RunLengthNonUniformityNormalized",
        "r_perc": "RunPercentage",
        "gl_var": "GrayLevelVariance",
        "rl_var": "RunVariance",
        "rl_entr": "RunEntropy",
    },
    "szm_{}_3D": {
        "sze": "SmallAreaEmphasis",
        "lze": "LargeAreaEmphasis",
        "lgze": "LowGrayLevelZoneEmphasis",
        "hgze": "HighGrayLevelZoneEmphasis",
        "szlge": "SmallAreaLowGrayLevelEmphasis",
        "szhge": "SmallAreaHighGrayLevelEmphasis",
        "lzlge": "LargeAreaLowGrayLevelEmphasis",
        "lzhge": "LargeAreaHighGrayLevelEmphasis",
        "glnu": "GrayLevelNonUniformity",
        "glnu_norm": "GrayLevelNonUniformityNormalized",
        "zsnu": "SizeZoneNonUniformity",
        "zsnu_norm": "SizeZoneNonUniformityNormalized",
        "z_perc": "ZonePercentage",
        "gl_var": "GrayLevelVariance",
        "zs_var": "ZoneVariance",
        "zs_entr": "ZoneEntropy",
    },
    "ngl_{}_3D": {
        "lde": "SmallDependenceEmphasis",
        "hde": "LargeDependenceEmphasis",
        "lgce": "LowGrayLevelEmphasis",
        "hgce": "HighGrayLevelEmphasis",
        "ldlge": "SmallDependenceLowGrayLevelEmphasis",
        "ldhge": "SmallDependenceHighGrayLevelEmphasis",
        "hdlge": "LargeDependenceLowGrayLevelEmphasis",
        "hdhge": "LargeDependenceHighGrayLevelEmphasis",
        "glnu": "GrayLevelNonUniformity",
        "dcnu": "DependenceNonUniformity",
        "dcnu_norm": "DependenceNonUniformityNormalized",
        "gl_var": "GrayLevelVariance",
        "dc_var": "DependenceVariance",
        "dc_entr": "DependenceEntropy",
    },
}.items():
    family = {"rlm": "glrlm", "szm": "glszm", "ngl": "gldm"}[tag[:3]]
    IBSI |= {tag.format(short): f"{family}_{name}" for short, name in ours.items()}

#: Where pyradiomics, and we with it, deviate from IBSI, and by what: IBSI's value from ours.
VOXELS = 74
_UNBIASED = math.sqrt(VOXELS / (VOXELS - 1))
DEVIATIONS = {
    "stat_kurt": lambda ours: ours - 3,  # IBSI subtracts the kurtosis of the normal distribution
    # The consensus divides the scatter of the voxels by their number less one, pyradiomics by their number.
    "morph_pca_maj_axis": lambda ours: ours * _UNBIASED,
    "morph_pca_min_axis": lambda ours: ours * _UNBIASED,
    "morph_pca_least_axis": lambda ours: ours * _UNBIASED,
}
#: Beginnings and ends of IBSI tags for what pyradiomics does not offer.
NOT_OFFERED_FAMILIES = ("loc_", "ivh_", "dzm_", "morph_vol_dens", "morph_area_dens")
NOT_OFFERED_AGGREGATIONS = ("_2D", "_2_5D", "_2D_avg", "_2D_comb", "_2_5D_avg", "_2_5D_comb", "_3D_comb")
NOT_OFFERED = {
    "morph_asphericity",
    "morph_com",
    "morph_integ_int",
    "morph_moran_i",
    "morph_geary_c",
    "stat_medad",
    "stat_cov",
    "stat_qcod",
    "cm_sum_var_3D_avg",  # equal to cluster tendency
    "cm_dissimilarity_3D_avg",  # equal to difference average
    "ngl_glnu_norm_3D",  # equal to first-order uniformity
    "ngl_dc_perc_3D",  # always 1
    "ngl_dc_energy_3D",
}
#: Features of ours for which the IBSI table has no value.
WITHOUT_CONSENSUS = {
    "shape_Maximum2DDiameterSlice",
    "shape_Maximum2DDiameterColumn",
    "shape_Maximum2DDiameterRow",
    "firstorder_TotalEnergy",
    "glcm_MCC",
}


@pytest.fixture(scope="module")
def consensus(real_data) -> dict[str, tuple[float, float]]:
    """IBSI tag -> (value, tolerance) for the digital phantom, where there is a consensus."""
    with (real_data / "ibsi" / "digital_phantom_reference.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream, delimiter=";"))
    return {
        n["tag"]: (float(n["reference value"]), float(n["tolerance"])) for n in lines if n["reference value"]
    }


@pytest.fixture(scope="module")
def ibsi_row(real_data) -> dict[str, float]:
    """Our features of the digital phantom, whose grey levels are taken as they are."""
    on_request = ("shape_Compactness1", "shape_Compactness2", "shape_SphericalDisproportion")
    settings = RadiomicsSettings(
        resampled_spacing_mm=None,
        image_types=("Original",),
        bin_width=1.0,
        features=(*FEATURE_CLASSES, *on_request),
    )
    case = read_binary_case(real_data / "ibsi" / "phantom.nii.gz", real_data / "ibsi" / "mask.nii.gz")
    row = extract_row(case, settings)
    return {n.removeprefix("original_"): v for n, v in row.items() if n.startswith("original_")}


@pytest.mark.parametrize("tag", sorted(IBSI))
def test_the_digital_phantom_has_ibsis_consensus_value(tag, consensus, ibsi_row):
    value, tolerance = consensus[tag]
    ours = DEVIATIONS.get(tag, lambda x: x)(ibsi_row[IBSI[tag]])
    last_digit = 10.0 ** (math.floor(math.log10(abs(value))) - 2)  # the table has three digits
    assert abs(ours - value) <= tolerance + 0.5001 * last_digit


def test_every_ibsi_value_and_every_feature_is_compared_or_listed(consensus, ibsi_row):
    unlisted = {
        tag
        for tag in consensus
        if tag not in IBSI
        and tag not in NOT_OFFERED
        and not tag.startswith((*NOT_OFFERED_FAMILIES, "ih_"))
        and not tag.endswith(NOT_OFFERED_AGGREGATIONS)
    }
    assert not unlisted, "IBSI values that are neither compared nor listed"
    assert set(IBSI) <= set(consensus)
    assert set(ibsi_row) == set(IBSI.values()) | WITHOUT_CONSENSUS


def test_bins_begin_at_a_multiple_of_the_width_and_not_at_the_minimum_as_in_ibsi():
    from TACEResponseLib.radiomics.levels import bin_edges

    values = np.array([54, 60, 100, 166], np.int16)
    assert bin_edges(values, 25.0, None)[:6].tolist() == [50, 75, 100, 125, 150, 175]
