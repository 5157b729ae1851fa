"""Processes that are stopped, killed or run beside each other: nothing is lost and nothing is left behind."""

import os
import random
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from itertools import chain
from pathlib import Path

import psutil
import pytest
from conftest import ROOT
from TACEResponseLib import commands
from TACEResponseLib.__main__ import main
from TACEResponseLib.commands.cohorts import parse_part
from TACEResponseLib.measuring.cohort import share_of
from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.phantom import write_cohort

POSIX = os.name != "nt"
#: Says when our code begins: before that Python itself starts, and nothing of ours can answer.
PROGRAM = "from TACEResponseLib.__main__ import program; print('begun', flush=True); program()"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Five small synthetic patients, and parameters with which one takes half a second."""
    folder = write_cohort(tmp_path_factory.mktemp("cohort") / "c", 5, 3, "small")
    (folder / "quick.yaml").write_text("imageType:\n  Original: {}\nsetting:\n  binWidth: 25\n")
    return folder


def arguments(cohort: Path, out: Path, *more) -> list[str]:
    given = ["extract", "--cohort", cohort, "--out", out, "--parameters", cohort / "quick.yaml", *more]
    return [str(part) for part in given]


def start(given: list[str], temporary: Path) -> subprocess.Popen:
    """The program in a group of its own, after it has begun; its temporary files lie in `temporary`."""
    temporary.mkdir(exist_ok=True)
    paths = {"TMPDIR": str(temporary), "JOBLIB_TEMP_FOLDER": str(temporary)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "TACEResponse"), **paths}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *given],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout.readline() == b"begun\n"
    return process


def of_session(session: int) -> list[psutil.Process]:
    """Processes that the program started, also those whose parent is gone."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def gone_within(seconds: float, session: int) -> list[psutil.Process]:
    """What is left of the session after at most so many seconds."""
    end = time.monotonic() + seconds
    while of_session(session) and time.monotonic() < end:
        time.sleep(0.05)
    return of_session(session)


def left_over(*folders: Path) -> list[str]:
    """Unfinished files, and whatever lies in a folder for temporary ones."""
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return [file.name for file in files if file.name.startswith(".writing-") or folder_is_temporary(file)]


def folder_is_temporary(file: Path) -> bool:
    return "temporary" in file.parts


def tables(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in out.parent.glob(f"{out.stem}*.csv")}


@pytest.fixture(scope="module")
def expected(cohort, tmp_path_factory) -> dict[str, bytes]:
    """The tables of a run that nobody disturbs."""
    out = tmp_path_factory.mktemp("whole") / "f.csv"
    assert main(arguments(cohort, out, "--jobs", "1")) == 0
    assert list(tables(out)) == ["f.csv"]
    return tables(out)


@pytest.mark.skipif(not POSIX, reason="signals of Windows end a process at once")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("whole_group", [False, True], ids=["the program", "its whole group"])
def test_a_request_to_end_is_exit_130_without_a_traceback_or_anything_left(
    cohort, tmp_path, number, whole_group
):
    """At seeded moments of one and of two processes, as Ctrl-C, `kill` and a batch system send it."""
    seeded = random.Random(f"{number} {whole_group}")
    for jobs, latest_s in (("1", 3.0), ("2", 3.5), ("2", 3.5)):
        place = tmp_path / f"{jobs}-{seeded.random()}"
        place.mkdir()
        process = start(arguments(cohort, place / "f.csv", "--jobs", jobs), place / "temporary")
        time.sleep(seeded.uniform(0.05, latest_s))
        if process.poll() is None:
            (os.killpg if whole_group else os.kill)(process.pid, number)
        _, said = process.communicate(timeout=30)
        assert process.returncode in (0, 130), said.decode()
        assert b"Traceback" not in said and b"Exception" not in said, said.decode()
        if process.returncode == 130:
            assert not (place / "f.csv").exists()
        assert gone_within(5, process.pid) == []
        assert left_over(place) == []


def a_case_is_under_way(process, place: Path) -> bool:
    return bool(list((place / "f-work").glob("[0-9a-f]*.lock")))


def a_worker_has_started(process, place: Path) -> bool:
    """Before it has been given anything to do, as far as one can tell from outside."""
    return any("loky" in " ".join(p.cmdline()) for p in psutil.Process(process.pid).children())


MASKS = """
import signal, sys
sys.path.insert(0, {path!r})
from TACEResponseLib.resumable.workers import in_any_order

tasks = [(signal.SIG_BLOCK, []) for _ in range(4)]
options = dict(jobs_in_parallel=2, threads=1, backend="loky", scheduler=None)
for mask in in_any_order(signal.pthread_sigmask, tasks, **options):
    print({{signal.SIGINT, signal.SIGTERM}} <= mask)
print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""


@pytest.mark.skipif(not POSIX, reason="Windows has no masks of signals")
def test_workers_hear_neither_ctrl_c_nor_a_request_to_end_and_their_parent_hears_both():
    code = MASKS.format(path=str(ROOT / "TACEResponse"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["True"] * 4 + ["set()"], done.stdout + done.stderr


@pytest.mark.skipif(not POSIX, reason="Windows has no process sessions")
@pytest.mark.parametrize("moment", [a_worker_has_started, a_case_is_under_way], ids=lambda m: m.__name__)
def test_a_parent_that_is_killed_leaves_no_worker_behind(cohort, tmp_path, moment):
    process = start(arguments(cohort, tmp_path / "f.csv", "--jobs", "2"), tmp_path / "temporary")
    end = time.monotonic() + 60
    while not moment(process, tmp_path) and time.monotonic() < end:
        time.sleep(0.01)
    assert [p for p in of_session(process.pid) if p.pid != process.pid]
    process.kill()
    process.wait()
    assert gone_within(5, process.pid) == []
    process.communicate()


def test_twelve_kills_at_seeded_moments_and_the_tables_are_the_same(cohort, tmp_path, expected):
    """A run that was quicker than its kill must have the tables too, and the next begins anew."""
    seeded, out, killed = random.Random(12), tmp_path / "f.csv", 0
    while killed < 12:
        process = start(arguments(cohort, out, "--jobs", "1", "--json"), tmp_path / "temporary")
        process.stdout.readline()  # the work begins
        time.sleep(seeded.uniform(0, 0.4))
        process.kill()
        process.communicate()
        if process.returncode == 0:
            assert tables(out) == expected
            out.unlink()
        else:
            killed += 1
    assert main(arguments(cohort, out, "--jobs", "2")) == 0
    assert tables(out) == expected
    assert not (tmp_path / "f-work").exists()


def test_parts_beside_each_other_lose_nothing_and_a_run_without_a_part_writes_the_table(
    cohort, tmp_path, expected
):
    out = tmp_path / "f.csv"
    parts = [start(arguments(cohort, out, "--jobs", "1", "--part", f"{n}/3"), tmp_path / "t") for n in (1, 2)]
    for part in parts:
        said, _ = part.communicate(timeout=120)
        assert part.returncode == 0
        assert b"2 patients measured, 0 failed" in said
    assert not out.exists()
    assert len(list((tmp_path / "f-work").glob("*.json"))) == 4
    assert main(arguments(cohort, out, "--jobs", "1")) == 0  # the third part was never run
    assert tables(out) == expected
    assert not (tmp_path / "f-work").exists()


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("parts", [1, 2, 3, 7, 40])
def test_parts_counted_from_0_or_from_1_hold_every_patient_once(first, parts):
    patients = [f"P{n}" for n in range(23)]
    shares = [share_of(patients, number, parts) for number in range(first, first + parts)]
    assert sorted(chain(*shares)) == sorted(patients)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["3", "41/40", "1/0", "0/0", "-1/4", "a/b", "1/2/3", "/", "1.5/3", ""])
def test_a_part_that_is_none_is_one_sentence(text):
    with pytest.raises(InputError, match="(?i)a part of the cohort is not named"):
        parse_part(text)


def test_a_part_is_read_as_a_batch_system_writes_it():
    assert parse_part("3/40") == (3, 40)
    assert parse_part(" 0/40 ") == (0, 40)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["check", "extract", "not there"])
@pytest.mark.parametrize("json", [["--json"], []], ids=["json", "text"])
def test_an_output_on_a_full_disk_is_exit_2_and_a_sentence(cohort, tmp_path, command, json):
    given = arguments(cohort, tmp_path / "f.csv", "--jobs", "1", *json)
    if command == "check":
        given = ["check", "--cohort", str(cohort), "--jobs", "1", *json]
    elif command == "not there":
        given[2] = str(tmp_path / "nowhere")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "TACEResponse")}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "TACEResponseLib", *given],
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    if json or command != "not there":
        assert "No space left on device." in done.stderr


def failing(options, progress):
    """A fault that has a patient in its message and in its cause."""
    try:
        raise KeyError("Müller, Anna 1950")
    except KeyError:
        raise RuntimeError("patient 0012 in /data/Müller") from None


def test_the_report_of_a_fault_is_for_its_user_alone_and_names_no_patient(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(commands, "check", failing)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = os.umask(0)
    try:
        assert main(["check", "--cohort", str(tmp_path / "0012")]) == 2
    finally:
        os.umask(before)
    printed = capsys.readouterr().err
    path = Path(re.search(r"A fault of TACEResponse \(RuntimeError\)\. Please report (.*)\.$", printed)[1])
    assert path.is_relative_to(tmp_path)
    if POSIX:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    text = path.read_text(encoding="utf-8")
    assert "builtins.RuntimeError" in text and "builtins.KeyError" in text and "in failing" in text
    assert "Müller" not in text.replace('raise KeyError("Müller, Anna 1950")', "").replace("/data/Müller", "")
    assert str(Path.home()) not in text


def test_a_fault_without_room_for_its_report_is_a_sentence_all_the_same(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(commands, "check", failing)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "not there"))
    assert main(["check", "--cohort", "x"]) == 2
    assert "There is no room for a report of it." in capsys.readouterr().err


@pytest.fixture
def interrupts():
    """Ctrl-C as in a terminal: a shell ignores it in what it starts in the background, tests as well."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_a_finalizer_swallows_comes_again(capsys, interrupts):
    from TACEResponseLib.resumable.interruption import interruptible

    class Swallows:
        def __del__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), interruptible():
        thing = Swallows()
        del thing
        time.sleep(10)
    assert "Traceback" not in capsys.readouterr().err


def test_handlers_of_others_are_left_and_ours_are_taken_away():
    from TACEResponseLib.resumable.interruption import interruptible

    mine = lambda *_: None
    before = signal.signal(signal.SIGTERM, mine)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGTERM) is mine
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with interruptible():
            assert callable(signal.getsignal(signal.SIGTERM))
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        inside = []
        thread = threading.Thread(target=lambda: inside.append(interruptible().__enter__()))
        thread.start()
        thread.join()
        assert inside == [None]
    finally:
        signal.signal(signal.SIGTERM, before)
