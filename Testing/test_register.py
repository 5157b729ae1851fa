"""The register: what it keeps, what counts, and what no crash, crowd or strange file may do to it."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from answers import an_answer
from conftest import ROOT
from TACEResponseLib.answer.similarity import Similarity
from TACEResponseLib.follow_up import register as room
from TACEResponseLib.follow_up.register import Register
from TACEResponseLib.follow_up.register_schema import APPLICATION_ID, MIGRATIONS, VERSION
from TACEResponseLib.messages.errors import RegisterError


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "Register ä.sqlite"


def kept(file: Path, *patient_ids: str, **changes) -> None:
    """Predict patients into the register."""
    with Register(file, create=True) as register:
        register._connection.execute("PRAGMA synchronous = OFF")  # nobody pulls the plug on these
        for patient_id in patient_ids:
            register.keep(an_answer(patient_id=patient_id, **changes), "2025-03-31")


def respond(file: Path, patient_id: str, response: str, **options):
    with Register(file) as register:
        return register.record_outcome(patient_id, response, **options)


def recorded(file: Path):
    with Register(file) as register:
        return register.recorded()


def rows(file: Path, query: str) -> list[tuple]:
    """What another program reads."""
    connection = sqlite3.connect(file)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def python(code: str, *arguments, **options) -> subprocess.Popen:
    """A process of its own that has the library and the answers of the tests."""
    path = os.pathsep.join(str(ROOT / name) for name in ("TACEResponse", "Testing"))
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, **options)


# --- what it keeps ------------------------------------------------------------------------------------


def test_a_prediction_and_its_response_come_back_as_they_were_given(file):
    kept(file, "0012", fused=0.72, threshold=0.55, similarity=Similarity("at the edge", 0.9, (), ()))
    (before,) = recorded(file)
    assert (before.patient_id, before.probability, before.threshold) == ("0012", 0.72, 0.55)
    assert (before.model, before.day, before.similarity) == ("cnn+random_forest", "2025-03-31", "at the edge")
    assert before.demonstration is True
    assert (before.response, before.label, before.known_before) == (None, None, False)
    (after,) = respond(file, "0012", "PR", baseline_mm=40.0, follow_up_mm=20.0)
    assert (after.response, after.label, after.called) == ("PR", 1, True)
    assert (after.baseline_mm, after.follow_up_mm) == (40.0, 20.0)
    assert recorded(file) == (after,)


def test_nothing_is_kept_but_the_columns_that_are_promised(file):
    kept(file, "0012")
    ((schema,),) = rows(file, "SELECT group_concat(sql, ' ') FROM sqlite_master")
    assert "BLOB" not in schema.upper()
    names = [name for _, name, *_ in rows(file, "PRAGMA table_info(predictions)")]
    assert names == [
        "id", "patient_id", "bundle_id", "demonstration", "model", "probability", "threshold",
        "probabilities", "versions", "day", "recorded_at", "similarity", "response_known",
    ]  # fmt: skip
    assert file.stat().st_size < 100_000  # no picture hides in it


def test_a_repeated_prediction_counts_once_and_the_first_one_counts(file):
    kept(file, "P1", fused=0.2)
    kept(file, "P1", fused=0.9)
    kept(file, "P1", fused=0.4, bundle_id="another-model")
    first, other = recorded(file)
    assert (first.probability, first.repeats) == (0.2, 1)
    assert (other.bundle_id, other.probability, other.repeats) == ("another-model", 0.4, 0)


def test_a_replaced_response_no_longer_counts_and_stays_in_the_file(file):
    kept(file, "P1")
    respond(file, "P1", "PD")
    with pytest.raises(RegisterError) as refused:
        respond(file, "P1", "CR")
    assert str(refused.value) == (
        "Patient P1: the response of this patient is recorded already. Received PD, recorded before. "
        "Say --replace if that was wrong; give another treatment an ID of its own."
    )
    assert recorded(file)[0].response == "PD"
    respond(file, "P1", "CR", replace=True)
    assert recorded(file)[0].response == "CR"
    outcomes = rows(file, "SELECT response, replaced_at IS NULL FROM outcomes ORDER BY id")
    assert outcomes == [("PD", 0), ("CR", 1)]


def test_a_model_that_is_asked_after_the_response_was_recorded_is_marked_whatever_the_clocks_say(
    file, monkeypatch
):
    kept(file, "P1", bundle_id="old")
    respond(file, "P1", "PD")
    monkeypatch.setattr(room, "_now", lambda: "1999-01-01T00:00:00")  # another computer's clock
    kept(file, "P1", bundle_id="new")
    respond(file, "P1", "SD", replace=True)  # known all the same
    assert {r.bundle_id: r.known_before for r in recorded(file)} == {"old": False, "new": True}


def test_a_response_that_was_known_to_whoever_predicted_is_marked(file):
    with Register(file, create=True) as register:
        register.keep(an_answer(patient_id="P1"), response_known=True)
        register.keep(an_answer(patient_id="P2"))
    assert [r.known_before for r in recorded(file)] == [True, False]


def test_an_id_is_text_without_blanks_around_it_and_never_empty(file):
    kept(file, " 007 ")
    assert recorded(file)[0].patient_id == "007"
    with pytest.raises(RegisterError, match="The register needs an ID of the patient"):
        kept(file, "  ")
    assert len(recorded(file)) == 1


def test_a_patient_who_was_not_predicted_is_refused_and_the_id_that_was_meant_is_named(file):
    kept(file, "007", "Zoë")
    for wrong, meant in (("7", "007 perhaps"), ("ZOË", "Zoë perhaps"), ("P9", "2 are in it")):
        with pytest.raises(RegisterError, match=f"holds no prediction of this patient.*{meant}"):
            respond(file, wrong, "PR")
    assert rows(file, "SELECT count(*) FROM outcomes") == [(0,)]


@pytest.mark.parametrize("day", ["31.3.2025", "2025-02-30", "", "today"])
def test_a_date_that_is_none_is_refused(file, day):
    with Register(file, create=True) as register, pytest.raises(RegisterError, match="The date is none"):
        register.keep(an_answer(), day)


# --- two at once, and crashes -------------------------------------------------------------------------

MANY = """
import sys
from answers import an_answer
from TACEResponseLib.follow_up.register import Register
file, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for n in range(count):
    with Register(file, create=True) as register:
        register.keep(an_answer(patient_id=f"{name}{n}"))
        register.record_outcome(f"{name}{n}", "PR")
"""


def test_two_processes_that_write_at_once_lose_nothing(file):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    writers = [python(MANY, file, name, 20, **pipes) for name in "AB"]
    for writer in writers:  # both make the file, neither has begun
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    found = recorded(file)
    assert {r.patient_id for r in found} == {f"{name}{n}" for name in "AB" for n in range(20)}
    assert {(r.response, r.repeats, r.known_before) for r in found} == {("PR", 0, False)}


def test_a_register_that_another_program_makes_meanwhile_is_taken_for_one(file, monkeypatch):
    ask = Register._ask

    def slow_ask(self, *question):
        answer = ask(self, *question)
        monkeypatch.setattr(Register, "_ask", ask)  # after the first question only
        kept(file, "P1")
        return answer

    monkeypatch.setattr(Register, "_ask", slow_ask)
    kept(file, "P2")
    assert [r.patient_id for r in recorded(file)] == ["P1", "P2"]


def test_a_writer_waits_for_its_turn(file):
    kept(file, "P1")
    holder = python(HOLD, file, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "holding\n"
    kept(file, "P2")  # returns when the other one has ended
    holder.communicate(timeout=60)
    assert [r.patient_id for r in recorded(file)] == ["P1", "other", "P2"]


HOLD = """
import sys, time
from answers import an_answer
from TACEResponseLib.follow_up.register import Register
with Register(sys.argv[1]) as register:
    keep = register._connection.execute
    keep("BEGIN IMMEDIATE")
    keep("INSERT INTO predictions SELECT NULL, 'other', bundle_id, demonstration, model, probability, "
         "threshold, probabilities, versions, day, recorded_at, similarity, response_known FROM predictions")
    print("holding", flush=True)
    time.sleep(1)
    keep("COMMIT")
"""


def test_a_register_that_stays_in_use_is_a_sentence(file, monkeypatch):
    kept(file, "P1")
    monkeypatch.setattr(room, "PATIENCE_S", 0.1)
    other = sqlite3.connect(file, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        assert [r.patient_id for r in recorded(file)] == ["P1"]  # reading goes on
        with pytest.raises(RegisterError, match="is in use by another program.*Try again later"):
            kept(file, "P2")
    finally:
        other.close()
    kept(file, "P2")
    assert [r.patient_id for r in recorded(file)] == ["P1", "P2"]


#: Writes within one transaction until SQLite must change the file itself, and dies there.
DIE = """
import os, signal, sys
from pathlib import Path
from answers import an_answer
from TACEResponseLib.follow_up.register import Register
file, how = Path(sys.argv[1]), sys.argv[2]
register = Register(file)
register._connection.execute("PRAGMA cache_size = 2")
before = file.read_bytes()
with register._transaction():
    register._connection.execute("UPDATE predictions SET probability = 0.99, versions = ?", ("x" * 9000,))
    register._connection.execute("DELETE FROM outcomes")
    assert file.read_bytes() != before, "nothing was written yet"
    assert file.with_name(file.name + "-journal").stat().st_size > 512, "no hot journal"
    print("dying", flush=True)
    os.kill(os.getpid(), signal.SIGKILL) if how == "SIGKILL" else os._exit(3)
"""


@pytest.mark.parametrize("how", ["SIGKILL", "_exit"])
def test_a_process_that_dies_within_a_transaction_leaves_the_register_as_it_was(file, how):
    if how == "SIGKILL" and not hasattr(signal, "SIGKILL"):
        pytest.skip("this system has no SIGKILL")
    kept(file, *(f"P{n}" for n in range(30)))
    respond(file, "P3", "CR")
    before = recorded(file)
    died = python(DIE, file, how, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, errors = died.communicate(timeout=60)
    assert output == "dying\n", errors
    assert died.returncode != 0
    journal = file.with_name(f"{file.name}-journal")
    assert journal.stat().st_size > 512  # hot: the next one who opens the file plays it back
    raw = file.read_bytes()
    assert b"x" * 4000 in raw  # half of the transaction stands in the file itself
    assert recorded(file) == before
    assert b"x" * 4000 not in file.read_bytes()
    kept(file, "after")
    assert recorded(file)[:-1] == before


def test_an_error_in_the_middle_takes_the_whole_transaction_back(file):
    kept(file, "P1")
    with Register(file) as register:
        with pytest.raises(ZeroDivisionError), register._transaction():
            register._connection.execute("DELETE FROM predictions")
            raise ZeroDivisionError
        assert len(register.recorded()) == 1
        register.keep(an_answer(patient_id="P2"))
    assert len(recorded(file)) == 2


# --- schema -------------------------------------------------------------------------------------------


def version_1(file: Path) -> None:
    """A register as version 1 wrote it: two models on P1, a response between them, and P2."""
    connection = sqlite3.connect(file)
    for statement in MIGRATIONS[0]:
        connection.execute(statement)
    insert = "INSERT INTO predictions VALUES (?, ?, ?, 0, 'all', ?, 0.5, '{}', '{}', '2024-01-02', 'then')"
    connection.executemany(insert, [(1, "P1", "old", 0.7), (2, "P2", "old", 0.3), (3, "P1", "new", 0.6)])
    connection.execute("INSERT INTO outcomes VALUES (1, 'P1', 'PD', 30.5, 40.25, 2, 'then', NULL)")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()


def test_a_register_of_version_1_is_upgraded_with_every_row(file):
    version_1(file)
    one, two, later = recorded(file)
    assert rows(file, "PRAGMA user_version") == [(VERSION,)]
    assert (one.patient_id, one.bundle_id, one.probability, one.day) == ("P1", "old", 0.7, "2024-01-02")
    assert (one.response, one.baseline_mm, one.follow_up_mm) == ("PD", 30.5, 40.25)
    assert (two.patient_id, two.response) == ("P2", None)
    assert [r.known_before for r in (one, two, later)] == [False, False, True]
    assert {r.similarity for r in (one, two, later)} == {"not assessed"}
    kept(file, "P3")
    assert recorded(file)[-1].similarity == "inside"


def test_an_upgraded_register_has_the_tables_of_a_new_one(file, tmp_path):
    version_1(file)
    recorded(file)
    Register(tmp_path / "new.sqlite", create=True).__exit__()
    for table in ("predictions", "outcomes"):
        columns = [rows(f, f"PRAGMA table_info({table})") for f in (file, tmp_path / "new.sqlite")]
        assert columns[0] == columns[1]


def test_an_upgrade_that_is_interrupted_leaves_version_1_whole(file, monkeypatch):
    version_1(file)
    before = rows(file, "SELECT * FROM predictions")
    broken = (*MIGRATIONS[1], "INSERT INTO no_such_table VALUES (1)")
    monkeypatch.setattr(room, "MIGRATIONS", (MIGRATIONS[0], broken))
    with pytest.raises(RegisterError):
        recorded(file)
    assert rows(file, "PRAGMA user_version") == [(1,)]
    assert rows(file, "SELECT * FROM predictions") == before


def test_two_processes_upgrade_one_file_once(file):
    version_1(file)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    writers = [python(MANY, file, name, 1, **pipes) for name in "AB"]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors
    assert len(recorded(file)) == 5


# --- files that are no register -----------------------------------------------------------------------


def sentence_of(file: Path) -> str:
    """The error of opening `file`, which must leave it as it was."""
    before = file.read_bytes() if file.is_file() else None
    with pytest.raises(RegisterError) as refused:
        Register(file, create=True)
    assert before is None or file.read_bytes() == before
    return str(refused.value)


def test_a_path_that_is_not_there_is_not_made_by_reading(file):
    with pytest.raises(RegisterError) as refused:
        Register(file)
    assert str(refused.value) == (
        f"There is no such register. Received {file}. Check the path; predict --register makes one."
    )
    assert not file.exists()


def test_a_database_of_another_program_is_left_alone(file):
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE contacts (name TEXT)")
    connection.commit()
    connection.close()
    assert sentence_of(file) == (
        "Register ä.sqlite: the file is a database of another program. Expected a register of tace-response. "
        "Choose another file."
    )


@pytest.mark.parametrize("content", [b"patient_id,label\n1,0\n", b"\x89PNG" + bytes(range(256)) * 40])
def test_a_file_that_is_no_database_is_left_alone(file, content):
    file.write_bytes(content)
    assert sentence_of(file) == (
        "Register ä.sqlite: the register is damaged, or is no register. Expected a whole SQLite file of "
        "tace-response; received file is not a database. Restore a copy of it."
    )


def test_a_register_that_was_cut_or_overwritten_is_damaged(file):
    kept(file, *(f"P{n}" for n in range(60)))
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:4096] + bytes(64) + whole[4160:]):
        file.write_bytes(damaged)
        assert "the register is damaged, or is no register" in sentence_of(file)
    file.write_bytes(whole)
    assert len(recorded(file)) == 60


def test_a_register_whose_table_is_gone_is_damaged(file):
    kept(file, "P1")
    connection = sqlite3.connect(file)
    connection.execute("DROP TABLE outcomes")
    connection.commit()
    connection.close()
    with pytest.raises(RegisterError, match="is damaged.*no such table: outcomes"):
        recorded(file)


def test_a_register_of_a_newer_version_is_left_alone(file):
    kept(file, "P1")
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    assert sentence_of(file) == (
        "Register ä.sqlite: the register was written by a newer version of this software. Expected schema "
        f"{VERSION} or older; received schema {VERSION + 1}. Update the software."
    )


def test_a_read_only_register_is_read_and_a_write_to_it_is_a_sentence(file, monkeypatch):
    kept(file, "P1")
    connect = sqlite3.connect  # root may write any file, so SQLite is told to
    read_only = lambda path, **options: connect(f"{path.as_uri()}?mode=ro", uri=True, **options)
    monkeypatch.setattr(room.sqlite3, "connect", read_only)
    assert [r.patient_id for r in recorded(file)] == ["P1"]
    with pytest.raises(RegisterError) as refused:
        kept(file, "P2")
    assert str(refused.value) == (
        "Register ä.sqlite: the register cannot be read or written. Received attempt to write a readonly "
        "database. Check that it is a file, its permissions and its folder's, and the room on the disk."
    )


def test_a_full_disk_is_a_sentence_and_leaves_the_register_as_it_was(file):
    kept(file, "P1")
    before = recorded(file)
    with Register(file) as register:
        pages = register._ask("PRAGMA page_count")
        register._connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own full disk
        with pytest.raises(RegisterError, match="cannot be read or written.*full.*the room on the disk"):
            register.keep(an_answer(patient_id="P2", versions={"long": "x" * 50_000}))
    assert recorded(file) == before
    kept(file, "P2")


def test_a_folder_is_no_register(tmp_path):
    assert "the register cannot be read or written" in sentence_of(tmp_path)


def test_an_empty_file_becomes_a_register_and_its_folder_is_made(tmp_path):
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    kept(empty, "P1")
    kept(tmp_path / "new" / "folder" / "r.sqlite", "P1")
    assert len(recorded(empty)) == len(recorded(tmp_path / "new" / "folder" / "r.sqlite")) == 1
