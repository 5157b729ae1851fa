"""The options of the commands that make and try models."""

from pathlib import Path

from TACEResponseLib.messages.language import tr
from TACEResponseLib.settings import NetworkSettings

from .common_options import PAPER, Command, add_cohort, add_encoding, add_engine, add_jobs, add_preset

PAPER_NETWORK = NetworkSettings()


def add_train(command: Command) -> None:
    text = tr("train a model bundle from a cohort or a feature table")
    train = command("train", text, "--cohort cohort/ --out model")  # not a text
    add = train.add_argument_group(tr("patients: --cohort, or --features and --labels")).add_argument
    add("--cohort", type=Path, help=tr("Folder with cohort.csv or cohort.xlsx and images, or such a table."))
    add("--features", type=Path, metavar="FILE", help=tr("CSV with patient_id and one column per feature."))
    add("--labels", type=Path, metavar="FILE", help=tr("CSV with patient_id and label, for --features."))
    add_encoding(add)
    text = tr(
        "Whose response counts when there are several readers (default: {default}).", default=PAPER.outcome
    )
    add("--outcome", choices=("reader1", "majority", "soft"), help=text)
    add = train.add_argument_group(tr("model")).add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help=tr("Folder of the bundle; must be given."))
    add_preset(add)
    text = tr("Text on the cohort, for the beginning of the model card (default: none).")
    add("--about", type=Path, metavar="FILE", help=text)
    text = tr("Models with commas between (default: {default}).", default=",".join(PAPER.models))
    add("--models", metavar="NAMES", help=text)
    text = tr(
        "How features of the training centres are aligned (default: {default}).", default=PAPER.harmonisation
    )
    add("--harmonisation", choices=("none", "combat"), help=text)
    text = tr(
        "Model or fusion that answers, such as all or cnn+linear (default: {default}).",
        default=PAPER.fusion.headline,
    )
    add("--headline", metavar="NAME", help=text)
    add("--no-cnn", action="store_true", help=tr("Train the classical models alone."))
    text = tr("Longest training of the CNN (default: {default}).", default=PAPER_NETWORK.epochs)
    add("--epochs", type=int, help=text)
    text = tr("Where the CNN is trained (default: {default}).", default=PAPER_NETWORK.device)
    add("--device", choices=("auto", "cpu", "gpu"), help=text)
    add("--seed", type=int, help=tr("Random seed (default: {default}).", default=PAPER.seed))

    add = train.add_argument_group(tr("evaluation")).add_argument
    text = tr("Number of cross-validation folds, 3 to 50 (default: {default}).", default=PAPER.folds)
    add("--folds", type=int, help=text)
    text = tr("Number of cross-validation repeats (default: {default}).", default=PAPER.repeats)
    add("--repeats", type=int, help=text)
    add("--by-center", action="store_true", help=tr("Also hold out each centre in turn."))
    text = tr("Number of resamples for the stability report; 200 for a paper (default: %(default)s, none).")
    add("--stability", type=int, default=0, metavar="B", help=text)
    text = tr("Also train on shuffled labels and on regions without tumour texture.")
    add("--negative-control", action="store_true", help=text)
    add_engine(train.add_argument_group(tr("measurement")).add_argument, "fast")


def add_evaluate(command: Command) -> None:
    text = tr("evaluate a bundle on a cohort that it was not trained on")
    evaluate = command("evaluate", text, "--bundle model --cohort elsewhere/ --out evaluation")  # not a text
    add = add_cohort(evaluate)
    add("--bundle", type=Path, required=True, help=tr("Folder or zip of the model; must be given."))
    add("--out", type=Path, required=True, metavar="FOLDER", help=tr("Folder for the report; must be given."))
    text = tr("Accept patients that the model was trained on, and mark the report.")
    add("--allow-training-patients", action="store_true", help=text)
    text = tr("Write only aggregates.json: figures of all patients together, no patient, no count below 5.")
    add("--aggregates-only", action="store_true", help=text)
    text = tr("Column of the table with second outlines, such as mask_reader2, to be compared with mask.")
    add("--second-mask", default="", metavar="COLUMN", help=text)
    add_engine(add, tr("that of the model"))


def add_combine(command: Command) -> None:
    text = tr("combine what several hospitals wrote with evaluate --aggregates-only")
    combine = command("combine", text, "a/aggregates.json b/aggregates.json --out combined")  # not a text
    add = combine.add_argument_group(tr("what to do")).add_argument
    text = tr("Files aggregates.json of two or more hospitals.")
    add("files", type=Path, nargs="+", metavar="FILE", help=text)
    text = tr("Folder for the page and its forest plot; must be given.")
    add("--out", type=Path, required=True, metavar="FOLDER", help=text)


def add_compare(command: Command) -> None:
    text = tr("try two bundles on the same patients, whom neither has seen")
    compare = command("compare", text, "model-a model-b --cohort elsewhere/ --out compared")  # not a text
    add = add_cohort(compare)
    add("bundles", type=Path, nargs=2, metavar="BUNDLE", help=tr("Folders or zips of the two models."))
    text = tr("Folder for the comparison; must be given.")
    add("--out", type=Path, required=True, metavar="FOLDER", help=text)
    add_jobs(add)


def add_update(command: Command) -> None:
    text = tr("move a bundle's probabilities to another hospital; the ranking stays")
    update = command("update", text, "--bundle model --cohort elsewhere/ --out model-elsewhere")  # not a text
    add = add_cohort(update)
    add("--bundle", type=Path, required=True, help=tr("Bundle as it was trained; must be given."))
    text = tr("Folder of the new bundle; must be given.")
    add("--out", type=Path, required=True, metavar="FOLDER", help=text)
    add_engine(add, tr("that of the model"))
