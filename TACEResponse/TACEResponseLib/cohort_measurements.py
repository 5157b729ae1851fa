"""Many patients measured: the work of `measurements` for a list of patients, one bad one at most lost."""

from collections.abc import Sequence
from pathlib import Path

from .cohort import Patient
from .errors import Problem, TACEResponseError
from .measurements import Measurements, measure
from .progress import Progress, silent
from .settings import TrainingSettings


def measure_patients(
    patients: Sequence[Patient],
    settings: TrainingSettings,
    *,
    reader: int = 1,
    engine: str = "fast",
    jobs: int = 1,
    store: Path | None = None,
    progress: Progress = silent,
) -> tuple[dict[str, Measurements], dict[str, Problem]]:
    """Patient -> measurements, and patient -> why there are none."""
    measured, failed = {}, {}
    patch = settings.patch if settings.network is not None and reader == 1 else None
    for done, patient in enumerate(patients):
        progress(f"measuring, reader {reader}", done, len(patients))
        try:
            case = patient.read_case(reader)
            measured[patient.patient_id] = measure(case, settings.radiomics, patch, engine=engine)
        except TACEResponseError as error:
            failed[patient.patient_id] = error.about(patient_id=patient.patient_id).problem
    progress(f"measuring, reader {reader}", len(patients), len(patients))
    return measured, failed
