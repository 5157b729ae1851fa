"""Work over a cohort: resumable, one bad case never costs the others, and the tables it writes."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from TACEResponseLib.cases import Case
from TACEResponseLib.cohorts.table import read_table
from TACEResponseLib.measuring.feature_table import extract_features, write_feature_csv, write_problem_csv
from TACEResponseLib.messages.errors import (
    Cancelled,
    DependencyError,
    FeatureError,
    InputError,
    MaskError,
    Problem,
    TableError,
)
from TACEResponseLib.radiomics import column_names, extract_row
from TACEResponseLib.resumable import CaseJob, CaseResult, StoredResult, affordable_jobs, forget, run_cases
from TACEResponseLib.settings import RadiomicsSettings

HERE = Path(__file__).resolve().parent
ORIGINAL = RadiomicsSettings(image_types=("Original",))


def count_and_measure(job: CaseJob) -> CaseResult:
    """Leave a trace of the call, then say how long the file is; `bad` in it is a named error."""
    text = job.files[0].read_text()
    with (job.files[0].parent / "calls.txt").open("a") as stream:
        stream.write(f"{job.patient_id}\n")
    if "slow" in text:
        time.sleep(0.2)
    if "bad" in text:
        raise MaskError("the mask is empty", field="mask")
    if "fault" in text:
        raise ZeroDivisionError("division by zero")
    return CaseResult({"length": len(text), "share": 0.1}, {"text": np.frombuffer(text.encode(), np.uint8)})


HOLD_A_CASE = """
import sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from test_extraction import slow_job
from TACEResponseLib.resumable import _key
from TACEResponseLib.resumable.locks import one_case
import json
folder = Path({folder!r})
recipe = json.dumps(dict(store=1, version=1), sort_keys=True)
with one_case(folder / "store" / f"{{_key(slow_job(folder, 3), recipe)}}.lock"):
    print("held", flush=True)
    time.sleep(60)
"""


def slow_job(folder: Path, number: int) -> CaseJob:
    path = folder / f"{number}.txt"
    path.write_text("slow" + "x" * number)
    return CaseJob(str(number), (path,))


def calls(folder: Path) -> list[str]:
    path = folder / "calls.txt"
    return path.read_text().split() if path.is_file() else []


@pytest.fixture
def jobs(tmp_path):
    """Five cases, the fourth with an empty mask; IDs that file systems dislike."""
    made = []
    for patient_id, text in zip(
        ("1", "Zoë/2", "三", "bad", "5"), ("a", "bb", "ccc", "bad", "eeeee"), strict=True
    ):
        path = tmp_path / f"{len(made)}.txt"
        path.write_text(text)
        made.append(CaseJob(patient_id, (path,)))
    return made


def run(jobs, tmp_path, **changes):
    arguments = {"store": tmp_path / "store", "recipe": {"version": 1}, **changes}
    return run_cases(jobs, count_and_measure, **arguments)


@pytest.mark.parametrize("processes", [1, 2])
def test_every_case_has_a_result_or_its_problem_in_the_order_of_the_jobs(jobs, tmp_path, processes):
    results = run(jobs, tmp_path, jobs_in_parallel=processes)
    assert [r.patient_id for r in results] == ["1", "Zoë/2", "三", "bad", "5"]
    assert [r.values["length"] for r in results if isinstance(r, StoredResult)] == [1, 2, 3, 5]
    assert bytes(results[2].arrays["text"]) == b"ccc"
    assert isinstance(results[3], Problem) and results[3].kind == "mask" and results[3].patient_id == "bad"


def test_a_second_run_computes_nothing_and_says_the_same(jobs, tmp_path):
    first = run(jobs, tmp_path)
    assert sorted(calls(tmp_path)) == sorted(job.patient_id for job in jobs)
    second = run(jobs, tmp_path)
    assert len(calls(tmp_path)) == len(jobs)
    assert first == second


def test_a_changed_file_recipe_or_key_is_computed_again_and_nothing_else(jobs, tmp_path):
    run(jobs, tmp_path)
    jobs[0].files[0].write_text("changed")
    results = run(jobs, tmp_path)
    assert calls(tmp_path)[5:] == ["1"] and results[0].values["length"] == 7
    run([CaseJob(j.patient_id, j.files, key="label 2") for j in jobs[:1]], tmp_path)
    assert calls(tmp_path)[6:] == ["1"]
    run(jobs, tmp_path, recipe={"version": 2})
    assert len(calls(tmp_path)) == 12


def test_a_folder_of_files_counts_by_all_its_files(tmp_path):
    series = tmp_path / "series"
    series.mkdir()
    (series / "1.txt").write_text("one")
    seen = []

    def work(job):
        seen.append(job.patient_id)
        return CaseResult({})

    for text in ("two", "two", "three"):
        (series / "2.txt").write_text(text)
        run_cases([CaseJob("p", (series,))], work, store=tmp_path / "s", recipe={})
    assert len(seen) == 2


def test_half_written_files_of_a_killed_run_are_not_believed(jobs, tmp_path):
    run(jobs[:2], tmp_path)
    store = tmp_path / "store"
    (store / ".writing-abc").write_text("{")
    stored = sorted(store.glob("*.json"))
    stored[0].write_text(stored[0].read_text()[:20])
    sorted(store.glob("*.npz"))[1].unlink()
    run(jobs[:2], tmp_path)
    assert len(calls(tmp_path)) == 4 and not list(store.glob(".writing-*"))


def test_the_store_holds_plain_data_and_no_pickle(jobs, tmp_path):
    run(jobs, tmp_path)
    for path in (tmp_path / "store").glob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    for path in (tmp_path / "store").glob("*.npz"):
        np.load(path, allow_pickle=False)


def test_a_file_that_is_missing_or_a_fault_in_the_work_is_that_cases_problem(jobs, tmp_path):
    jobs[0].files[0].unlink()
    jobs[1].files[0].write_text("fault")
    results = run(jobs, tmp_path)
    assert results[0].kind == "input" and results[0].patient_id == "1"
    assert results[1].kind == "fault" and "ZeroDivisionError" in results[1].received
    assert isinstance(results[2], StoredResult)


def test_a_missing_package_is_not_remembered_as_the_cases_problem(jobs, tmp_path):
    answers = iter([DependencyError("the package is missing"), None])

    def work(job):
        error = next(answers)
        if error is not None:
            raise error
        return CaseResult({})

    arguments = {"store": tmp_path / "s", "recipe": {}}
    assert run_cases(jobs[:1], work, **arguments)[0].kind == "dependency"
    assert isinstance(run_cases(jobs[:1], work, **arguments)[0], StoredResult)


@pytest.mark.parametrize("processes", [1, 2])
def test_cancelling_keeps_what_is_finished_and_a_new_run_goes_on(jobs, tmp_path, processes):
    def stop(stage, done, total):
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(jobs, tmp_path, progress=stop, jobs_in_parallel=processes)
    finished = len(list((tmp_path / "store").glob("*.json")))
    assert finished >= 2
    results = run(jobs, tmp_path)
    assert len(results) == 5 and len(calls(tmp_path)) <= 5 + processes


def test_progress_is_told_after_every_case(jobs, tmp_path):
    told = []
    run(jobs, tmp_path, progress=lambda *event: told.append(event), stage="measuring")
    assert told == [("measuring", done, 5) for done in range(6)]


def test_two_runs_in_one_folder_share_the_work_and_each_has_every_result(tmp_path):
    jobs = [slow_job(tmp_path, number) for number in range(8)]
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(run, list(order), tmp_path) for order in (jobs, jobs[::-1])]
        first, second = (each.result() for each in runs)
    assert sorted(calls(tmp_path)) == sorted(job.patient_id for job in jobs)
    assert first == second[::-1]
    assert [result.values["length"] for result in first] == [4 + number for number in range(8)]


def test_a_run_that_waits_for_a_case_goes_on_when_the_other_run_was_killed(tmp_path):
    job = slow_job(tmp_path, 3)
    (tmp_path / "store").mkdir()
    code = HOLD_A_CASE.format(path=[str(HERE), str(HERE.parent / "TACEResponse")], folder=str(tmp_path))
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(run, [job], tmp_path)
        time.sleep(0.5)
        assert not waiting.done()
        holder.kill()
        holder.communicate()
        (result,) = waiting.result(timeout=30)
    assert result.values["length"] == 7


def test_a_store_in_use_is_neither_forgotten_nor_swept(jobs, tmp_path):
    def work(job):
        (tmp_path / "store" / ".writing-of-another-run").write_text("{")
        forget(tmp_path / "store")
        run_cases(jobs[1:2], count_and_measure, store=tmp_path / "store", recipe={})
        assert (tmp_path / "store" / ".writing-of-another-run").exists()
        return CaseResult({"kept": True})

    (result,) = run_cases(jobs[:1], work, store=tmp_path / "store", recipe={})
    assert result.values == {"kept": True}
    assert len(list((tmp_path / "store").glob("*.json"))) == 2
    forget(tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_disk_without_locks_still_gives_whole_results(jobs, tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl", reason="Windows has locks on every disk")

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert [result.patient_id for result in run(jobs, tmp_path)] == [job.patient_id for job in jobs]
    forget(tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_store_that_cannot_be_written_is_an_error_before_the_work(jobs, tmp_path):
    (tmp_path / "a file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        run(jobs, tmp_path, store=tmp_path / "a file" / "store")
    assert not calls(tmp_path)


def test_a_full_disk_is_an_error_before_the_work(jobs, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(InputError, match="the disk is nearly full"):
        run(jobs, tmp_path)
    assert not calls(tmp_path)


def test_a_killed_run_goes_on_and_redoes_at_most_the_case_in_flight(tmp_path):
    jobs = []
    for number in range(12):
        path = tmp_path / f"{number}.txt"
        path.write_text("slow" + "x" * number)
        jobs.append(CaseJob(str(number), (path,)))
    code = (
        f"import sys; sys.path[:0] = {[str(HERE), str(HERE.parent / 'TACEResponse')]!r}\n"
        "from pathlib import Path\n"
        "from test_extraction import *\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "jobs = [CaseJob(str(n), (folder / f'{n}.txt',)) for n in range(12)]\n"
        "run(jobs, folder)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while len(calls(tmp_path)) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
    process.wait()
    before = len(calls(tmp_path))
    assert 4 <= before < 12
    resumed = run(jobs, tmp_path)
    assert len(calls(tmp_path)) <= 12 + 1
    fresh = run(jobs, tmp_path, store=tmp_path / "another")
    assert [r.values for r in resumed] == [r.values for r in fresh]


def test_never_more_processes_than_the_memory_holds():
    assert affordable_jobs(4, case_memory_mb=1e9) == 1
    assert affordable_jobs(2, case_memory_mb=0.001) == 2


def test_dask_without_an_address_is_an_error(jobs, tmp_path):
    with pytest.raises(InputError, match="address of its scheduler"):
        run(jobs, tmp_path, backend="dask")


def test_dask_gives_what_one_process_gives(jobs, tmp_path):
    distributed = pytest.importorskip("distributed", reason="dask's package distributed is not installed")
    arguments = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**arguments) as cluster:
        results = run(jobs, tmp_path, backend="dask", scheduler=cluster.scheduler_address)
    assert results == run(jobs, tmp_path)
    assert len(calls(tmp_path)) == 5


def read_volume(job: CaseJob) -> Case:
    """A Case from one array file: intensities, and the tumour where they are above 0."""
    image = sitk.GetImageFromArray(np.load(job.files[0]))
    return Case(job.patient_id, image, sitk.Cast(image > 0, sitk.sitkUInt8))


@pytest.fixture
def volumes(tmp_path) -> list[CaseJob]:
    """Three cases, the middle one of a single voxel."""
    made = []
    for number in range(3):
        values = np.zeros((8, 9, 10), np.int16)
        values[2:6, 2:7, 3:8] = np.random.default_rng(number).integers(1, 200, (4, 5, 5))
        if number == 1:
            values[:] = 0
            values[3, 3, 3] = 50
        path = tmp_path / f"volume{number}.npy"
        np.save(path, values)
        made.append(CaseJob(f"00{number}", (path,)))
    return made


def test_extracted_features_are_those_of_each_case_and_a_failing_case_keeps_its_problem(volumes, tmp_path):
    results = extract_features(volumes, read_volume, ORIGINAL, store=tmp_path / "s")
    assert results[0].values == extract_row(read_volume(volumes[0]), ORIGINAL)
    assert results[1].kind == "feature" and results[1].patient_id == "001"
    assert tuple(results[2].values) == column_names(ORIGINAL)


def test_a_feature_table_keeps_ids_columns_and_every_digit(volumes, tmp_path):
    results = extract_features(volumes, read_volume, ORIGINAL, store=tmp_path / "s")
    rows = {r.patient_id: r.values for r in results if isinstance(r, StoredResult)}
    write_feature_csv(tmp_path / "out" / "f.csv", rows)
    table = read_table(tmp_path / "out" / "f.csv", required=("patient_id",))
    assert [line["patient_id"] for line in table] == ["000", "002"]
    for row, line in zip(rows.values(), table, strict=True):
        assert tuple(line)[1:] == column_names(ORIGINAL)
        for name, value in row.items():
            assert (float(line[name]) if isinstance(value, float) else line[name]) == (
                value if isinstance(value, float) else str(value)
            )


def test_problems_are_a_table_of_their_own(tmp_path):
    problem = Problem("mask", "the mask is empty", patient_id="007", remedy="draw the tumour")
    write_problem_csv(tmp_path / "p.csv", [problem])
    lines = (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("kind,message,field") and lines[1].startswith("mask,the mask is empty")
    assert "007" in lines[1]


def test_a_feature_without_a_value_is_never_written(tmp_path):
    with pytest.raises(FeatureError, match="a feature has no value"):
        write_feature_csv(tmp_path / "f.csv", {"1": {"original_shape_Flatness": float("nan")}})
    assert not (tmp_path / "f.csv").exists()


def test_rows_of_different_columns_are_refused(tmp_path):
    with pytest.raises(TableError, match="different columns"):
        write_feature_csv(tmp_path / "f.csv", {"1": {"a": 1.0}, "2": {"b": 1.0}})
