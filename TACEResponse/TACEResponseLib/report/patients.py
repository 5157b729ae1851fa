"""Who was studied, as tables: the flow of patients, Table 1 with tests, associations, scores.

Clinical columns come from the cohort's table as text. A column whose filled cells are all numbers is
a number; one with few different texts is a category; anything else is left out and named.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from TACEResponseLib.messages.language import listed, mark, tr
from TACEResponseLib.statistics.associations import MOST_CATEGORIES, Comparison, table_one
from TACEResponseLib.statistics.outcome import RESPONDER

from .headline import instead_of_planned
from .study import COHORTS, OUTCOMES, Scored, Study
from .table import Table

#: More different texts than this are names or free text, not a category.
MOST_LEVELS = 10
#: Ends of column names that are units, and how units are written.
UNITS = {
    "years": "years",
    "mm": "mm",
    "ml": "mL",
    "ng_ml": "ng/mL",
    "g_l": "g/L",
    "umol_l": "µmol/L",
    "mg_dl": "mg/dL",
}
#: Words that are written in a way of their own.
WORDS = {
    "afp": "AFP",
    "albi": "ALBI",
    "child": "Child",
    "crp": "CRP",
    "hbv": "HBV",
    "hcv": "HCV",
    "inr": "INR",
    "pugh": "Pugh",
}
DIAMETER = "largest_diameter_mm"
#: Columns of a cohort as `_variable` names them, and levels; those of the public cohorts among them.
VARIABLES = (
    mark("AFP (ng/mL)"),
    mark("ALBI"),
    mark("Age (years)"),
    mark("Albumin (g/L)"),
    mark("Ascites"),
    mark("Bilirubin (µmol/L)"),
    mark("CRP (mg/dL)"),
    mark("Child-Pugh"),
    mark("Encephalopathy"),
    mark("Extrahepatic spread"),
    mark("Largest diameter (mm)"),
    mark("Lesions"),
    mark("Macrovascular invasion"),
    mark("Phase"),
    mark("Portal vein thrombosis"),
    mark("Responder"),
    mark("Response"),
    mark("Sex"),
)
LEVELS = (
    mark("yes"),
    mark("no"),
    mark("none"),
    mark("mild"),
    mark("moderate"),
    mark("severe"),
    mark("female"),
    mark("male"),
    mark("arterial"),
    mark("portal venous"),
    mark("delayed"),
    mark("non-contrast"),
)
#: Levels of the column Sex alone.
SEXES = (mark("F"), mark("M"))
SEVERITIES = {"error": mark("error"), "warning": mark("warning")}
COMPARED = mark(
    "Number (%) by chi-squared or Fisher's exact test; mean ± SD by Welch's t; "
    "median (quartiles) by Mann-Whitney."
)
NO_CLINICAL_COLUMN = mark("the table of the cohort holds no clinical column")


def patient_tables(study: Study) -> tuple[Table, ...]:
    """The tables of this room, in the order of the page."""
    return (
        flow_table(study),
        left_out_table(study),
        warnings_table(study),
        cohort_table(study),
        response_table(study),
        scores_table(study, "training"),
        scores_table(study, "validation"),
    )


def flow_table(study: Study) -> Table:
    """How many patients entered, left and were analysed, and how many of them responded."""
    groups = [(tr("training"), study.training), (tr("external validation"), study.external)]
    present = [(name, group) for name, group in groups if group is not None]
    everybody = len(study.left_out) + sum(len(group) for _, group in present)
    rows = [
        {"step": tr("in the cohort"), "n": everybody, "responders": None},
        {"step": tr("left out"), "n": len(study.left_out), "responders": None},
    ]
    for name, group in present:
        rows.append({"step": name, "n": len(group), "responders": group.outcome.responders})
        centers = sorted({c for c in group.table.centers if c})
        for center in centers if len(centers) > 1 else []:
            labels = group.outcome.labels[np.array(group.table.centers) == center]
            step = tr("{cohort}, centre {center}", cohort=name, center=center)
            rows.append({"step": step, "n": len(labels), "responders": int(labels.sum())})
    if study.reliability is not None:
        both = len(study.reliability.patients)
        rows.append({"step": tr("training, outlined by both readers"), "n": both, "responders": None})
    return Table("flow", tr("Flow of patients"), rows)


def left_out_table(study: Study) -> Table:
    """Every patient that was not used, with the reason."""
    rows = [
        {"patient_id": patient_id, "severity": tr(SEVERITIES[problem.severity]), "reason": str(problem)}
        for patient_id, problem in study.left_out.items()
    ]
    absent = "" if rows else tr("every patient was used")
    return Table("left_out", tr("Patients left out"), rows, absent=absent)


def warnings_table(study: Study) -> Table:
    """Where the training deviated from the settings, without costing a patient."""
    rows = [{"patient_id": problem.patient_id, "warning": str(problem)} for problem in study.warnings]
    if another := instead_of_planned(study):
        rows.insert(0, {"patient_id": "", "warning": another})
    caption = tr("Deviations from the requested settings")
    return Table("warnings", caption, rows, absent="" if rows else tr("none"))


def cohort_table(study: Study) -> Table:
    """Table 1: training and validation patients compared."""
    caption = tr("Table 1A. Training and validation patients")
    if study.training is None or study.external is None:
        why = tr("the training patients are not here") if study.training is None else study.no_external
        return Table("table_1_cohorts", caption, [], absent=why)
    training, external = clinical_columns(study.training), clinical_columns(study.external)
    groups = ["training"] * len(study.training) + ["validation"] * len(study.external)
    both = {name: [*training[name], *external[name]] for name in training if name in external}
    words = (*study.training.outcome.words, *study.external.outcome.words)
    both |= {"Responder": [_yes(word == RESPONDER) for word in words]}
    return _compared("table_1_cohorts", caption, both, groups)


def response_table(study: Study) -> Table:
    """Responders and non-responders compared, of the training patients where they are known."""
    group = study.training or study.external
    columns = {n: c for n, c in clinical_columns(group).items() if n != "Response"}
    caption = tr(
        "Table 1B. Responders and non-responders, {cohort} patients",
        cohort=study.first,
    )
    order = np.argsort(-group.outcome.labels, kind="stable")
    columns = {name: [column[i] for i in order] for name, column in columns.items()}
    groups = group.outcome.words[order]
    if len(set(groups.tolist())) < 2:
        return Table("table_1_response", caption, [], absent=tr("all patients are of one class"))
    return _compared("table_1_response", caption, columns, groups)


def _compared(name: str, caption: str, columns: Mapping[str, Sequence], groups: Sequence) -> Table:
    usable = {n: _as_texts(column) for n, column in columns.items() if usable_column(column)}
    ignored = sorted(set(columns) - set(usable))
    counts = Counter(np.asarray(groups).tolist())
    kinds = {n: "number" for n, column in usable.items() if any(isinstance(v, float) for v in column)}
    rows = [row for found in table_one(usable, groups, kinds) for row in _rows_of(found, counts)]
    note = tr(COMPARED)
    if ignored:
        note += tr(" Left out, empty or with too many different texts: {names}.", names=listed(ignored))
    absent = "" if rows else tr(NO_CLINICAL_COLUMN)
    return Table(name, caption, rows, note, absent)


def _as_texts(column: Sequence) -> Sequence:
    """A number with few values for many patients is a category; its levels are written as text."""
    present = [value for value in column if value is not None]
    few = len(set(present)) <= min(MOST_CATEGORIES, len(present) // 2)
    if not few or not all(isinstance(value, float) for value in present):
        return column
    return [None if value is None else f"{value:g}" for value in column]


def _rows_of(found: Comparison, counts: Mapping[str, int]) -> list[dict]:
    """A number or yes/no is one row; a category is a row for its name and test and one a level."""
    heads = [tr("{group} (n = {n})", group=_group(group), n=counts[group]) for group in found.groups]
    blank = dict.fromkeys(heads, "")
    missing = listed(map(str, found.missing)) if any(found.missing) else ""
    first = {"variable": tr(found.variable), "level": ""}
    tested = {"test": tr(found.test), "p": found.p, "missing": missing}
    if found.kind == "number":
        return [{**first, **dict(zip(heads, found.summary, strict=True)), **tested}]
    if set(found.levels) <= {"yes", "no"}:
        of_yes = [
            dict(zip(found.levels, texts, strict=True)).get("yes", "0 (0.0 %)") for texts in found.summary
        ]
        return [{**first, **dict(zip(heads, of_yes, strict=True)), **tested}]
    levels = [
        {
            "variable": "",
            "level": level_in_words(found.variable, level),
            **{head: texts[k] for head, texts in zip(heads, found.summary, strict=True)},
            "test": "",
            "p": "",
            "missing": "",
        }
        for k, level in enumerate(found.levels)
    ]
    return [{**first, **blank, **tested}, *levels]


def level_in_words(variable: str, level: str) -> str:
    """A level of a category in the reader's language where it is one that is known; else as it stands."""
    known = (*LEVELS, *SEXES) if variable == "Sex" else LEVELS
    return tr(level) if level in known else level


def _group(name: str) -> str:
    """A group of patients that are compared, in words."""
    return tr({**COHORTS, **OUTCOMES}[name])


def clinical_columns(group) -> dict[str, list]:
    """Title -> values (n,) of labelled patients: floats or texts, None where a cell is empty.

    The cohort's own columns, the largest diameter, then the paper's dichotomies of them.
    """
    names = dict.fromkeys(name for row in group.table.clinical for name in row)
    cells = {name: [row.get(name, "").strip() for row in group.table.clinical] for name in names}
    if group.table.diameters_mm is not None:
        cells[DIAMETER] = [repr(float(mm)) for mm in group.table.diameters_mm]
    columns = {_variable(name): _parsed(texts) for name, texts in cells.items() if any(texts)}
    for name, label, holds in DICHOTOMIES:
        if name in cells:
            columns[label] = [None if (h := holds(text)) is None else _yes(h) for text in cells[name]]
    return columns


def usable_column(column: Sequence) -> bool:
    """Whether a column is a number or a category, and not empty."""
    present = [value for value in column if value is not None]
    return bool(present) and (
        all(isinstance(value, float) for value in present) or len(set(map(str, present))) <= MOST_LEVELS
    )


def _parsed(texts: Sequence[str]) -> list:
    filled = [_number(text) for text in texts if text]
    if None in filled:
        return [text or None for text in texts]
    return [_number(text) if text else None for text in texts]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _variable(name: str) -> str:
    """A column's name in words, its unit in brackets: `afp_ng_ml` is "AFP (ng/mL)"."""
    unit = next((u for u in sorted(UNITS, key=len, reverse=True) if name.endswith(f"_{u}")), "")
    words = [WORDS.get(word, word) for word in name.removesuffix(f"_{unit}").split("_")]
    text = " ".join(words).replace("Child Pugh", "Child-Pugh")  # not a text
    return f"{text[:1].upper()}{text[1:]} ({UNITS[unit]})" if unit else f"{text[:1].upper()}{text[1:]}"


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _exceeds(text: str, cut: float) -> bool | None:
    """Whether a value is above `cut`; ">1210" is above 20, "<10" is not, ">10" decides nothing."""
    number = _number(text.lstrip("<>= "))
    if number is None:
        return None
    if text.startswith(">"):
        return True if number >= cut else None
    if text.startswith("<"):
        return False if number <= cut else None
    return number > cut


def _not_above(cut: float) -> Callable[[str], bool | None]:
    return lambda text: None if (above := _exceeds(text, cut)) is None else not above


#: The cuts of the paper's Table 1: column, what the row is called, and whether a cell is inside.
DICHOTOMIES: tuple[tuple[str, str, Callable[[str], bool | None]], ...] = (
    ("age_years", mark("Age below 60 years"), lambda text: None if (a := _number(text)) is None else a < 60),
    ("child_pugh", mark("Child-Pugh A"), lambda text: text.upper().startswith("A") if text else None),
    ("afp_ng_ml", mark("AFP above 20 ng/mL"), lambda text: _exceeds(text, 20)),
    (DIAMETER, mark("Tumour size above 5 cm"), lambda text: _exceeds(text, 50)),
    ("lesions", mark("At most 3 lesions"), _not_above(3)),
)


def scores_table(study: Study, cohort: str) -> Table:
    """One row a patient: outcome, fold, and the probability of every model and fusion."""
    groups = [group for group in study.scored if group.cohort == cohort]
    caption = tr("Probabilities of every {cohort} patient", cohort=tr(COHORTS[cohort]))
    for group in groups:
        caption = tr("{caption}, {estimate}", caption=caption, estimate=group.title)
    rows = [row for group in groups for row in _score_rows(study, group)]
    why = study.no_external if cohort == "validation" else tr("the training patients are not here")
    name = {"training": "scores_out_of_fold", "validation": "scores_validation"}[cohort]
    return Table(name, caption, rows, absent="" if rows else why)


def _score_rows(study: Study, group: Scored) -> list[dict]:
    folds = study.record.out_of_fold.folds if group.estimate == "out_of_fold" else np.empty((0, 0), int)
    rows = []
    for i, patient_id in enumerate(group.patients.table.patient_ids):
        row = {
            "patient_id": patient_id,
            "label": int(group.labels[i]),
            "center": group.patients.table.centers[i],
        }
        if group.estimate == "resubstitution":
            row["fitted"] = tr(_yes(patient_id in study.fitted))
        row |= {tr("fold_of_repeat_{k}", k=k): int(of[i]) + 1 for k, of in enumerate(folds, start=1)}
        rows.append(row | {name: float(values[i]) for name, values in group.probabilities.items()})
    return rows
