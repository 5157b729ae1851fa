"""The files that other programs read, described as JSON schemas (draft 2020-12).

A schema says which keys are there and what they hold. It allows further keys, since later versions add
some, except where rows are also written as a table.
"""

import json
from importlib.resources import files

#: Name of a schema -> what it describes, for programmers.
SCHEMAS = {
    "prediction": "prediction.json, the answer for one patient",  # not a text
    "evaluation": "evaluation.json, the figures of a training or an evaluation",  # not a text
    "audit": "audit.json, the audit of a register",  # not a text
    "register": "the last line of follow-up --json, a response beside its predictions",  # not a text
}


def read_schema(name: str) -> dict:
    """The schema named by a key of `SCHEMAS`."""
    return json.loads(files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8"))
