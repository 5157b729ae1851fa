"""The register: a department's own predictions and what became of the patients, in one SQLite file.

Kept only when asked for. It holds no image and no identifier but the ID that the user gives, which may
be a pseudonym. The first prediction of a patient by a model is the one that counts; nothing is erased.

Every write is one immediate transaction with SQLite's rollback journal: two programs may write at
once, and a crash in the middle leaves the register as it was. Not the write-ahead log, because that
fails on the network folders where departments keep such files.
"""

import datetime
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from TACEResponseLib.messages.errors import RegisterError
from TACEResponseLib.messages.language import listed, tr
from TACEResponseLib.statistics.outcome import RESPONSES
from TACEResponseLib.storage import make_folder

from .register_schema import APPLICATION_ID, FIRST_PREDICTIONS, MIGRATIONS, VERSION

if TYPE_CHECKING:
    from TACEResponseLib.answer.prediction import Prediction

#: Seconds to wait for another program that is writing.
PATIENCE_S = 30.0
#: What SQLite says when the file is whole and cannot be had all the same.
IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
REFUSED = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)


@dataclass(frozen=True)
class Recorded:
    """The first prediction of a patient by a model, with the response where it is known.

    model: the headline that answered. day: of the scan or the prediction, ISO. similarity: verdict on
    similarity to the training patients. repeats: later predictions of the same patient by the same bundle,
    which do not count. known_before: the response was known, or recorded, before the prediction was.
    response: CR, PR, SD or PD, None while unknown. baseline_mm, follow_up_mm: sums of viable diameters
    where they were measured.
    """

    patient_id: str
    bundle_id: str
    demonstration: bool
    model: str
    probability: float
    threshold: float
    day: str
    similarity: str
    repeats: int = 0
    known_before: bool = False
    response: str | None = None
    baseline_mm: float | None = None
    follow_up_mm: float | None = None

    @property
    def label(self) -> int | None:
        """1 for CR and PR, 0 for SD and PD, None while unknown."""
        return None if self.response is None else RESPONSES[self.response]

    @property
    def called(self) -> bool:
        """Whether a response was predicted."""
        return self.probability > self.threshold


class Register:
    """An open register; use it in a `with` statement. Raises RegisterError for every fault of the file."""

    def __init__(self, path: str | Path, *, create: bool = False):
        self.path = Path(path)
        if not self.path.exists():
            if not create:
                raise RegisterError(
                    tr("there is no such register"),
                    field="register",
                    received=str(path),
                    remedy=tr("check the path; predict --register makes one"),
                )
            make_folder(self.path.parent)
        with self._named():
            # Autocommit: transactions are begun by hand, as immediate ones.
            self._connection = sqlite3.connect(self.path, timeout=PATIENCE_S, isolation_level=None)
        try:
            with self._named():
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> "Register":
        return self

    def __exit__(self, *_) -> None:
        self._connection.close()

    def keep(self, prediction: "Prediction", day: str | None = None, *, response_known: bool = False) -> None:
        """Record a prediction; day: ISO, today when None. response_known: to whoever asked for it."""
        cells = {
            "patient_id": checked_id(prediction.patient_id),
            "bundle_id": prediction.bundle_id,
            "demonstration": int(prediction.demonstration),
            "model": prediction.headline,
            "probability": prediction.fused,
            "threshold": prediction.threshold,
            "probabilities": json.dumps(dict(prediction.probabilities)),
            "versions": json.dumps(dict(prediction.versions)),
            "day": checked_day(day),
            "recorded_at": _now(),
            "similarity": prediction.similarity.verdict,
            "response_known": int(response_known),
        }
        places = ", ".join(f":{name}" for name in cells)
        with self._transaction():
            statement = f"INSERT INTO predictions ({', '.join(cells)}) VALUES ({places})"  # not a text
            self._connection.execute(statement, cells)

    def record_outcome(
        self,
        patient_id: str,
        response: str,
        *,
        baseline_mm: float | None = None,
        follow_up_mm: float | None = None,
        replace: bool = False,
    ) -> tuple[Recorded, ...]:
        """Record how a patient responded; the patient's predictions with it.

        replace: correct a response recorded before, which stays in the file and no longer counts.
        """
        if response not in RESPONSES:
            raise RegisterError(
                tr("the response is no category"),
                field="response",
                expected=listed(RESPONSES),
                received=str(response),
            )
        patient_id, now = checked_id(patient_id), _now()
        with self._transaction():
            self._check_open(patient_id, replace)
            self._connection.execute(
                "UPDATE outcomes SET replaced_at = ? "  # not a text
                "WHERE patient_id = ? AND replaced_at IS NULL",
                (now, patient_id),
            )
            # The place in the order of recording, since the clocks of two computers may differ.
            self._connection.execute(
                "INSERT INTO outcomes "  # not a text
                "(patient_id, response, baseline_mm, follow_up_mm, recorded_at, after_prediction) "
                "VALUES (?, ?, ?, ?, ?, (SELECT max(id) FROM predictions))",
                (patient_id, response, baseline_mm, follow_up_mm, now),
            )
        return tuple(r for r in self.recorded() if r.patient_id == patient_id)

    def require_open(self, patient_id: str, *, replace: bool = False) -> None:
        """Raise the RegisterError that `record_outcome` would, before a response is measured."""
        with self._named():
            self._check_open(checked_id(patient_id), replace)

    def recorded(self) -> tuple[Recorded, ...]:
        """The first prediction of every patient and bundle, in the order of recording."""
        with self._named():
            rows = self._connection.execute(FIRST_PREDICTIONS).fetchall()
        return tuple(Recorded(*row[:2], bool(row[2]), *row[3:9], bool(row[9]), *row[10:]) for row in rows)

    # --- the file ---------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Check that the file is a whole register and bring its schema up to date."""
        # In this order: another program may make the register between the two questions.
        tables = self._ask("SELECT count(*) FROM sqlite_master")  # not a text
        mark = self._ask("PRAGMA application_id")  # not a text
        if mark != APPLICATION_ID and (mark or tables):
            raise RegisterError(
                tr("the file is a database of another program"),
                field="register",
                file=self.path.name,
                expected=tr("a register of tace-response"),
                remedy=tr("choose another file"),
            )
        found = self._ask("PRAGMA quick_check")  # not a text
        if found != "ok":
            raise _damaged(self.path, found)
        self._connection.execute("PRAGMA synchronous = FULL")  # not a text
        if self._version() != VERSION:
            self._migrate()

    def _version(self) -> int:
        """The schema's version; RegisterError when it is one that this software does not know."""
        version = self._ask("PRAGMA user_version")  # not a text
        if version > VERSION:
            raise RegisterError(
                tr("the register was written by a newer version of this software"),
                field="register",
                file=self.path.name,
                expected=tr("schema {version} or older", version=VERSION),
                received=tr("schema {version}", version=version),
                remedy=tr("update the software"),
            )
        return version

    def _migrate(self) -> None:
        with self._transaction():
            # Asked again inside the transaction: another program may have been faster.
            for statement in (s for step in MIGRATIONS[self._version() :] for s in step):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")  # not a text
            self._connection.execute(f"PRAGMA user_version = {VERSION}")  # not a text

    def _ask(self, query: str, *values: str):
        """The first cell of the answer, None where there is no row."""
        row = self._connection.execute(query, values).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, and nobody else in between."""
        with self._named():
            self._connection.execute("BEGIN IMMEDIATE")  # not a text
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _named(self) -> Iterator[None]:
        """SQLite's faults as sentences; a broken constraint is a fault of ours and passes."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise _named_error(self.path, error) from None

    def _check_open(self, patient_id: str, replace: bool) -> None:
        """That the patient was predicted, and that no response is recorded unless it is to be replaced."""
        known = "SELECT 1 FROM predictions WHERE patient_id = ?"  # not a text
        if self._ask(known, patient_id) is None:
            raise self._unknown(patient_id)
        before = self._ask(
            "SELECT response FROM outcomes "  # not a text
            "WHERE patient_id = ? AND replaced_at IS NULL",
            patient_id,
        )
        if before is not None and not replace:
            raise RegisterError(
                tr("the response of this patient is recorded already"),
                field="response",
                patient_id=patient_id,
                received=tr("{before}, recorded before", before=before),
                remedy=tr("say --replace if that was wrong; give another treatment an ID of its own"),
            )

    def _unknown(self, patient_id: str) -> RegisterError:
        plain = lambda text: text.casefold().lstrip("0")
        query = "SELECT DISTINCT patient_id FROM predictions"  # not a text
        ids = [row[0] for row in self._connection.execute(query)]
        near = [known for known in ids if plain(known) == plain(patient_id)]
        return RegisterError(
            tr("the register holds no prediction of this patient"),
            field="patient",
            patient_id=patient_id,
            expected=tr("{name} perhaps", name=near[0])
            if near
            else tr("an ID as it was recorded; {n} are in it", n=len(ids)),
            remedy=tr("predict with --register first, or correct the ID"),
        )


def checked_id(patient_id: str) -> str:
    """The ID without blanks around it; RegisterError when nothing is left."""
    patient_id = patient_id.strip()
    if not patient_id:
        raise RegisterError(
            tr("the register needs an ID of the patient"),
            field="patient",
            expected=tr("an ID or a pseudonym of your choice"),
            received=tr("none"),
        )
    return patient_id


def checked_day(day: str | None) -> str:
    """The day as ISO text, today when None; RegisterError for anything else."""
    if day is None:
        return datetime.date.today().isoformat()
    try:
        return datetime.date.fromisoformat(day.strip()).isoformat()
    except ValueError:
        raise RegisterError(
            tr("the date is none"),
            field="date",
            expected=tr("year-month-day, for example 2025-03-31"),
            received=day,
        ) from None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


def _named_error(path: Path, error: sqlite3.DatabaseError) -> RegisterError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extended part
    if code in IN_USE:
        return RegisterError(
            tr("the register is in use by another program"),
            field="register",
            file=path.name,
            received=tr("no turn in {seconds:.0f} s", seconds=PATIENCE_S),
            remedy=tr("try again later"),
        )
    if code in REFUSED:
        return RegisterError(
            tr("the register cannot be read or written"),
            field="register",
            file=path.name,
            received=str(error),
            remedy=tr("check that it is a file, its permissions and its folder's, and the room on the disk"),
        )
    return _damaged(path, str(error))


def _damaged(path: Path, reason: str) -> RegisterError:
    return RegisterError(
        tr("the register is damaged, or is no register"),
        field="register",
        file=path.name,
        expected=tr("a whole SQLite file of tace-response"),
        received=reason.splitlines()[0][:200],
        remedy=tr("restore a copy of it"),
    )
