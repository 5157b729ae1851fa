"""What the commands share: how they end, and the repairs that an option asks for."""

import sys
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from TACEResponseLib.messages.errors import LimitsError, Problem, TACEResponseError
from TACEResponseLib.messages.language import listed, several, tr
from TACEResponseLib.messages.progress import JsonProgress, TerminalProgress

DONE, SOME_FAILED = 0, 1
#: Patients with one and the same problem that have a sentence each, and how many are named in a shared one.
MOST_APART = MOST_NAMED = 3
Reporting = JsonProgress | TerminalProgress


def with_repairs(cohort, names: str):
    """The cohort with the repairs that were asked for, beside those that its table asks for."""
    from TACEResponseLib.cases.repair import parse_repairs

    repairs = parse_repairs(names)
    patients = (replace(p, repairs=(*p.repairs, *repairs)) for p in cohort.patients)
    return replace(cohort, patients=tuple(patients))


def about_option(error: TACEResponseError, options: Namespace) -> TACEResponseError:
    """The error, of a setting whose value an option gave, with the option's name; any other as it is."""
    said = error.problem
    given = getattr(options, said.field, None) if said.field else None
    if not isinstance(error, LimitsError) or given is None or repr(given) != said.received:
        return error
    name = f"--{said.field.replace('_', '-')}"
    return LimitsError.from_problem(
        replace(said, message=tr("option {name} is outside its limits", name=name))
    )


def in_short(problems: Iterable[Problem]) -> list[str]:
    """A sentence a problem, errors first; one that more than three patients share is said once for all."""
    alike: dict[tuple, list[Problem]] = {}
    for problem in problems:
        alike.setdefault((problem.severity, problem.kind, problem.field, problem.message), []).append(problem)
    sentences = []
    for found in sorted(alike.values(), key=lambda found: found[0].severity != "error"):
        same_text = len(found) > MOST_APART and all(problem.patient_id for problem in found)
        sentences += [_of_all(found)] if same_text else map(str, found)
    return sentences


def _of_all(problems: list[Problem]) -> str:
    """ "18 patients (P1, P2, P3 and 15 more): no response is known. ...", with what is true of them all."""
    first = problems[0]
    names = listed(problem.patient_id for problem in problems[:MOST_NAMED])
    parts = ("expected", "received", "remedy")
    differing = {part: "" for part in parts if len({getattr(problem, part) for problem in problems}) > 1}
    sentence = str(replace(first, patient_id="", file="", **differing))
    return tr(
        "{n} patients ({names} and {more} more): {sentence}",
        n=len(problems),
        names=names,
        more=len(problems) - MOST_NAMED,
        sentence=f"{first.message[0]}{sentence[1:]}",
    )


def formula_warnings(patient_ids: Iterable[str]) -> list[Problem]:
    """A warning where IDs begin as formulas do: the tables write an apostrophe before them."""
    from TACEResponseLib.storage import FORMULA, shown_text

    found = [shown_text(patient_id) for patient_id in patient_ids if FORMULA.match(patient_id)]
    if not found:
        return []
    texts = listed(tr('"{text}"', text=text[:40]) for text in found[:5])
    more = len(found) - 5
    received = tr("{texts} and {more} more", texts=texts, more=more) if more > 0 else texts
    return [
        Problem(
            "table",
            tr("IDs begin as formulas do, and a spreadsheet would run them"),
            field="patient_id",
            expected=tr("IDs that do not begin with = + - or @"),
            received=received,
            remedy=tr("tables written here hold an apostrophe before them, and are read back without it"),
            severity="warning",
        )
    ]


def patients_in(number: int, file: Path) -> str:
    """How many patients a table holds, and where it is."""
    return several(number, "1 patient: {file}", "{n} patients: {file}", file=file)


def say_done(progress: Reporting, text: str, **content) -> None:
    """The last event for a program, or the text for a person."""
    if isinstance(progress, JsonProgress):
        progress.event("done", **content)
    else:
        progress.close()
        print(text, file=sys.stdout)
