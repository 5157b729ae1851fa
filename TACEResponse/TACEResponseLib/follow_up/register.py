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
from TACEResponseLib.statistics.outcome import RESPONSES
from TACEResponseLib.storage import make_folder

from .register_schema import APPLICATION_ID, MIGRATIONS, VERSION

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
                    "there is no such register",
                    field="register",
                    received=str(path),
                    remedy="check the path; predict --register makes one",
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
            self._connection.execute(f"INSERT INTO predictions ({', '.join(cells)}) VALUES ({places})", cells)

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
                "the response is no category",
                field="response",
                expected=", ".join(RESPONSES),
                received=str(response),
            )
        patient_id, now = checked_id(patient_id), _now()
        with self._transaction():
            self._check_open(patient_id, replace)
            self._connection.execute(
                "UPDATE outcomes SET replaced_at = ? WHERE patient_id = ? AND replaced_at IS NULL",
                (now, patient_id),
            )
            # The place in the order of recording, since the clocks of two computers may differ.
            self._connection.execute(
                "INSERT INTO outcomes (patient_id, response, baseline_mm, follow_up_mm, recorded_at, "
                "after_prediction) VALUES (?, ?, ?, ?, ?, (SELECT max(id) FROM predictions))",
                (patient_id, response, baseline_mm, follow_up_mm, now),
            )
        return tuple(r for r in self.recorded() if r.patient_id == patient_id)

    def require_open(self, patient_id: str, *, replace: bool = False) -> None:
        """Raise the RegisterError that `record_outcome` would, before a response is measured."""
        with self._named():
            self._check_open(checked_id(patient_id), replace)

    def recorded(self) -> tuple[Recorded, ...]:
        """The first prediction of every patient and bundle, in the order of recording."""
        query = """
            SELECT p.patient_id, p.bundle_id, p.demonstration, p.model, p.probability, p.threshold, p.day,
                p.similarity,
                f.predictions - 1,
                p.response_known OR EXISTS (SELECT 1 FROM outcomes b
                    WHERE b.patient_id = p.patient_id AND b.after_prediction < p.id),
                o.response, o.baseline_mm, o.follow_up_mm
            FROM (SELECT min(id) AS id, count(*) AS predictions
                FROM predictions GROUP BY patient_id, bundle_id) f
            JOIN predictions p ON p.id = f.id
            LEFT JOIN outcomes o ON o.patient_id = p.patient_id AND o.replaced_at IS NULL
            ORDER BY p.id"""
        with self._named():
            rows = self._connection.execute(query).fetchall()
        return tuple(Recorded(*row[:2], bool(row[2]), *row[3:9], bool(row[9]), *row[10:]) for row in rows)

    # --- the file ---------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Check that the file is a whole register and bring its schema up to date."""
        # In this order: another program may make the register between the two questions.
        tables, mark = self._ask("SELECT count(*) FROM sqlite_master"), self._ask("PRAGMA application_id")
        if mark != APPLICATION_ID and (mark or tables):
            raise RegisterError(
                "the file is a database of another program",
                field="register",
                file=self.path.name,
                expected="a register of tace-response",
                remedy="choose another file",
            )
        found = self._ask("PRAGMA quick_check")
        if found != "ok":
            raise _damaged(self.path, found)
        self._connection.execute("PRAGMA synchronous = FULL")
        if self._version() != VERSION:
            self._migrate()

    def _version(self) -> int:
        """The schema's version; RegisterError when it is one that this software does not know."""
        version = self._ask("PRAGMA user_version")
        if version > VERSION:
            raise RegisterError(
                "the register was written by a newer version of this software",
                field="register",
                file=self.path.name,
                expected=f"schema {VERSION} or older",
                received=f"schema {version}",
                remedy="update the software",
            )
        return version

    def _migrate(self) -> None:
        with self._transaction():
            # Asked again inside the transaction: another program may have been faster.
            for statement in (s for step in MIGRATIONS[self._version() :] for s in step):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._connection.execute(f"PRAGMA user_version = {VERSION}")

    def _ask(self, query: str, *values: str):
        """The first cell of the answer, None where there is no row."""
        row = self._connection.execute(query, values).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, and nobody else in between."""
        with self._named():
            self._connection.execute("BEGIN IMMEDIATE")
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
        if self._ask("SELECT 1 FROM predictions WHERE patient_id = ?", patient_id) is None:
            raise self._unknown(patient_id)
        before = self._ask(
            "SELECT response FROM outcomes WHERE patient_id = ? AND replaced_at IS NULL", patient_id
        )
        if before is not None and not replace:
            raise RegisterError(
                "the response of this patient is recorded already",
                field="response",
                patient_id=patient_id,
                received=f"{before}, recorded before",
                remedy="say --replace if that was wrong; give another treatment an ID of its own",
            )

    def _unknown(self, patient_id: str) -> RegisterError:
        plain = lambda text: text.casefold().lstrip("0")
        ids = [row[0] for row in self._connection.execute("SELECT DISTINCT patient_id FROM predictions")]
        near = [known for known in ids if plain(known) == plain(patient_id)]
        return RegisterError(
            "the register holds no prediction of this patient",
            field="patient",
            patient_id=patient_id,
            expected=f"{near[0]} perhaps" if near else f"an ID as it was recorded; {len(ids)} are in it",
            remedy="predict with --register first, or correct the ID",
        )


def checked_id(patient_id: str) -> str:
    """The ID without blanks around it; RegisterError when nothing is left."""
    patient_id = patient_id.strip()
    if not patient_id:
        raise RegisterError(
            "the register needs an ID of the patient",
            field="patient",
            expected="an ID or a pseudonym of your choice",
            received="none",
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
            "the date is none",
            field="date",
            expected="year-month-day, for example 2025-03-31",
            received=day,
        ) from None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


def _named_error(path: Path, error: sqlite3.DatabaseError) -> RegisterError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extended part
    if code in IN_USE:
        return RegisterError(
            "the register is in use by another program",
            field="register",
            file=path.name,
            received=f"no turn in {PATIENCE_S:.0f} s",
            remedy="try again later",
        )
    if code in REFUSED:
        return RegisterError(
            "the register cannot be read or written",
            field="register",
            file=path.name,
            received=str(error),
            remedy="check that it is a file, its permissions and its folder's, and the room on the disk",
        )
    return _damaged(path, str(error))


def _damaged(path: Path, reason: str) -> RegisterError:
    return RegisterError(
        "the register is damaged, or is no register",
        field="register",
        file=path.name,
        expected="a whole SQLite file of tace-response",
        received=reason.splitlines()[0][:200],
        remedy="restore a copy of it",
    )
