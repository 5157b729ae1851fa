"""The tables of the register and how an older file becomes a newer one."""

from TACEResponseLib.messages.language import mark

#: Marks an SQLite file as a register ("TACE" in ASCII).
APPLICATION_ID = 0x54414345
#: What `similarity` says of predictions that a register of version 1 kept.
NOT_ASSESSED = mark("not assessed")
#: Statements that lead from one version of the schema to the next. A new register takes the same road.
#: A step that was released is never changed.
MIGRATIONS = (
    (
        """CREATE TABLE predictions (
            id INTEGER PRIMARY KEY,
            patient_id TEXT NOT NULL,
            bundle_id TEXT NOT NULL,
            demonstration INTEGER NOT NULL,
            model TEXT NOT NULL,
            probability REAL NOT NULL CHECK (probability BETWEEN 0 AND 1),
            threshold REAL NOT NULL,
            probabilities TEXT NOT NULL,
            versions TEXT NOT NULL,
            day TEXT NOT NULL,
            recorded_at TEXT NOT NULL)""",  # not a text
        """CREATE TABLE outcomes (
            id INTEGER PRIMARY KEY,
            patient_id TEXT NOT NULL,
            response TEXT NOT NULL CHECK (response IN ('CR', 'PR', 'SD', 'PD')),
            baseline_mm REAL,
            follow_up_mm REAL,
            after_prediction INTEGER NOT NULL,
            recorded_at TEXT NOT NULL,
            replaced_at TEXT)""",  # not a text
        "CREATE INDEX predictions_of ON predictions (patient_id, bundle_id)",  # not a text
        "CREATE UNIQUE INDEX outcome_of ON outcomes (patient_id) WHERE replaced_at IS NULL",  # not a text
    ),
    (
        "ALTER TABLE predictions "  # not a text
        f"ADD COLUMN similarity TEXT NOT NULL DEFAULT '{NOT_ASSESSED}'",
        "ALTER TABLE predictions ADD COLUMN response_known INTEGER NOT NULL DEFAULT 0",  # not a text
    ),
)
VERSION = len(MIGRATIONS)

#: Of every patient and bundle the first prediction, how many came later, and what became of the patient.
FIRST_PREDICTIONS = """
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
ORDER BY p.id"""  # not a text
