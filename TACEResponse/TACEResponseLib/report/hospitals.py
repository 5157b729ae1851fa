"""Several hospitals' `aggregates.json`: of one model and one outcome, each once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from TACEResponseLib.answer.prediction import DEMONSTRATION, RESEARCH_USE
from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import mark, tr
from TACEResponseLib.statistics.aggregates import Aggregates, combine
from TACEResponseLib.statistics.meta_analysis import Pooled

from .aggregates import FILE, HospitalFile, read_hospital

#: What must be the same in every file: field -> what is wrong where it is not, and what to do.
SAME = {
    "bundle_id": (mark("the files are of different models"), mark("combine files of one model only")),
    "model": (mark("the files are of different models"), mark("combine files of one model only")),
    "outcome": (mark("the files are of different outcomes"), mark("combine files of one outcome only")),
}


@dataclass(frozen=True)
class Combined:
    """Hospitals that tried the same model on the same outcome, and what they show together."""

    hospitals: tuple[HospitalFile, ...]

    @cached_property
    def pooled(self) -> dict[str, Pooled]:
        """Figure -> its mean over the hospitals; see `statistics.aggregates.combine`."""
        return combine(self.figures)

    @property
    def figures(self) -> list[Aggregates]:
        """What each hospital states, in the order of the files."""
        return [hospital.figures for hospital in self.hospitals]

    @property
    def statement(self) -> str:
        """What the page begins and ends with."""
        return tr(DEMONSTRATION if self.hospitals[0].demonstration else RESEARCH_USE)


def read_hospitals(paths: Sequence[Path]) -> Combined:
    """The files of two hospitals or more, all of one model and one outcome.

    Raises InputError for fewer, for a file that cannot be read, for one that is there twice, for patients
    that the model was trained on, and for files of different models or outcomes.
    """
    paths = [Path(path) for path in paths]
    if len(paths) < 2:
        raise InputError(
            tr("one hospital cannot be combined"),
            expected=tr("two or more files {name}", name=FILE),
            received=f"{len(paths)}",
        )
    files = [read_hospital(path, name) for path, name in zip(paths, hospital_names(paths), strict=True)]
    for path, file in zip(paths, files, strict=True):
        _require_external(path, file)
        _require_same(path, file, files[0])
    _require_once(paths)
    return Combined(tuple(files))


def hospital_names(paths: Sequence[Path]) -> list[str]:
    """How each hospital is called: after its file, or after the folder of an `aggregates.json`."""
    names = [path.resolve().parent.name if path.name == FILE else path.stem for path in paths]
    often = Counter(names)
    return [name if often[name] == 1 else f"{name} ({k})" for k, name in enumerate(names, start=1)]


def _require_external(path: Path, file: HospitalFile) -> None:
    if file.estimate != "external":
        raise InputError(
            tr("the figures are of patients that the model was trained on"),
            file=path.name,
            field="estimate",
            expected="external",
            received=file.estimate,
            remedy=tr("leave the file out: it says nothing about new patients"),
        )


def _require_same(path: Path, file: HospitalFile, first: HospitalFile) -> None:
    for field, (message, remedy) in SAME.items():
        expected, received = getattr(first, field), getattr(file, field)
        if expected != received:
            raise InputError(
                tr(message),
                file=path.name,
                field=field,
                expected=tr("{value}, as in the file of {hospital}", value=expected, hospital=first.name),
                received=received,
                remedy=tr(remedy),
            )


def _require_once(paths: Sequence[Path]) -> None:
    """Raise InputError where two files hold the same: a hospital would count twice."""
    seen: dict[bytes, Path] = {}
    for path in paths:
        content = path.read_bytes()
        if content in seen:
            raise InputError(
                tr("a hospital is there twice"),
                file=path.name,
                expected=tr("one file of each hospital"),
                received=tr("the same figures as in {file}", file=seen[content]),
                remedy=tr("name each file once"),
            )
        seen[content] = path
