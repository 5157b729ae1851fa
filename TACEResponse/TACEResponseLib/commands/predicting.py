"""The commands that answer for patients: one that is made up, one from files, or a cohort."""

import csv
import os
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from TACEResponseLib.errors import InputError, TACEResponseError
from TACEResponseLib.service import PredictionService, clear_answer
from TACEResponseLib.storage import folder_names, make_folder, quoted, require_short

from .output import DONE, SOME_FAILED, Reporting, formula_warnings, say_done, with_repairs
from .registering import check_register, days_of, keep

#: The table of a cohort's answers; says whose each folder is.
PREDICTIONS = "predictions.csv"


def demo(options: Namespace, progress: Reporting) -> int:
    """Make the phantom patient, predict it with the demonstration bundle, show and write the answer."""
    from TACEResponseLib.cases import make_case
    from TACEResponseLib.phantom import make_patient

    progress("synthetic patient", 0, 1)
    patient = make_patient(0, options.seed, "full")
    progress("synthetic patient", 1, 1)
    case = make_case(patient.patient_id, patient.image, patient.mask)
    service = PredictionService()
    service.open()
    return _answer(service, service.predict(case, progress=progress), case, options, progress)


def predict(options: Namespace, progress: Reporting) -> int:
    """Predict one patient or a cohort; nothing is written for a patient that cannot be predicted."""
    from TACEResponseLib.cases.repair import parse_repairs
    from TACEResponseLib.readers import read_case
    from TACEResponseLib.storage import require_writable

    if options.cohort is None and (options.image is None or options.mask is None):
        raise InputError("nothing to predict", expected="--image and --mask, or --cohort")
    if options.cohort is not None and (options.image is not None or options.mask is not None):
        raise InputError("one patient beside a cohort", expected="--image and --mask, or --cohort, not both")
    clinical = _clinical_values(options)  # said before the work, not after it
    check_register(options)
    if options.dicom and options.cohort is None and not options.image.is_dir():
        raise InputError(
            "DICOM results need slices that they can point at",
            field="image",
            file=options.image.name,
            expected="the folder of a DICOM series",
            received="a file",
            remedy="predict from the DICOM series, or leave out --dicom",
        )
    require_writable(options.out)  # said before the work, not after it
    service = PredictionService()
    service.open(options.bundle)
    if options.cohort is not None:
        return _predict_cohort(service, options, progress)
    clear_answer(options.out, options.mask)
    label = options.label
    case = read_case(
        _patient_id(options),
        options.image,
        options.mask,
        label=int(label) if label and label.isdigit() else label,
        segment=options.segment,
        series=options.series,
        repairs=parse_repairs(options.repair),
    )
    prediction = service.predict(
        case,
        options.bundle,
        clinical=clinical,
        lesions=options.lesions,
        diameter_mm=options.diameter_mm,
        center=options.center,
        engine=options.engine,
        progress=progress,
    )
    keep(prediction, options, options.date)
    return _answer(service, prediction, case, options, progress)


def _patient_id(options: Namespace) -> str:
    """The name by `--patient`, or after the image; InputError for characters that nobody sees."""
    from TACEResponseLib.readers.tables import invisible_characters
    from TACEResponseLib.storage import shown_text

    patient_id = options.patient or options.image.absolute().name.partition(".")[0]
    if invisible_characters(patient_id):
        raise InputError(
            f"the patient's ID holds {invisible_characters(patient_id)}",
            field="patient",
            expected="characters that can be seen",
            received=f'"{shown_text(patient_id)}"',
            remedy="name the patient with --patient",
        )
    return patient_id


def _clinical_values(options: Namespace):
    """What `--value` says; InputError for a name that no score reads, TableError for a value."""
    from TACEResponseLib.clinical.items import ClinicalValues, clinical_item

    columns = {}
    for text in options.value:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or clinical_item(name) is None or name in columns:
            raise InputError(
                "a clinical value is given twice"
                if name in columns
                else "a clinical value has no known name",
                field="value",
                expected="for example albumin_g_l=38, bilirubin_umol_l=14, afp_ng_ml=>1210, ascites=none",
                received=text,
            )
        columns[name] = value
    by_hand = (options.lesions, options.diameter_mm)
    if options.cohort is not None and (columns or by_hand != (None, None)):
        raise InputError(
            "values of one patient beside a cohort",
            field="value",
            expected="columns of the cohort's table",
            received=", ".join(columns) or "--lesions or --diameter-mm",
        )
    return ClinicalValues.from_columns(columns)


def _answer(service: PredictionService, prediction, case, options: Namespace, progress: Reporting) -> int:
    from TACEResponseLib.report.patient_page import summary

    files = service.dicom(prediction, case, options.image, options.out) if options.dicom else ()
    page = service.report(prediction, case, options.out, options.bundle, named=options.show_identifier)
    text = [summary(prediction, show_identifier=options.show_identifier), "", f"Page: {page}"]
    text += [f"DICOM: {file}" for file in files]
    text += [f"Register: {options.register}"] if options.register is not None else []
    written = {"page": str(page), **({"dicom": [str(file) for file in files]} if files else {})}
    say_done(progress, "\n".join(text), prediction=prediction.to_json(), **written)
    return DONE


def _predict_cohort(service: PredictionService, options: Namespace, progress: Reporting) -> int:
    """A folder a patient and one table; a bad patient is reported and the rest go on."""
    from TACEResponseLib.cohorts.table import read_cohort
    from TACEResponseLib.report.answer_index import INDEX, IndexRow, write_index

    cohort = read_cohort(options.cohort, encoding=options.encoding)
    patients = with_repairs(cohort, options.repair).patients
    rows, listed, problems, days = [], [], [], days_of(patients, options)
    folders = folder_names((patient.patient_id for patient in patients), taken=[PREDICTIONS, INDEX])
    for done, patient in enumerate(patients):
        progress("predicting", done, len(patients))
        name = folders[patient.patient_id]
        try:
            require_short(name, patient.patient_id)
            prediction = _predict_patient(service, patient, days[done], options, options.out / name)
        except (TACEResponseError, OSError) as error:
            problems.append(_problem_of(error, patient.patient_id))
            rows.append({"patient_id": patient.patient_id, "folder": "", "error": str(problems[-1])})
            listed.append(IndexRow(patient.patient_id, problem=str(problems[-1])))
            continue
        rows.append(_prediction_row(prediction, name))
        listed.append(IndexRow.of(prediction, name))
    progress("predicting", len(patients), len(patients))
    make_folder(options.out)
    table = options.out / PREDICTIONS
    _write_rows(table, rows)
    index = write_index(listed, options.out)
    answered = len(patients) - len(problems)
    text = [*map(str, problems), *map(str, formula_warnings(folders))]
    text.append(f"{answered} of {len(patients)} patients predicted: {table}")
    text.append(f"Pages: {index}")
    statement = next((row["statement"] for row in rows if "statement" in row), "")
    written = {"table": str(table), "index": str(index)}
    say_done(progress, "\n".join([statement, *text]), **written, failed=len(problems))
    return SOME_FAILED if problems else DONE


def _predict_patient(service: PredictionService, patient, day, options: Namespace, folder: Path):
    """The prediction of one patient of a cohort, kept and written into its folder."""
    from TACEResponseLib.clinical.items import read_values

    clear_answer(folder, patient.mask)
    case = patient.read_case()
    clinical, unread = read_values(patient.clinical, patient.row)
    prediction = service.predict(
        case, options.bundle, clinical=clinical, center=patient.center, engine=options.engine
    )
    prediction = replace(prediction, warnings=(*prediction.warnings, *map(str, unread)))
    keep(prediction, options, day, response_known=patient.label is not None)
    if options.dicom:
        service.dicom(prediction, case, patient.image, folder)
    service.report(prediction, case, folder, options.bundle, named=options.show_identifier)
    return prediction


def _problem_of(error: TACEResponseError | OSError, patient_id: str):
    """What stopped one patient; what the system refuses names the file."""
    if isinstance(error, OSError):
        file = Path(os.fsdecode(error.filename)).name[:60] if error.filename else ""
        error = InputError(
            "a file cannot be read or written", file=file, received=error.strerror or str(error)
        )
    return error.about(patient_id=patient_id).problem


def _prediction_row(prediction, folder: str) -> dict:
    """One patient of `predictions.csv`."""
    content = prediction.to_json()
    lowest, highest = prediction.certainty.instability or (None, None)
    return {
        "patient_id": prediction.patient_id,
        "folder": folder,
        "fused": content["fused"],
        "threshold": content["threshold"],
        "responder": "" if content["responder"] is None else int(content["responder"]),
        "class": prediction.reading().verdict,
        "training_share": content["training_share"],
        **{f"probability_{name}": value for name, value in content["probabilities"].items()},
        "like_training": prediction.similarity.verdict,
        "instability_low": lowest,
        "instability_high": highest,
        "conformal_set": " or ".join(prediction.certainty.conformal),
        **content["lesions"],
        **{f"score_{score.name}": score.group for score in prediction.clinical_scores},
        "scores_na": "; ".join(
            f"{score.title}: {', '.join(score.missing)}"
            for score in prediction.clinical_scores
            if score.missing
        ),
        "warnings": " ".join(content["warnings"]),
        "statement": content["statement"],
    }


def _write_rows(path: Path, rows: list[dict]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(
            {key: quoted(v) if isinstance(v, str) else v for key, v in row.items()} for row in rows
        )
