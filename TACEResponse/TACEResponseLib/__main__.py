"""The command line: `tace-response COMMAND ...`, the same as `python -m TACEResponseLib`.

Exit codes: 0 done, 1 some patients failed, 2 bad input, 130 cancelled. With `--json` every line on
standard output is one JSON event, the last one `done` or `error`.
"""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from TACEResponseLib.commands.fault_report import write_fault
from TACEResponseLib.resumable.interruption import interruptible, was_interrupted

from . import __version__
from .errors import Cancelled, TableError, TACEResponseError
from .progress import JsonProgress, TerminalProgress

#: Adds a command by name and one line of help.
Command = Callable[[str, str], argparse.ArgumentParser]
DONE, SOME_FAILED, BAD_INPUT, CANCELLED = 0, 1, 2, 130
#: What is left of a command that was cancelled, where something is.
_CANCELLED = {
    **dict.fromkeys(
        ("extract", "train", "fetch"), "Cancelled; what was measured is kept and a rerun goes on there."
    ),
    "predict": "Cancelled; patients that were answered keep their pages, and a rerun begins anew.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors become one sentence and an exit code, never a traceback."""
    with interruptible():
        options = _parser().parse_args(arguments)
        if hasattr(sys.stdout, "reconfigure"):  # a terminal without umlauts shows an escape, not a crash
            sys.stdout.reconfigure(errors="backslashreplace")
        progress = JsonProgress() if options.json else TerminalProgress()
        try:
            return _run(options, progress)
        finally:
            if isinstance(progress, TerminalProgress):
                progress.close()


def program() -> None:
    """The program `tace-response`: `main` in a process of its own, which it ends."""
    try:
        code = main()
    except KeyboardInterrupt:  # before the command began
        code = CANCELLED
    # What is asked of a program that is done has no answer any more, and a traceback is none.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def _run(options: argparse.Namespace, progress: JsonProgress | TerminalProgress) -> int:
    """The exit code of one command, after its last word."""
    try:
        from . import commands

        code = getattr(commands, options.command.replace("-", "_"))(options, progress)
        if sys.stdout is not None:
            sys.stdout.flush()  # a full disk is met here, and not when nobody can say so any more
        return code
    except (KeyboardInterrupt, Cancelled):
        return _cancelled(options, progress)
    except TableError as error:
        several = {"problems": [asdict(problem) for problem in error.problems]}
        _fail(progress, error.kind, str(error), **(several if len(error.problems) > 1 else {}))
    except TACEResponseError as error:
        _fail(progress, error.problem.kind, str(error))
    except (MemoryError, OSError) as error:
        reason = str(error) or "the memory of this computer is used up"
        _fail(progress, "system", f"The computer refused: {reason}.")
    except Exception as error:  # a fault of ours: a sentence for the user, the traceback for us
        if was_interrupted():  # and a library that was just being loaded made another error of it
            return _cancelled(options, progress)
        report = write_fault(error, options.command)
        where = f"Please report {report}." if report else "There is no room for a report of it."
        _fail(progress, "fault", f"A fault of TACEResponse ({type(error).__name__}). {where}")
    return BAD_INPUT


def _cancelled(options: argparse.Namespace, progress: JsonProgress | TerminalProgress) -> int:
    _fail(progress, "cancelled", _CANCELLED.get(options.command, "Cancelled."))
    return CANCELLED


def _fail(progress: JsonProgress | TerminalProgress, kind: str, message: str, **content) -> None:
    """Say what stopped the command; on the error stream where the output takes nothing."""
    try:
        if isinstance(progress, JsonProgress):
            progress.event("error", kind=kind, message=message, **content)
            return
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError) as error:
        message += f"\nThe output cannot be written: {getattr(error, 'strerror', None) or error}."
        _abandon_output()
    with contextlib.suppress(OSError, ValueError):
        if isinstance(progress, TerminalProgress):
            progress.close()
        print(message, file=sys.stderr)


def _abandon_output() -> None:
    """Let what is still to be written go nowhere, or Python would fail over it at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tace-response",
        description="Initial response of liver cancer (HCC) to TACE from a contrast CT and a tumour mask.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("--json", action="store_true", help="one JSON event a line on standard output")
        return added

    _add_prediction(command)
    _add_cohort_work(command)
    _add_training(command)
    _add_updating(command)
    _add_cohort_sources(command)
    _add_follow_up(command)
    return parser


def _add_prediction(command: Command) -> None:
    demo = command("demo", "predict a synthetic patient with the demonstration model")
    demo.add_argument("--out", type=Path, default=Path("tace-response-demo"), help="folder for the answer")
    demo.add_argument("--seed", type=int, default=7, help="which synthetic patient")
    demo.set_defaults(bundle=None, dicom=False, register=None, show_identifier=True)

    predict = command("predict", "predict one patient, or every patient of a cohort")
    predict.add_argument("--bundle", type=Path, help="model bundle; the demonstration model without it")
    predict.add_argument("--image", type=Path, help="CT: volume file or DICOM folder")
    predict.add_argument("--mask", type=Path, help="tumour: labelmap, .seg.nrrd, DICOM SEG or RTSTRUCT")
    predict.add_argument("--label", help="value of the tumour in the mask, or all")
    predict.add_argument("--segment", help="name of the tumour's segment, or all")
    predict.add_argument("--series", help="description, number, UID or phase of one of several series")
    _add_repair(predict)
    predict.add_argument("--patient", default="", help="how to call the patient in the answer")
    predict.add_argument(
        "--value",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a clinical value with its unit, as often as needed: albumin_g_l=38, ascites=none",
    )
    predict.add_argument("--lesions", type=int, help="number of lesions for the scores, if not the mask's")
    predict.add_argument("--diameter-mm", type=float, help="largest axial diameter, if not the mask's")
    predict.add_argument("--center", default="", help="hospital, for a model that harmonises between some")
    predict.add_argument("--cohort", type=Path, help="instead of image and mask: many patients")
    _add_encoding(predict)
    _add_register(predict, "file that keeps the prediction, to be compared with the response later")
    predict.add_argument("--date", help="day of the scan for the register, if not today: 2025-03-31")
    predict.add_argument("--out", type=Path, required=True, help="folder for the answer")
    predict.add_argument("--dicom", action="store_true", help="also a DICOM SR and SEG, for a DICOM image")
    predict.add_argument("--show-identifier", action="store_true", help="name the patient on the page")
    _add_engine(predict)


def _add_cohort_work(command: Command) -> None:
    check = command("check", "find every problem of a cohort before anything is computed")
    check.add_argument("--cohort", type=Path, required=True, help="folder, cohort.csv or .xlsx")
    _add_encoding(check)
    check.add_argument("--out", type=Path, help="folder for the list (JSON, CSV) and a contact sheet (PNG)")
    check.add_argument("--preset", default="peng2021", help="recipe that is planned: peng2021 or recommended")
    check.add_argument("--folds", type=int, default=5, help="folds of the training that is planned")
    check.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="patients at a time")
    _add_repair(check)

    extract = command("extract", "write the radiomics features of a cohort as CSV")
    extract.add_argument("--cohort", type=Path, required=True)
    _add_encoding(extract)
    extract.add_argument("--out", type=Path, required=True, help="CSV file to write")
    extract.add_argument("--reader", type=int, choices=(1, 2), default=1, help="whose masks")
    extract.add_argument("--part", metavar="N/M", help="a share of the patients, for array jobs: 3/40")
    extract.add_argument("--parameters", type=Path, help="pyradiomics parameter file (YAML)")
    extract.add_argument("--backend", choices=("loky", "dask"), default="loky", help="where the work runs")
    extract.add_argument("--scheduler", help="address of the dask scheduler, for --backend dask")
    _add_engine(extract)


def _add_training(command: Command) -> None:
    train = command("train", "train a model bundle from a cohort or a feature table")
    train.add_argument("--cohort", type=Path, help="folder, cohort.csv or .xlsx with images")
    train.add_argument("--features", type=Path, help="CSV with patient_id and a column a feature")
    train.add_argument("--labels", type=Path, help="CSV with patient_id and label, for --features")
    _add_encoding(train)
    train.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    train.add_argument("--preset", default="peng2021", help="recipe: peng2021 or recommended")
    readers = ("reader1", "majority", "soft")
    train.add_argument("--outcome", choices=readers, help="whose response, with several readers")
    names = "names of models, separated by commas, such as size,linear,extra_trees"
    train.add_argument("--models", help=names)
    train.add_argument("--harmonisation", choices=("none", "combat"), help="of the training centres")
    train.add_argument("--headline", help="the model or fusion that answers, such as all or cnn+linear")
    train.add_argument("--folds", type=int, help="folds of the honest evaluation")
    train.add_argument("--repeats", type=int, help="how often the folds are drawn anew")
    train.add_argument("--by-center", action="store_true", help="also hold out each centre in turn")
    train.add_argument("--seed", type=int, help="seed of everything that is drawn")
    train.add_argument("--epochs", type=int, help="longest training of the CNN")
    train.add_argument("--device", choices=("auto", "cpu", "gpu"), help="where the CNN is trained")
    text = "resamples on which the training is repeated to say how stable it is; 200 for a report"
    train.add_argument("--stability", type=int, default=0, metavar="B", help=text)
    text = "train on shuffled labels and on regions without tumour texture, too"
    train.add_argument("--negative-control", action="store_true", help=text)
    train.add_argument("--no-cnn", action="store_true", help="classical models alone")
    _add_engine(train)

    evaluate = command("evaluate", "evaluate a bundle on a cohort that it was not trained on")
    evaluate.add_argument("--bundle", type=Path, required=True)
    evaluate.add_argument("--cohort", type=Path, required=True)
    _add_encoding(evaluate)
    evaluate.add_argument("--out", type=Path, required=True)
    evaluate.add_argument(
        "--allow-training-patients", action="store_true", help="evaluate on fitted patients and mark it"
    )
    text = "Write only aggregates.json: figures of all patients together, no patient and no count below 5."
    evaluate.add_argument("--aggregates-only", action="store_true", help=text)
    _add_engine(evaluate)

    text = "combine what several hospitals wrote with evaluate --aggregates-only"
    combine = command("combine", text)
    text = "Files aggregates.json of two or more hospitals."
    combine.add_argument("files", type=Path, nargs="+", metavar="FILE", help=text)
    text = "Folder for the page and its forest plot; must be given."
    combine.add_argument("--out", type=Path, required=True, metavar="FOLDER", help=text)


def _add_updating(command: Command) -> None:
    update = command("update", "move a bundle's probabilities to another hospital; the ranking stays")
    update.add_argument("--bundle", type=Path, required=True, help="the bundle as it was trained")
    update.add_argument("--cohort", type=Path, required=True, help="the hospital's patients with responses")
    _add_encoding(update)
    update.add_argument("--out", type=Path, required=True, help="folder of the updated bundle")
    _add_engine(update)


def _add_cohort_sources(command: Command) -> None:
    fetch = command("fetch", "download a public cohort and lay it out: HCC-TACE-Seg or WAW-TACE")
    text = "hcc-tace-seg, to train on, or waw-tace, to evaluate on: it has another outcome."
    fetch.add_argument("collection", choices=("hcc-tace-seg", "waw-tace"), help=text)
    fetch.add_argument("--out", type=Path, required=True, help="folder of the cohort")
    fetch.add_argument("--from", dest="source", type=Path, help="folder that holds its files already")
    fetch.add_argument("--clinical", type=Path, help="its clinical table, where it lies elsewhere")
    labels = ("reader1", "reader2", "reader3", "majority", "ttp14")
    text = "Whose reading is the response, for hcc-tace-seg (default: reader1)."
    fetch.add_argument("--label", choices=labels, help=text)
    text = "Which archive of scans to fetch, for waw-tace: 1 to 4 (default: all, one after another)."
    fetch.add_argument("--part", type=int, metavar="N", help=text)
    phases = ("annotated", "arterial", "portal venous", "delayed", "native")
    fetch.add_argument("--phase", choices=phases, default="annotated", help="the scan to take")

    phantom = command("phantom", "write a synthetic cohort with a known answer")
    phantom.add_argument("--patients", type=int, required=True)
    phantom.add_argument("--out", type=Path, required=True)
    phantom.add_argument("--seed", type=int, default=1)
    phantom.add_argument("--size", choices=("small", "full"), default="small")
    phantom.add_argument("--jobs", type=int, default=os.cpu_count() or 1)


def _add_follow_up(command: Command) -> None:
    follow_up = command("follow-up", "record how a patient responded, beside what was predicted")
    _add_register(follow_up, "the register that holds the prediction", required=True)
    follow_up.add_argument("--patient", required=True, help="the patient's ID in the register")
    responses = ("CR", "PR", "SD", "PD")
    follow_up.add_argument("--response", type=str.upper, choices=responses, help="mRECIST as read by you")
    follow_up.add_argument("--baseline-image", type=Path, help="instead of --response: CT before TACE")
    follow_up.add_argument("--baseline-mask", type=Path, help="viable tumour on it")
    follow_up.add_argument("--image", type=Path, help="CT after TACE")
    follow_up.add_argument("--mask", type=Path, help="viable tumour on it")
    follow_up.add_argument("--label", help="value of the tumour in both masks, or all")
    follow_up.add_argument("--segment", help="name of the tumour's segment in both masks, or all")
    follow_up.add_argument(
        "--viable-arterial", action="store_true", help="your word: both masks are viable, arterial tumour"
    )
    follow_up.add_argument("--none-viable", action="store_true", help="nothing viable is left: no mask after")
    follow_up.add_argument("--new-lesion", action="store_true", help="a new lesion has appeared")
    follow_up.add_argument("--replace", action="store_true", help="correct a response recorded before")

    audit = command("audit", "show how recorded predictions met the responses, overall and over time")
    _add_register(audit, "the register", required=True)
    audit.add_argument("--out", type=Path, required=True, help="folder of the page and its JSON")
    audit.add_argument("--bundle", help="ID of one model; every model by itself without it")
    audit.add_argument("--period", choices=("month", "quarter", "year"), default="quarter")


def _add_register(parser: argparse.ArgumentParser, text: str, required: bool = False) -> None:
    parser.add_argument("--register", type=Path, required=required, help=text)


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=("fast", "pyradiomics"), help="radiomics engine")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="patients at a time")


def _add_encoding(parser: argparse.ArgumentParser) -> None:
    text = "text encoding of the CSV where it is not certain: gb18030, big5, shift_jis, cp949, cp1251, cp1252"
    parser.add_argument("--encoding", metavar="NAME", help=text)


def _add_repair(parser: argparse.ArgumentParser) -> None:
    text = "copy-geometry, resample-mask or union: repair masks that would be refused, and write it down"
    parser.add_argument("--repair", default="", help=text)


if __name__ == "__main__":
    program()
