"""The files that other programs read, described as JSON schemas (draft 2020-12).

A schema says which keys are there and what they hold. It allows further keys, since later versions add
some, except where rows are also written as a table.
"""

import json
from importlib.resources import files

#: Name of a schema -> what it describes.
SCHEMAS = {
    "prediction": "prediction.json, the answer for one patient",
    "evaluation": "evaluation.json, the figures of a training or an evaluation",
    "audit": "audit.json, the audit of a register",
    "register": "the last line of follow-up --json, a response beside its predictions",
}


def read_schema(name: str) -> dict:
    """The schema named by a key of `SCHEMAS`."""
    return json.loads(files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8"))
