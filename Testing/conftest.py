"""What every test may ask for: the library on the path, real data where it is, a phantom patient."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "TACEResponse"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the public data sets that are not part of the project; skips where it is absent."""
    folder = os.environ.get("TACE_REAL_DATA")
    if not folder:
        pytest.skip("the real data sets are not here: set TACE_REAL_DATA to their folder")
    path = Path(folder)
    path = path if path.is_absolute() else ROOT / path
    assert path.is_dir(), f"TACE_REAL_DATA names {path}, which is not a folder"
    return path


@pytest.fixture(scope="session")
def phantom_case():
    """One small synthetic patient as a Case."""
    from TACEResponseLib.cases import make_case
    from TACEResponseLib.phantom import make_patient

    patient = make_patient(0, seed=1, size="small")
    return make_case(patient.patient_id, patient.image, patient.mask)
