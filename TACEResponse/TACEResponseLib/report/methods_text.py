"""The text of the methods for a manuscript, filled in from the run, as Markdown with `[@key]` citations.

It says what the software did. What only the authors know is marked `AUTHORS` and stays for them.
"""

from collections import Counter
from collections.abc import Iterable

from TACEResponseLib.answer.phases import phase_title
from TACEResponseLib.messages.language import listed, mark, several, tr
from TACEResponseLib.models.combination import title
from TACEResponseLib.models.learners import LEARNERS

from .headline import instead_of_planned
from .methods import extracted_here, final_selection, versions
from .methods_evaluation import evaluation
from .study import Study

BEGIN = mark(
    "This text was written by TACEResponse from the settings and counts of this run. Check every sentence, "
    "and replace what is marked AUTHORS. Citations stand in references.bib."
)
FUSIONS = {
    "average": mark("the mean of the log-odds of the calibrated models"),
    "stacking": mark("a logistic model of the models' scores (stacking)"),
    "mean": mark("the mean of the models' probabilities"),
}
RULES = {
    "number": mark("the number of features was fixed at {number}"),
    "best": mark("the number of features with the best accuracy was taken"),
    "tolerance": mark("the smallest number within {tolerance:g} % of the best accuracy was taken"),
}


def methods_text(study: Study) -> str:
    """The whole text: a heading a part, a paragraph a part."""
    parts = {
        tr("Patients"): _patients(study),
        tr("Images and features"): _features(study),
        tr("Selection of features"): _selection(study),
        tr("Models"): _models(study),
        tr("Evaluation"): evaluation(study),
        tr("Sample size and stability"): _sample_size(study),
        tr("Software"): _software(study),
    }
    written = {heading: tr(" ").join(filter(None, sentences)) for heading, sentences in parts.items()}
    paragraphs = (f"## {heading}\n\n{text}\n" for heading, text in written.items() if text)
    return "\n".join([f"# {tr('Methods')}\n", f"*{tr(BEGIN)}*\n", *paragraphs])


def _patients(study: Study) -> Iterable[str]:
    cohorts = ((tr("training"), study.training), (tr("external validation"), study.external))
    for name, group in cohorts:
        if group is not None:
            yield _cohort(name, group)
    if study.left_out:
        yield several(
            len(study.left_out),
            "1 patient of the table could not be used; nothing was imputed.",
            "{n} patients of the table could not be used; nothing was imputed.",
        )
    yield tr("AUTHORS: setting, dates, eligibility, treatment and ethics approval.")
    yield tr(
        "The outcome was objective response (complete or partial response) to the first transarterial "
        "chemoembolization by mRECIST [@lencioni2010]. AUTHORS: who read it, when, and blinded to what."
    )


def _cohort(name: str, group) -> str:
    """How many patients, centres and responders the cohort held."""
    patients = several(len(group), "1 patient", "{n} patients")
    responders = several(group.outcome.responders, "1 responder", "{n} responders")
    centers = {center for center in group.table.centers if center}
    if len(centers) > 1:
        patients = tr("{patients} from {centers} centres", patients=patients, centers=len(centers))
    return tr(
        "The {name} cohort held {patients}, {responders}.",
        name=name,
        patients=patients,
        responders=responders,
    )


def _features(study: Study) -> Iterable[str]:
    group = study.training or study.external
    number = len(group.table.feature_names)
    if not extracted_here(study):
        yield tr(
            "The {n} features a patient were read from a table. AUTHORS: how they were extracted.", n=number
        )
        return
    radiomics = study.model.settings.radiomics
    yield _phases(study)
    if radiomics.resampled_spacing_mm is not None:
        grid = " x ".join(f"{mm:g}" for mm in radiomics.resampled_spacing_mm)
        yield tr(
            "CTs were resampled to {grid} mm ({interpolator}), masks by nearest neighbour.",
            grid=grid,
            interpolator=radiomics.interpolator,
        )
    yield tr(
        "{n} features as pyradiomics defines them [@vangriethuysen2017] were measured in the tumour "
        "({classes}; grey levels in {levels}) on these images: {images}.",
        n=number,
        classes=listed(radiomics.features),
        levels=_levels(radiomics),
        images=listed(map(_image_type(radiomics), radiomics.image_types)),
    )


def _phases(study: Study) -> str:
    """The phases of the CTs where scans or the cohort's table tell them, and what only the authors know."""
    groups = (group for group in (study.training, study.external) if group is not None)
    counts = Counter(phase for group in groups for phase in group.table.phases)
    if not any(counts):
        return tr("AUTHORS: scanner, protocol and phase of the CT; who outlined the tumours, and with what.")
    phases = listed(
        tr("{phase} ({n})", phase=phase_title(phase) if phase else tr("not known"), n=n)
        for phase, n in counts.most_common()
    )
    return tr(
        "Phase of the CT (patients): {phases}. AUTHORS: scanner and protocol of the CT; who outlined the "
        "tumours, and with what.",
        phases=phases,
    )


def _levels(radiomics) -> str:
    if radiomics.bin_count is None:
        return tr("bins of {width:g} HU", width=radiomics.bin_width)
    return tr("{n} bins", n=radiomics.bin_count)


def _image_type(radiomics):
    """How an image type is named with its settings."""
    sigmas = listed(f"{sigma:g}" for sigma in radiomics.log_sigmas_mm)
    names = {
        "Original": tr("the original"),
        "LoG": tr("Laplacian of Gaussian (sigma {sigmas} mm)", sigmas=sigmas),
        "Wavelet": tr("wavelet ({wavelet})", wavelet=radiomics.wavelet),
    }
    return lambda image_type: names.get(image_type, image_type)


def _selection(study: Study) -> Iterable[str]:
    if study.reliability is not None:
        yield _two_readers(study.reliability)
    if study.model.settings.harmonisation == "combat":
        yield tr("Features were harmonised between centres by ComBat [@johnson2007; @fortin2018].")
    if final_selection(study) is not None:
        rule = study.model.settings.selection
        yield tr(
            "Features were chosen by recursive elimination [@guyon2002] with random forests of {trees} trees "
            "and {folds} folds as in the R package caret [@kuhn2008]; {rule}.",
            trees=rule.trees,
            folds=rule.folds,
            rule=tr(RULES[rule.rule], number=rule.number, tolerance=rule.tolerance_percent),
        )
        yield several(
            len(study.model.models.selected),
            "The final model uses 1 feature.",
            "The final model uses {n} features.",
        )


def _two_readers(found) -> str:
    """Which features the readers' outlines agreed on."""
    estimate = found.settings.compare == "estimate"
    return tr(
        "{readers} readers outlined {patients}; features whose {form} [@mcgraw1996] was above "
        "{threshold:g} ({by}) were kept: {kept} of {n}.",
        readers=found.icc.readers,
        patients=several(len(found.patients), "1 patient", "{n} patients"),
        form=found.icc.form,
        threshold=found.settings.threshold,
        by=tr("estimate") if estimate else tr("lower confidence bound"),
        kept=len(found.kept_features),
        n=len(found.features),
    )


def _models(study: Study) -> Iterable[str]:
    settings = study.model.settings
    named = listed(tr(LEARNERS[name].sourced) or title(name) for name in study.singles)
    if settings.classifiers == "tuned":
        yield tr("Models: {models}; those of features tuned by grid search on inner folds.", models=named)
    else:
        yield tr("Models: {models}; those of features with the defaults of R.", models=named)
    for name in study.record.out_of_fold.uninformative if study.record is not None else ():
        model = title(name)
        yield tr(
            "{model} was planned and left out: it gave every patient of a fold the same score.",
            model=model[0].upper() + model[1:],
        )
    if settings.network is not None and study.model.needs_picture:
        yield _network(settings.network, settings.patch)
    yield tr(
        "The scores of each model were turned into probabilities by logistic calibration on out-of-fold "
        "scores. Models were combined by {fusion}.",
        fusion=tr(FUSIONS[settings.fusion.method]),
    )
    judged = tr(
        "The model to be judged, {model}, was fixed before training.", model=title(study.model.headline)
    )
    yield instead_of_planned(study) or judged


def _network(network, patch) -> str:
    """What the CNN saw and how it was trained."""
    low, high = patch.window_hu
    return tr(
        "The CNN saw the axial slice with the largest section of the tumour and {margin:g} mm around it as "
        "{size} x {size} pixels, {low:g} to {high:g} HU as 0 to 1; it was trained with Adam (learning rate "
        "{rate:g}, batches of {batch}, at most {epochs} epochs, early stopping on {share:g} % of the "
        "training patients).",
        margin=patch.margin_mm,
        size=patch.size_px,
        low=low,
        high=high,
        rate=network.learning_rate,
        batch=network.batch_size,
        epochs=network.epochs,
        share=100 * network.inner_validation,
    )


def _sample_size(study: Study) -> Iterable[str]:
    needs = "[@riley2019; @riley2021]" if study.record is not None else "[@riley2021]"
    yield tr("The number of patients needed was calculated by Riley's criteria {citation}.", citation=needs)
    if study.refits is not None:
        yield several(
            max((len(of) for of in study.refits.bootstrap.values()), default=0),
            "The whole training was repeated on 1 bootstrap resample to describe the instability of the "
            "probabilities [@riley2023].",
            "The whole training was repeated on {n} bootstrap resamples to describe the instability of the "
            "probabilities [@riley2023].",
        )
    if len(study.by_center) > 1:
        yield tr(
            "Each of {n} centres was held out in turn; the mean AUC is of random effects with the interval "
            "of Hartung and Knapp [@hartung2001].",
            n=len(study.by_center),
        )
    if study.controls is not None:
        yield tr(
            "As negative controls the same recipe was trained where there is no tumour texture to be found."
        )


def _software(study: Study) -> Iterable[str]:
    named = listed(f"{name} {version}" for name, version in versions(study).items())
    bundle = study.manifest.id if study.manifest else study.model.identity
    yield tr("TACEResponse and its packages: {versions}.", versions=named)
    if bundle:
        yield tr("Model {bundle}.", bundle=bundle)
