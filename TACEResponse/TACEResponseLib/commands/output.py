"""What the commands share: how they end, and the repairs that an option asks for."""

import sys
from collections.abc import Iterable
from dataclasses import replace

from TACEResponseLib.errors import Problem
from TACEResponseLib.progress import JsonProgress, TerminalProgress

DONE, SOME_FAILED = 0, 1
Reporting = JsonProgress | TerminalProgress


def with_repairs(cohort, names: str):
    """The cohort with the repairs that were asked for, beside those that its table asks for."""
    from TACEResponseLib.cases.repair import parse_repairs

    repairs = parse_repairs(names)
    patients = (replace(p, repairs=(*p.repairs, *repairs)) for p in cohort.patients)
    return replace(cohort, patients=tuple(patients))


def formula_warnings(patient_ids: Iterable[str]) -> list[Problem]:
    """A warning where IDs begin as formulas do: the tables write an apostrophe before them."""
    from TACEResponseLib.storage import FORMULA, shown_text

    found = [shown_text(patient_id) for patient_id in patient_ids if FORMULA.match(patient_id)]
    if not found:
        return []
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return [
        Problem(
            "table",
            "IDs begin as formulas do, and a spreadsheet would run them",
            field="patient_id",
            expected="IDs that do not begin with = + - or @",
            received=", ".join(f'"{text[:40]}"' for text in found[:5]) + more,
            remedy="tables written here hold an apostrophe before them, and are read back without it",
            severity="warning",
        )
    ]


def say_done(progress: Reporting, text: str, **content) -> None:
    """The last event for a program, or the text for a person."""
    if isinstance(progress, JsonProgress):
        progress.event("done", **content)
    else:
        progress.close()
        print(text, file=sys.stdout)
