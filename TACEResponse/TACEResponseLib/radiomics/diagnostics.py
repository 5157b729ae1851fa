"""The diagnostics columns: versions, settings and grids, with pyradiomics' names and values."""

import json
import numbers


def as_text(value) -> float | str:
    """A diagnostics value as a table can hold it: numbers as they are, everything else as text."""
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, tuple | list):
        return str(tuple(as_text(v) for v in value))
    return str(value)
