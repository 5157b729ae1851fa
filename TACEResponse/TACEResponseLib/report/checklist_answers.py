"""What the software can answer of the reporting checklists; everything else stays blank and says so."""

from TACEResponseLib.messages.language import listed, mark, several, tr
from TACEResponseLib.models.combination import title

from .checklists import CHECKLISTS
from .methods import extracted_here, versions
from .patients import clinical_columns
from .study import Study
from .table import Table

#: Ways of putting models together, in words.
FUSIONS = {"average": mark("average"), "stacking": mark("stacking"), "mean": mark("mean")}
#: What stands where the software knows nothing, or not everything.
BLANK, THE_REST = mark("for the authors to fill in"), mark("for the authors")


def checklist_tables(study: Study) -> tuple[Table, ...]:
    """Each checklist with its answers: item, topic, filled (yes, partly, no), what the report says."""
    known = facts(study)
    return tuple(
        Table(
            checklist.name,
            tr(checklist.title),
            [
                {
                    "item": number,
                    "topic": tr(topic),
                    "filled": _filled(known.get(key)),
                    "answer": known.get(key) or tr(BLANK),
                }
                for number, topic, key in checklist.items
            ],
        )
        for checklist in CHECKLISTS
    )


def _filled(answer: str | None) -> str:
    if not answer:
        return tr("no")
    return tr("partly") if tr(THE_REST) in answer else tr("yes")


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
    kind = tr("External evaluation of a model, of response (CR or PR) to the first TACE")
    if study.record and study.external is not None:
        kind = tr(
            "Development with internal and external evaluation, of response (CR or PR) to the first TACE"
        )
    elif study.record:
        kind = tr("Development with internal evaluation, of response (CR or PR) to the first TACE")
    tables = listed(study.sources)
    software = listed(f"{name} {version}" for name, version in versions(study).items())
    bundle = study.manifest.id if study.manifest else ""
    return {
        "purpose": kind,
        "sources": tr("Read from {tables} (sha256 in Parameters); origin for the authors", tables=tables)
        if tables
        else "",
        "checklists": tr("TRIPOD+AI, CLEAR, METRICS, PROBAST+AI and CLAIM, prepared on this page"),
        "code": tr("TACEResponse, Apache-2.0; versions: {versions}", versions=software),
        "model_file": tr("Bundle {bundle}, sha256 of every file in Parameters", bundle=bundle)
        if bundle
        else "",
        "system": tr("The bundle answers in 3D Slicer and on the command line of TACEResponse"),
        "pipeline": tr("Steps in order under Methods; a drawing is for the authors"),
        "bad_input": tr(
            "Images and masks are checked and refused by name; a case unlike the training cases is a warning"
        ),
    }


def _about_patients(study: Study) -> dict[str, str]:
    parts = ((tr("training"), study.training), (tr("validation"), study.external))
    groups = [(name, group) for name, group in parts if group]
    sample = tr("; ").join(
        tr(
            "{name}: {patients} patients, {responders} responders",
            name=name,
            patients=len(group),
            responders=group.outcome.responders,
        )
        for name, group in groups
    )
    centers = sorted({c for _, group in groups for c in group.table.centers if c})
    clinical = any(any(column) for _, group in groups for column in clinical_columns(group).values())
    both = study.training is not None and study.external is not None
    return {
        "sample": tr(
            "{sample}; needed: table of patients needed; how the size was reached is for the authors",
            sample=sample,
        ),
        "centres": tr("{n}: {centres}", n=len(centers), centres=listed(centers)) if centers else "",
        "outcome": tr(
            "1 for CR or PR, 0 for SD or PD, as the table gives it; who read it and when is for the authors"
        ),
        "missing": tr(
            "{n} patients left out, each with the reason; nothing was imputed", n=len(study.left_out)
        ),
        "flow": tr("Flow of patients"),
        "characteristics": tr("Tables 1A and 1B") if clinical else "",
        "clinical": tr("Rows of Table 1; they are not part of the models") if clinical else "",
        "cohorts": tr("Table 1A compares both cohorts") if both else "",
    }


def _about_extraction(study: Study) -> dict[str, str]:
    radiomics, group = study.model.settings.radiomics, study.training or study.external
    spacing = radiomics.resampled_spacing_mm
    grid = tr("the image's own") if spacing is None else " x ".join(f"{s:g}" for s in spacing) + " mm"
    resampling = tr(
        "Voxels: {grid}; image {interpolator}, mask nearest neighbour",
        grid=grid,
        interpolator=radiomics.interpolator,
    )
    return {
        "preprocessing": tr(
            "{resampling}; geometry, labels and HU checked for every patient", resampling=resampling
        ),
        "resampling": resampling,
        "discretisation": tr("Grey levels: bins of {width:g}", width=radiomics.bin_width)
        if radiomics.bin_count is None
        else tr("Grey levels: {n} bins", n=radiomics.bin_count),
        "image_types": tr(
            "{types}; LoG sigmas {sigmas} mm; wavelet {wavelet}",
            types=listed(radiomics.image_types),
            sigmas=listed(f"{s:g}" for s in radiomics.log_sigmas_mm),
            wavelet=radiomics.wavelet,
        ),
        "extraction": tr("Engine {engine}, features as pyradiomics defines them", engine=study.model.engine),
        "classes": listed(radiomics.features),
        "features": tr("{n} features a patient", n=len(group.table.feature_names)),
        "parameters": tr("Every parameter in the table Parameters"),
    }


def _about_a_table(study: Study) -> dict[str, str]:
    """What can be said of features that were extracted elsewhere."""
    group = study.training or study.external
    number = len(group.table.feature_names)
    known = {"features": tr("{n} features a patient, read from a table", n=number)}
    version = next((row.get("diagnostics_Versions_PyRadiomics") for row in group.table.diagnostics), None)
    if version:
        known["extraction"] = tr("pyradiomics {version}, as the feature table says", version=version)
        known["parameters"] = tr("As the feature table says, in the table Parameters")
    return known


def _about_modelling(study: Study) -> dict[str, str]:
    settings = study.model.settings
    tuned, rule = settings.classifiers == "tuned", settings.selection
    named = listed(map(title, study.singles))
    known = {
        "scaling": tr("Features standardised on the patients of each fit"),
        "models": tr("{models}; tuned", models=named)
        if tuned
        else tr("{models}; those of the paper with the defaults of R", models=named),
        "tuning": tr("By grid search on inner folds") if tuned else tr("None: the defaults of R"),
        "imbalance": _imbalance(study),
        "output": tr("Probability of response; threshold by Youden's index on out-of-fold probabilities"),
        "headline": tr("Fixed beforehand: {model}", model=study.model.headline),
        "selection": tr(
            "Recursive elimination as caret's inside each fold: {trees} trees, {folds} folds",
            trees=rule.trees,
            folds=rule.folds,
        ),
        "redundant": tr("Correlation above {limit:g} dropped", limit=rule.max_correlation)
        if rule.max_correlation < 1
        else "",
        "dimensions": tr(
            "{n} features, {patients} training patients",
            n=len(study.model.models.selected),
            patients=len(study.model.training.patient_ids),
        ),
    }
    if study.model.needs_picture:
        known["explanation"] = tr(
            "For each patient: maps of what the CNN looks at, Shapley values of the features"
        )
    return known | _about_readers(study)


def _imbalance(study: Study) -> str:
    """What was done about classes of different size, in the classical models and in the CNN."""
    tuned, network = study.model.settings.classifiers == "tuned", study.model.needs_picture
    if tuned and network:
        return tr("Classes weighted equally; training pictures of the CNN balanced by augmentation")
    if network:
        return tr(
            "Not corrected in the classical models; training pictures of the CNN balanced by augmentation"
        )
    return tr("Classes weighted equally") if tuned else tr("Not corrected in the classical models")


def _about_readers(study: Study) -> dict[str, str]:
    """Whether the features were the same by two readers' outlines, and where that is shown."""
    found, limit = study.reliability, study.model.settings.reliability.threshold
    if found is not None:
        return {
            "reliability": tr(
                "{form} above {limit:g}, {readers} readers, {patients} patients; who they are is for the "
                "authors",
                form=found.icc.form,
                limit=limit,
                readers=found.icc.readers,
                patients=len(found.patients),
            ),
            "feature_results": tr("Tables S1 and S2, figures under Features"),
        }
    if study.record is not None and "select" in study.record.final.steps:
        return {"feature_results": tr("Table S2, figures under Features; no second reader")}
    return {}


def _about_evaluation(study: Study) -> dict[str, str]:
    centers = [len(group.by_center()) > 1 for group in study.scored]
    folds = _folds(study)
    external = "" if study.external is None or study.fitted else len(study.external)
    beside = tr("{n} patients", n=external) if external else tr("none")
    known = {
        "split": tr("{folds}; external cohort: {external}", folds=_inside(folds), external=beside),
        "internal": _inside(folds),
        "testing": tr("Internal: {folds}; external: {external}", folds=folds, external=beside),
        "external": tr("{n} patients, looked at once, after training", n=external) if external else "",
        "by_centre": tr("Table of AUC, centre by centre") if any(centers) else "",
        "metrics": tr("AUC, sensitivity, specificity, PPV, NPV, accuracy, Brier, calibration, net benefit"),
        "uncertainty": tr(
            "95 % intervals: AUC out of fold with the variance of training, external after Newcombe; "
            "proportions after Wilson"
        ),
        "comparison": tr(
            "Paired tests: out of fold with the variance of training, external DeLong's or an exchange of "
            "ranks; adjusted after Holm"
        ),
        "calibration": tr("Plot, slope, intercept, Brier score, expected calibration error"),
        "performance": tr("Tables 2 and S3, figures under Performance"),
    }
    if "size" in study.models:
        known["size"] = tr("Tumour size alone is one of the models: Table 2, first sentence of this page")
    if {"linear", "logistic"} <= set(study.models):
        known["simple"] = tr("A linear and a logistic model are among the models: Table 2")
    return known


def _folds(study: Study) -> str:
    settings = study.model.settings
    return tr(
        "{folds} stratified folds, {repeats}, seed {seed}",
        folds=settings.folds,
        repeats=several(settings.repeats, "1 repeat", "{n} repeats"),
        seed=settings.seed,
    )


def _inside(folds: str) -> str:
    return tr("{folds}; everything that sees a label inside the fold", folds=folds)


def _about_bias(study: Study) -> dict[str, str]:
    """Answers to what only PROBAST+AI and CLAIM ask."""
    two_readers = study.record is not None and study.reliability is not None
    several_read = any(group.patients.outcome.readers is not None for group in study.scored)
    method = study.model.settings.fusion.method
    known = {
        "readers": tr("Kappa of the readers in the table of their agreement; the rest is for the authors")
        if several_read
        else "",
        "enough": tr("Riley's criteria in the table of patients needed, with the shrinkage to be expected"),
        "continuous": tr("Features and diameters enter as numbers, none is cut into groups"),
        "ensemble": tr("{method} of the calibrated models", method=tr(FUSIONS[method])),
        "variability": tr("ICC of two readers' features, Table S1") if two_readers else "",
        "subgroups": tr("Table of subgroups, Table 2"),
        "errors": tr("Confusion matrices, and the score of every patient; examples are for the authors"),
        "as_they_are": tr("Every figure is of the patients as they came, none was drawn twice"),
    }
    if extracted_here(study):
        known["blinded"] = tr(
            "Features are computed by software without the labels; who drew the outlines, and what they "
            "knew, is for the authors"
        )
        known["before_treatment"] = tr(
            "Features of one scan and nothing later; when the scan was made is for the authors"
        )
    return known | (_about_training(study.model.needs_picture) if study.record is not None else {})


def _about_training(network: bool) -> dict[str, str]:
    """Answers that a training knows and a validation of a finished model does not."""
    return {
        "recalibrated": tr("Every model is calibrated on out-of-fold scores of patients as they came"),
        "overfitting": tr(
            "Selection, tuning, fusion and calibration inside the fold; optimism in a table; the number of "
            "features is fixed or limited"
        ),
        "beyond_apparent": tr("Out-of-fold figures first; resubstitution stands once, as optimism"),
        "no_leak": tr(
            "Folds part patients, and rows of one group stay together; one CT under two IDs is refused"
        ),
        "every_step": tr(
            "Harmonisation, selection, models, fusion, calibration and threshold are fitted anew without "
            "the patients that are scored"
        ),
        "initialisation": tr("The CNN starts at random from the seed; nothing is transferred")
        if network
        else "",
    }
