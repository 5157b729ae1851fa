"""The answer for a hospital's archive: the tumour as DICOM SEG and a Structured Report that points at it.

Both belong to the study of the CT that the case was read from: patient and study come from its
slices, so they carry the patient's identity as the CT does. A PACS shows them beside the CT, both
marked as research.
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom

from TACEResponseLib.cases import Case
from TACEResponseLib.storage import whole_file

from .instances import Identifiers
from .source import find_source

if TYPE_CHECKING:
    from TACEResponseLib.answer.prediction import Prediction

REPORT, SEGMENTATION = "report-sr.dcm", "tumour-seg.dcm"


def write_dicom(
    prediction: "Prediction",
    case: Case,
    series: Path | Sequence[Path],
    out: Path,
    *,
    identifiers: Identifiers | None = None,
) -> tuple[Path, Path]:
    """Write the report and the tumour into the folder `out`; the paths of SR and SEG.

    series: the folder of the CT series that the case was read from, or its files. identifiers: new
    unique ones when None.

    Raises InputError when the series is no DICOM or lacks what the results must point at,
    GeometryError when the case does not lie on its slices. Nothing is written then.
    """
    # Here, not above: highdicom is wanted by nobody who keeps to the page and the JSON.
    from .measurement_report import measurement_report
    from .segmentation import tumour_segmentation

    identifiers = identifiers or Identifiers.new()
    source, tumour = find_source(case, series)
    with _quiet():
        segmentation = tumour_segmentation(prediction, source, tumour, identifiers)
        report = measurement_report(prediction, source, tumour, segmentation, identifiers)
        return _write(report, Path(out) / REPORT), _write(segmentation, Path(out) / SEGMENTATION)


def _write(instance: pydicom.Dataset, path: os.PathLike) -> Path:
    with whole_file(path) as stream:
        instance.save_as(stream, enforce_file_format=True)
    return path


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries silent about values of the source that are odd and are passed on as they are."""
    log = logging.getLogger("highdicom")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
