"""Why a model says what it says: shares that add up to its answer, and a map on the patient's CT."""

import copy
import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk
from backend_trial import COMMITTED
from scipy.special import expit
from TACEResponseLib.answer.explanation import explain, part_of_features
from TACEResponseLib.answer.response_model import ResponseModel, TrainingPatients
from TACEResponseLib.answer.similarity import TrainingSpread
from TACEResponseLib.cases import make_case
from TACEResponseLib.measuring.case import measure
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.models.cnn import FittedCnn
from TACEResponseLib.models.combination import fit_combinations
from TACEResponseLib.models.fold_models import FoldModels
from TACEResponseLib.models.learners import LEARNERS
from TACEResponseLib.models.network.inference import NumpyNetwork
from TACEResponseLib.models.network.keras_file import read_keras_file
from TACEResponseLib.models.recipes import CLASSIFIERS
from TACEResponseLib.selection.select import Selected
from TACEResponseLib.settings import TrainingSettings, preset
from TACEResponseLib.statistics.outcome import Outcome

SELECTED = (
    "original_firstorder_Mean",
    "original_firstorder_Entropy",
    "original_shape_Sphericity",
    "original_glcm_Contrast",
    "original_ngtdm_Coarseness",
)
PATIENTS = 60


@pytest.fixture(scope="module")
def measured(phantom_case):
    settings = TrainingSettings()
    return measure(phantom_case, settings.radiomics, settings.patch, only=SELECTED)


@pytest.fixture(scope="module")
def network() -> NumpyNetwork:
    return read_keras_file(COMMITTED.read_bytes())


@pytest.fixture(scope="module")
def a_model(measured):
    """Makes models of the same made-up patients, whose first two features decide, around the measured one."""
    rng = np.random.default_rng(3)
    centre = row_of(measured)[0]
    features = centre * (1 + 0.2 * rng.normal(size=(PATIENTS, len(SELECTED))))
    drive = (features / centre - 1)[:, :2] @ [6.0, -4.0]
    labels = (drive + rng.normal(size=PATIENTS) > 0).astype(int)
    diameters = rng.uniform(20, 90, PATIENTS)
    ids, outcome = tuple(map(str, range(PATIENTS))), Outcome(labels)
    table = PatientTable(ids, SELECTED, features, None, diameters)
    fitted = {name: LEARNERS[name].fit(table, outcome, 1) for name in ("size", *CLASSIFIERS)}
    steps = {"select": Selected(SELECTED)}
    scores = FoldModels(steps, fitted).scores(table)
    of_network = rng.uniform(size=PATIENTS)
    spread = TrainingSpread.of({"features": features, "diameter_mm": diameters}, 1)

    def make(settings: TrainingSettings, network: NumpyNetwork | None) -> ResponseModel:
        all_scores = scores | ({"cnn": of_network} if network else {})
        combinations = fit_combinations(all_scores, outcome, settings.fusion)
        answers = {name: combination.probability(all_scores) for name, combination in combinations.items()}
        return ResponseModel(
            settings=settings,
            models=FoldModels(
                steps, copy.deepcopy(fitted) | ({"cnn": FittedCnn(network)} if network else {})
            ),
            combinations=combinations,
            thresholds=dict.fromkeys(combinations, 0.5),
            headline=settings.fusion.headline,
            training_range=dict.fromkeys(SELECTED, (-1e9, 1e9)),
            training=TrainingPatients(ids, outcome, answers, answers),
            background=table.rows(np.arange(8)),
            spread=spread,
        )

    return make


@pytest.fixture(scope="module")
def model(a_model, network) -> ResponseModel:
    return a_model(TrainingSettings(), network)


@pytest.fixture(scope="module")
def explanation(model, phantom_case):
    return explain(model, phantom_case)


def row_of(measured) -> np.ndarray:
    return np.array([[measured.row[name] for name in SELECTED]])


def test_the_shares_sum_to_the_distance_from_the_mean_of_the_background(explanation, model, measured):
    combination = model.combinations["cnn+random_forest"]
    mine = part_of_features(model, combination, ("random_forest",), row_of(measured))[0]
    others = part_of_features(model, combination, ("random_forest",), model.background.features).mean()
    assert explanation.headline == "cnn+random_forest"
    assert explanation.members == ("random_forest",)
    assert explanation.unit == "log-odds"
    assert explanation.total == pytest.approx(mine, abs=1e-9)
    assert explanation.base == pytest.approx(others, abs=1e-9)
    assert sum(explanation.contributions.values()) == pytest.approx(mine - others, abs=1e-9)


def test_the_classical_part_and_the_networks_part_make_up_the_answer(explanation, model, phantom_case):
    answer = model.predict(phantom_case)
    fusion = model.combinations["cnn+random_forest"].fusion
    term = (answer.patch.pixels[None], fusion.means[0], fusion.scales[0], fusion.slopes[0])
    of_network = (model.models.models["cnn"].network.probability(term[0])[0] - term[1]) / term[2] * term[3]
    parts = explanation.total + of_network + fusion.intercepts[0]
    assert expit(parts) == pytest.approx(answer.fused, abs=1e-9)


def test_every_feature_is_named_with_its_value_and_the_largest_share_comes_first(explanation, measured):
    assert set(explanation.contributions) == set(SELECTED)
    sizes = np.abs(list(explanation.contributions.values()))
    assert (np.diff(sizes) <= 0).all()
    assert explanation.values == {name: measured.row[name] for name in explanation.contributions}
    assert set(explanation.standard_errors.values()) == {0.0}  # 2^5 coalitions of 8 patients: exact


def test_a_feature_that_no_member_uses_gets_nothing_and_one_that_decides_gets_its_sign(
    a_model, measured, phantom_case
):
    settings = preset("peng2021", fusion={"headline": "logistic"})
    model = a_model(settings, None)
    model.models.models["logistic"].pipeline[-1].coef_ = np.array([[1.5, -1.0, 0, 0, 0]])
    found = explain(model, phantom_case)
    assert found.headline == "logistic"
    assert found.network_map is None
    assert [found.contributions[name] for name in SELECTED[2:]] == pytest.approx([0] * 3, abs=1e-12)
    higher = row_of(measured)[0] - model.background.features.mean(axis=0)
    assert np.sign(found.contributions[SELECTED[0]]) == np.sign(higher[0])
    assert np.sign(found.contributions[SELECTED[1]]) == -np.sign(higher[1])


def test_all_classical_members_of_a_headline_are_shared_together(a_model, measured, network, phantom_case):
    model = a_model(preset("peng2021", fusion={"headline": "all"}), network)
    found = explain(model, phantom_case)
    assert found.members == ("linear", "logistic", "svm", "gbm", "random_forest")
    assert sum(found.contributions.values()) == pytest.approx(found.total - found.base, abs=1e-9)
    # Shares are additive: together they are the sums of each member's own.
    combination = model.combinations["all"]
    alone = sum(
        part_of_features(model, combination, (name,), row_of(measured))[0]
        - part_of_features(model, combination, (name,), model.background.features).mean()
        for name in found.members
    )
    assert sum(found.contributions.values()) == pytest.approx(alone, abs=1e-9)


def test_an_averaging_fusion_is_explained_in_probability(a_model, network, phantom_case):
    settings = preset("peng2021", fusion={"method": "mean"})
    model = a_model(settings, network)
    found = explain(model, phantom_case)
    assert found.unit == "probability"
    answer = model.predict(phantom_case)
    of_network = answer.probabilities["cnn+random_forest"] - found.total
    fusion = model.combinations["cnn+random_forest"].fusion
    score = model.models.models["cnn"].network.probability(answer.patch.pixels[None])[0]
    own = expit((score - fusion.means[0]) / fusion.scales[0] * fusion.slopes[0] + fusion.intercepts[0])
    assert of_network == pytest.approx(own / 2, abs=1e-9)


def test_the_map_lies_on_the_ct_in_the_layer_that_the_network_saw(explanation, phantom_case, model):
    found, image = explanation.network_map, phantom_case.image
    assert found.GetSize() == image.GetSize()
    assert found.GetOrigin() == image.GetOrigin()
    assert found.GetDirection() == image.GetDirection()
    layers = np.flatnonzero(np.abs(sitk.GetArrayFromImage(found)).sum(axis=(1, 2)))
    assert list(layers) == [model.predict(phantom_case).patch.layer_index]


def test_the_same_case_is_explained_the_same_again(explanation, model, phantom_case):
    again = explain(model, phantom_case)
    assert again.contributions == explanation.contributions
    assert np.array_equal(*map(sitk.GetArrayFromImage, (again.network_map, explanation.network_map)))


def test_what_is_too_much_for_every_coalition_is_sampled_and_says_how_exactly(a_model, phantom_case):
    model = a_model(preset("peng2021", fusion={"headline": "svm"}), None)
    model = dataclasses.replace(model, background=model.background.rows(np.tile(np.arange(8), 250)))
    found = explain(model, phantom_case)
    assert max(found.standard_errors.values()) > 0
    assert sum(found.contributions.values()) == pytest.approx(found.total - found.base, abs=1e-9)


def test_a_case_without_features_has_a_map_and_says_why_there_are_no_shares(model, phantom_case):
    """One slice is too little for the Laplacian of Gaussian, and enough for a picture."""
    selected = ("log-sigma-3-0-mm-3D_firstorder_Mean", *SELECTED[1:])
    models = {
        name: dataclasses.replace(fitted, features=selected) if fitted.features else fitted
        for name, fitted in model.models.models.items()
    }
    model = dataclasses.replace(model, models=FoldModels({"select": Selected(selected)}, models))
    middle = int(sitk.GetArrayFromImage(phantom_case.mask).sum(axis=(1, 2)).argmax())
    thin = [volume[:, :, middle : middle + 1] for volume in (phantom_case.image, phantom_case.mask)]
    found = explain(model, make_case("thin", *thin))
    assert found.contributions == {}
    assert found.members == ()
    assert found.problem.kind == "feature"
    assert found.network_map is not None


def test_progress_counts_up_to_the_end_and_can_cancel(model, phantom_case):
    seen = []
    explain(model, phantom_case, progress=lambda *stage: seen.append(stage))
    assert [done for _stage, done, _total in seen] == sorted(done for _stage, done, _total in seen)
    assert {total for _stage, _done, total in seen} == {5}
    assert seen[-1][1] == 5
