"""The options of the commands that make and try models."""

from pathlib import Path

from TACEResponseLib.messages.language import tr
from TACEResponseLib.settings import NetworkSettings

from .common_options import PAPER, Command, add_cohort, add_encoding, add_engine, add_jobs, add_preset

PAPER_NETWORK = NetworkSettings()


def add_train(command: Command) -> None:
    text = "train a model bundle from a cohort or a feature table"
    train = command("train", text, "--cohort cohort/ --out model")
    add = train.add_argument_group("patients: --cohort, or --features and --labels").add_argument
    add("--cohort", type=Path, help="Folder with cohort.csv or cohort.xlsx and images, or such a table.")
    add("--features", type=Path, metavar="FILE", help="CSV with patient_id and one column per feature.")
    add("--labels", type=Path, metavar="FILE", help="CSV with patient_id and label, for --features.")
    add_encoding(add)
    readers, text = ("reader1", "majority", "soft"), "Whose response counts when there are several readers"
    add("--outcome", choices=readers, help=f"{text} (default: {PAPER.outcome}).")
    add = train.add_argument_group("model").add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help="Folder of the bundle; must be given.")
    add_preset(add)
    text = "Text on the cohort, for the beginning of the model card (default: none)."
    add("--about", type=Path, metavar="FILE", help=text)
    add("--models", metavar="NAMES", help=f"Models with commas between (default: {','.join(PAPER.models)}).")
    text = f"How features of the training centres are aligned (default: {PAPER.harmonisation})."
    add("--harmonisation", choices=("none", "combat"), help=text)
    text = f"Model or fusion that answers, such as all or cnn+linear (default: {PAPER.fusion.headline})."
    add("--headline", metavar="NAME", help=text)
    add("--no-cnn", action="store_true", help="Train the classical models alone.")
    add("--epochs", type=int, help=f"Longest training of the CNN (default: {PAPER_NETWORK.epochs}).")
    text = f"Where the CNN is trained (default: {PAPER_NETWORK.device})."
    add("--device", choices=("auto", "cpu", "gpu"), help=text)
    add("--seed", type=int, help=f"Random seed (default: {PAPER.seed}).")

    add = train.add_argument_group("evaluation").add_argument
    add("--folds", type=int, help=f"Number of cross-validation folds (default: {PAPER.folds}).")
    add("--repeats", type=int, help=f"Number of cross-validation repeats (default: {PAPER.repeats}).")
    add("--by-center", action="store_true", help="Also hold out each centre in turn.")
    text = "Number of resamples for the stability report; 200 for a paper (default: %(default)s, none)."
    add("--stability", type=int, default=0, metavar="B", help=text)
    text = "Also train on shuffled labels and on regions without tumour texture."
    add("--negative-control", action="store_true", help=text)
    add_engine(train.add_argument_group("measurement").add_argument, "fast")


def add_evaluate(command: Command) -> None:
    text = "evaluate a bundle on a cohort that it was not trained on"
    evaluate = command("evaluate", text, "--bundle model --cohort elsewhere/ --out evaluation")
    add = add_cohort(evaluate)
    add("--bundle", type=Path, required=True, help="Folder or zip of the model; must be given.")
    add("--out", type=Path, required=True, metavar="FOLDER", help="Folder for the report; must be given.")
    text = "Accept patients that the model was trained on, and mark the report."
    add("--allow-training-patients", action="store_true", help=text)
    text = "Write only aggregates.json: figures of all patients together, no patient, no count below 5."
    add("--aggregates-only", action="store_true", help=text)
    text = tr("Column of the table with second outlines, such as mask_reader2, to be compared with mask.")
    add("--second-mask", default="", metavar="COLUMN", help=text)
    add_engine(add, "that of the model")


def add_combine(command: Command) -> None:
    text = "combine what several hospitals wrote with evaluate --aggregates-only"
    combine = command("combine", text, "a/aggregates.json b/aggregates.json --out combined")
    add = combine.add_argument_group("what to do").add_argument
    text = "Files aggregates.json of two or more hospitals."
    add("files", type=Path, nargs="+", metavar="FILE", help=text)
    text = "Folder for the page and its forest plot; must be given."
    add("--out", type=Path, required=True, metavar="FOLDER", help=text)


def add_compare(command: Command) -> None:
    text = "try two bundles on the same patients, whom neither has seen"
    compare = command("compare", text, "model-a model-b --cohort elsewhere/ --out compared")
    add = add_cohort(compare)
    add("bundles", type=Path, nargs=2, metavar="BUNDLE", help="Folders or zips of the two models.")
    text = "Folder for the comparison; must be given."
    add("--out", type=Path, required=True, metavar="FOLDER", help=text)
    add_jobs(add)


def add_update(command: Command) -> None:
    text = "move a bundle's probabilities to another hospital; the ranking stays"
    update = command("update", text, "--bundle model --cohort elsewhere/ --out model-elsewhere")
    add = add_cohort(update)
    add("--bundle", type=Path, required=True, help="Bundle as it was trained; must be given.")
    add("--out", type=Path, required=True, metavar="FOLDER", help="Folder of the new bundle; must be given.")
    add_engine(add, "that of the model")
