"""The commands that answer for patients: one that is made up, one from files, or a cohort."""

import os
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from TACEResponseLib.messages.errors import InputError, TableError, TACEResponseError
from TACEResponseLib.messages.language import listed, tr
from TACEResponseLib.service import PredictionService, clear_answer
from TACEResponseLib.storage import folder_names, require_short

from .outlines import with_sources
from .output import DONE, SOME_FAILED, Reporting, formula_warnings, in_short, say_done, with_repairs
from .predictions_table import PREDICTIONS, SPREADSHEET, prediction_row, write_tables
from .registering import check_register, days_of, keep


def demo(options: Namespace, progress: Reporting) -> int:
    """Make the phantom patient, predict it with the demonstration bundle, show and write the answer."""
    from TACEResponseLib.cases import make_case
    from TACEResponseLib.phantom import make_patient

    progress(tr("synthetic patient"), 0, 1)
    patient = make_patient(0, options.seed, "full")
    progress(tr("synthetic patient"), 1, 1)
    case = make_case(patient.patient_id, patient.image, patient.mask)
    service = PredictionService()
    service.open()
    return _answer(service, service.predict(case, progress=progress), case, options, progress)


def predict(options: Namespace, progress: Reporting) -> int:
    """Predict one patient or a cohort; nothing is written for a patient that cannot be predicted."""
    from TACEResponseLib.cases.outline import Outline
    from TACEResponseLib.cases.repair import parse_repairs
    from TACEResponseLib.readers import read_case
    from TACEResponseLib.readers.volumes import existing
    from TACEResponseLib.storage import require_writable

    if options.cohort is None and (options.image is None or options.mask is None):
        raise InputError(tr("nothing to predict"), expected=tr("--image and --mask, or --cohort"))
    if options.cohort is not None and (options.image is not None or options.mask is not None):
        raise InputError(
            tr("one patient beside a cohort"), expected=tr("--image and --mask, or --cohort, not both")
        )
    clinical = _clinical_values(options)  # said before the work, not after it
    check_register(options)
    _check_pdf(options)
    if options.dicom and options.cohort is None and not options.image.is_dir():
        raise InputError(
            tr("DICOM results need slices that they can point at"),
            field="image",
            file=options.image.name,
            expected=tr("the folder of a DICOM series"),
            received=tr("a file"),
            remedy=tr("predict from the DICOM series, or leave out --dicom"),
        )
    require_writable(options.out)  # said before the work, not after it
    service = PredictionService()
    if options.cohort is not None:
        service.open(options.bundle)
        return _predict_cohort(service, options, progress)
    clear_answer(options.out, options.mask)
    patient_id = _patient_id(options)
    existing(options.image, "image")
    existing(options.mask, "mask")
    service.open(options.bundle)
    label = options.label
    case = read_case(
        patient_id,
        options.image,
        options.mask,
        label=int(label) if label and label.isdigit() else label,
        segment=options.segment,
        series=options.series,
        repairs=parse_repairs(options.repair),
        outline=Outline.from_text(options.mask_source),
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


def _check_pdf(options: Namespace) -> None:
    """DependencyError where a PDF is asked for that cannot be written here."""
    from TACEResponseLib.report.pdf import require_pdf

    if options.pdf:
        require_pdf()


def _patient_id(options: Namespace) -> str:
    """The name by `--patient`, or after the image; InputError for characters that nobody sees."""
    from TACEResponseLib.readers.tables import invisible_characters
    from TACEResponseLib.storage import shown_text

    patient_id = options.patient or options.image.absolute().name.partition(".")[0]
    unseen = invisible_characters(patient_id)
    if unseen:
        raise InputError(
            tr("the patient's ID holds {characters}", characters=unseen),
            field="patient",
            expected=tr("characters that can be seen"),
            received=tr('"{text}"', text=shown_text(patient_id)),
            remedy=tr("name the patient with --patient"),
        )
    return patient_id


def _clinical_values(options: Namespace):
    """What `--value` says; InputError that names the option for a name or a value that cannot be read."""
    from TACEResponseLib.clinical.items import ClinicalValues, clinical_item

    columns, given = {}, {}
    for text in options.value:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or clinical_item(name) is None or name in columns:
            raise InputError(
                tr("a clinical value is given twice")
                if name in columns
                else tr("a clinical value has no known name"),
                field="value",
                expected=tr("for example albumin_g_l=38, bilirubin_umol_l=14, afp_ng_ml=>1210, ascites=none"),
                received=f"--value {text}",
            )
        columns[name], given[name] = value, f"--value {text}"
    by_hand = (options.lesions, options.diameter_mm)
    if options.cohort is not None and (columns or by_hand != (None, None)):
        raise InputError(
            tr("values of one patient beside a cohort"),
            field="value",
            expected=tr("columns of the cohort's table"),
            received=listed(columns) or tr("--lesions or --diameter-mm"),
        )
    try:
        return ClinicalValues.from_columns(columns)
    except TableError as error:
        name = error.problem.field
        message = error.problem.message.replace(name, given[name], 1)
        raise InputError.from_problem(replace(error.problem, kind="input", message=message)) from None


def _answer(service: PredictionService, prediction, case, options: Namespace, progress: Reporting) -> int:
    from TACEResponseLib.report.patient_page import summary
    from TACEResponseLib.report.pdf import write_pdf

    files = service.dicom(prediction, case, options.image, options.out) if options.dicom else ()
    page = service.report(prediction, case, options.out, options.bundle, named=options.show_identifier)
    text = [summary(prediction, show_identifier=options.show_identifier), "", tr("Page: {file}", file=page)]
    pdf = write_pdf(page) if options.pdf else None
    text += [tr("PDF: {file}", file=pdf)] if pdf else []
    text += [tr("DICOM: {file}", file=file) for file in files]
    text += [tr("Register: {file}", file=options.register)] if options.register is not None else []
    written = {"page": str(page), **({"dicom": [str(file) for file in files]} if files else {})}
    written |= {"pdf": str(pdf)} if pdf else {}
    say_done(progress, "\n".join(text), prediction=prediction.to_json(), **written)
    return DONE


def _predict_cohort(service: PredictionService, options: Namespace, progress: Reporting) -> int:
    """A folder a patient and one table; a bad patient is reported and the rest go on."""
    from TACEResponseLib.cohorts.table import read_cohort
    from TACEResponseLib.report.answer_index import INDEX, IndexRow, write_index

    cohort = read_cohort(options.cohort, encoding=options.encoding)
    patients = with_sources(with_repairs(cohort, options.repair), options.mask_source).patients
    rows, entries, problems, days = [], [], [], days_of(patients, options)
    taken = [PREDICTIONS, SPREADSHEET, INDEX]
    folders = folder_names((patient.patient_id for patient in patients), taken=taken)
    for done, patient in enumerate(patients):
        progress(tr("predicting"), done, len(patients))
        name = folders[patient.patient_id]
        try:
            require_short(name, patient.patient_id)
            prediction = _predict_patient(service, patient, days[done], options, options.out / name)
        except (TACEResponseError, OSError) as error:
            problems.append(_problem_of(error, patient.patient_id))
            rows.append({"patient_id": patient.patient_id, "folder": "", "error": str(problems[-1])})
            entries.append(IndexRow(patient.patient_id, problem=str(problems[-1])))
            continue
        rows.append(prediction_row(prediction, name))
        entries.append(IndexRow.of(prediction, name))
    progress(tr("predicting"), len(patients), len(patients))
    table, spreadsheet = write_tables(options.out, rows)
    index = write_index(entries, options.out)
    numbers = {"answered": len(patients) - len(problems), "all": len(patients)}
    text = [*in_short(problems), *map(str, formula_warnings(folders))]
    text.append(tr("{answered} of {all} patients predicted: {file}", **numbers, file=table))
    text.append(tr("Pages: {file}", file=index))
    statement = next((row["statement"] for row in rows if "statement" in row), "")
    written = {"table": str(table), "spreadsheet": str(spreadsheet), "index": str(index)}
    say_done(progress, "\n".join([statement, *text]), **written, failed=len(problems))
    return SOME_FAILED if problems else DONE


def _predict_patient(service: PredictionService, patient, day, options: Namespace, folder: Path):
    """The prediction of one patient of a cohort, kept and written into its folder."""
    from TACEResponseLib.clinical.items import read_values
    from TACEResponseLib.report.pdf import write_pdf

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
    page = service.report(prediction, case, folder, options.bundle, named=options.show_identifier)
    if options.pdf:
        write_pdf(page)
    return prediction


def _problem_of(error: TACEResponseError | OSError, patient_id: str):
    """What stopped one patient; what the system refuses names the file."""
    if isinstance(error, OSError):
        file = Path(os.fsdecode(error.filename)).name[:60] if error.filename else ""
        error = InputError(
            tr("a file cannot be read or written"), file=file, received=error.strerror or str(error)
        )
    return error.about(patient_id=patient_id).problem
