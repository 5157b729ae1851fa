"""BackgroundTask and PythonProcess with real threads and processes, on the host's event loop."""

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

from TACEResponseLib.messages.errors import Cancelled, DependencyError, InputError
from TACEResponseSlicer import process_tree
from TACEResponseSlicer.background import BackgroundTask
from TACEResponseSlicer.process_tree import ChildError
from TACEResponseSlicer.python_process import PythonProcess, service_process


class Listener:
    """Keeps what a program reports that runs beside the window, as the training panel listens to it."""

    def __init__(self):
        self.events, self.lines, self.ends = [], [], []

    def start(self, code: str) -> BackgroundTask:
        """A task in which the process runs `code` in the place of the command line."""
        self.process = PythonProcess(command=[sys.executable, "-c", code])
        kept = {"event": self.events.append, "log": self.lines.append}
        self.task = BackgroundTask(
            lambda report: self.process.run(
                lambda event: report("event", event), lambda line: report("log", line), report
            ),
            lambda kind, content: kept[kind](content),
            lambda *end: self.ends.append(end),
            patient=True,
        )
        return self.task

    def ended(self, timeout_s=30):
        assert self.task.waitForCompletion(timeout_s), "the program did not end in time"
        assert len(self.ends) == 1, "the end is reported once"
        return self.ends[0]


@pytest.fixture
def listener():
    listener = Listener()
    yield listener
    listener.task.abandon()


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
        listener.task.waitForCompletion(0.1)
    found = listener.events[0]
    assert alive(listener.process.pid)
    assert alive(found["pid"])
    assert Path(found["file"]).exists()
    started = time.monotonic()
    listener.task.stop()
    _done, error = listener.ended(10)
    assert isinstance(error, Cancelled)
    assert time.monotonic() - started < 3  # one second of grace, and a busy test machine
    time.sleep(0.1)
    assert not alive(listener.process.pid)
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
        PythonProcess(command=["/no/such/python"]).run(print, print)


def test_slicers_python_is_preferred_and_its_absence_is_named(monkeypatch):
    monkeypatch.setattr(process_tree.shutil, "which", lambda name: f"/slicer/bin/{name}")
    assert process_tree.python_executable() == "/slicer/bin/PythonSlicer"
    monkeypatch.setattr(process_tree.shutil, "which", lambda name: None)
    monkeypatch.setattr(process_tree.sys, "executable", "")  # as inside the application
    with pytest.raises(DependencyError, match="Slicer's Python was not found"):
        process_tree.python_executable()


def test_an_abandoned_child_is_gone_and_reports_nothing(listener):
    listener.start("import time; print('here', flush=True); time.sleep(60)")
    while "here" not in listener.lines:
        listener.task.waitForCompletion(0.1)
    listener.task.abandon()
    assert not listener.task.running
    assert not alive(listener.process.pid)
    assert not listener.process.alive
    assert listener.ends == []


def test_a_task_beside_the_panel_reports_every_step_in_order_and_one_result():
    stages, ends = [], []

    def compute(progress):
        for done in range(300):
            progress("counting", done, 300)
        return "answer"

    task = BackgroundTask(compute, lambda *stage: stages.append(stage), lambda *end: ends.append(end))
    assert task.waitForCompletion(10)
    assert ends == [("answer", None)]
    assert stages == [("counting", done, 300) for done in range(300)]


def test_a_cancelled_task_reports_at_once_and_its_late_result_is_dropped():
    ends, go_on = [], threading.Event()

    def compute(progress):
        go_on.wait(10)
        return "too late"

    task = BackgroundTask(compute, lambda *stage: None, lambda *end: ends.append(end))
    task.cancel()
    assert not task.running
    assert isinstance(ends[0][1], Cancelled)
    go_on.set()
    task.waitForCompletion(0.3)
    assert len(ends) == 1


def test_an_error_in_the_task_arrives_as_it_was_raised():
    ends = []

    def compute(progress):
        raise InputError("no")

    task = BackgroundTask(compute, lambda *stage: None, lambda *end: ends.append(end))
    assert task.waitForCompletion(10)
    assert isinstance(ends[0][1], InputError)


def test_a_cancelled_task_goes_on_listening_until_its_thread_has_ended(qt_turns):
    stopped = threading.Event()

    def compute(progress):
        try:
            while True:
                progress("counting", 0, 0)
                time.sleep(0.01)
        finally:
            stopped.set()

    task = BackgroundTask(compute, lambda *stage: None, lambda *end: None)
    task.cancel()
    qt_turns(lambda: stopped.is_set() and task._timer is None)


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


#: A service that answers in the real one's words: it sleeps, fails, ends, or says what it was asked.
TALKER = """
import json, os, sys, tempfile, time
from pathlib import Path
from TACEResponseLib.service import read, write
from TACEResponseLib.messages.errors import InputError
import dataclasses
tempfile.NamedTemporaryFile(delete=False)
for line in sys.stdin:
    file = Path(line.rstrip("\\n"))
    question, content = read(file)
    print("about to", question)
    print(json.dumps({"event": "progress", "stage": question, "done": 1, "total": 2}), flush=True)
    if question == "nap":
        time.sleep(1)
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
def service(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    service = PythonProcess(command=[sys.executable, "-c", TALKER])
    yield service
    service.close()
    assert list(tmp_path.iterdir()) == []


def test_a_service_answers_one_question_after_the_other_in_one_process(service):
    steps = []
    first = service.ask("what", lambda *step: steps.append(step), big=b"x" * 3_000_000, ü="größer")
    assert first[:2] == ("what", {"big": b"x" * 3_000_000, "ü": "größer"})
    assert ("what", 1, 2) in steps
    assert service.ask("again")[2] == first[2]


def test_an_error_of_a_question_is_the_same_problem_here_and_the_service_stays(service):
    pid = service.ask("what")[2]
    with pytest.raises(Exception, match=r"No texture\. Draw more\.") as caught:
        service.ask("fail")
    assert caught.value.problem.kind == "input"
    assert service.ask("what")[2] == pid


@pytest.mark.parametrize(("code", "words"), [(3, "exit code 3"), (137, "memory ran out")])
def test_a_service_that_ends_is_a_sentence_with_its_log_and_the_next_question_starts_another(
    service, code, words
):
    with pytest.raises(ChildError, match=words) as caught:
        service.ask("end", code=code)
    assert "about to end" in caught.value.log
    assert service.ask("what")[0] == "what"


def test_a_cancelled_question_leaves_no_process_and_no_file(service, tmp_path):
    pid = service.ask("what")[2]
    began = time.monotonic()

    def progress(stage, done, total):
        if time.monotonic() - began > 0.3:
            raise Cancelled()

    with pytest.raises(Cancelled):
        service.ask("sleep", progress)
    assert time.monotonic() - began < 5  # a third of a second, on a busy test machine
    assert not alive(pid)
    assert list(tmp_path.iterdir()) == []


#: A service that says what it was given, and the size of the question.
HOLDER = """
import json, os, sys
from pathlib import Path
from TACEResponseLib.service import read, write
for line in sys.stdin:
    file = Path(line.rstrip("\\n"))
    size = os.path.getsize(file)
    question, content = read(file)
    write(file, (question, content.get("case"), size))
    print(json.dumps({"event": "log", "question": question, "stage": question, "done": 0, "total": size}))
    print(json.dumps({"event": "done", "file": str(file)}), flush=True)
"""


def a_case(seed=1):
    from TACEResponseLib.cases import make_case
    from TACEResponseLib.phantom import make_patient

    patient = make_patient(0, seed=seed, size="small")
    return make_case(patient.patient_id, patient.image, patient.mask)


def test_a_case_is_sent_once_and_named_by_its_fingerprint_until_another_one_or_another_process(tmp_path):
    from TACEResponseLib.cases.fingerprint import case_fingerprint

    service, steps = PythonProcess(command=[sys.executable, "-c", HOLDER]), []
    case, other = a_case(1), a_case(2)
    sent = lambda: [step[0] for step in steps if step[0] != "starting"]
    _question, name, size = service.ask("explain", lambda *step: steps.append(step), case=case)
    assert (name, sent()) == (case_fingerprint(case), ["hold", "explain"])
    assert size < 1000
    assert max(step[2] for step in steps) > 1_000_000  # the CT went with the first
    for asked, expected in ((case, ["report"]), (other, ["hold", "report"])):
        steps.clear()
        assert service.ask("report", lambda *step: steps.append(step), case=asked)[1] == case_fingerprint(
            asked
        )
        assert sent() == expected
    service.close()
    steps.clear()
    service.ask("report", lambda *step: steps.append(step), case=other)
    assert sent() == ["hold", "report"]
    service.close()


def test_whoever_waits_for_an_answer_to_somebody_else_hears_why_and_can_stop_waiting(service):
    pid = service.ask("what")[2]
    asked = threading.Thread(target=lambda: service.ask("nap"))
    asked.start()
    while service._turn.acquire(blocking=False):
        service._turn.release()

    began = time.monotonic()
    service.start()  # that is somebody else's business now
    assert time.monotonic() - began < 0.5

    heard = []

    def progress(stage, done, total):
        heard.append(stage)
        if stage == "nap":  # what the process does for whoever asked first
            raise Cancelled()

    with pytest.raises(Cancelled):
        service.ask("what", progress)
    assert set(heard[:-1]) <= {"getting ready"}
    asked.join(10)
    assert service.ask("what")[2] == pid  # it was not ended: it had not been asked yet


def test_the_real_service_gives_named_errors_and_ends_with_its_panel(tmp_path):
    service = service_process()
    with pytest.raises(Exception, match="not a model bundle"):
        service.ask("warm_up", bundle=str(tmp_path))
    pid = service.pid
    assert alive(pid)
    service.close()
    assert not alive(pid)
    assert not service.alive


def test_a_service_whose_application_is_gone_ends_by_itself():
    service = service_process()
    service.start()
    service._process.stdin.close()
    service._process.wait(60)
    assert service._process.returncode == 0
    service.close()


def test_without_a_python_beside_the_application_the_question_is_a_named_error():
    with pytest.raises(DependencyError, match="could not be started"):
        PythonProcess(command=["/no/such/python"]).ask("what")


def test_what_a_computation_made_is_let_go_when_it_has_been_reported():
    """A connected timer holds the task for the session; it must not hold a CT with it."""

    class Voxels:
        pass

    made = []

    def compute(progress):
        voxels = Voxels()
        made.append(weakref.ref(voxels))
        return voxels

    tasks = [BackgroundTask(compute, lambda *stage: None, lambda *end: None) for _ in range(3)]
    assert all(task.waitForCompletion(10) for task in tasks)
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
    task = listener.start(LAUNCHER)
    end = time.monotonic() + 20
    while "working" not in listener.lines and time.monotonic() < end:
        task.waitForCompletion(0.1)
    task.stop()
    longest = 0.0
    while task.running and time.monotonic() < end:
        started = time.monotonic()
        task._tick()
        longest = max(longest, time.monotonic() - started)
    assert isinstance(listener.ended()[1], Cancelled)
    assert "tidied up" in listener.process.log
    assert longest < 0.3  # the main thread does not wait for it


def test_a_process_that_slicers_launcher_saw_killed_is_said_to_have_lacked_memory():
    log = "error: [/opt/Slicer/bin/python-real] exit abnormally - Report the problem."
    assert "memory ran out" in str(ChildError.of_end(1, log))
    assert "exit code 1" in str(ChildError.of_end(1, "something else"))
