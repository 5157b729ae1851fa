"""ChildProcess and Work with real processes and threads, on the host's event loop."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from slicer_host import application

application.start()

from TACEResponseLib.errors import Cancelled, DependencyError, InputError
from TACEResponseSlicer import background
from TACEResponseSlicer.background import ChildProcess
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
    monkeypatch.setattr(background.shutil, "which", lambda name: f"/slicer/bin/{name}")
    assert background.python_executable() == "/slicer/bin/PythonSlicer"
    monkeypatch.setattr(background.shutil, "which", lambda name: None)
    monkeypatch.setattr(background.sys, "executable", "")  # as inside the application
    with pytest.raises(DependencyError, match="Slicer's Python was not found"):
        background.python_executable()


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
