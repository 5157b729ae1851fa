"""Which volumes a DICOM folder holds: its series, split where one series UID holds several scans.

A liver CT comes as several phases, and some archives put two or three of them under one series
UID. Such a series repeats positions; it is split by AcquisitionNumber, then by
TemporalPositionIdentifier, then by the pauses between acquisition times.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.messages.errors import InputError, Problem
from TACEResponseLib.messages.language import listed, several, tr

from .dicom import Slice, dicom_files, open_stack, read_slices
from .gate import Admitted
from .phases import phase_of_description
from .slices import require_no_slice_of

#: Positions closer than this are one position.
SAME_POSITION_MM = 1e-3


@dataclass(frozen=True)
class Acquisition:
    """One scan: the slices of a series, or of one part of a series that holds several.

    part: empty where the series is one scan, otherwise its AcquisitionNumber (or its place in time).
    localizers: slices of the series that are overviews and none of the scan's.
    """

    slices: tuple[Slice, ...]
    part: str = ""
    localizers: tuple[Slice, ...] = ()

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID."""
        return self.slices[0].series_uid

    @property
    def description(self) -> str:
        """SeriesDescription."""
        return self.slices[0].description

    @property
    def phase(self) -> str | None:
        """The contrast phase that the description names, None when it names none."""
        return phase_of_description(self.description)

    @property
    def choice(self) -> str:
        """The text that chooses exactly this acquisition."""
        return f"{self.series_uid}#{self.part}" if self.part else self.series_uid

    @property
    def title(self) -> str:
        """Description, number of slices and what to write to choose it."""
        description = self.description or tr("no description")
        return tr(
            "{description} ({n} slices, {choice})",
            description=description,
            n=len(self.slices),
            choice=self.choice,
        )

    def read(self, folder: Path) -> tuple[sitk.Image, dict]:
        """The volume in HU, and its identity as JSON types with what was noticed in reading."""
        admitted, source = self.open(folder)
        return admitted.volume, source

    def open(self, folder: Path) -> tuple[Admitted, dict]:
        """As `read`, with the notes as warnings."""
        admitted = open_stack(list(self.slices), folder)
        notes = (*admitted.notes, *self._left_out(folder))
        source = {
            "folder": folder.name,
            "series_uid": self.series_uid,
            "series_description": self.description,
            **self._where_in_the_archive(),
            **({"acquisition": self.part} if self.part else {}),
            "slices": len(self.slices),
            **({"noticed": [note.message for note in notes]} if notes else {}),
        }
        return replace(admitted, notes=notes), source

    def _where_in_the_archive(self) -> dict[str, str]:
        """What a person finds the scan by, as far as the header says: the day, and the series' number."""
        first = self.slices[0]
        known = {"series_number": first.series_number.strip(), "study_date": first.study_date}
        return {name: text for name, text in known.items() if text}

    def _left_out(self, folder: Path) -> tuple[Problem, ...]:
        """A warning that names the localizers."""
        if not self.localizers:
            return ()
        names = listed(each.path.name for each in self.localizers[:5])
        return (
            Problem(
                "geometry",
                several(
                    len(self.localizers),
                    "1 localizer of the series was left out",
                    "{n} localizers of the series were left out",
                ),
                field="image",
                file=folder.name,
                received=names,
                remedy=tr("check that no slice of the scan is missing"),
                severity="warning",
            ),
        )


def list_acquisitions(folder: Path) -> list[Acquisition]:
    """Every scan below `folder`, in order of series number; copies of a file count once.

    Raises InputError naming a DICOM file that is damaged.
    """
    by_file = {path: read_slices(path) for path in dicom_files(folder)}
    slices = [each for found in by_file.values() for each in found]
    shapes = {(each.series_uid, each.rows_columns) for each in slices}
    for path in (path for path, found in by_file.items() if not found):
        require_no_slice_of(shapes, path)
    return group_slices(slices)


def group_slices(slices: Sequence[Slice]) -> list[Acquisition]:
    """The slices as scans, in order of series number."""
    # A copy has the UID and the position of its original; some anonymisers give all slices one UID.
    series: dict[str, dict[tuple, Slice]] = defaultdict(dict)
    for each in slices:
        key = (each.instance_uid, each.position, each.acquisition, each.frame)
        series[each.series_uid].setdefault(key, each)
    acquisitions = [a for members in series.values() for a in _without_localizers(list(members.values()))]
    return sorted(acquisitions, key=lambda a: (a.slices[0].series_number.zfill(9), a.series_uid))


def read_series(folder: Path, wanted: str | None = None) -> tuple[sitk.Image, dict]:
    """The volume in HU of the only scan in `folder`, or of the one that `wanted` names."""
    return choose_acquisition(list_acquisitions(folder), wanted, folder).read(folder)


def choose_acquisition(
    acquisitions: Sequence[Acquisition], wanted: str | None, folder: Path, proposal: str = ""
) -> Acquisition:
    """The only one, or the one that `wanted` names.

    wanted: a SeriesInstanceUID, a description or a part of one, a series number or a phase; with
    `#part` behind it one part of a series that holds several scans. Exact names come first.
    proposal: the sentence about which is likely the arterial one, added to the error's remedy.
    Raises InputError listing what there is.
    """
    if not acquisitions:
        raise InputError(
            tr("the folder holds no DICOM slices"),
            field="image",
            file=folder.name,
            expected=tr("one CT series"),
            received=tr("{n} other files", n=sum(1 for p in folder.rglob("*") if p.is_file())),
            remedy=tr("choose the folder of the CT series, or a volume file"),
        )
    chosen = list(acquisitions)
    if wanted is not None:
        chosen = _named(acquisitions, wanted)
    if len(chosen) == 1:
        return chosen[0]
    one_series = len({a.series_uid for a in chosen}) == 1
    message = (
        tr("the series holds several acquisitions") if one_series else tr("the folder holds several series")
    )
    raise InputError(
        message if wanted is None else tr('"{wanted}" names no single series', wanted=wanted),
        field="image",
        file=folder.name,
        expected=tr("one series, or a choice"),
        received=tr("; ").join(a.title for a in chosen or acquisitions),
        remedy=tr(
            "name the series by its description or its UID, a part of it as UID#part; {proposal}",
            proposal=proposal,
        )
        if proposal
        else tr("name the series by its description or its UID, a part of it as UID#part"),
    )


def _named(acquisitions: Sequence[Acquisition], wanted: str) -> list[Acquisition]:
    """Those that `wanted` may mean: by the first way of naming that fits any."""
    name, _, part = wanted.partition("#")
    name = name.strip().casefold()
    pool = [a for a in acquisitions if part.strip() in ("", a.part)]
    ways = (
        lambda a: name in ("", a.series_uid, a.description.casefold()),
        lambda a: name == a.slices[0].series_number,
        lambda a: name == a.phase,
        lambda a: name in a.description.casefold(),
    )
    return next((fitting for way in ways if (fitting := [a for a in pool if way(a)])), [])


def _without_localizers(slices: list[Slice]) -> list[Acquisition]:
    """The scans of one series; its localizers, where it holds anything else, are named apart."""
    localizers = tuple(s for s in slices if s.is_localizer)
    if not localizers or len(localizers) == len(slices):
        return _split(slices)
    return [replace(a, localizers=localizers) for a in _split([s for s in slices if not s.is_localizer])]


def _split(slices: list[Slice]) -> list[Acquisition]:
    """The scans of one series: one, unless positions repeat and something tells them apart."""
    stacks = _grouped(slices, lambda s: s.stack)
    if len(stacks) > 1:  # an Enhanced file says itself that it holds several volumes
        return [Acquisition(tuple(part), f"stack {name}") for name, part in stacks.items()]
    repeats = _most_repeats(slices)
    if repeats > 1:
        for key in (lambda s: s.acquisition, lambda s: s.temporal_position, _time_groups(slices, repeats)):
            parts = _grouped(slices, key)
            if len(parts) > 1 and all(_most_repeats(part) == 1 for part in parts.values()):
                return [Acquisition(tuple(part), name) for name, part in parts.items()]
    return [Acquisition(tuple(slices))]


def _most_repeats(slices: list[Slice]) -> int:
    """How often the most frequent position occurs."""
    depths = np.sort([s.depth_mm for s in slices])
    group = np.cumsum(np.diff(depths, prepend=depths[0]) > SAME_POSITION_MM)
    return int(np.bincount(group).max())


def _grouped(slices: list[Slice], key: Callable[[Slice], str]) -> dict[str, list[Slice]]:
    """The slices by `key`, in the key's order (numbers by value); nothing when a slice has none."""
    parts = defaultdict(list)
    for each in slices:
        parts[key(each)].append(each)
    if "" in parts:
        return {}
    return dict(sorted(parts.items(), key=lambda item: item[0].zfill(9)))


def _time_groups(slices: list[Slice], parts: int) -> Callable[[Slice], str]:
    """Slice -> "1", "2", ... by time, cut at the `parts` - 1 longest pauses; "" without times."""
    try:
        seconds = {s: _seconds(s.time) for s in slices}
    except ValueError:
        return lambda _: ""
    moments = sorted(set(seconds.values()))
    pauses = sorted(((later - earlier, later) for earlier, later in pairwise(moments)), reverse=True)
    starts = sorted(start for _, start in pauses[: parts - 1])
    return lambda s: str(1 + sum(seconds[s] >= start for start in starts))


def _seconds(time: str) -> float:
    """Seconds since midnight of a DICOM time, HHMMSS.FFFFFF."""
    return 3600 * int(time[:2]) + 60 * int(time[2:4]) + float(time[4:] or 0)
