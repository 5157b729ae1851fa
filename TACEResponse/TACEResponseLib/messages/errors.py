"""Problems with names: what is wrong, with what, what was expected, and what to do about it.

The science raises these and nothing else on purpose; only the command line and the panels catch
them. A `Problem` is also what the preflight lists and what a prediction carries as a warning, so a
user reads the same sentence wherever the fault is met.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .language import listed, tr

#: Faults of one table that its sentence lists.
MOST_LISTED = 50


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in parts, so that it can be printed, listed and tested.

    `kind` is a stable word for programs (`geometry`, `mask`, `intensity`, ...). `message` is one
    clause without a full stop. `expected`, `received` and `remedy` are phrases, empty when they
    would say nothing. `severity` is `error` (no answer) or `warning` (an answer, to be read with
    this sentence beside it).
    """

    kind: str
    message: str
    field: str = ""
    expected: str = ""
    received: str = ""
    remedy: str = ""
    patient_id: str = ""
    file: str = ""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        about = listed(
            part
            for part in (tr("patient {name}", name=self.patient_id) if self.patient_id else "", self.file)
            if part
        )
        sentence = (
            tr("{about}: {message}.", about=about, message=self.message)
            if about
            else tr("{text}.", text=self.message)
        )
        if self.patient_id or not self.file:  # a file's name keeps its letters
            sentence = _begun(sentence)
        remedy = tr("{text}.", text=_begun(self.remedy)) if self.remedy else ""
        return tr(" ").join(part for part in (sentence, self._found(), remedy) if part)

    def _found(self) -> str:
        """What was expected and received, one sentence; empty without either."""
        expected = tr("expected {text}", text=self.expected) if self.expected else ""
        received = tr("received {text}", text=self.received) if self.received else ""
        if expected and received:
            return tr("{first}; {second}.", first=_begun(expected), second=received)
        return tr("{text}.", text=_begun(expected or received)) if expected or received else ""


def _begun(text: str) -> str:
    """The text with a capital letter at its beginning."""
    return f"{text[0].upper()}{text[1:]}"


class TACEResponseError(Exception):
    """Base of every error that a user can meet; `str(error)` is the sentence to show.

    Raise a subclass with the clause first and the parts as keywords:
    `raise MaskError("the mask is empty", field="mask", received="no voxel above 0")`.
    """

    kind = "error"

    def __init__(self, message: str, **parts: str):
        self.problem = Problem(kind=parts.pop("kind", self.kind), message=message, **parts)
        super().__init__(str(self.problem))

    @classmethod
    def from_problem(cls, problem: Problem) -> "TACEResponseError":
        """The error that says exactly `problem`."""
        error = cls.__new__(cls)
        error.problem = problem
        Exception.__init__(error, str(problem))
        return error

    def __reduce__(self):
        # Errors cross process borders (parallel extraction): rebuild from the problem.
        return (type(self).from_problem, (self.problem,))

    def about(self, **parts: str) -> "TACEResponseError":
        """The same error with parts filled in that were empty, for example `patient_id`."""
        missing = {name: text for name, text in parts.items() if not getattr(self.problem, name)}
        return type(self).from_problem(replace(self.problem, **missing))


class InputError(TACEResponseError):
    """A file, folder or value that cannot be used as it is."""

    kind = "input"


class GeometryError(InputError):
    """Image and mask do not lie on one grid, or a grid is not a grid."""

    kind = "geometry"


class MaskError(InputError):
    """A mask, label or segment that names no usable tumour."""

    kind = "mask"


class IntensityError(InputError):
    """Intensities that cannot be Hounsfield units."""

    kind = "intensity"


class TableError(InputError):
    """A cohort, label or feature table with faults in named rows and columns.

    `problems` holds every fault. With one, `problem` is that fault; with several it says how many,
    and `str(error)` lists them, a line each.
    """

    kind = "table"
    problems: tuple[Problem, ...] = ()

    def __init__(self, message: str, **parts: str):
        super().__init__(message, **parts)
        self.problems = (self.problem,)

    @classmethod
    def from_problem(cls, problem: Problem) -> "TableError":
        """The error that says exactly `problem`."""
        error = super().from_problem(problem)
        error.problems = (problem,)
        return error

    @classmethod
    def listing(cls, problems: Sequence[Problem], table: str) -> "TableError":
        """One error for all faults of a table, in the order of its rows."""
        problems = tuple(problems)
        if len(problems) == 1:
            return cls.from_problem(problems[0])
        lines = [str(problem) for problem in problems[:MOST_LISTED]]
        rest = len(problems) - len(lines)
        more = [tr("... and {n} more", n=rest)] if rest else []
        count = tr("the table has {n} faults", n=len(problems))
        error = cls.from_problem(Problem(cls.kind, count, file=table, remedy=tr("correct each of them")))
        error.problems = problems
        Exception.__init__(error, "\n".join([str(error.problem), *lines, *more]))
        return error

    def about(self, **parts: str) -> "TableError":
        """The same error, every fault of it with parts filled in that were empty."""
        filled = [InputError.from_problem(p).about(**parts).problem for p in self.problems]
        return type(self).listing(filled, self.problem.file)

    def __reduce__(self):
        return (type(self).listing, (self.problems, self.problem.file))


class SettingsError(TACEResponseError):
    """A setting that is unknown or outside its limits."""

    kind = "settings"


class LimitsError(SettingsError):
    """A setting outside its limits; `field` is its name and `received` how Python writes its value."""


class FeatureError(TACEResponseError):
    """A radiomics feature that cannot be computed on this case, with image type and reason."""

    kind = "feature"


class TrainingError(TACEResponseError):
    """A cohort from which a model cannot be trained or evaluated."""

    kind = "training"


class BundleError(TACEResponseError):
    """A model bundle that is damaged, foreign, or does not reproduce its own self-test."""

    kind = "bundle"


class RegisterError(InputError):
    """A register of predictions that is damaged, foreign, in use, or does not hold what was asked for."""

    kind = "register"


class DependencyError(TACEResponseError):
    """A package or program that is not here; the remedy says how to get it."""

    kind = "dependency"


class Cancelled(TACEResponseError):
    """The user stopped the work; nothing half-written is left behind."""

    kind = "cancelled"

    def __init__(self, message: str = "", **parts: str):
        super().__init__(message or tr("cancelled"), **parts)
