"""The tables of the register and how an older file becomes a newer one."""

#: Marks an SQLite file as a register ("TACE" in ASCII).
APPLICATION_ID = 0x54414345
#: What `similarity` says of predictions that a register of version 1 kept.
NOT_ASSESSED = "not assessed"
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
            recorded_at TEXT NOT NULL)""",
        """CREATE TABLE outcomes (
            id INTEGER PRIMARY KEY,
            patient_id TEXT NOT NULL,
            response TEXT NOT NULL CHECK (response IN ('CR', 'PR', 'SD', 'PD')),
            baseline_mm REAL,
            follow_up_mm REAL,
            after_prediction INTEGER NOT NULL,
            recorded_at TEXT NOT NULL,
            replaced_at TEXT)""",
        "CREATE INDEX predictions_of ON predictions (patient_id, bundle_id)",
        "CREATE UNIQUE INDEX outcome_of ON outcomes (patient_id) WHERE replaced_at IS NULL",
    ),
    (
        f"ALTER TABLE predictions ADD COLUMN similarity TEXT NOT NULL DEFAULT '{NOT_ASSESSED}'",
        "ALTER TABLE predictions ADD COLUMN response_known INTEGER NOT NULL DEFAULT 0",
    ),
)
VERSION = len(MIGRATIONS)
