"""The whole training on resamples: the real training, resumable, and in true words."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from TACEResponseLib import settings as settings_room
from TACEResponseLib.__main__ import main
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import Cancelled, TrainingError
from TACEResponseLib.report.stability import (
    curve_of,
    curve_words,
    draw_curve,
    draw_instability,
    stability_tables,
)
from TACEResponseLib.report.study import Study
from TACEResponseLib.settings import preset
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.training import stability
from TACEResponseLib.training.inputs import Labelled
from TACEResponseLib.training.model import fit_response_model
from TACEResponseLib.training.run import Trained
from TACEResponseLib.training.stability import SHARES, drawn, part_of, refit, shown_for

QUICK = {
    "network": None,
    "folds": 3,
    "models": ("size", "linear"),
    "fusion": {"headline": "all"},
    "selection": {"sizes": [2], "trees": 20, "folds": 2, "number": 2, "bootstraps": 0},
}


def patients(n: int, effect: float, seed: int, groups: tuple[str, ...] = ()) -> Labelled:
    """Six features, the first of which shifts the log-odds of response by `effect`; the size tells little."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 6))
    labels = (rng.random(n) < 1 / (1 + np.exp(-effect * values[:, 0]))).astype(int)
    table = PatientTable(
        tuple(f"P{k:03d}" for k in range(n)),
        tuple(f"original_test_{k}" for k in range(6)),
        values,
        diameters_mm=50 - 3 * labels + 15 * rng.normal(size=n),
        groups=groups,
    )
    return Labelled(table, Outcome(labels))


def train(of: Labelled) -> Trained:
    settings = preset("peng2021", **QUICK)
    model, record = fit_response_model(of.table, of.outcome, settings)
    return Trained(model, record, None, of, None, {})


def again(trained: Trained, resamples: int, store: Path, **how):
    settings = trained.model.settings
    return refit(
        trained.usable, trained.training.outcome, settings, trained.record, resamples, store=store, **how
    )


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(patients(70, 1.5, seed=2))


@pytest.fixture(scope="module")
def refitted(trained, tmp_path_factory) -> Trained:
    return dataclasses.replace(trained, refits=again(trained, 6, tmp_path_factory.mktemp("store")))


def test_a_resample_holds_distinct_patients_of_both_classes_about_63_percent_of_them():
    outcome = Outcome(np.array([1, 0, 0] * 200))
    names = tuple(map(str, range(600)))
    rows = drawn(outcome, names, np.random.default_rng(1))
    assert len(np.unique(rows)) == len(rows)
    # 1 - 1/e of each class; the SD of the share of 200 is about 0.023.
    for label in (0, 1):
        members = np.flatnonzero(outcome.labels == label)
        assert np.isin(members, rows).mean() == pytest.approx(1 - np.exp(-1), abs=0.07)
    assert not np.array_equal(rows, drawn(outcome, names, np.random.default_rng(2)))


def test_rows_of_one_group_come_into_a_resample_or_a_part_together():
    outcome = Outcome(np.array([1, 1, 0, 0] * 30))
    groups = tuple(str(k // 2) for k in range(120))
    for rows in (
        drawn(outcome, groups, np.random.default_rng(3)),
        part_of(outcome, groups, 0.5, np.random.default_rng(3)),
    ):
        taken = np.isin(np.arange(120), rows)
        assert 0 < taken.sum() < 120
        np.testing.assert_array_equal(taken[::2], taken[1::2])


def test_smaller_parts_lie_in_larger_ones_and_keep_the_share_of_responders():
    outcome, names = Outcome(np.array([1, 0, 0] * 20)), tuple(map(str, range(60)))
    parts = [part_of(outcome, names, share, np.random.default_rng(5)) for share in SHARES]
    assert [len(part) for part in parts] == [30, 39, 48, 60]
    for small, large in itertools.pairwise(parts):
        assert set(small) < set(large)
    assert [int(outcome.labels[part].sum()) for part in parts] == [10, 13, 16, 20]


def test_the_model_of_a_resample_is_the_one_that_a_training_on_these_patients_would_ship(trained, refitted):
    """The slow obvious twin: the whole honest training on the resample, then its model on everybody."""
    of, settings = trained.training, trained.model.settings
    for number in (0, 4):
        rows = drawn(of.outcome, of.table.groups, np.random.default_rng((settings.seed, number)))
        model, record = fit_response_model(of.table.rows(rows), of.outcome.rows(rows), settings)
        assert record.out_of_fold.uninformative == ()
        theirs = model.probabilities(of.table)
        assert set(theirs) == {"size", "linear", "all"}
        for name, values in theirs.items():
            np.testing.assert_array_equal(refitted.refits.bootstrap[name][number], values, err_msg=name)


def test_the_original_is_the_shipped_model_with_its_thresholds(trained, refitted):
    refits = refitted.refits
    assert set(refits.original) == set(trained.record.resubstitution)
    for name, values in trained.record.resubstitution.items():
        np.testing.assert_array_equal(refits.original[name], values)
    assert refits.thresholds == pytest.approx(dict(trained.model.thresholds), abs=0)
    assert refits.shown == "all"
    assert refits.models_left_out == ()


def test_a_stopped_run_goes_on_and_ends_with_the_same_answer(trained, refitted, tmp_path, monkeypatch):
    fits = []
    real = stability.fit_whole
    monkeypatch.setattr(stability, "fit_whole", lambda *of: fits.append(len(of[0])) or real(*of))

    def stop_after_four(stage, done, total):
        if stage == "fit again: resample" and done == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        again(trained, 6, tmp_path, progress=stop_after_four)
    assert len(fits) == 4
    refits = again(trained, 6, tmp_path)
    curve = 2 * 3 * len(SHARES)
    assert len(fits) == 6 + curve
    for name, values in refitted.refits.bootstrap.items():
        np.testing.assert_array_equal(refits.bootstrap[name], values)
        np.testing.assert_array_equal(refits.aucs[name], refitted.refits.aucs[name])
    # Other patients are other work, although the folder is the same.
    other = train(patients(70, 1.5, seed=3))
    again(other, 2, tmp_path)
    assert len(fits) == 6 + curve + 2 + curve


def test_two_processes_give_what_one_gives(trained, refitted, tmp_path):
    refits = again(trained, 6, tmp_path, jobs=2)
    for name, values in refitted.refits.bootstrap.items():
        np.testing.assert_array_equal(refits.bootstrap[name], values)
    assert refits.selected == refitted.refits.selected


def test_the_planted_feature_is_chosen_in_most_resamples_and_noise_is_not(refitted):
    selected = refitted.refits.selected
    assert next(iter(selected)) == "original_test_0"
    assert selected["original_test_0"] >= 5 / 6
    assert sum(selected.values()) == pytest.approx(2)  # two features a resample
    assert np.mean([selected.get(f"original_test_{k}", 0) for k in range(1, 6)]) < 0.35


def test_the_learning_curve_has_the_sizes_and_the_auc_of_the_held_out_folds(trained, refitted):
    refits, of, settings = refitted.refits, trained.training, trained.model.settings
    assert refits.aucs["all"].shape == (len(SHARES), 2)
    labels, aucs = of.outcome.labels, []
    folds = of.outcome.split(3, settings.seed + 1)
    for fold in range(3):  # everybody else trained on, the second drawing
        held_out = folds == fold
        rest = np.flatnonzero(~held_out)
        model, _ = fit_response_model(of.table.rows(rest), of.outcome.rows(rest), settings)
        said = model.probabilities(of.table.rows(held_out))["all"]
        higher = said[labels[held_out] == 1][:, None] - said[labels[held_out] == 0]
        aucs.append(np.mean((higher > 0) + 0.5 * (higher == 0)))
    assert refits.aucs["all"][-1, 1] == pytest.approx(np.mean(aucs), abs=1e-12)
    assert refits.sizes[-1] == pytest.approx(70 * 2 / 3)
    assert refits.sizes == pytest.approx(np.array(SHARES) * 70 * 2 / 3, abs=1)


def test_a_part_too_small_for_the_recipe_is_named_and_not_on_the_curve(tmp_path, monkeypatch):
    of = train(patients(50, 1.0, seed=4))
    real = stability.fit_whole

    def only_large(table, *more):
        if len(table) < 20:
            raise TrainingError("too few patients of one class")
        return real(table, *more)

    monkeypatch.setattr(stability, "fit_whole", only_large)
    refits = again(of, 2, tmp_path)
    assert np.isnan(refits.aucs["all"][0]).all()
    assert np.isfinite(refits.aucs["all"][1:]).all()
    assert {problem.message for problem in refits.failed} == {"too few patients of one class"}
    curve = curve_of(refits, "all")
    assert len(curve.sizes) == 3
    assert curve_words(curve, 50).startswith("Too few sizes")


def test_resamples_that_all_fail_are_an_error_with_the_reason(trained, tmp_path, monkeypatch):
    def refuse(*of):
        raise TrainingError("a fold holds patients of one class only")

    monkeypatch.setattr(stability, "fit_whole", refuse)
    with pytest.raises(TrainingError, match="0 of 3; the first that cannot: .*one class only"):
        again(trained, 3, tmp_path)


def test_one_resample_is_refused(trained, tmp_path):
    with pytest.raises(TrainingError, match="Too few resamples"):
        again(trained, 1, tmp_path)


def test_a_headline_with_the_cnn_is_shown_by_what_is_left_of_it():
    names = ("size", "random_forest", "all")
    assert shown_for("cnn+random_forest", names) == "random_forest"
    assert shown_for("cnn", names) == "all"
    assert shown_for("all", names) == "all"
    assert shown_for("cnn", ("size",)) == "size"


def test_the_report_says_how_much_probabilities_and_calls_change(refitted):
    refits = refitted.refits
    tables = {table.name: table for table in stability_tables(Study.of_training(refitted))}
    row = next(row for row in tables["instability"].rows if row["model"] == "all")
    models, original = refits.bootstrap["all"], refits.original["all"]
    mape = np.mean([[abs(models[b, i] - original[i]) for i in range(70)] for b in range(6)])
    cut = refits.thresholds["all"]
    changed = np.mean([[(models[b, i] > cut) != (original[i] > cut) for i in range(70)] for b in range(6)])
    assert row["mean_absolute_difference"] == pytest.approx(mape)
    assert row["called_otherwise"] == pytest.approx(changed)
    assert f"differs by {100 * mape:.0f} percentage points" in tables["instability"].note
    assert "no interval for the true probability" in tables["instability"].note
    assert len(tables["instability_patients"].rows) == 70
    assert tables["selection_frequency"].rows[0]["in_the_model"] is True
    measured = [row for row in tables["patients_curve"].rows if row["basis"] == "measured"]
    assert [row["training_patients"] for row in measured] == [round(size) for size in refits.sizes]
    assert measured[0]["auc"] == pytest.approx(refits.aucs["all"][0].mean())
    more = [row["training_patients"] for row in tables["patients_curve"].rows if row not in measured]
    assert more == [70, 105, 140, 210]
    assert tables["stability_failures"].absent == "every one was fitted"


def test_the_figures_hold_every_patient_and_every_size(refitted):
    study = Study.of_training(refitted)
    left, right = draw_instability(study).figure.axes
    assert left.lines[0].get_xydata().shape == (6 * 70, 2)
    assert right.lines[0].get_xydata().shape == (70, 2)
    curve = draw_curve(study).figure.axes[0]
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in (left, right, curve))
    np.testing.assert_allclose(curve.containers[0].lines[0].get_xdata(), study.refits.sizes)


def test_a_report_that_was_not_asked_for_it_says_how_to_ask(trained):
    study = Study.of_training(trained)
    assert {table.absent for table in stability_tables(study)} == {"not asked for (train --stability 200)"}
    assert draw_instability(study).absent == draw_curve(study).absent
    assert draw_curve(study).figure is None


def test_train_writes_the_tables_and_clears_its_work_away(tmp_path, monkeypatch, capsys):
    of = patients(60, 1.5, seed=6)
    rows = zip(of.table.patient_ids, of.table.features, strict=True)
    features = [",".join(("patient_id", *of.table.feature_names))]
    features += [",".join((name, *map(repr, map(float, values)))) for name, values in rows]
    labels = ["patient_id,label", *(f"P{k:03d},{label}" for k, label in enumerate(of.outcome.labels))]
    (tmp_path / "f.csv").write_text("\n".join(features))
    (tmp_path / "l.csv").write_text("\n".join(labels))
    recipe = preset("peng2021", **QUICK | {"models": ("linear",), "fusion": {"headline": "linear"}})
    monkeypatch.setattr(settings_room, "preset", lambda name, **changes: recipe)
    asked = ["train", "--features", str(tmp_path / "f.csv"), "--labels", str(tmp_path / "l.csv")]
    asked += ["--out", str(tmp_path / "b"), "--jobs", "1"]
    assert main([*asked, "--stability", "1"]) == 2
    assert "One resample says nothing" in capsys.readouterr().err
    assert main([*asked, "--stability", "3"]) == 0
    report = tmp_path / "b-report"
    assert "percentage points" in (report / "report.html").read_text(encoding="utf-8")
    assert {"instability.csv", "instability_patients.csv", "patients_curve.csv"} <= {
        path.name for path in report.iterdir()
    }
    assert (report / "figure_instability.png").stat().st_size > 1000
    assert not (tmp_path / "b-work").exists()
