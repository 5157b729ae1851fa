"""What the software can answer of the reporting checklists; everything else stays blank and says so."""

from TACEResponseLib.messages.errors import counted
from TACEResponseLib.models.combination import title

from .checklists import CHECKLISTS
from .methods import extracted_here, versions
from .patients import clinical_columns
from .study import Study
from .table import Table

#: What stands where the software knows nothing, or not everything.
BLANK, THE_REST = "for the authors to fill in", "for the authors"


def checklist_tables(study: Study) -> tuple[Table, ...]:
    """Each checklist with its answers: item, topic, filled (yes, partly, no), what the report says."""
    known = facts(study)
    return tuple(
        Table(
            checklist.name,
            checklist.title,
            [
                {
                    "item": number,
                    "topic": topic,
                    "filled": _filled(known.get(key)),
                    "answer": known.get(key) or BLANK,
                }
                for number, topic, key in checklist.items
            ],
        )
        for checklist in CHECKLISTS
    )


def _filled(answer: str | None) -> str:
    if not answer:
        return "no"
    return "partly" if THE_REST in answer else "yes"


def facts(study: Study) -> dict[str, str]:
    """Key -> what the software knows of the study; a key that is missing is not known."""
    return {
        **_about_study(study),
        **_about_patients(study),
        **(_about_extraction(study) if extracted_here(study) else _about_a_table(study)),
        **_about_modelling(study),
        **_about_evaluation(study),
        **_about_bias(study),
    }


def _about_study(study: Study) -> dict[str, str]:
    kind = "Development with internal evaluation" if study.record else "External evaluation of a model"
    if study.record and study.external is not None:
        kind = "Development with internal and external evaluation"
    tables = ", ".join(study.sources)
    software = ", ".join(f"{name} {version}" for name, version in versions(study).items())
    return {
        "purpose": f"{kind}, of response (CR or PR) to the first TACE",
        "sources": f"Read from {tables} (sha256 in Parameters); origin for the authors" if tables else "",
        "checklists": "TRIPOD+AI, CLEAR, METRICS, PROBAST+AI and CLAIM, prepared on this page",
        "code": f"TACEResponse, Apache-2.0; versions: {software}",
        "model_file": f"Bundle {study.manifest.id}, sha256 of every file in Parameters"
        if study.manifest
        else "",
        "system": "The bundle answers in 3D Slicer and on the command line of TACEResponse",
        "pipeline": "Steps in order under Methods; a drawing is for the authors",
        "bad_input": "Images and masks are checked and refused by name; a case unlike the "
        "training cases is a warning",
    }


def _about_patients(study: Study) -> dict[str, str]:
    groups = [(n, g) for n, g in (("training", study.training), ("validation", study.external)) if g]
    sample = "; ".join(
        f"{name}: {len(group)} patients, {group.outcome.responders} responders" for name, group in groups
    )
    centers = sorted({c for _, group in groups for c in group.table.centers if c})
    clinical = any(any(column) for _, group in groups for column in clinical_columns(group).values())
    both = study.training is not None and study.external is not None
    return {
        "sample": f"{sample}; needed: table of patients needed; how the size was reached is for the authors",
        "centres": f"{len(centers)}: {', '.join(centers)}" if centers else "",
        "outcome": "1 for CR or PR, 0 for SD or PD, as the table gives it; who read it and when is for the "
        "authors",
        "missing": f"{len(study.left_out)} patients left out, each with the reason; nothing was imputed",
        "flow": "Flow of patients",
        "characteristics": "Tables 1A and 1B" if clinical else "",
        "clinical": "Rows of Table 1; they are not part of the models" if clinical else "",
        "cohorts": "Table 1A compares both cohorts" if both else "",
    }


def _about_extraction(study: Study) -> dict[str, str]:
    radiomics, group = study.model.settings.radiomics, study.training or study.external
    spacing = radiomics.resampled_spacing_mm
    grid = "the image's own" if spacing is None else " x ".join(f"{s:g}" for s in spacing) + " mm"
    levels = (
        f"bins of {radiomics.bin_width:g}" if radiomics.bin_count is None else f"{radiomics.bin_count} bins"
    )
    resampling = f"Voxels: {grid}; image {radiomics.interpolator}, mask nearest neighbour"
    sigmas = ", ".join(f"{s:g}" for s in radiomics.log_sigmas_mm)
    return {
        "preprocessing": f"{resampling}; geometry, labels and HU checked for every patient",
        "resampling": resampling,
        "discretisation": f"Grey levels: {levels}",
        "image_types": f"{', '.join(radiomics.image_types)}; LoG sigmas {sigmas} mm; "
        f"wavelet {radiomics.wavelet}",
        "extraction": f"Engine {study.model.engine}, features as pyradiomics defines them",
        "classes": ", ".join(radiomics.features),
        "features": f"{len(group.table.feature_names)} features a patient",
        "parameters": "Every parameter in the table Parameters",
    }


def _about_a_table(study: Study) -> dict[str, str]:
    """What can be said of features that were extracted elsewhere."""
    group = study.training or study.external
    known = {"features": f"{len(group.table.feature_names)} features a patient, read from a table"}
    version = next((row.get("diagnostics_Versions_PyRadiomics") for row in group.table.diagnostics), None)
    if version:
        known["extraction"] = f"pyradiomics {version}, as the feature table says"
        known["parameters"] = "As the feature table says, in the table Parameters"
    return known


def _about_modelling(study: Study) -> dict[str, str]:
    settings = study.model.settings
    sample = len(study.model.training.patient_ids)
    tuned, rule = settings.classifiers == "tuned", settings.selection
    found, icc = study.reliability, settings.reliability
    network = study.model.needs_picture
    known = {
        "scaling": "Features standardised on the patients of each fit",
        "models": ", ".join(map(title, study.singles))
        + "; those of the paper with the defaults of R" * (not tuned)
        + "; tuned" * tuned,
        "tuning": "By grid search on inner folds" if tuned else "None: the defaults of R",
        "imbalance": "Classes weighted equally" if tuned else "Not corrected in the classical models",
        "output": "Probability of response; threshold by Youden's index on out-of-fold probabilities",
        "headline": f"Fixed beforehand: {study.model.headline}",
        "selection": f"Recursive elimination as caret's inside each fold: {rule.trees} trees, "
        f"{rule.folds} folds",
        "redundant": f"Correlation above {rule.max_correlation:g} dropped"
        if rule.max_correlation < 1
        else "",
        "dimensions": f"{len(study.model.models.selected)} features, {sample} training patients",
    }
    if network:
        known["imbalance"] += "; training pictures of the CNN balanced by augmentation"
        known["explanation"] = (
            "For each patient: maps of what the CNN looks at, Shapley values of the features"
        )
    if found is not None:
        readers = f"{found.icc.readers} readers, {len(found.patients)} patients"
        known["reliability"] = (
            f"{found.icc.form} above {icc.threshold:g}, {readers}; who they are is {THE_REST}"
        )
        known["feature_results"] = "Tables S1 and S2, figures under Features"
    elif study.record is not None and "select" in study.record.final.steps:
        known["feature_results"] = "Table S2, figures under Features; no second reader"
    return known


def _about_evaluation(study: Study) -> dict[str, str]:
    settings, centers = study.model.settings, [len(group.by_center()) > 1 for group in study.scored]
    repeats = counted(settings.repeats, "repeat")
    folds = f"{settings.folds} stratified folds, {repeats}, seed {settings.seed}"
    inside = "everything that sees a label inside the fold"
    external = "" if study.external is None or study.fitted else f"{len(study.external)} patients"
    known = {
        "split": f"{folds}; {inside}; external cohort: {external or 'none'}",
        "internal": f"{folds}; {inside}",
        "testing": f"Internal: {folds}; external: {external or 'none'}",
        "external": f"{external}, looked at once, after training" if external else "",
        "by_centre": "Table of AUC, centre by centre" if any(centers) else "",
        "metrics": "AUC, sensitivity, specificity, PPV, NPV, accuracy, Brier, calibration, net benefit",
        "uncertainty": "95 % intervals: AUC out of fold with the variance of training, external after "
        "Newcombe; proportions after Wilson",
        "comparison": "Paired tests: out of fold with the variance of training, external DeLong's or an "
        "exchange of ranks; adjusted after Holm",
        "calibration": "Plot, slope, intercept, Brier score, expected calibration error",
        "performance": "Tables 2 and S3, figures under Performance",
    }
    if "size" in study.models:
        known["size"] = "Tumour size alone is one of the models: Table 2, first sentence of this page"
    if {"linear", "logistic"} <= set(study.models):
        known["simple"] = "A linear and a logistic model are among the models: Table 2"
    return known


def _about_bias(study: Study) -> dict[str, str]:
    """Answers to what only PROBAST+AI and CLAIM ask."""
    both, network = study.record is not None and study.reliability is not None, study.model.needs_picture
    several = any(group.patients.outcome.readers is not None for group in study.scored)
    known = {
        "readers": "Kappa of the readers in the table of their agreement; the rest is for the authors"
        if several
        else "",
        "enough": "Riley's criteria in the table of patients needed, with the shrinkage to be expected",
        "continuous": "Features and diameters enter as numbers, none is cut into groups",
        "ensemble": f"{study.model.settings.fusion.method} of the calibrated models",
        "variability": "ICC of two readers' features, Table S1" if both else "",
        "subgroups": "Table of subgroups, Table 2",
        "errors": "Confusion matrices, and the score of every patient; examples are for the authors",
        "as_they_are": "Every figure is of the patients as they came, none was drawn twice",
    }
    if extracted_here(study):
        known["blinded"] = (
            "Features are computed by software without the labels; who drew the outlines, and what they "
            f"knew, is {THE_REST}"
        )
        known["before_treatment"] = (
            f"Features of one scan and nothing later; when the scan was made is {THE_REST}"
        )
    return known | (_about_training(network) if study.record is not None else {})


def _about_training(network: bool) -> dict[str, str]:
    """Answers that a training knows and a validation of a finished model does not."""
    return {
        "recalibrated": "Every model is calibrated on out-of-fold scores of patients as they came",
        "overfitting": "Selection, tuning, fusion and calibration inside the fold; optimism in a table; the "
        "number of features is fixed or limited",
        "beyond_apparent": "Out-of-fold figures first; resubstitution stands once, as optimism",
        "no_leak": "Folds part patients, and rows of one group stay together; one CT under two IDs is "
        "refused",
        "every_step": "Harmonisation, selection, models, fusion, calibration and threshold are fitted anew "
        "without the patients that are scored",
        "initialisation": "The CNN starts at random from the seed; nothing is transferred" if network else "",
    }
