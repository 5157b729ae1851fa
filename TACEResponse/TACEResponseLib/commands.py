"""What each command of the command line does: read, call the library, show, write.

Every function takes the parsed options and a progress callable and returns the exit code; named
errors pass through to `__main__`. Imports stand inside the commands, so that `--help` and `check`
do not wait for scikit-learn.
"""

import csv
import re
import shutil
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from .errors import InputError, TACEResponseError
from .progress import JsonProgress, TerminalProgress

DONE, SOME_FAILED = 0, 1
Reporting = JsonProgress | TerminalProgress


def demo(options: Namespace, progress: Reporting) -> int:
    """Make the phantom patient, predict it with the demonstration bundle, show and write the answer."""
    from .bundle import demonstration_bundle, load_bundle
    from .cases import make_case
    from .phantom import make_patient

    progress("synthetic patient", 0, 1)
    patient = make_patient(0, options.seed, "full")
    progress("synthetic patient", 1, 1)
    case = make_case(patient.patient_id, patient.image, patient.mask)
    model = load_bundle(demonstration_bundle())
    return _answer(model.predict(case, progress=progress), case, options, progress)


def predict(options: Namespace, progress: Reporting) -> int:
    """Predict one patient or a cohort; nothing is written for a patient that cannot be predicted."""
    from .bundle import demonstration_bundle, load_bundle
    from .cases.repair import parse_repairs
    from .readers import read_case

    if options.cohort is None and (options.image is None or options.mask is None):
        raise InputError("nothing to predict", expected="--image and --mask, or --cohort")
    clinical = _clinical_values(options)  # said before the work, not after it
    if options.dicom and options.cohort is None and not options.image.is_dir():
        raise InputError(
            "DICOM results need slices that they can point at",
            field="image",
            file=options.image.name,
            expected="the folder of a DICOM series",
            received="a file",
            remedy="predict from the DICOM series, or leave out --dicom",
        )
    model = load_bundle(options.bundle or demonstration_bundle())
    if options.cohort is not None:
        return _predict_cohort(model, options, progress)
    label = options.label
    case = read_case(
        options.patient or options.image.resolve().name.partition(".")[0],
        options.image,
        options.mask,
        label=int(label) if label and label.isdigit() else label,
        segment=options.segment,
        series=options.series,
        repairs=parse_repairs(options.repair),
    )
    burden = _burden(case, options)
    prediction = model.predict(
        case, clinical=clinical, burden=burden, engine=options.engine, progress=progress
    )
    return _answer(prediction, case, options, progress)


def _clinical_values(options: Namespace):
    """What `--value` says; InputError for a name that no score reads, TableError for a value."""
    from .clinical.items import ClinicalValues, clinical_item

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


def _burden(case, options: Namespace):
    """The lesions as the user knows them better than the mask; None when the mask is right."""
    from .clinical import measure_lesions
    from .clinical.items import TumourBurden

    if options.lesions is None and options.diameter_mm is None:
        return None
    largest_cm = None if options.diameter_mm is None else options.diameter_mm / 10
    return TumourBurden.from_lesions(measure_lesions(case)).overridden(options.lesions, largest_cm)


def _answer(prediction, case, options: Namespace, progress: Reporting) -> int:
    from .dicom_export import write_dicom
    from .patient_report import summary

    files = write_dicom(prediction, case, options.image, options.out) if options.dicom else ()
    page = _write_page(prediction, case, options, options.out)
    text = [summary(prediction, show_identifier=options.show_identifier), "", f"Page: {page}"]
    text += [f"DICOM: {file}" for file in files]
    written = {"page": str(page), **({"dicom": [str(file) for file in files]} if files else {})}
    _done(progress, "\n".join(text), prediction=prediction.to_json(), **written)
    return DONE


def _write_page(prediction, case, options: Namespace, folder: Path) -> Path:
    """The page and `prediction.json`, with the model card of the bundle that answered."""
    from .bundle import demonstration_bundle, read_card
    from .patient_report import write_patient_report

    card = read_card(options.bundle or demonstration_bundle())
    return write_patient_report(prediction, case, folder, show_identifier=options.show_identifier, card=card)


def _predict_cohort(model, options: Namespace, progress: Reporting) -> int:
    """A folder a patient and one table; a bad patient is reported and the rest go on."""
    from .clinical.items import read_values
    from .cohort import read_cohort
    from .dicom_export import write_dicom

    patients = _with_repairs(read_cohort(options.cohort), options.repair).patients
    rows, problems = [], []
    for done, patient in enumerate(patients):
        progress("predicting", done, len(patients))
        try:
            case = patient.read_case()
            clinical, unread = read_values(patient.clinical, patient.row)
            prediction = model.predict(case, clinical=clinical, engine=options.engine)
            prediction = replace(prediction, warnings=(*prediction.warnings, *map(str, unread)))
            folder = options.out / _folder_name(patient.patient_id)
            if options.dicom:
                write_dicom(prediction, case, patient.image, folder)
        except TACEResponseError as error:
            problems.append(error.about(patient_id=patient.patient_id).problem)
            rows.append({"patient_id": patient.patient_id, "error": str(problems[-1])})
            continue
        _write_page(prediction, case, options, folder)
        rows.append(_prediction_row(prediction))
    progress("predicting", len(patients), len(patients))
    options.out.mkdir(parents=True, exist_ok=True)
    table = options.out / "predictions.csv"
    _write_rows(table, rows)
    answered = len(patients) - len(problems)
    text = [*map(str, problems), f"{answered} of {len(patients)} patients predicted: {table}"]
    statement = next((row["statement"] for row in rows if "statement" in row), "")
    _done(progress, "\n".join([statement, *text]), table=str(table), failed=len(problems))
    return SOME_FAILED if problems else DONE


def _prediction_row(prediction) -> dict:
    """One patient of `predictions.csv`."""
    content = prediction.to_json()
    return {
        "patient_id": prediction.patient_id,
        "fused": content["fused"],
        "threshold": content["threshold"],
        "responder": int(content["responder"]),
        **{f"probability_{name}": value for name, value in content["probabilities"].items()},
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


def check(options: Namespace, progress: Reporting) -> int:
    """Read every patient of a cohort and list every problem; compute nothing."""
    from .cohort import read_cohort
    from .preflight import check_cohort
    from .preflight.table import PROBLEM_KEYS, as_text, verdict_json, write_preflight
    from .storage import make_folder

    cohort = _with_repairs(read_cohort(options.cohort), options.repair)
    if options.out is not None:
        make_folder(options.out)  # said before the work, not after it
    found = check_cohort(cohort, folds=options.folds, jobs=options.jobs, progress=progress)
    if isinstance(progress, JsonProgress):
        for patient in found.patients:
            progress.line(verdict_json(patient))
        problems = [{key: getattr(p, key) for key in ("severity", *PROBLEM_KEYS)} for p in found.problems]
        progress.event("cohort", problems=problems, counts=found.counts)
    text, written = as_text(found), {}
    if options.out is not None:
        files = write_preflight(found, options.out)
        text += "".join(f"\n{file}" for file in files)
        written = {"files": [str(file) for file in files]}
    _done(progress, text, **found.verdicts, **written)
    failed = found.verdicts["error"] or any(p.severity == "error" for p in found.problems)
    return SOME_FAILED if failed else DONE


def _with_repairs(cohort, names: str):
    """The cohort with the repairs that were asked for, beside those that its table asks for."""
    from .cases.repair import parse_repairs

    repairs = parse_repairs(names)
    patients = (replace(p, repairs=(*p.repairs, *repairs)) for p in cohort.patients)
    return replace(cohort, patients=tuple(patients))


def extract(options: Namespace, progress: Reporting) -> int:
    """Write the features of a cohort as CSV, a row a patient; the failing ones into a second CSV."""
    from .cohort import read_cohort
    from .cohort_measurements import extract_patients
    from .feature_table import write_feature_csv, write_problem_csv
    from .settings import RadiomicsSettings

    settings = RadiomicsSettings()
    if options.parameters is not None:
        settings = RadiomicsSettings.from_pyradiomics_file(options.parameters)
    store = options.out.with_name(f"{options.out.stem}-work")
    rows, failed = extract_patients(
        read_cohort(options.cohort).patients,
        settings,
        reader=options.reader,
        engine=options.engine or "fast",
        jobs=options.jobs,
        backend=options.backend,
        scheduler=options.scheduler,
        store=store,
        progress=progress,
    )
    problems = options.out.with_name(f"{options.out.stem}-problems.csv")
    problems.unlink(missing_ok=True)
    if rows:
        write_feature_csv(options.out, rows)
    if failed:
        write_problem_csv(problems, list(failed.values()))
    shutil.rmtree(store, ignore_errors=True)
    text = [*map(str, failed.values()), f"{len(rows)} patients: {options.out}"]
    text += [f"{len(failed)} patients failed: {problems}"] if failed else []
    _done(progress, "\n".join(text), table=str(options.out), failed=len(failed))
    return SOME_FAILED if failed else DONE


def train(options: Namespace, progress: Reporting) -> int:
    """Train a bundle and write its report beside the model, in `BUNDLE-report`."""
    from .bundle import read_manifest, require_free_folder
    from .cohort import read_cohort
    from .report import evaluation_rows, write_training_report
    from .training import save_trained, train_on_cohort, train_on_features

    settings = _training_settings(options)
    require_free_folder(options.out)  # said before the work, not after it
    store = options.out.with_name(f"{options.out.name}-work")
    if options.cohort is not None:
        trained = train_on_cohort(
            read_cohort(options.cohort),
            settings,
            engine=options.engine or "fast",
            jobs=options.jobs,
            store=store,
            demonstration=_is_synthetic(options.cohort),
            progress=progress,
        )
    elif options.features is not None and options.labels is not None:
        trained = train_on_features(
            options.features, options.labels, settings, jobs=options.jobs, progress=progress
        )
    else:
        raise InputError("nothing to train on", expected="--cohort, or --features and --labels")
    bundle = save_trained(trained, options.out)
    rows = evaluation_rows(trained)
    report = write_training_report(
        trained,
        options.out.with_name(f"{options.out.name}-report"),
        read_manifest(bundle),
        (options.cohort, options.features, options.labels),
    )
    shutil.rmtree(store, ignore_errors=True)
    text = [
        *map(str, trained.left_out.values()),
        _performance_text(rows),
        f"Bundle: {bundle}",
        f"Report: {report}",
    ]
    _done(progress, "\n".join(text), bundle=str(bundle), report=str(report), left_out=len(trained.left_out))
    return SOME_FAILED if any(p.severity == "error" for p in trained.left_out.values()) else DONE


def evaluate(options: Namespace, progress: Reporting) -> int:
    """External validation: every model of a bundle on a cohort that it has not seen."""
    from .bundle import load_bundle
    from .cohort import read_cohort
    from .report import external_rows, write_validation_report
    from .training import external_inputs

    model = load_bundle(options.bundle)
    external, left_out = external_inputs(
        model,
        read_cohort(options.cohort),
        allow_training_patients=options.allow_training_patients,
        engine=options.engine,
        jobs=options.jobs,
        progress=progress,
    )
    rows = external_rows(model, external)
    report = write_validation_report(model, external, left_out, options.out, (options.cohort,))
    text = [*map(str, left_out.values()), _performance_text(rows), f"Report: {report}"]
    _done(progress, "\n".join(text), report=str(report), left_out=len(left_out))
    return SOME_FAILED if left_out else DONE


def fetch(options: Namespace, progress: Reporting) -> int:
    """Download the public cohort, or take a folder of it, and turn it into a cohort folder."""
    from .public_cohort.archive import ImagingDataCommons, fetch_collection
    from .public_cohort.hcc_tace_seg import COLLECTION, find_clinical, read_clinical
    from .public_cohort.layout import lay_out

    source, problems = options.source, []
    if source is not None and not source.is_dir():
        raise InputError("there is no such folder", field="from", received=str(source))
    clinical = options.clinical or find_clinical(source or options.out)
    read_clinical(clinical)  # said before the work, not after it
    if source is None:
        source = options.out / "dicom"
        problems = fetch_collection(ImagingDataCommons(), COLLECTION, source, progress)
    layout = lay_out(
        source, clinical, options.out, label=options.label, phase=options.phase, progress=progress
    )
    problems += layout.problems
    text = [*map(str, problems), f"{layout.patients} patients: {layout.table}"]
    failed = sum(problem.severity == "error" for problem in problems)
    _done(progress, "\n".join(text), table=str(layout.table), patients=layout.patients, failed=failed)
    return SOME_FAILED if failed else DONE


def phantom(options: Namespace, progress: Reporting) -> int:
    """Write the synthetic cohort."""
    from .phantom import write_cohort

    folder = write_cohort(
        options.out, options.patients, options.seed, options.size, progress=progress, jobs=options.jobs
    )
    _done(progress, f"{options.patients} synthetic patients: {folder}", folder=str(folder))
    return DONE


def _training_settings(options: Namespace):
    from .settings import preset

    changes = {
        name: getattr(options, name)
        for name in ("folds", "repeats", "seed")
        if getattr(options, name) is not None
    }
    if options.no_cnn:
        changes["network"] = None
    else:
        changes["network"] = {
            name: getattr(options, name)
            for name in ("epochs", "device")
            if getattr(options, name) is not None
        }
    return preset(options.preset, **changes)


def _is_synthetic(cohort: Path) -> bool:
    """Whether the cohort was written by `phantom`; its models are marked for ever."""
    folder = cohort if cohort.is_dir() else cohort.parent
    return (folder / "truth.json").is_file()


def _performance_text(rows: list[dict]) -> str:
    from .prediction import title

    lines = [f"{'model':<36}{'estimate':<16}{'patients':>8}  AUC (95 % CI)"]
    for row in rows:
        place = f"{row['estimate'].replace('_', ' ')} {row['center']}".strip()
        lines.append(
            f"{title(row['model']):<36}{place:<16}{row['n']:>8}  "
            f"{row['auc']:.3f} ({row['ci_low']:.3f} to {row['ci_high']:.3f})"
        )
    return "\n".join(lines)


def _folder_name(patient_id: str) -> str:
    """The ID as a folder name: characters that no file system allows become underscores."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", patient_id).strip(" .") or "_"


def _write_rows(path: Path, rows: list[dict]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _done(progress: Reporting, text: str, **content) -> None:
    """The last event for a program, or the text for a person."""
    if isinstance(progress, JsonProgress):
        progress.event("done", **content)
    else:
        progress.close()
        print(text, file=sys.stdout)
