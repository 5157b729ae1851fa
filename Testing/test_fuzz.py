"""Three hundred mutations of the permanent opponent; `python Testing/fuzz/run.py --cases N` runs more."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from fuzz.cases import Case, Outcome, outcome_of
from fuzz.run import ORDER, run_case
from TACEResponseLib.messages.errors import InputError

CASES = 300


def test_three_hundred_mutations_are_read_rightly_or_named():
    done = subprocess.run(
        [sys.executable, str(ROOT / "Testing/fuzz/run.py"), "--cases", str(CASES)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    last = done.stdout.splitlines()[-1]
    expected = (
        f"{CASES} cases: 0 tracebacks, 0 silent differences, 0 hangs over 60 s, 0 right files refused, "
    )
    assert last.startswith(expected), done.stdout + done.stderr[-2000:]
    assert int(last.removeprefix(expected).split()[0]) < 2048
    assert done.returncode == 0


def test_every_format_is_among_the_cases():
    formats = {"NIfTI", "NRRD", "MetaImage", "DICOM", "SEG", "RTSTRUCT", "seg.nrrd", "csv", "xlsx", "bundle"}
    assert set(ORDER) == formats


def test_a_seed_is_one_case_for_ever():
    """Also in another process: identifiers and times are not drawn anew."""
    code = (
        f"import sys; sys.path[:0] = {[str(ROOT / 'Testing'), str(ROOT / 'TACEResponse')]!r}\n"
        "import hashlib; from fuzz.dicom import material\n"
        "print(hashlib.sha256(b''.join(material()[name] for name in sorted(material()))).hexdigest())\n"
    )
    found = {subprocess.check_output([sys.executable, "-c", code]) for _ in range(2)}
    assert len(found) == 1
    for seed in (7, 8, 16, 17):  # tables, which are quick
        first, second = run_case(seed), run_case(seed)
        assert first[:2] == second[:2]
        assert first[2].partition(":")[0] == second[2].partition(":")[0]


def refuse():
    raise InputError("not a volume")


def fail():
    raise ValueError("invalid literal")


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        (Case("m", lambda: 1, lambda value: value == 1), Outcome.RIGHT),
        (Case("m", lambda: 2, lambda value: value == 1), Outcome.SILENT),
        (Case("m", refuse, lambda value: True), Outcome.NAMED),
        (Case("m", refuse, lambda value: True, must_read=True), Outcome.REFUSED),
        (Case("m", fail, lambda value: True), Outcome.TRACEBACK),
    ],
)
def test_the_opponent_tells_the_outcomes_apart(case, outcome):
    assert outcome_of(case)[0] is outcome


def test_the_opponent_sees_one_voxel_and_one_voxel_s_shift():
    from fuzz.cases import same_volume
    from fuzz.volumes import IMAGE

    changed, shifted = IMAGE * 1, IMAGE * 1
    changed[5, 5, 5] = 999
    shifted.SetOrigin([v + s for v, s in zip(IMAGE.GetOrigin(), (0.75, 0, 0), strict=True)])
    assert same_volume(IMAGE * 1, IMAGE)
    assert not same_volume(changed, IMAGE)
    assert not same_volume(shifted, IMAGE)


def test_a_reader_that_hangs_or_dies_is_counted_and_the_rest_go_on(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent / 'fuzz')!r})\n"
        "import run, os, time\n"
        "def work(first, after, results):\n"
        "    for seed in range(first, after):\n"
        "        if seed == 1: os._exit(1)\n"
        "        if seed == 3: time.sleep(60)\n"
        "        results.send((seed, 'csv', 'right', '', 1.0))\n"
        "class Threadless:\n"
        "    Pipe = staticmethod(run.multiprocessing.get_context('fork').Pipe)\n"
        "    Process = staticmethod(run.multiprocessing.get_context('fork').Process)\n"
        "run._work, run.LONGEST_S = work, 1\n"
        "run.multiprocessing.get_context = lambda kind: Threadless\n"
        "counts, wrong, _ = run.run_all(0, 5)\n"
        "print(sorted(counts[k] for k in counts), len(wrong), sorted({o for _, o in counts}))\n"
    )
    if sys.platform == "win32":
        pytest.skip("Windows cannot fork; the loop is the same there")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[1, 1, 3] 2 ['crash', 'hang', 'right']\n", done.stdout + done.stderr
