"""What can be asked about a patient, and the process that answers: `python -m TACEResponseSlicer.questions`.

The same functions answer in the console, in the caller's own process, and in the companion of the
panel (`companion`), where this file is the program. It knows no node, no widget and no Slicer.

As a program it reads one line a question from standard input - a file that holds the question - and
writes JSON lines: progress events, then `{event: done, file}` or `{event: error, problem}`.
"""

import dataclasses
import importlib
import os
import pickle
import sys
import threading
from pathlib import Path

from TACEResponseLib.errors import DependencyError, TACEResponseError
from TACEResponseLib.progress import JsonProgress, Progress, silent

#: A companion that is asked nothing for so long ends, and gives its memory back.
IDLE_S = 300


class Questions:
    """Answers with the models of this process; a model that was opened is kept until another one is."""

    def __init__(self):
        self._opened = None

    def predict(
        self, case, bundle=None, clinical=None, lesions=None, diameter_mm=None, progress: Progress = silent
    ):
        """Case -> Prediction. bundle: folder of a model, None for the demonstration.

        clinical: ClinicalValues, None when nothing is known. lesions, diameter_mm: number of lesions and
        largest diameter for the clinical scores, None for what the mask says. Raises BundleError,
        FeatureError, and Cancelled when `progress` does; the other questions too.
        """
        model = self._model(bundle, progress)
        return model.predict(
            case, clinical=clinical, lesions=lesions, diameter_mm=diameter_mm, progress=progress
        )

    def explain(self, case, bundle=None, progress: Progress = silent):
        """Case -> Explanation (`TACEResponseLib.answer.explanation`)."""
        from TACEResponseLib.answer.explanation import explain

        return explain(self._model(bundle, progress), case, progress=progress)

    def sensitivity(self, case, bundle=None, progress: Progress = silent):
        """Case -> ContourSensitivity (`TACEResponseLib.answer.contour_sensitivity`)."""
        from TACEResponseLib.answer.contour_sensitivity import contour_sensitivity

        return contour_sensitivity(self._model(bundle, progress), case, progress=progress)

    def report(
        self,
        prediction,
        case,
        folder,
        bundle=None,
        sensitivity=None,
        named: bool = False,
        progress: Progress = silent,
    ) -> Path:
        """Write the page and `prediction.json` into `folder`; the path of the page.

        bundle: of the model, whose card is on the page. named: the patient stands on the page.
        """
        progress("writing the report", 0, 0)
        from TACEResponseLib.bundle import demonstration_bundle, read_card
        from TACEResponseLib.report.patient_page import write_patient_report

        card = read_card(Path(bundle) if bundle else demonstration_bundle())
        return write_patient_report(
            prediction, case, Path(folder), show_identifier=named, sensitivity=sensitivity, card=card
        )

    def dicom(self, prediction, case, series, folder, progress: Progress = silent) -> tuple[Path, Path]:
        """Write the DICOM report and segmentation into `folder`; series: the files of the CT."""
        progress("writing the DICOM results", 0, 0)
        from TACEResponseLib.dicom_export import write_dicom

        return write_dicom(prediction, case, series, Path(folder))

    def _model(self, bundle, progress: Progress):
        """The model in a folder; read again when another one, or another training in it, is asked for."""
        progress("loading the model", 0, 0)
        from TACEResponseLib.bundle import demonstration_bundle, load_bundle, read_manifest

        folder = Path(bundle) if bundle else demonstration_bundle()
        wanted = (folder, read_manifest(folder).files)
        if self._opened is None or self._opened[0] != wanted:
            self._opened = (wanted, load_bundle(folder))
        return self._opened[1]


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
    progress, questions = JsonProgress(lines), Questions()
    importlib.import_module("TACEResponseLib.answer.explanation")  # takes long
    while True:
        idle = threading.Timer(IDLE_S, os._exit, (0,))
        idle.daemon = True
        idle.start()
        line = sys.stdin.readline()
        idle.cancel()
        if not line:
            return
        file = Path(line.rstrip("\n"))
        try:
            question, content = read(file)
            answer = getattr(questions, question)(**content, progress=progress)
            write(file, answer)
            progress.event("done", file=str(file))
        except TACEResponseError as error:
            progress.event("error", problem=dataclasses.asdict(error.problem))
        except ImportError as error:
            missing = DependencyError("a Python package is missing", received=str(error))
            progress.event("error", problem=dataclasses.asdict(missing.problem))


if __name__ == "__main__":
    main()
