"""ChildProcess and Work with real processes and threads, on the host's event loop."""

import gc
import os
import sys
import tempfile
import threading
import time
import weakref
from pathlib import Path

import pytest

from slicer_host import application

application.start()

from TACEResponseLib.errors import Cancelled, DependencyError, InputError
from TACEResponseSlicer import processes
from TACEResponseSlicer.background import ChildProcess
from TACEResponseSlicer.companion import Companion
from TACEResponseSlicer.processes import ChildError
from TACEResponseSlicer.work import Work


class Listener:
    """Keeps what a child reports."""

    def __init__(self):
        self.events, self.lines, self.ends = [], [], []

    def start(self, code: str):
        """A child that runs `code` in the place of the command line."""
        command = [sys.executable, "-c", code]
        self.child = ChildProcess(
            [], self.events.append, self.lines.append, lambda *end: self.ends.append(end), command
        )
        return self.child

    def ended(self, timeout_s=30):
        assert self.child.waitForCompletion(timeout_s), "the child did not end in time"
        assert len(self.ends) == 1, "the end is reported once"
        return self.ends[0]


@pytest.fixture
def listener():
    listener = Listener()
    yield listener
    listener.child.abandon()


def alive(pid: int) -> bool:
    """Whether a process exists that is not just waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_events_and_log_arrive_in_order_and_the_last_event_is_the_result(listener):
    listener.start(
        "import json, sys\n"
        "print(json.dumps({'event': 'progress', 'stage': 'messen', 'done': 1, 'total': 2}))\n"
        "print('Größe: 47 mm')\n"
        "print('{not json')\n"
        "print(json.dumps({'patient_id': '患者', 'verdict': 'ok', 'problems': []}, ensure_ascii=False))\n"
        "print('a warning', file=sys.stderr)\n"
        "print(json.dumps({'event': 'done', 'bundle': 'x'}))\n"
    )
    done, error = listener.ended()
    assert error is None
    assert done == {"event": "done", "bundle": "x"}
    assert [event.get("stage", event.get("patient_id")) for event in listener.events] == ["messen", "患者"]
    assert set(listener.lines) == {"Größe: 47 mm", "{not json", "a warning"}


def test_some_failed_patients_are_a_result_and_no_error(listener):
    listener.start('print(\'{"event": "done", "failed": 1}\'); raise SystemExit(1)')
    assert listener.ended() == ({"event": "done", "failed": 1}, None)


def test_a_named_error_of_the_child_is_the_same_sentence_here(listener):
    sentence = str(InputError("there is no such cohort", received="x", remedy="check the path"))
    listener.start(
        f"import json; print(json.dumps({{'event': 'error', 'kind': 'input', 'message': {sentence!r}}}))\n"
        "raise SystemExit(2)"
    )
    done, error = listener.ended()
    assert done is None
    assert str(error) == sentence
    assert error.problem.kind == "input"


def test_a_crash_is_a_sentence_with_the_log_at_hand(listener):
    listener.start("import sys; print('about to fail', file=sys.stderr); 1 / 0")
    _done, error = listener.ended()
    assert "ended unexpectedly (exit code 1)" in str(error)
    assert "ZeroDivisionError" in error.log
    assert "about to fail" in error.log


@pytest.mark.skipif(os.name == "nt", reason="there are no signals on Windows")
def test_a_killed_child_says_that_memory_ran_out(listener):
    listener.start("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert "memory ran out" in str(listener.ended()[1])


def test_a_memory_error_says_so_too(listener):
    listener.start("raise MemoryError")
    assert "memory ran out" in str(listener.ended()[1])


@pytest.mark.skipif(os.name == "nt" or not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("stubborn", [False, True])
def test_cancel_ends_the_whole_tree_within_two_seconds_and_leaves_no_file(listener, stubborn):
    ignore = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" if stubborn else ""
    listener.start(
        f"{ignore}import json, os, subprocess, sys, tempfile, time\n"
        "file = tempfile.NamedTemporaryFile(delete=False)\n"
        f"nap = {ignore!r} + 'import time; time.sleep(60)'\n"
        "grandchild = subprocess.Popen([sys.executable, '-c', nap])\n"
        "print(json.dumps({'pid': grandchild.pid, 'file': file.name}), flush=True)\n"
        "time.sleep(60)\n"
    )
    end = time.monotonic() + 20
    while not listener.events and time.monotonic() < end:
        listener.child.waitForCompletion(0.1)
    found = listener.events[0]
    assert alive(listener.child.pid)
    assert alive(found["pid"])
    assert Path(found["file"]).exists()
    started = time.monotonic()
    listener.child.cancel()
    _done, error = listener.ended(10)
    assert isinstance(error, Cancelled)
    assert time.monotonic() - started < 3  # one second of grace, and a busy test machine
    time.sleep(0.1)
    assert not alive(listener.child.pid)
    assert not alive(found["pid"])
    assert not Path(found["file"]).exists()
    assert not Path(found["file"]).parent.exists()


def test_the_child_finds_the_library_and_speaks_utf_8_whatever_the_locale(listener, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    listener.start("import TACEResponseLib, sys; print('größer', TACEResponseLib.__version__)")
    listener.ended()
    assert listener.lines[0].startswith("größer ")


def test_a_python_that_is_not_there_is_a_named_error():
    with pytest.raises(DependencyError, match="could not be started"):
        ChildProcess([], print, print, print, ["/no/such/python"])


def test_slicers_python_is_preferred_and_its_absence_is_named(monkeypatch):
    monkeypatch.setattr(processes.shutil, "which", lambda name: f"/slicer/bin/{name}")
    assert processes.python_executable() == "/slicer/bin/PythonSlicer"
    monkeypatch.setattr(processes.shutil, "which", lambda name: None)
    monkeypatch.setattr(processes.sys, "executable", "")  # as inside the application
    with pytest.raises(DependencyError, match="Slicer's Python was not found"):
        processes.python_executable()


def test_an_abandoned_child_is_gone_and_reports_nothing(listener):
    listener.start("import time; time.sleep(60)")
    listener.child.abandon()
    assert not listener.child.running
    assert not alive(listener.child.pid)
    assert listener.ends == []


def test_work_beside_the_panel_reports_progress_and_one_result():
    stages, ends = [], []

    def compute(progress):
        for done in range(3):
            progress("counting", done, 3)
            time.sleep(0.05)
        return "answer"

    work = Work(compute, lambda *stage: stages.append(stage), lambda *end: ends.append(end))
    assert work.waitForCompletion(10)
    assert ends == [("answer", None)]
    assert stages[-1] == ("counting", 2, 3)


def test_cancelled_work_reports_at_once_and_its_late_result_is_dropped():
    ends, go_on = [], threading.Event()

    def compute(progress):
        go_on.wait(10)
        return "too late"

    work = Work(compute, lambda *stage: None, lambda *end: ends.append(end))
    work.cancel()
    assert not work.running
    assert isinstance(ends[0][1], Cancelled)
    go_on.set()
    work.waitForCompletion(0.3)
    assert len(ends) == 1


def test_an_error_in_the_work_arrives_as_it_was_raised():
    ends = []

    def compute(progress):
        raise InputError("no")

    work = Work(compute, lambda *stage: None, lambda *end: ends.append(end))
    assert work.waitForCompletion(10)
    assert isinstance(ends[0][1], InputError)


def test_cancelled_work_goes_on_listening_until_its_thread_has_ended(qt_turns):
    stopped = threading.Event()

    def compute(progress):
        try:
            while True:
                progress("counting", 0, 0)
                time.sleep(0.01)
        finally:
            stopped.set()

    work = Work(compute, lambda *stage: None, lambda *end: None)
    work.cancel()
    qt_turns(lambda: stopped.is_set() and work._timer is None)


@pytest.fixture
def qt_turns():
    """Turn the event loop until a condition holds."""
    import slicer

    def turn(condition, timeout_s=10):
        end = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < end:
            slicer.app.processEvents()
        assert condition()

    return turn


#: A companion that answers in the real one's words: it sleeps, fails, ends, or says what it was asked.
TALKER = """
import json, os, sys, tempfile, time
from pathlib import Path
from TACEResponseSlicer.questions import read, write
from TACEResponseLib.errors import InputError
import dataclasses
tempfile.NamedTemporaryFile(delete=False)
for line in sys.stdin:
    file = Path(line.rstrip("\\n"))
    question, content = read(file)
    print("about to", question)
    print(json.dumps({"event": "progress", "stage": question, "done": 1, "total": 2}), flush=True)
    if question == "sleep":
        time.sleep(60)
    if question == "end":
        os._exit(content["code"])
    if question == "fail":
        problem = dataclasses.asdict(InputError("no texture", remedy="draw more").problem)
        print(json.dumps({"event": "error", "problem": problem}), flush=True)
        continue
    write(file, (question, content, os.getpid()))
    print(json.dumps({"event": "done", "file": str(file)}), flush=True)
"""


@pytest.fixture
def companion(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    companion = Companion([sys.executable, "-c", TALKER])
    yield companion
    companion.close()
    assert list(tmp_path.iterdir()) == []


def test_a_companion_answers_one_question_after_the_other_in_one_process(companion):
    steps = []
    first = companion.ask("what", lambda *step: steps.append(step), big=b"x" * 3_000_000, ü="größer")
    assert first[:2] == ("what", {"big": b"x" * 3_000_000, "ü": "größer"})
    assert ("what", 1, 2) in steps
    assert companion.ask("again")[2] == first[2]


def test_an_error_of_a_question_is_the_same_problem_here_and_the_companion_stays(companion):
    pid = companion.ask("what")[2]
    with pytest.raises(Exception, match=r"No texture\. Draw more\.") as caught:
        companion.ask("fail")
    assert caught.value.problem.kind == "input"
    assert companion.ask("what")[2] == pid


@pytest.mark.parametrize(("code", "words"), [(3, "exit code 3"), (137, "memory ran out")])
def test_a_companion_that_ends_is_a_sentence_with_its_log_and_the_next_question_starts_another(
    companion, code, words
):
    with pytest.raises(ChildError, match=words) as caught:
        companion.ask("end", code=code)
    assert "about to end" in caught.value.log
    assert companion.ask("what")[0] == "what"


def test_a_cancelled_question_leaves_no_process_and_no_file(companion, tmp_path):
    pid = companion.ask("what")[2]
    began = time.monotonic()

    def progress(stage, done, total):
        if time.monotonic() - began > 0.3:
            raise Cancelled()

    with pytest.raises(Cancelled):
        companion.ask("sleep", progress)
    assert time.monotonic() - began < 5  # a third of a second, on a busy test machine
    assert not alive(pid)
    assert list(tmp_path.iterdir()) == []


def test_the_real_companion_gives_named_errors_and_ends_with_its_panel(tmp_path):
    companion = Companion()
    with pytest.raises(Exception, match="not a model bundle"):
        companion.ask("predict", case=None, bundle=str(tmp_path))
    pid = companion._process.pid
    assert alive(pid)
    companion.close()
    assert not alive(pid)
    assert not companion.alive


def test_a_companion_whose_application_is_gone_ends_by_itself():
    companion = Companion()
    companion.start()
    companion._process.stdin.close()
    companion._process.wait(60)
    assert companion._process.returncode == 0
    companion.close()


def test_without_a_python_beside_the_application_the_question_is_a_named_error():
    with pytest.raises(DependencyError, match="could not be started"):
        Companion(["/no/such/python"]).ask("what")


def test_what_a_computation_made_is_let_go_when_it_has_been_reported():
    """A connected timer holds the Work for the session; it must not hold a CT with it."""

    class Voxels:
        pass

    made = []

    def compute(progress):
        voxels = Voxels()
        made.append(weakref.ref(voxels))
        return voxels

    works = [Work(compute, lambda *stage: None, lambda *end: None) for _ in range(3)]
    assert all(work.waitForCompletion(10) for work in works)
    gc.collect()
    assert [voxels() for voxels in made] == [None] * 3


CHILD = """
import time
print("working", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.6)
    print("tidied up", flush=True)
"""
LAUNCHER = f"""
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
started = subprocess.Popen([sys.executable, "-c", "import signal; "
    "signal.signal(signal.SIGINT, signal.default_int_handler)" + {CHILD!r}])
signal.signal(signal.SIGINT, signal.SIG_DFL)
started.wait()
"""


@pytest.mark.skipif(os.name == "nt", reason="there a cancelled child is ended at once")
def test_a_cancelled_child_has_its_second_when_its_launcher_ends_first(listener):
    child = listener.start(LAUNCHER)
    end = time.monotonic() + 20
    while "working" not in listener.lines and time.monotonic() < end:
        child.waitForCompletion(0.1)
    child.cancel()
    longest = 0.0
    while child.running and time.monotonic() < end:
        started = time.monotonic()
        child._tick()
        longest = max(longest, time.monotonic() - started)
    assert isinstance(listener.ended()[1], Cancelled)
    assert "tidied up" in listener.lines
    assert longest < 0.3  # the main thread does not wait for it


def test_a_process_that_slicers_launcher_saw_killed_is_said_to_have_lacked_memory():
    log = "error: [/opt/Slicer/bin/python-real] exit abnormally - Report the problem."
    assert "memory ran out" in str(ChildError.of_end(1, log))
    assert "exit code 1" in str(ChildError.of_end(1, "something else"))
