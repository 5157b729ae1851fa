"""Several hospitals' `aggregates.json`: of one model and one outcome, each once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from TACEResponseLib.answer.prediction import DEMONSTRATION, RESEARCH_USE
from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.statistics.aggregates import Aggregates, combine
from TACEResponseLib.statistics.meta_analysis import Pooled

from .aggregates import FILE, HospitalFile, read_hospital


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
        return DEMONSTRATION if self.hospitals[0].demonstration else RESEARCH_USE


def read_hospitals(paths: Sequence[Path]) -> Combined:
    """The files of two hospitals or more, all of one model and one outcome.

    Raises InputError for fewer, for a file that cannot be read, for one that is there twice, for patients
    that the model was trained on, and for files of different models or outcomes.
    """
    paths = [Path(path) for path in paths]
    if len(paths) < 2:
        raise InputError(
            "one hospital cannot be combined",
            expected=f"two or more files {FILE}",
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
            "the figures are of patients that the model was trained on",
            file=path.name,
            field="estimate",
            expected="external",
            received=file.estimate,
            remedy="leave the file out: it says nothing about new patients",
        )


def _require_same(path: Path, file: HospitalFile, first: HospitalFile) -> None:
    for field, words in (("bundle_id", "models"), ("model", "models"), ("outcome", "outcomes")):
        expected, received = getattr(first, field), getattr(file, field)
        if expected != received:
            raise InputError(
                f"the files are of different {words}",
                file=path.name,
                field=field,
                expected=f"{expected}, as in the file of {first.name}",
                received=received,
                remedy=f"combine files of one {words[:-1]} only",
            )


def _require_once(paths: Sequence[Path]) -> None:
    """Raise InputError where two files hold the same: a hospital would count twice."""
    seen: dict[bytes, Path] = {}
    for path in paths:
        content = path.read_bytes()
        if content in seen:
            raise InputError(
                "a hospital is there twice",
                file=path.name,
                expected="one file of each hospital",
                received=f"the same figures as in {seen[content]}",
                remedy="name each file once",
            )
        seen[content] = path
