"""Tumour size as it is measured: the rivals that a model has to beat, fixed beforehand and never fitted."""

from collections.abc import Callable

import numpy as np

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.language import mark, tr
from TACEResponseLib.models.combination import title

#: Rival -> how it is read from a table, (n,) in mm or mL, None where it is not there. The strongest one on
#: the public cohort comes first: the headline is compared with the first one that is there.
RIVALS: dict[str, Callable[[PatientTable], np.ndarray | None]] = {
    mark("tumour volume"): lambda table: _column(table, "original_shape_VoxelVolume"),
    mark("largest 3D diameter"): lambda table: _column(table, "original_shape_Maximum3DDiameter"),
    mark("largest axial diameter"): lambda table: table.diameters_mm,
}


def rivals(table: PatientTable) -> dict[str, np.ndarray]:
    """Rival -> (n,) score, the larger the tumour the less response; those that the table holds."""
    found = {name: read(table) for name, read in RIVALS.items()}
    return {name: -values for name, values in found.items() if values is not None and np.ptp(values) > 0}


def named(name: str) -> str:
    """A model, a fusion or a rival in words."""
    return tr(name) if name in RIVALS else title(name)


def _column(table: PatientTable, name: str) -> np.ndarray | None:
    return table.columns([name]).features[:, 0] if name in table.feature_names else None
