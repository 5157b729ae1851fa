"""The text of the methods for a manuscript, filled in from the run, as Markdown with `[@key]` citations.

It says what the software did. What only the authors know is marked `AUTHORS` and stays for them.
"""

from collections.abc import Iterable

from TACEResponseLib.messages.errors import counted
from TACEResponseLib.models.combination import title
from TACEResponseLib.models.learners import LEARNERS

from .methods import extracted_here, final_selection, versions
from .performance import SIGNIFICANT
from .study import Study

BEGIN = (
    "This text was written by TACEResponse from the settings and counts of this run. Check every sentence, "
    "and replace what is marked AUTHORS. Citations stand in references.bib."
)
FUSIONS = {
    "average": "the mean of the log-odds of the calibrated models",
    "stacking": "a logistic model of the models' scores (stacking)",
    "mean": "the mean of the models' probabilities",
}
RULES = {
    "number": "the number of features was fixed at {0.number}",
    "best": "the number of features with the best accuracy was taken",
    "tolerance": "the smallest number within {0.tolerance_percent:g} % of the best accuracy was taken",
}


def methods_text(study: Study) -> str:
    """The whole text: a heading a part, a paragraph a part."""
    parts = {
        "Patients": _patients(study),
        "Images and features": _features(study),
        "Selection of features": _selection(study),
        "Models": _models(study),
        "Evaluation": _evaluation(study),
        "Sample size and stability": _sample_size(study),
        "Software": _software(study),
    }
    written = {heading: " ".join(filter(None, sentences)) for heading, sentences in parts.items()}
    paragraphs = (f"## {heading}\n\n{text}\n" for heading, text in written.items() if text)
    return "\n".join(["# Methods\n", f"*{BEGIN}*\n", *paragraphs])


def _patients(study: Study) -> Iterable[str]:
    for name, group in (("training", study.training), ("external validation", study.external)):
        if group is not None:
            responders = counted(group.outcome.responders, "responder")
            centers = {center for center in group.table.centers if center}
            where = f" from {len(centers)} centres" if len(centers) > 1 else ""
            yield f"The {name} cohort held {counted(len(group), 'patient')}{where}, {responders}."
    if study.left_out:
        left_out = counted(len(study.left_out), "patient")
        yield f"{left_out} of the table could not be used; nothing was imputed."
    yield "AUTHORS: setting, dates, eligibility, treatment and ethics approval."
    yield (
        "The outcome was objective response (complete or partial response) to the first transarterial "
        "chemoembolization by mRECIST [@lencioni2010]. AUTHORS: who read it, when, and blinded to what."
    )


def _features(study: Study) -> Iterable[str]:
    group = study.training or study.external
    number = len(group.table.feature_names)
    if not extracted_here(study):
        yield f"The {number} features a patient were read from a table. AUTHORS: how they were extracted."
        return
    radiomics = study.model.settings.radiomics
    spacing = radiomics.resampled_spacing_mm
    yield "AUTHORS: scanner, protocol and phase of the CT; who outlined the tumours, and with what."
    if spacing is not None:
        grid = " x ".join(f"{mm:g}" for mm in spacing)
        yield f"CTs were resampled to {grid} mm ({radiomics.interpolator}), masks by nearest neighbour."
    levels = (
        f"bins of {radiomics.bin_width:g} HU"
        if radiomics.bin_count is None
        else f"{radiomics.bin_count} bins"
    )
    yield (
        f"{number} features as pyradiomics defines them [@vangriethuysen2017] were measured in the "
        f"tumour ({', '.join(radiomics.features)}; grey levels in {levels}) on these images: "
        f"{', '.join(map(_image_type(radiomics), radiomics.image_types))}."
    )


def _image_type(radiomics):
    """How an image type is named with its settings."""
    sigmas = ", ".join(f"{sigma:g}" for sigma in radiomics.log_sigmas_mm)
    names = {
        "Original": "the original",
        "LoG": f"Laplacian of Gaussian (sigma {sigmas} mm)",
        "Wavelet": f"wavelet ({radiomics.wavelet})",
    }
    return lambda image_type: names.get(image_type, image_type)


def _selection(study: Study) -> Iterable[str]:
    found, selection = study.reliability, final_selection(study)
    if found is not None:
        by = "estimate" if found.settings.compare == "estimate" else "lower confidence bound"
        yield (
            f"{found.icc.readers} readers outlined {counted(len(found.patients), 'patient')}; features whose "
            f"{found.icc.form} [@mcgraw1996] was above {found.settings.threshold:g} ({by}) were kept: "
            f"{len(found.kept_features)} of {len(found.features)}."
        )
    if study.model.settings.harmonisation == "combat":
        yield "Features were harmonised between centres by ComBat [@johnson2007; @fortin2018]."
    if selection is not None:
        rule = study.model.settings.selection
        yield (
            "Features were chosen by recursive elimination [@guyon2002] with random forests of "
            f"{rule.trees} trees and {rule.folds} folds as in the R package caret [@kuhn2008]; "
            f"{RULES[rule.rule].format(rule)}. The final model uses "
            f"{counted(len(study.model.models.selected), 'feature')}."
        )


def _models(study: Study) -> Iterable[str]:
    settings = study.model.settings
    how = (
        "tuned by grid search on inner folds" if settings.classifiers == "tuned" else "with the defaults of R"
    )
    named = ", ".join(LEARNERS[name].sourced or title(name) for name in study.singles)
    yield f"Models: {named}; those of features {how}."
    network, patch = settings.network, settings.patch
    if network is not None and study.model.needs_picture:
        low, high = patch.window_hu
        yield (
            f"The CNN saw the axial slice with the largest section of the tumour and {patch.margin_mm:g} mm "
            f"around it as {patch.size_px} x {patch.size_px} pixels, {low:g} to {high:g} HU as 0 to 1; it "
            f"was trained with Adam (learning rate {network.learning_rate:g}, batches of "
            f"{network.batch_size}, at most {network.epochs} epochs, early stopping on "
            f"{100 * network.inner_validation:g} % of the training patients)."
        )
    yield (
        "The scores of each model were turned into probabilities by logistic calibration on out-of-fold "
        f"scores. Models were combined by {FUSIONS[settings.fusion.method]}. The model to be judged, "
        f"{title(study.model.headline)}, was fixed before training."
    )


def _evaluation(study: Study) -> Iterable[str]:
    settings = study.model.settings
    if study.record is not None:
        repeats = counted(settings.repeats, "repeat")
        yield (
            f"Performance in the training cohort was estimated by {settings.folds}-fold cross-validation, "
            f"stratified by response ({repeats}, seed {settings.seed}). Harmonisation, selection, tuning, "
            "models, fusion, calibration and threshold were fitted without the fold that they were judged "
            "on. Patients were compared within a fold; the AUC is the mean over folds and repeats "
            "[@bates2024], its 95 % confidence interval is Newcombe's [@newcombe2006] at the effective "
            "number of patients, which counts the covariance of the folds."
        )
    if study.external is not None and not study.fitted:
        yield (
            "The external cohort was looked at once, after training. AUCs have Newcombe's intervals "
            "[@newcombe2006] and are compared by DeLong's paired test [@delong1988], with fewer than 20 "
            "patients of a class by an exchange of ranks [@bandos2005]."
        )
    if study.rival is not None:
        yield (
            f"One comparison was planned beforehand: with the {study.rival} as measured (two-sided, "
            f"significant below {SIGNIFICANT:g}). Other p-values were adjusted after Holm [@holm1979]."
        )
    yield (
        "The threshold is that of the largest Youden index [@youden1950] of the out-of-fold probabilities. "
        "Proportions have Wilson's intervals [@wilson1927]. Calibration is described by slope, intercept and "
        "Brier score [@brier1950], use by decision curves [@vickers2006]. AUTHORS: the reporting "
        "guideline, for example TRIPOD+AI [@collins2024], which the report has filled in."
    )


def _sample_size(study: Study) -> Iterable[str]:
    needs = "[@riley2019; @riley2021]" if study.record is not None else "[@riley2021]"
    yield f"The number of patients needed was calculated by Riley's criteria {needs}."
    if study.refits is not None:
        resamples = max((len(of) for of in study.refits.bootstrap.values()), default=0)
        yield (
            f"The whole training was repeated on {counted(resamples, 'bootstrap resample')} to describe the "
            "instability of the probabilities [@riley2023]."
        )
    if len(study.by_center) > 1:
        yield (
            f"Each of {len(study.by_center)} centres was held out in turn; the mean AUC is of random effects "
            "with the interval of Hartung and Knapp [@hartung2001]."
        )
    if study.controls is not None:
        yield "As negative controls the same recipe was trained where there is no tumour texture to be found."


def _software(study: Study) -> Iterable[str]:
    named = ", ".join(f"{name} {version}" for name, version in versions(study).items())
    bundle = study.manifest.id if study.manifest else study.model.identity
    yield f"TACEResponse and its packages: {named}." + (f" Model {bundle}." if bundle else "")
