"""What the commands share: how they end, and the repairs that an option asks for."""

import sys
from dataclasses import replace

from TACEResponseLib.progress import JsonProgress, TerminalProgress

DONE, SOME_FAILED = 0, 1
Reporting = JsonProgress | TerminalProgress


def with_repairs(cohort, names: str):
    """The cohort with the repairs that were asked for, beside those that its table asks for."""
    from TACEResponseLib.cases.repair import parse_repairs

    repairs = parse_repairs(names)
    patients = (replace(p, repairs=(*p.repairs, *repairs)) for p in cohort.patients)
    return replace(cohort, patients=tuple(patients))


def say_done(progress: Reporting, text: str, **content) -> None:
    """The last event for a program, or the text for a person."""
    if isinstance(progress, JsonProgress):
        progress.event("done", **content)
    else:
        progress.close()
        print(text, file=sys.stdout)
