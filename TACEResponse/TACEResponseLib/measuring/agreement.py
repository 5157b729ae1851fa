"""Are two feature tables of the same patients the same? Column by column, ours beside somebody else's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from TACEResponseLib.radiomics.parameters import recorded_settings
from TACEResponseLib.settings import RadiomicsSettings

from .feature_table import DIAGNOSTICS

#: Relative deviation up to which two values are the same number: other libraries, the same formula.
SAME = 1e-6


@dataclass(frozen=True)
class ColumnAgreement:
    """One column in n patients. same: how many values agree to SAME. largest: relative deviation."""

    column: str
    patients: int
    same: int
    largest: float

    def to_row(self) -> dict:
        """A row of a table."""
        return {
            "feature": self.column,
            "patients": self.patients,
            "same": self.same,
            "largest_relative_deviation": f"{self.largest:.3g}",
        }


def agreement_of(
    ours: Mapping[str, Mapping[str, object]], theirs: Mapping[str, Mapping[str, str]]
) -> tuple[ColumnAgreement, ...]:
    """Columns that both tables have (patient -> column -> value), over the patients in both.

    A cell that is empty in either is not compared. The worst columns come first.
    """
    patients = [name for name in ours if name in theirs]
    columns = [] if not patients else [c for c in ours[patients[0]] if c in theirs[patients[0]]]
    found = [
        _column(name, [(ours[p].get(name), theirs[p].get(name)) for p in patients])
        for name in columns
        if not name.startswith(DIAGNOSTICS)
    ]
    return tuple(sorted(found, key=lambda column: (-column.largest, column.column)))


def settings_of_table(rows: Iterable[Mapping[str, str]]) -> RadiomicsSettings | None:
    """How the features of a table were measured, by its diagnostics; None where they do not say."""
    return recorded_settings(rows)


def _column(name: str, pairs: list[tuple]) -> ColumnAgreement:
    values = np.array([[float(a), float(b)] for a, b in pairs if a not in (None, "") and b not in (None, "")])
    if not len(values):
        return ColumnAgreement(name, 0, 0, 0.0)
    apart = np.abs(values[:, 0] - values[:, 1])
    relative = apart / np.maximum(np.abs(values).max(axis=1), np.finfo(float).tiny)
    return ColumnAgreement(name, len(values), int((relative <= SAME).sum()), float(relative.max()))
