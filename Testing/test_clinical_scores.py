"""Clinical scores against cases worked out by hand, and the diameters against a slow twin."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from TACEResponseLib.cases import make_case
from TACEResponseLib.cases.lesions import measure_lesions
from TACEResponseLib.clinical.items import read_values
from TACEResponseLib.clinical.rules import albi_value
from TACEResponseLib.clinical.scores import DEFINITIONS, ClinicalValues, TumourBurden, clinical_scores
from TACEResponseLib.clinical.values import Measured
from TACEResponseLib.follow_up.mrecist import mrecist_response
from TACEResponseLib.messages.errors import InputError, TableError

# --- every patient by hand ------------------------------------------------------------------------

#: albumin g/L, bilirubin umol/L, AFP ng/mL, largest diameter cm, lesions. Then the hand's working:
#: the points of albumin < 36, bilirubin > 17, AFP > 400, D > 7 and N >= 2; HAP and mHAP-II.
HAP = [
    (35.9, 17.0, 400, 7.0, 1, (1, 0, 0, 0, 0), "B", "B"),
    (36.0, 17.1, 401, 7.1, 1, (0, 1, 1, 1, 0), "D", "D"),
    (36.0, 17.0, 400, 7.0, 1, (0, 0, 0, 0, 0), "A", "A"),
    (36.0, 17.0, 400, 7.0, 2, (0, 0, 0, 0, 1), "A", "B"),
    (35.9, 17.1, 400, 7.0, 1, (1, 1, 0, 0, 0), "C", "C"),
    (35.9, 17.0, 400, 7.1, 5, (1, 0, 0, 1, 1), "C", "D"),
    (42.0, 9.0, 5000, 3.0, 1, (0, 0, 1, 0, 0), "B", "B"),
    (28.0, 60.0, 5000, 12.0, 9, (1, 1, 1, 1, 1), "D", "D"),
    (36.1, 16.9, 399.9, 6.9, 2, (0, 0, 0, 0, 1), "A", "B"),
]


@pytest.mark.parametrize(("albumin", "bilirubin", "afp", "d", "n", "points", "hap", "mhap"), HAP)
def test_hap_and_mhap_ii_by_hand(albumin, bilirubin, afp, d, n, points, hap, mhap):
    values = ClinicalValues(albumin_g_l=albumin, bilirubin_umol_l=bilirubin, afp_ng_ml=afp)
    found = scores_of(values, TumourBurden(n, (d,)))
    assert (found["hap"].points, found["hap"].group) == (sum(points[:4]), hap)
    assert (found["mhap_ii"].points, found["mhap_ii"].group) == (sum(points), mhap)


#: D cm, N; S = D + N; six-and-twelve, seven-eleven, up-to-seven, up-to-eleven; root(D^2 + N^2) and its group.
BURDEN = [
    (5.0, 1, 6.0, "low", "low", "in", "in", 5.099, "middle"),
    (5.4, 1, 6.4, "middle", "low", "in", "in", 5.492, "middle"),
    (5.0, 2, 7.0, "middle", "low", "in", "in", 5.385, "middle"),
    (5.1, 2, 7.1, "middle", "middle", "out", "in", 5.478, "middle"),
    (3.0, 4, 7.0, "middle", "low", "in", "in", 5.0, "middle"),
    (9.0, 2, 11.0, "middle", "middle", "out", "in", 9.220, "middle"),
    (9.1, 2, 11.1, "middle", "high", "out", "out", 9.317, "middle"),
    (11.0, 1, 12.0, "middle", "high", "out", "out", 11.045, "middle"),
    (11.1, 1, 12.1, "high", "high", "out", "out", 11.145, "middle"),
    (2.0, 1, 3.0, "low", "low", "in", "in", 2.236, "low"),
    (3.2, 1, 4.2, "low", "low", "in", "in", 3.353, "low"),
    (3.21, 1, 4.21, "low", "low", "in", "in", 3.362, "middle"),
    (13.7, 1, 14.7, "high", "high", "out", "out", 13.736, "middle"),
    (13.71, 1, 14.71, "high", "high", "out", "out", 13.746, "high"),
]


@pytest.mark.parametrize(("d", "n", "s", "six", "seven", "up7", "up11", "root", "burden"), BURDEN)
def test_sums_of_size_and_number_by_hand(d, n, s, six, seven, up7, up11, root, burden):
    found = scores_of(ClinicalValues(), TumourBurden(n, (d,)))
    assert found["six_and_twelve"].value == pytest.approx(s)
    assert found["tumour_burden"].value == pytest.approx(root, abs=5e-4)
    names = ("six_and_twelve", "seven_eleven", "up_to_seven", "up_to_eleven", "tumour_burden")
    assert [found[name].group for name in names] == [six, seven, up7, up11, burden]


#: Diameters in cm; macrovascular invasion, spread; Milan, UCSF. The sum of diameters counts for UCSF only.
TRANSPLANT = [
    ((5.0,), False, False, "in", "in"),
    ((5.1,), False, False, "out", "in"),
    ((6.5,), False, False, "out", "in"),
    ((6.6,), False, False, "out", "out"),
    ((3.0, 3.0, 3.0), False, False, "in", "out"),  # 9 cm together
    ((3.0, 2.5, 2.5), False, False, "in", "in"),  # 8 cm together
    ((3.1, 1.0), False, False, "out", "in"),
    ((4.5, 3.5), False, False, "out", "in"),
    ((4.5, 3.6), False, False, "out", "out"),
    ((4.6, 1.0), False, False, "out", "out"),
    ((1.0, 1.0, 1.0, 1.0), False, False, "out", "out"),
    ((2.0,), True, False, "out", "out"),
    ((2.0,), False, True, "out", "out"),
]


@pytest.mark.parametrize(("diameters", "invasion", "spread", "milan", "ucsf"), TRANSPLANT)
def test_transplant_criteria_by_hand(diameters, invasion, spread, milan, ucsf):
    values = ClinicalValues(vascular_invasion=invasion, spread=spread)
    found = scores_of(values, TumourBurden(len(diameters), diameters))
    assert (found["milan"].group, found["ucsf"].group) == (milan, ucsf)


#: albumin, bilirubin, AFP, S as D + N; ALBI worked out with a table of logarithms, its grade; ALBI-TAE's
#: points for grade 2-3, AFP > 200 and S > 11.
ALBI = [
    (40.0, 15.0, 200, (9.0, 2), -2.624, 1, (0, 0, 0), "A"),
    (40.0, 10.0, 201, (9.0, 2), -2.740, 1, (0, 1, 0), "B"),
    (38.0, 10.0, 200, (9.1, 2), -2.570, 2, (1, 0, 1), "C"),
    (30.0, 100.0, 201, (9.1, 2), -1.230, 3, (1, 1, 1), "D"),
    (38.35294117647059, 10.0, 0, (1.0, 1), -2.600, 1, (0, 0, 0), "A"),  # on the cut
    (24.11764705882353, 10.0, 0, (1.0, 1), -1.390, 2, (1, 0, 0), "B"),
    (24.1, 10.0, 0, (1.0, 1), -1.3885, 3, (1, 0, 0), "B"),
]


@pytest.mark.parametrize(("albumin", "bilirubin", "afp", "burden", "albi", "grade", "points", "tae"), ALBI)
def test_albi_and_albi_tae_by_hand(albumin, bilirubin, afp, burden, albi, grade, points, tae):
    values = ClinicalValues(albumin_g_l=albumin, bilirubin_umol_l=bilirubin, afp_ng_ml=afp)
    found = scores_of(values, TumourBurden(burden[1], (burden[0],)))
    assert found["albi"].value == pytest.approx(albi, abs=5e-4)
    assert found["albi"].group == f"grade {grade}"
    assert (found["albi_tae"].points, found["albi_tae"].group) == (sum(points), tae)


#: bilirubin, albumin, INR, ascites, encephalopathy; the points of each; the class.
CHILD_PUGH = [
    (33.9, 35.1, 1.69, "none", 0, (1, 1, 1, 1, 1), "A"),
    (34.0, 35.1, 1.69, "none", 0, (2, 1, 1, 1, 1), "A"),
    (34.0, 35.0, 1.69, "none", 0, (2, 2, 1, 1, 1), "B"),
    (51.0, 28.0, 1.7, "none", 0, (2, 2, 2, 1, 1), "B"),
    (51.1, 27.9, 2.3, "none", 0, (3, 3, 2, 1, 1), "C"),
    (10.0, 40.0, 2.31, "mild", 0, (1, 1, 3, 2, 1), "B"),
    (10.0, 40.0, 1.0, "mild", 2, (1, 1, 1, 2, 2), "B"),
    (10.0, 40.0, 1.0, "more", 1, (1, 1, 1, 3, 2), "B"),
    (10.0, 40.0, 1.0, "more", 3, (1, 1, 1, 3, 3), "B"),
    (34.0, 40.0, 1.0, "more", 4, (2, 1, 1, 3, 3), "C"),
    (60.0, 20.0, 3.0, "more", 4, (3, 3, 3, 3, 3), "C"),
]


@pytest.mark.parametrize(
    ("bilirubin", "albumin", "inr", "ascites", "encephalopathy", "points", "group"), CHILD_PUGH
)
def test_child_pugh_by_hand(bilirubin, albumin, inr, ascites, encephalopathy, points, group):
    values = ClinicalValues(
        albumin_g_l=albumin,
        bilirubin_umol_l=bilirubin,
        inr=inr,
        ascites=ascites,
        encephalopathy=encephalopathy,
    )
    found = scores_of(values, None)["child_pugh"]
    assert (found.points, found.group) == (sum(points), group)


#: albumin, CRP, S as D + N; the subtractions; STATE; its group.
STATE = [
    (38.0, 0.99, (6.0, 1), (0, 0), 38.0, "good"),
    (38.0, 1.0, (6.0, 1), (0, 12), 26.0, "good"),
    (38.0, 0.5, (6.1, 1), (12, 0), 26.0, "good"),
    (38.0, 1.0, (6.1, 1), (12, 12), 14.0, "poor"),
    (42.0, 1.0, (6.1, 1), (12, 12), 18.0, "good"),
    (41.9, 1.0, (6.1, 1), (12, 12), 17.9, "poor"),
    (17.9, 0.1, (2.0, 1), (0, 0), 17.9, "poor"),
]


@pytest.mark.parametrize(("albumin", "crp", "burden", "subtracted", "state", "group"), STATE)
def test_state_by_hand(albumin, crp, burden, subtracted, state, group):
    found = scores_of(
        ClinicalValues(albumin_g_l=albumin, crp_mg_dl=crp), TumourBurden(burden[1], (burden[0],))
    )["state"]
    assert found.value == pytest.approx(albumin - sum(subtracted)) == pytest.approx(state)
    assert found.group == group


def test_the_albi_formula_at_its_printed_vector():
    assert albi_value(40, 15) == pytest.approx(-2.624, abs=5e-4)


# --- what a missing item does ---------------------------------------------------------------------

COMPLETE = ClinicalValues(
    albumin_g_l=38,
    bilirubin_umol_l=14,
    afp_ng_ml=20,
    crp_mg_dl=0.3,
    inr=1.1,
    ascites="none",
    encephalopathy=0,
    vascular_invasion=False,
    spread=False,
)
NEEDS = {
    "hap": {"albumin_g_l", "bilirubin_umol_l", "afp_ng_ml", "lesions"},
    "mhap_ii": {"albumin_g_l", "bilirubin_umol_l", "afp_ng_ml", "lesions"},
    "six_and_twelve": {"lesions"},
    "seven_eleven": {"lesions"},
    "up_to_seven": {"lesions"},
    "up_to_eleven": {"lesions"},
    "tumour_burden": {"lesions"},
    "milan": {"vascular_invasion", "spread", "lesions"},
    "ucsf": {"vascular_invasion", "spread", "lesions"},
    "albi": {"albumin_g_l", "bilirubin_umol_l"},
    "albi_tae": {"albumin_g_l", "bilirubin_umol_l", "afp_ng_ml", "lesions"},
    "child_pugh": {"albumin_g_l", "bilirubin_umol_l", "inr", "ascites", "encephalopathy"},
    "state": {"albumin_g_l", "crp_mg_dl", "lesions"},
}


def test_a_complete_patient_has_every_score():
    assert [s.name for s in clinical_scores(COMPLETE, ONE_LESION)] == list(NEEDS)
    assert not any(s.missing for s in clinical_scores(COMPLETE, ONE_LESION))


@pytest.mark.parametrize("item", [*vars(COMPLETE), "lesions"])
def test_a_missing_item_makes_every_score_that_needs_it_na_and_no_other(item):
    if item == "lesions":
        found = clinical_scores(COMPLETE, None)
    else:
        found = clinical_scores(ClinicalValues(**{**vars(COMPLETE), item: None}), ONE_LESION)
    assert {s.name for s in found if s.group == "NA"} == {n for n, needs in NEEDS.items() if item in needs}
    for score in found:
        assert (score.group == "NA") == bool(score.missing) == (score.level is None)
        assert score.group != "NA" or (score.points is None and score.value is None)


def test_a_missing_item_is_named():
    found = scores_of(ClinicalValues(bilirubin_umol_l=14, afp_ng_ml=20), ONE_LESION)
    assert found["hap"].missing == ("albumin",)
    assert found["hap"].text == "needs albumin"
    assert found["albi_tae"].text == "needs albumin"
    assert found["milan"].text == "needs macrovascular invasion, extrahepatic spread"


def test_an_item_that_is_missing_is_never_zero_points_even_where_the_rest_decides():
    worst = ClinicalValues(albumin_g_l=20, bilirubin_umol_l=60)
    assert scores_of(worst, TumourBurden(1, (12.0,)))["hap"].text == "needs AFP"


def test_a_censored_value_decides_on_its_side_of_the_cut_only():
    def hap(afp):
        values = ClinicalValues.from_columns(
            {"albumin_g_l": "40", "bilirubin_umol_l": "10", "afp_ng_ml": afp}
        )
        return scores_of(values, ONE_LESION)["hap"].text

    assert hap(">1210") == "B (1 point)"
    assert hap(">400") == "B (1 point)"
    assert hap("<0.9") == hap("≤400") == "A (0 points)"
    assert hap(">200") == "AFP >200 decides nothing"
    assert hap("≥400") == "AFP ≥400 decides nothing"


def test_a_formula_needs_the_number_itself():
    values = ClinicalValues(albumin_g_l=Measured(50, ">"), bilirubin_umol_l=10)
    assert scores_of(values, None)["albi"].text == "albumin >50 decides nothing"


def test_child_pugh_takes_a_censored_value_that_lies_inside_one_band():
    at = {"ascites": "none", "encephalopathy": 0, "albumin_g_l": 40}
    points = lambda **more: scores_of(ClinicalValues(**at, **more), None)["child_pugh"].points
    assert points(bilirubin_umol_l=Measured(5, "<"), inr=1.0) == 5
    assert points(bilirubin_umol_l=Measured(51, ">"), inr=1.0) == 7
    assert points(bilirubin_umol_l=Measured(40, ">"), inr=1.0) is None
    assert points(bilirubin_umol_l=Measured(40, "<"), inr=1.0) is None


# --- what a reader sees ---------------------------------------------------------------------------


def test_every_score_says_where_it_was_published_and_what_for():
    for definition in DEFINITIONS:
        assert any(character.isdigit() for character in definition.source)
        assert definition.built_for.startswith(("survival", "response"))
    assert {d.name for d in DEFINITIONS if d.built_for == "response and survival"} == {"seven_eleven"}


def test_scores_in_words():
    found = scores_of(COMPLETE, TumourBurden(2, (4.7, 2.0)))
    assert found["hap"].text == "A (0 points)"
    assert found["mhap_ii"].text == "B (1 point)"
    assert found["six_and_twelve"].text == "6.7: middle"
    assert found["albi"].text == "-2.47: grade 2"
    assert found["child_pugh"].text == "A (5 points)"
    assert found["milan"].text == "beyond criteria"
    assert found["hap"].to_json()["text"] == "A (0 points)"
    assert "0.9 mg/dL" in found["mhap_ii"].note


# --- reading the columns --------------------------------------------------------------------------


def test_columns_of_a_table_in_any_unit_become_values():
    values = ClinicalValues.from_columns(
        {
            "patient": "0012",
            "albumin_g_dl": "3,6",
            "bilirubin_mg_dl": "1.0",
            "AFP_ng_ml": ">1210",
            "crp_mg_l": "10",
            "INR": "1.1",
            "ascites": "Moderate",
            "encephalopathy": "Grade II",
            "portal_vein_invasion": "Vp2",
            "extrahepatic_spread": "0",
        }
    )
    assert values.albumin_g_l == Measured(36)
    assert values.bilirubin_umol_l.value == pytest.approx(17.104)
    assert values.afp_ng_ml == Measured(1210, ">")
    assert values.crp_mg_dl.below(1) is False
    assert (values.ascites, values.encephalopathy) == ("more", 2)
    assert (values.vascular_invasion, values.spread) == (True, False)
    assert values.to_json()["afp_ng_ml"] == ">1210"


def test_empty_cells_and_other_columns_leave_everything_open():
    values = ClinicalValues.from_columns({"albumin_g_l": "NA", "ascites": "", "spread": "?", "sex": "M"})
    assert values == ClinicalValues()
    assert values.empty


def test_none_is_a_finding_for_ascites_and_a_gap_for_a_number():
    values = ClinicalValues.from_columns({"ascites": "none", "encephalopathy": "none", "inr": "none"})
    assert (values.ascites, values.encephalopathy, values.inr) == ("none", 0, None)


def test_one_column_of_invasion_that_says_yes_is_a_yes():
    columns = {"macrovascular_invasion": "no", "portal_vein_invasion": "vp3"}
    assert ClinicalValues.from_columns(columns).vascular_invasion is True
    assert ClinicalValues.from_columns(dict(reversed(columns.items()))).vascular_invasion is True


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"ascites": "2"}, "which may be a grade or Child-Pugh's points"),
        ({"ascites": "+"}, "which says that there is some, not how much"),
        ({"ascites": "lots"}, "Expected none, mild or more, or an empty cell"),
        ({"encephalopathy": "yes"}, "which says that there is one, not how severe"),
        ({"encephalopathy": "5"}, "Expected none, 1, 2, 3 or 4"),
        ({"spread": "2"}, "which may be one of two codes"),
        ({"albumin_g_l": "4.0"}, "which looks like g/dl"),
        ({"bilirubin_umol_l": "0.9"}, "which looks like mg/dl"),
        ({"albumin": "40"}, "does not say its unit"),
        ({"albumin_g_l": "40", "albumin_g_dl": "3.5"}, "contradicts another column"),
    ],
)
def test_a_cell_that_cannot_be_meant_is_refused_and_says_what_it_looks_like(columns, sentence):
    with pytest.raises(TableError) as caught:
        ClinicalValues.from_columns(columns, row=7, table="cohort.csv")
    assert sentence in str(caught.value)
    assert "row 7" in str(caught.value)


def test_what_cannot_be_read_counts_as_missing_and_is_said():
    columns = {"albumin_g_l": "4.0", "bilirubin_umol_l": "14", "inr": "1.0", "albumin_g_dl": "4.0"}
    values, problems = read_values(columns, row=3)
    assert values == ClinicalValues(bilirubin_umol_l=14, inr=1.0)
    assert [p.severity for p in problems] == ["warning"]
    assert "Row 3, column albumin_g_l cannot be g/l" in str(problems[0])


def test_words_of_chinese_and_german_tables():
    values = ClinicalValues.from_columns({"ascites": "少量", "encephalopathy": "无", "spread": "nein"})
    assert (values.ascites, values.encephalopathy, values.spread) == ("mild", 0, False)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"albumin_g_l": 4.0}, "albumin"),
        ({"bilirubin_umol_l": 1001}, "bilirubin"),
        ({"albumin_g_l": float("nan")}, "albumin"),
        ({"ascites": "lots"}, "ascites"),
        ({"encephalopathy": 5}, "encephalopathy"),
    ],
)
def test_values_given_in_code_meet_the_same_limits(wrong, field):
    with pytest.raises(TableError) as caught:
        ClinicalValues(**wrong)
    assert caught.value.problem.field == field


# --- lesions: number, diameters, what the user knows better ---------------------------------------


def a_mask(voxels: np.ndarray, spacing_mm=(1.0, 1.0, 1.0)):
    """A case whose mask is `voxels` (k, j, i)."""
    mask = sitk.GetImageFromArray(voxels.astype(np.uint8))
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(60, 20, voxels.shape).astype(np.float32))
    for picture in (mask, image):
        picture.SetSpacing(spacing_mm)
    return make_case("0012", image, mask)


def test_two_lesions_under_one_label_are_two_lesions():
    voxels = np.zeros((12, 40, 90))
    j, i = np.mgrid[:40, :90]
    for centre in (20, 59):  # 29 mm wide, 10 mm apart
        voxels[3:9] += np.hypot(j - 20, i - centre) <= 14
    lesions = measure_lesions(a_mask(voxels))
    burden = TumourBurden.from_lesions(lesions)
    assert lesions.number == burden.number == 2
    assert [round(d, 1) for d in burden.diameters_cm] == [2.9, 2.9]
    assert burden.largest_cm == pytest.approx(2.9, abs=0.06)


def test_the_user_may_know_number_and_diameter_better():
    measured = TumourBurden(2, (4.0, 2.0))
    assert measured.overridden(number=5) == TumourBurden(5, (4.0, 2.0))
    assert measured.overridden(number=1) == TumourBurden(1, (4.0,))
    assert measured.overridden(largest_cm=5.2) == TumourBurden(2, (5.2, 2.0))
    assert measured.overridden(number=3, largest_cm=1.5) == TumourBurden(3, (1.5,))
    assert measured.overridden() == measured


def test_a_diameter_in_mm_is_refused():
    with pytest.raises(InputError, match="which looks like mm"):
        TumourBurden(1, (4.0,)).overridden(largest_cm=52)


@pytest.mark.parametrize(("number", "diameters"), [(1, (3.0, 2.0)), (0, ()), (2, ()), (1, (0.0,))])
def test_number_and_diameters_that_do_not_belong_together_are_refused(number, diameters):
    with pytest.raises(InputError):
        TumourBurden(number, diameters)


def test_ucsf_needs_the_diameters_that_could_decide_it():
    free = ClinicalValues(vascular_invasion=False, spread=False)
    ucsf = lambda n, *d: scores_of(free, TumourBurden(n, d))["ucsf"].text
    assert ucsf(3, 2.5) == "within criteria"  # at most 7.5 cm together
    assert ucsf(3, 4.0) == "needs diameter of every lesion"  # 4 to 12 cm
    assert ucsf(3, 4.5, 4.0) == "beyond criteria"  # 8.5 cm already
    assert ucsf(4, 2.0) == "beyond criteria"


@pytest.mark.parametrize("seed", range(12))
def test_the_feret_diameter_is_that_of_every_pair_of_faces(seed):
    rng = np.random.default_rng(seed)
    spacing_mm = (0.7, 0.9, 2.5)
    voxels = np.zeros((9, 12, 14))
    voxels[2:7, 2:9, 2:11] = rng.random((5, 7, 9)) < 0.2
    voxels[4, 5, 2:11] = 1  # one lesion at least
    lesions = measure_lesions(a_mask(voxels, spacing_mm), feret=True)
    assert len(lesions.feret_mm) == lesions.number
    assert max(lesions.feret_mm) == pytest.approx(slow_feret_mm(voxels, spacing_mm), abs=1e-9)


def slow_feret_mm(voxels, spacing_mm) -> float:
    """The longest distance between face centres of the voxels of any one 26-connected lesion."""
    places = {tuple(int(x) for x in place) for place in np.argwhere(voxels)}
    longest = 0.0
    while places:
        lesion, front = set(), [places.pop()]
        while front:
            k, j, i = front.pop()
            lesion.add((k, j, i))
            for step in itertools.product((-1, 0, 1), repeat=3):
                near = (k + step[0], j + step[1], i + step[2])
                if near in places:
                    places.remove(near)
                    front.append(near)
        if len(lesion) * np.prod(spacing_mm) < 10:  # 0.01 mL
            continue
        steps = [s for axis in range(3) for s in (np.eye(3)[axis] / 2, -np.eye(3)[axis] / 2)]
        faces = [(np.array(v)[::-1] + step) * spacing_mm for v in lesion for step in steps]
        longest = max(longest, max(np.linalg.norm(a - b) for a, b in itertools.combinations(faces, 2)))
    return longest


def test_the_feret_diameter_is_measured_on_request_and_reaches_across_layers(phantom_case):
    voxels = np.zeros((20, 8, 8))
    voxels[2:18, 3:5, 3:5] = 1
    lesions = measure_lesions(a_mask(voxels), feret=True)
    assert lesions.feret_mm[0] == pytest.approx(np.sqrt(16**2 + 1 + 1))  # face centres, 2 x 2 x 16 mm
    assert lesions.feret_mm[0] > 7 * lesions.diameters_mm[0] * 0.5
    assert measure_lesions(phantom_case).feret_mm == ()
    in_both = measure_lesions(phantom_case, feret=True)
    assert all(f >= d - 1e-9 for f, d in zip(in_both.feret_mm, in_both.diameters_mm, strict=True))


# --- mRECIST from sums ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("baseline", "follow_up", "smallest", "new", "response"),
    [
        (33.0, 23.1, None, False, "PR"),  # exactly 30 % less
        (33.0, 23.2, None, False, "SD"),
        (50.0, 0.0, None, False, "CR"),
        (50.0, 60.0, None, False, "PD"),  # exactly 20 % more
        (50.0, 59.9, None, False, "SD"),
        (50.0, 36.0, 30.0, False, "PD"),  # 20 % above the smallest, 28 % below baseline
        (50.0, 0.0, None, True, "PD"),
        (10.1, 10.1 * 1.2, None, False, "PD"),
    ],
)
def test_mrecist_by_hand(baseline, follow_up, smallest, new, response):
    assert mrecist_response(baseline, follow_up, smallest, new) == response


ONE_LESION = TumourBurden(1, (3.0,))


def scores_of(values, burden):
    return {score.name: score for score in clinical_scores(values, burden)}
