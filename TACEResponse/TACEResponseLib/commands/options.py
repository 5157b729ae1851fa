"""Every command of the command line and its options, each with a sentence and its default."""

from pathlib import Path

from TACEResponseLib import __version__
from TACEResponseLib.messages.language import mark, tr

from .common_options import (
    PAPER,
    Command,
    add_cohort,
    add_encoding,
    add_engine,
    add_general,
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

DESCRIPTION = mark("""\
Estimates the initial response of liver cancer (HCC) to TACE from a contrast CT
and a tumour mask. For research use only; not a medical device.
""")
EXAMPLES = mark("""\
examples:
  tace-response demo
      Predict a synthetic patient, to see what an answer looks like.
  tace-response predict --image ct.nii.gz --mask tumour.nii.gz --out answer
      Predict one patient from a CT and an outline of the tumour.
  tace-response check --cohort cohort/
      Find every problem of a folder of patients before anything is computed.

tace-response COMMAND --help lists the options of a command.
""")
SHELLS = ("bash", "zsh", "fish")


def command_line() -> Parser:
    """The parser of the whole command line."""
    parser = Parser(
        prog="tace-response",
        description=tr(DESCRIPTION),
        epilog=tr(EXAMPLES),
        add_help=False,
    )
    commands = parser.add_subparsers(title=tr("commands"), dest="command", required=True, metavar="COMMAND")
    add = parser.add_argument_group(tr("general")).add_argument
    add_general(add)
    text = tr("Show the version and end.")
    add("--version", action="version", version=f"%(prog)s {__version__}", help=text)

    def command(name: str, text: str, example: str) -> Parser:
        sentence = tr("{text}.", text=f"{text[0].upper()}{text[1:]}")
        example = f"{tr('example:')}\n  tace-response {name} {example}\n"
        added = commands.add_parser(name, help=text, description=sentence, epilog=example, add_help=False)
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
        add = added.add_argument_group(tr("general")).add_argument
        add_general(add)
        add("--json", action="store_true", help=tr("Print one JSON event a line, for programs."))
    return parser


def _add_demo(command: Command) -> None:
    text = tr("predict a synthetic patient with the demonstration model")
    demo = command("demo", text, "--out demonstration")  # not a text
    add = demo.add_argument_group(tr("what to do")).add_argument
    text = tr("Folder for the answer (default: %(default)s).")
    add("--out", type=Path, default=Path("tace-response-demo"), metavar="FOLDER", help=text)
    add("--seed", type=int, default=7, help=tr("Number of the synthetic patient (default: %(default)s)."))
    demo.set_defaults(bundle=None, dicom=False, pdf=False, register=None, show_identifier=True)


def _add_predict(command: Command) -> None:
    text = tr("predict one patient, or every patient of a cohort")
    predict = command("predict", text, "--image ct.nii.gz --mask tumour.nii.gz --out answer")  # not a text
    add = predict.add_argument_group(tr("one patient")).add_argument
    add("--image", type=Path, help=tr("CT before TACE: a volume file or a folder with a DICOM series."))
    add("--mask", type=Path, help=tr("Tumour: a labelmap, .seg.nrrd, DICOM SEG or RTSTRUCT."))
    add_mask_source(add)
    add("--label", help=tr("Value of the tumour in the mask, or all; needed when the mask has several."))
    add("--segment", help=tr("Name of the tumour's segment, or all; needed when the mask has several."))
    add("--series", help=tr("Description, number, UID or phase of one series, when the folder has several."))
    text = tr("Name of the patient in the answer (default: the name of the image).")
    add("--patient", default="", metavar="ID", help=text)
    text = tr("Hospital of the patient, for a model that harmonises between hospitals.")
    add("--center", default="", help=text)

    add = predict.add_argument_group(tr("clinical values, for the clinical scores")).add_argument
    text = tr("A value with its unit, as often as needed, such as albumin_g_l=38 or ascites=none.")
    add("--value", action="append", default=[], metavar="NAME=VALUE", help=text)
    add("--lesions", type=int, help=tr("Number of lesions (default: counted in the mask)."))
    add("--diameter-mm", type=float, help=tr("Largest axial diameter (default: measured in the mask)."))

    add = predict.add_argument_group(tr("many patients, instead of --image and --mask")).add_argument
    add("--cohort", type=Path, help=tr("Folder with cohort.csv or cohort.xlsx, or such a table."))
    add_encoding(add)

    add = predict.add_argument_group(tr("answer")).add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help=tr("Folder for the answer; must be given."))
    add("--dicom", action="store_true", help=tr("Also write a DICOM SR and SEG, for a CT that is DICOM."))
    text = tr("Also write the page as report.pdf; it needs the package weasyprint.")
    add("--pdf", action="store_true", help=text)
    text = tr("Write the patient's ID on the page and in the text (default: it is left out).")
    add("--show-identifier", action="store_true", help=text)
    text = tr("File that keeps the prediction, to be compared with the response later.")
    add("--register", type=Path, metavar="FILE", help=text)
    text = tr("Day of the scan for the register, such as 2025-03-31 (default: today).")
    add("--date", metavar="DAY", help=text)

    add = predict.add_argument_group(tr("model and measurement")).add_argument
    add("--bundle", type=Path, help=tr("Folder or zip of the model (default: the demonstration model)."))
    add_repair(add)
    add_engine(add, tr("that of the model"))


def _add_check(command: Command) -> None:
    text = tr("find every problem of a cohort before anything is computed")
    check = command("check", text, "--cohort cohort/ --out check")  # not a text
    add = add_cohort(check, repairs=True)
    text = tr("Folder for check.html, the list of problems (JSON, CSV) and the pictures (default: none).")
    add("--out", type=Path, metavar="FOLDER", help=text)
    add_jobs(add)
    add = check.add_argument_group(tr("training that is planned")).add_argument
    add_preset(add)
    text = tr("Number of cross-validation folds, 3 to 50 (default: %(default)s).")
    add("--folds", type=int, default=PAPER.folds, help=text)


def _add_extract(command: Command) -> None:
    text = tr("write the radiomics features of a cohort as CSV")
    extract = command("extract", text, "--cohort cohort/ --out features.csv")  # not a text
    add = add_cohort(extract)
    add("--out", type=Path, required=True, metavar="FILE", help=tr("CSV file to write; must be given."))
    text = tr("Reader whose masks are measured (default: %(default)s).")
    add("--reader", type=int, choices=(1, 2), default=1, help=text)
    add = extract.add_argument_group(tr("how it is measured")).add_argument
    text = tr("Parameter file of pyradiomics in YAML (default: the paper's settings).")
    add("--parameters", type=Path, metavar="FILE", help=text)
    add_engine(add, "fast")
    add = extract.add_argument_group(tr("on many computers")).add_argument
    text = tr("Share of the patients that this run measures, for array jobs, such as 3/40 (default: all).")
    add("--part", metavar="N/M", help=text)
    text = tr("Where the work runs: this computer (loky) or a dask cluster (default: %(default)s).")
    add("--backend", choices=("loky", "dask"), default="loky", help=text)
    add("--scheduler", metavar="ADDRESS", help=tr("Address of the dask scheduler, for --backend dask."))


def _add_fetch(command: Command) -> None:
    text = tr("download a public cohort and lay it out: HCC-TACE-Seg or WAW-TACE")
    fetch = command("fetch", text, "hcc-tace-seg --out hcc-tace-seg --label majority")  # not a text
    add = fetch.add_argument_group(tr("what to do")).add_argument
    text = tr("Name of the collection: hcc-tace-seg to train on, waw-tace to evaluate on (another outcome).")
    add("collection", choices=("hcc-tace-seg", "waw-tace"), help=text)
    add("--out", type=Path, required=True, metavar="FOLDER", help=tr("Folder of the cohort; must be given."))
    text = tr("Folder that holds its files already (default: they are downloaded).")
    add("--from", dest="source", type=Path, metavar="FOLDER", help=text)
    text = tr("Its clinical table (default: the one beside the files).")
    add("--clinical", type=Path, metavar="FILE", help=text)
    labels = ("reader1", "reader2", "reader3", "majority", "ttp14")
    text = tr("Whose reading is the response, for hcc-tace-seg (default: reader1).")
    add("--label", choices=labels, help=text)
    text = tr("Archive of scans to fetch, for waw-tace: 1 to 4 (default: all, one after another).")
    add("--part", type=int, metavar="N", help=text)
    phases = ("annotated", "arterial", "portal venous", "delayed", "native")  # not a text
    text = tr("Scan to take: annotated, arterial, portal venous, delayed or native (default: %(default)s).")
    add("--phase", choices=phases, default="annotated", metavar="PHASE", help=text)


def _add_verify_public(command: Command) -> None:
    text = tr("measure HCC-TACE-Seg and compare with its published feature table")
    example = "--from dicom/ --features radiomics_tumour.csv --out verified"  # not a text
    verify = command("verify-public", text, example)
    add = verify.add_argument_group(tr("what to do")).add_argument
    text = tr("Folder that holds the collection's DICOM files; must be given.")
    add("--from", dest="source", type=Path, required=True, metavar="FOLDER", help=text)
    text = tr("Published table as CSV; must be given.")
    add("--features", type=Path, required=True, metavar="FILE", help=text)
    text = tr("Its clinical table (default: the one beside the DICOM files).")
    add("--clinical", type=Path, metavar="FILE", help=text)
    text = tr("Folder for the cohort and the comparison; must be given.")
    add("--out", type=Path, required=True, metavar="FOLDER", help=text)
    add_jobs(add)


def _add_phantom(command: Command) -> None:
    text = tr("write a synthetic cohort with a known answer; half of it is held out")
    phantom = command("phantom", text, "--patients 240 --out phantom-cohort")  # not a text
    add = phantom.add_argument_group(tr("what to do")).add_argument
    text = tr("Number of patients; must be given. Every second one is held out for validation.")
    add("--patients", type=int, required=True, metavar="N", help=text)
    add("--out", type=Path, required=True, metavar="FOLDER", help=tr("Folder of the cohort; must be given."))
    add("--seed", type=int, default=1, help=tr("Random seed (default: %(default)s)."))
    text = tr("Size of the images (default: %(default)s).")
    add("--size", choices=("small", "full"), default="small", help=text)
    add_jobs(add)


def _add_follow_up(command: Command) -> None:
    text = tr("record how a patient responded, beside what was predicted")
    example = "--register register.sqlite --patient 0012 --response PR"  # not a text
    follow_up = command("follow-up", text, example)
    add = follow_up.add_argument_group(tr("patient and response")).add_argument
    add_register(add)
    text = tr("ID of the patient in the register; must be given.")
    add("--patient", required=True, metavar="ID", help=text)
    add(
        "--response",
        type=str.upper,
        choices=("CR", "PR", "SD", "PD"),
        help=tr("Response as you read it (mRECIST)."),
    )
    add("--replace", action="store_true", help=tr("Correct a response that was recorded before."))
    add = follow_up.add_argument_group(tr("masks of viable tumour, instead of --response")).add_argument
    add("--baseline-image", type=Path, metavar="IMAGE", help=tr("CT before TACE."))
    add("--baseline-mask", type=Path, metavar="MASK", help=tr("Viable tumour before TACE."))
    add("--image", type=Path, help=tr("CT after TACE."))
    add("--mask", type=Path, help=tr("Viable tumour after TACE."))
    add("--label", help=tr("Value of the tumour in both masks, or all."))
    add("--segment", help=tr("Name of the tumour's segment in both masks, or all."))
    text = tr("I confirm both masks are viable, arterial tumour.")
    add("--viable-arterial", action="store_true", help=text)
    add("--none-viable", action="store_true", help=tr("Nothing viable is left: there is no mask after TACE."))
    add("--new-lesion", action="store_true", help=tr("A new lesion has appeared."))


def _add_audit(command: Command) -> None:
    text = tr("show how recorded predictions met the responses, overall and over time")
    audit = command("audit", text, "--register register.sqlite --out audit")  # not a text
    add = audit.add_argument_group(tr("what to do")).add_argument
    add_register(add)
    add("--out", type=Path, required=True, metavar="FOLDER", help=tr("Folder for the page; must be given."))
    add("--bundle", metavar="ID", help=tr("ID of one model (default: every model by itself)."))
    text = tr("How long each step over time is (default: %(default)s).")
    add("--period", choices=("month", "quarter", "year"), default="quarter", help=text)


def _add_descriptions(command: Command) -> None:
    text = tr("print a script with which a shell completes commands and options")
    completion = command("completion", text, "bash > tace-response-completion.sh")
    add = completion.add_argument_group(tr("what to do")).add_argument
    add("shell", choices=SHELLS, help=tr("Shell that the script is for."))

    schema = command("schema", tr("print the JSON schema of a file that others read"), "prediction")
    add = schema.add_argument_group(tr("what to do")).add_argument
    add("name", choices=tuple(SCHEMAS), help=tr("What the schema describes."))
