"""Every command of the command line and its options, each with a sentence and its default."""

from pathlib import Path

from TACEResponseLib import __version__

from .common_options import (
    PAPER,
    Command,
    add_cohort,
    add_encoding,
    add_engine,
    add_jobs,
    add_mask_source,
    add_preset,
    add_register,
    add_repair,
)
from .model_options import add_combine, add_compare, add_evaluate, add_train, add_update
from .parser import Parser
from .proposal_options import add_propose
from .schemas import SCHEMAS

DESCRIPTION = """\
Estimates the initial response of liver cancer (HCC) to TACE from a contrast CT
and a tumour mask. For research use only; not a medical device.
"""
EXAMPLES = """\
examples:
  tace-response demo
      Predict a synthetic patient, to see what an answer looks like.
  tace-response predict --image ct.nii.gz --mask tumour.nii.gz --out answer
      Predict one patient from a CT and an outline of the tumour.
  tace-response check --cohort cohort/
      Find every problem of a folder of patients before anything is computed.

tace-response COMMAND --help lists the options of a command.
"""
SHELLS = ("bash", "zsh", "fish")


def command_line() -> Parser:
    """The parser of the whole command line."""
    parser = Parser(
        prog="tace-response",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        add_help=False,
    )
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    add = parser.add_argument_group("general").add_argument
    add("-h", "--help", action="help", help="Show this help and end.")
    add("--version", action="version", version=f"%(prog)s {__version__}", help="Show the version and end.")

    def command(name: str, text: str, example: str) -> Parser:
        example = f"example:\n  tace-response {name} {example}\n"
        added = commands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=example, add_help=False
        )
        parser.commands[name] = added
        return added

    _add_demo(command)
    _add_predict(command)
    add_propose(command)
    _add_check(command)
    _add_extract(command)
    add_train(command)
    add_evaluate(command)
    add_combine(command)
    add_compare(command)
    add_update(command)
    _add_fetch(command)
    _add_verify_public(command)
    _add_phantom(command)
    _add_follow_up(command)
    _add_audit(command)
    _add_descriptions(command)
    for added in parser.commands.values():
        general = added.add_argument_group("general")
        general.add_argument("-h", "--help", action="help", help="Show this help and end.")
        general.add_argument("--json", action="store_true", help="Print one JSON event a line, for programs.")
    return parser


def _add_demo(command: Command) -> None:
    demo = command("demo", "predict a synthetic patient with the demonstration model", "--out demonstration")
    add = demo.add_argument_group("what to do").add_argument
    text = "Folder for the answer (default: %(default)s)."
    add("--out", type=Path, default=Path("tace-response-demo"), metavar="FOLDER", help=text)
    add("--seed", type=int, default=7, help="Number of the synthetic patient (default: %(default)s).")
    demo.set_defaults(bundle=None, dicom=False, register=None, show_identifier=True)


def _add_predict(command: Command) -> None:
    text = "predict one patient, or every patient of a cohort"
    predict = command("predict", text, "--image ct.nii.gz --mask tumour.nii.gz --out answer")
    add = predict.add_argument_group("one patient").add_argument
    add("--image", type=Path, help="CT before TACE: a volume file or a folder with a DICOM series.")
    add("--mask", type=Path, help="Tumour: a labelmap, .seg.nrrd, DICOM SEG or RTSTRUCT.")
    add_mask_source(add)
    add("--label", help="Value of the tumour in the mask, or all; needed when the mask has several.")
    add("--segment", help="Name of the tumour's segment, or all; needed when the mask has several.")
    add("--series", help="Description, number, UID or phase of one series, when the folder has several.")
    text = "Name of the patient in the answer (default: the name of the image)."
    add("--patient", default="", metavar="ID", help=text)
    text = "Hospital of the patient, for a model that harmonises between hospitals."
    add("--center", default="", help=text)

    add = predict.add_argument_group("clinical values, for the clinical scores").add_argument
    text = "A value with its unit, as often as needed, such as albumin_g_l=38 or ascites=none."
    add("--value", action="append", default=[], metavar="NAME=VALUE", help=text)
    add("--lesions", type=int, help="Number of lesions (default: counted in the mask).")
    add("--diameter-mm", type=float, help="Largest axial diameter (default: measured in the mask).")

    add = predict.add_argument_group("many patients, instead of --image and --mask").add_argument
    add("--cohort", type=Path, help="Folder with cohort.csv or cohort.xlsx, or such a table.")
    add_encoding(add)

    add = predict.add_argument_group("answer").add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help="Folder for the answer; must be given.")
    add("--dicom", action="store_true", help="Also write a DICOM SR and SEG, for a CT that is DICOM.")
    text = "Write the patient's ID on the page and in the text (default: it is left out)."
    add("--show-identifier", action="store_true", help=text)
    text = "File that keeps the prediction, to be compared with the response later."
    add("--register", type=Path, metavar="FILE", help=text)
    text = "Day of the scan for the register, such as 2025-03-31 (default: today)."
    add("--date", metavar="DAY", help=text)

    add = predict.add_argument_group("model and measurement").add_argument
    add("--bundle", type=Path, help="Folder or zip of the model (default: the demonstration model).")
    add_repair(add)
    add_engine(add, "that of the model")


def _add_check(command: Command) -> None:
    text = "find every problem of a cohort before anything is computed"
    check = command("check", text, "--cohort cohort/ --out check")
    add = add_cohort(check, repairs=True)
    text = "Folder for check.html, the list of problems (JSON, CSV) and the pictures (default: none)."
    add("--out", type=Path, metavar="FOLDER", help=text)
    add_jobs(add)
    add = check.add_argument_group("training that is planned").add_argument
    add_preset(add)
    text = "Number of cross-validation folds (default: %(default)s)."
    add("--folds", type=int, default=PAPER.folds, help=text)


def _add_extract(command: Command) -> None:
    text = "write the radiomics features of a cohort as CSV"
    extract = command("extract", text, "--cohort cohort/ --out features.csv")
    add = add_cohort(extract)
    add("--out", type=Path, required=True, metavar="FILE", help="CSV file to write; must be given.")
    text = "Reader whose masks are measured (default: %(default)s)."
    add("--reader", type=int, choices=(1, 2), default=1, help=text)
    add = extract.add_argument_group("how it is measured").add_argument
    text = "Parameter file of pyradiomics in YAML (default: the paper's settings)."
    add("--parameters", type=Path, metavar="FILE", help=text)
    add_engine(add, "fast")
    add = extract.add_argument_group("on many computers").add_argument
    text = "Share of the patients that this run measures, for array jobs, such as 3/40 (default: all)."
    add("--part", metavar="N/M", help=text)
    text = "Where the work runs: this computer (loky) or a dask cluster (default: %(default)s)."
    add("--backend", choices=("loky", "dask"), default="loky", help=text)
    add("--scheduler", metavar="ADDRESS", help="Address of the dask scheduler, for --backend dask.")


def _add_fetch(command: Command) -> None:
    text = "download a public cohort and lay it out: HCC-TACE-Seg or WAW-TACE"
    fetch = command("fetch", text, "hcc-tace-seg --out hcc-tace-seg --label majority")
    add = fetch.add_argument_group("what to do").add_argument
    text = "Name of the collection: hcc-tace-seg to train on, waw-tace to evaluate on (another outcome)."
    add("collection", choices=("hcc-tace-seg", "waw-tace"), help=text)
    add("--out", type=Path, required=True, metavar="FOLDER", help="Folder of the cohort; must be given.")
    text = "Folder that holds its files already (default: they are downloaded)."
    add("--from", dest="source", type=Path, metavar="FOLDER", help=text)
    text = "Its clinical table (default: the one beside the files)."
    add("--clinical", type=Path, metavar="FILE", help=text)
    labels = ("reader1", "reader2", "reader3", "majority", "ttp14")
    text = "Whose reading is the response, for hcc-tace-seg (default: reader1)."
    add("--label", choices=labels, help=text)
    text = "Archive of scans to fetch, for waw-tace: 1 to 4 (default: all, one after another)."
    add("--part", type=int, metavar="N", help=text)
    phases = ("annotated", "arterial", "portal venous", "delayed", "native")
    text = "Scan to take: annotated, arterial, portal venous, delayed or native (default: %(default)s)."
    add("--phase", choices=phases, default="annotated", metavar="PHASE", help=text)


def _add_verify_public(command: Command) -> None:
    text = "measure HCC-TACE-Seg and compare with its published feature table"
    verify = command("verify-public", text, "--from dicom/ --features radiomics_tumour.csv --out verified")
    add = verify.add_argument_group("what to do").add_argument
    text = "Folder that holds the collection's DICOM files; must be given."
    add("--from", dest="source", type=Path, required=True, metavar="FOLDER", help=text)
    add("--features", type=Path, required=True, metavar="FILE", help="Published table as CSV; must be given.")
    text = "Its clinical table (default: the one beside the DICOM files)."
    add("--clinical", type=Path, metavar="FILE", help=text)
    text = "Folder for the cohort and the comparison; must be given."
    add("--out", type=Path, required=True, metavar="FOLDER", help=text)
    add_jobs(add)


def _add_phantom(command: Command) -> None:
    text = "write a synthetic cohort with a known answer"
    phantom = command("phantom", text, "--patients 240 --out phantom-cohort")
    add = phantom.add_argument_group("what to do").add_argument
    add("--patients", type=int, required=True, metavar="N", help="Number of patients; must be given.")
    add("--out", type=Path, required=True, metavar="FOLDER", help="Folder of the cohort; must be given.")
    add("--seed", type=int, default=1, help="Random seed (default: %(default)s).")
    text = "Size of the images (default: %(default)s)."
    add("--size", choices=("small", "full"), default="small", help=text)
    add_jobs(add)


def _add_follow_up(command: Command) -> None:
    text = "record how a patient responded, beside what was predicted"
    follow_up = command("follow-up", text, "--register register.sqlite --patient 0012 --response PR")
    add = follow_up.add_argument_group("patient and response").add_argument
    add_register(add)
    text = "ID of the patient in the register; must be given."
    add("--patient", required=True, metavar="ID", help=text)
    add(
        "--response",
        type=str.upper,
        choices=("CR", "PR", "SD", "PD"),
        help="Response as you read it (mRECIST).",
    )
    add("--replace", action="store_true", help="Correct a response that was recorded before.")
    add = follow_up.add_argument_group("masks of viable tumour, instead of --response").add_argument
    add("--baseline-image", type=Path, metavar="IMAGE", help="CT before TACE.")
    add("--baseline-mask", type=Path, metavar="MASK", help="Viable tumour before TACE.")
    add("--image", type=Path, help="CT after TACE.")
    add("--mask", type=Path, help="Viable tumour after TACE.")
    add("--label", help="Value of the tumour in both masks, or all.")
    add("--segment", help="Name of the tumour's segment in both masks, or all.")
    text = "I confirm both masks are viable, arterial tumour."
    add("--viable-arterial", action="store_true", help=text)
    add("--none-viable", action="store_true", help="Nothing viable is left: there is no mask after TACE.")
    add("--new-lesion", action="store_true", help="A new lesion has appeared.")


def _add_audit(command: Command) -> None:
    text = "show how recorded predictions met the responses, overall and over time"
    audit = command("audit", text, "--register register.sqlite --out audit")
    add = audit.add_argument_group("what to do").add_argument
    add_register(add)
    add("--out", type=Path, required=True, metavar="FOLDER", help="Folder for the page; must be given.")
    add("--bundle", metavar="ID", help="ID of one model (default: every model by itself).")
    text = "How long each step over time is (default: %(default)s)."
    add("--period", choices=("month", "quarter", "year"), default="quarter", help=text)


def _add_descriptions(command: Command) -> None:
    text = "print a script with which a shell completes commands and options"
    completion = command("completion", text, "bash > tace-response-completion.sh")
    add = completion.add_argument_group("what to do").add_argument
    add("shell", choices=SHELLS, help="Shell that the script is for.")

    schema = command("schema", "print the JSON schema of a file that others read", "prediction")
    add = schema.add_argument_group("what to do").add_argument
    add("name", choices=tuple(SCHEMAS), help="What the schema describes.")
