"""The service: what any front end may ask about a patient, and the process that answers it.

The panel, the console and the command line ask the same functions. `PredictionService` keeps the model
and the last case with its measurements, so that an explanation, other outlines and a report after an
answer neither send the CT again nor measure it again.

`python -m TACEResponseLib.service` is the process that a panel keeps beside its window. It reads one
question a line from standard input - a file that holds the question - and writes JSON lines: progress
events, then `{event: done, file}` or `{event: error, problem}`. A question names a case by its
fingerprint (`cases.fingerprint`) and `hold` hands the case over first.
"""

import dataclasses
import importlib
import os
import pickle
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from TACEResponseLib.messages.errors import DependencyError, InputError, TACEResponseError
from TACEResponseLib.messages.language import mark, tr
from TACEResponseLib.messages.progress import JsonProgress, Progress, silent

if TYPE_CHECKING:
    import SimpleITK as sitk

    from TACEResponseLib.answer.contour_sensitivity import ContourSensitivity
    from TACEResponseLib.answer.explanation import Explanation
    from TACEResponseLib.answer.prediction import Prediction
    from TACEResponseLib.answer.response_model import ResponseModel
    from TACEResponseLib.cases import Case
    from TACEResponseLib.clinical.items import ClinicalValues
    from TACEResponseLib.measuring.case import Measurements

#: A process that is asked nothing for so long ends, and gives its memory back.
IDLE_S = 300
#: Voxels along a side of the made-up case with which the kernels are compiled, 1 mm each.
WARM_UP_SIDE = 48
#: The stage while kernels are compiled.
PREPARING = mark("preparing the engine, once after installation (about 10 s)")


class PredictionService:
    """Answers about one case after the other.

    case: a Case, or the fingerprint of the one that `hold` was given last. bundle: folder of a model,
    None for the demonstration; a model that was opened is kept until another one is asked for.
    progress: called between steps; when it raises, the question ends.
    """

    def __init__(self):
        self._opened = None
        self._case, self._fingerprint = None, ""
        self._measured: dict[str | None, Measurements] = {}

    def hold(self, case: "Case", fingerprint: str = "", progress: Progress = silent) -> None:
        """Keep a case in the place of the last one; questions may name it by its fingerprint."""
        self._case, self._fingerprint, self._measured = case, fingerprint, {}

    def open(self, bundle: Path | str | None = None, progress: Progress = silent) -> None:
        """Read a model before anything is asked of it; raises BundleError."""
        self._model(bundle, progress)

    def predict(
        self,
        case: "Case | str",
        bundle: Path | str | None = None,
        clinical: "ClinicalValues | None" = None,
        lesions: int | None = None,
        diameter_mm: float | None = None,
        center: str = "",
        engine: str | None = None,
        progress: Progress = silent,
    ) -> "Prediction":
        """The answer for one case.

        clinical: None when nothing is known. lesions, diameter_mm: number of lesions and largest diameter
        for the clinical scores, None for what the mask says. center: the patient's hospital, for a model
        that harmonises between some. engine: of the radiomics, the model's own when None. Raises
        BundleError, FeatureError, InputError, and what `progress` does.
        """
        model, case = self._model(bundle, progress), self._held(case)
        self._prepare(bundle, progress)
        return model.predict(
            case,
            clinical=clinical,
            lesions=lesions,
            diameter_mm=diameter_mm,
            center=center,
            measured=self._measurements(model, engine, progress),
            engine=engine,
            progress=progress,
        )

    def explain(
        self, case: "Case | str", bundle: Path | str | None = None, progress: Progress = silent
    ) -> "Explanation":
        """Why the model answers what it does, its map cropped (`where_not_zero`); raises as `predict`."""
        from TACEResponseLib.answer.explanation import explain

        model, case = self._model(bundle, progress), self._held(case)
        measured = self._measurements(model, None, progress)
        explanation = explain(model, case, measured=measured, progress=progress)
        if explanation.network_map is None:
            return explanation
        return dataclasses.replace(explanation, network_map=where_not_zero(explanation.network_map))

    def sensitivity(
        self, case: "Case | str", bundle: Path | str | None = None, progress: Progress = silent
    ) -> "ContourSensitivity":
        """The answers with other outlines of the tumour; raises as `predict`."""
        from TACEResponseLib.answer.contour_sensitivity import contour_sensitivity

        model, case = self._model(bundle, progress), self._held(case)
        measured = self._measurements(model, None, progress)
        return contour_sensitivity(model, case, measured=measured, progress=progress)

    def report(
        self,
        prediction: "Prediction",
        case: "Case | str",
        folder: Path | str,
        bundle: Path | str | None = None,
        sensitivity: "ContourSensitivity | None" = None,
        named: bool = False,
        progress: Progress = silent,
    ) -> Path:
        """Write the page and `prediction.json` into `folder`; the path of the page.

        bundle: of the model, whose card is on the page. named: the patient stands on the page.
        """
        progress(tr("writing the report"), 0, 0)
        from TACEResponseLib.bundle import read_card
        from TACEResponseLib.report.patient_page import write_patient_report

        return write_patient_report(
            prediction,
            self._held(case),
            Path(folder),
            show_identifier=named,
            sensitivity=sensitivity,
            card=read_card(_folder_of(bundle)),
        )

    def dicom(
        self,
        prediction: "Prediction",
        case: "Case | str",
        series: Path | Sequence[Path],
        folder: Path | str,
        progress: Progress = silent,
    ) -> tuple[Path, Path]:
        """Write the DICOM report and segmentation into `folder`; series: folder or files of the CT."""
        progress(tr("writing the DICOM results"), 0, 0)
        from TACEResponseLib.dicom_export import write_dicom

        return write_dicom(prediction, self._held(case), series, Path(folder))

    def keep(
        self,
        prediction: "Prediction",
        file: Path | str,
        patient_id: str,
        day: str | None = None,
        response_known: bool = False,
        progress: Progress = silent,
    ) -> Path:
        """Keep a prediction in the register `file`, which is made where there is none; its path.

        patient_id: an ID or a pseudonym; no other identifier is kept, and no image. day: of the scan,
        "2025-03-31", today when None. response_known: to whoever asked. Raises RegisterError.
        """
        progress(tr("writing into the register"), 0, 0)
        from TACEResponseLib.follow_up.register import Register

        named = dataclasses.replace(prediction, patient_id=patient_id)
        with Register(file, create=True) as register:
            register.keep(named, day, response_known=response_known)
        return Path(file)

    def audit(self, file: Path | str, folder: Path | str, progress: Progress = silent) -> Path:
        """Write the page on how a register's predictions met the responses; its path. RegisterError."""
        progress(tr("comparing predictions with responses"), 0, 0)
        from TACEResponseLib.follow_up.audit import audit_register
        from TACEResponseLib.follow_up.register import Register
        from TACEResponseLib.report.audit_page import write_audit

        with Register(file) as register:
            recorded = register.recorded()
        return write_audit(audit_register(recorded), Path(folder))

    def warm_up(self, bundle: Path | str | None = None, progress: Progress = silent) -> None:
        """Import, read the model, and compile what the first prediction on this computer would wait for.

        What is compiled is kept on disk (`compiled`), so later calls take a second.
        """
        from TACEResponseLib.compiled import mark_prepared, prepared

        model = self._model(bundle, progress)
        progress(tr("getting ready") if prepared() else tr(PREPARING), 0, 0)
        model.predict(_made_up_case())
        mark_prepared()

    def _prepare(self, bundle: Path | str | None, progress: Progress) -> None:
        """Compile before the first prediction after an installation, under a stage that says so."""
        try:
            from TACEResponseLib.compiled import prepared
        except ImportError:  # numba is missing; whatever needs it says so
            return
        if not prepared():
            self.warm_up(bundle, progress)

    def _held(self, case: "Case | str") -> "Case":
        """The case that is asked about, which is the held one afterwards."""
        if not isinstance(case, str):
            if case is not self._case:
                self.hold(case)
        elif case != self._fingerprint:
            raise InputError(tr("this case is not held any more"), field="image", remedy=tr("predict again"))
        return self._case

    def _measurements(self, model: "ResponseModel", engine: str | None, progress: Progress) -> "Measurements":
        """What the model looks at in the held case, measured once for model and engine."""
        engine = engine or model.engine
        if engine not in self._measured:
            self._measured[engine] = model.measure(self._case, engine=engine, progress=progress)
        return self._measured[engine]

    def _model(self, bundle: Path | str | None, progress: Progress) -> "ResponseModel":
        """The model in a folder; read again when another one, or another training in it, is asked for."""
        from TACEResponseLib.bundle import load_bundle, read_manifest

        folder = _folder_of(bundle)
        if folder.is_file():  # a zip: opened each time it is another file
            wanted = (folder, folder.stat().st_mtime_ns)
        else:
            wanted = (folder, read_manifest(folder).files)
        if self._opened is None or self._opened[0] != wanted:
            progress(tr("loading the model"), 0, 0)
            self._opened, self._measured = (wanted, load_bundle(folder)), {}
        return self._opened[1]


def clear_answer(folder: Path, mask: Path) -> None:
    """Remove an earlier answer: none of it may lie beside this patient's, or stand for one that failed.

    Except what is asked about: the mask may be the segmentation of an earlier answer.
    """
    from .dicom_export import REPORT, SEGMENTATION
    from .report.patient_page import PAGE, PDF, PREDICTION

    for name in (PAGE, PDF, PREDICTION, REPORT, SEGMENTATION):
        if os.path.realpath(folder / name) != os.path.realpath(mask):
            (folder / name).unlink(missing_ok=True)


def where_not_zero(image: "sitk.Image") -> "sitk.Image":
    """The box of an image outside which it is 0, so that a map is not as large as the CT; all of it else."""
    import numpy as np
    import SimpleITK as sitk

    places = np.argwhere(sitk.GetArrayViewFromImage(image) != 0)[:, ::-1]
    if len(places) == 0:
        return image
    first, size = places.min(axis=0), np.ptp(places, axis=0) + 1
    return sitk.RegionOfInterest(image, [int(n) for n in size], [int(n) for n in first])


def _folder_of(bundle: Path | str | None) -> Path:
    from TACEResponseLib.bundle import demonstration_bundle

    return Path(bundle) if bundle else demonstration_bundle()


def _made_up_case() -> "Case":
    """A ball of noise: small, and everything can be measured on it."""
    import numpy as np
    import SimpleITK as sitk

    from TACEResponseLib.cases import make_case

    axis_mm = np.arange(WARM_UP_SIDE) - WARM_UP_SIDE / 2
    distance_mm = np.sqrt(sum(np.square(axis) for axis in np.meshgrid(axis_mm, axis_mm, axis_mm)))
    hu = np.random.default_rng(0).normal(60, 25, distance_mm.shape).astype(np.int16)
    mask = (distance_mm < WARM_UP_SIDE / 4).astype(np.uint8)
    return make_case("made-up", sitk.GetImageFromArray(hu), sitk.GetImageFromArray(mask))


def write(file: Path, content) -> None:
    """Put a question `(name, keywords)`, or an answer, into a file for the other process."""
    with file.open("wb") as stream:
        pickle.dump(content, stream, protocol=5)


def read(file: Path):
    """What `write` put into a file, which is removed.

    Both ends are this program, and the file lies in a folder that only its user can read.
    """
    with file.open("rb") as stream:
        content = pickle.load(stream)
    file.unlink()
    return content


def main() -> None:
    """Answer until standard input ends, or nobody has asked for a while."""
    lines, sys.stdout = sys.stdout, sys.stderr  # whatever prints must not look like an event
    progress, service = JsonProgress(lines), PredictionService()
    importlib.import_module("TACEResponseLib.answer.explanation")  # takes long
    while True:
        idle = threading.Timer(IDLE_S, os._exit, (0,))
        idle.daemon = True
        idle.start()
        line = sys.stdin.readline()
        idle.cancel()
        if not line:
            return
        _answer(service, Path(line.rstrip("\n")), progress)


def _answer(service: PredictionService, file: Path, progress: JsonProgress) -> None:
    """Answer the question in `file`: the answer in its place, or an error that says what is wrong."""
    try:
        question, content = read(file)
        write(file, getattr(service, question)(**content, progress=progress))
        progress.event("done", file=str(file))
    except TACEResponseError as error:
        progress.event("error", problem=dataclasses.asdict(error.problem))
    except ImportError as error:
        missing = DependencyError(tr("a Python package is missing"), received=str(error))
        progress.event("error", problem=dataclasses.asdict(missing.problem))


if __name__ == "__main__":
    main()
