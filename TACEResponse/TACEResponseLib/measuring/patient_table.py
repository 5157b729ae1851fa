"""`PatientTable`: everything that is known of n patients, row by row, in one frozen object.

The one form in which patients travel from measuring to models to report. Whatever has one entry a
patient stands in it and nowhere else; the outcome, which models may see only inside a fold, is
`statistics.outcome.Outcome` and keeps the same order.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from TACEResponseLib.clinical.items import TumourBurden
from TACEResponseLib.messages.errors import FeatureError
from TACEResponseLib.messages.language import listed, tr

from .case import SCAN, Measurements
from .feature_table import IMAGE_HASH, diagnostics_of


@dataclass(frozen=True)
class PatientTable:
    """n patients, in one order.

    patient_ids: n texts. feature_names: p. features: (n, p) float64. pixels: (n, size, size, 3)
    float32 in [0, 1], None without images. diameters_mm: (n,) largest axial diameters, None when
    unknown. scans: (n, len(SCAN)) values of `measuring.case.measure_scan`, None without images.
    phases: n phases of contrast, "" where a scan does not tell.
    centers: n names of hospitals, "" where none is known. groups: n names of what a fold must not
    part, such as the patient of several rows; the patient's own ID where nothing is said. outlines: n
    sources of the mask (`cases.outline`), "" where none is known. burdens: n
    lesions as the clinical scores need them, None where unknown. clinical, diagnostics: n
    dictionaries each, what the cohort's table says of a patient beside the outcome, and the
    extraction's versions, settings and hashes.
    """

    patient_ids: tuple[str, ...]
    feature_names: tuple[str, ...]
    features: np.ndarray = field(repr=False)
    pixels: np.ndarray | None = field(default=None, repr=False)
    diameters_mm: np.ndarray | None = field(default=None, repr=False)
    scans: np.ndarray | None = field(default=None, repr=False)
    phases: tuple[str, ...] = ()
    centers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    outlines: tuple[str, ...] = ()
    burdens: tuple[TumourBurden | None, ...] = field(default=(), repr=False)
    clinical: tuple[Mapping[str, str], ...] = field(default=(), repr=False)
    diagnostics: tuple[Mapping[str, str], ...] = field(default=(), repr=False)

    def __post_init__(self):
        n = len(self.patient_ids)
        unsaid = {
            "phases": "",
            "centers": "",
            "outlines": "",
            "burdens": None,
            "clinical": {},
            "diagnostics": {},
        }
        for name, empty in unsaid.items():
            if not getattr(self, name):
                object.__setattr__(self, name, (empty,) * n)
        if not self.groups:
            object.__setattr__(self, "groups", self.patient_ids)
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if item.name != "feature_names" and value is not None and len(value) != n:
                raise ValueError(f"{item.name} has {len(value)} entries for {n} patients")
        if np.shape(self.features) != (n, len(self.feature_names)):
            raise ValueError(f"{np.shape(self.features)} features, {n} x {len(self.feature_names)} named")

    def __len__(self) -> int:
        return len(self.patient_ids)

    @property
    def image_hashes(self) -> tuple[str, ...]:
        """The SHA-1 of each patient's CT, "" where it is not known."""
        return tuple(row.get(IMAGE_HASH, "") for row in self.diagnostics)

    def rows(self, index: np.ndarray) -> "PatientTable":
        """The patients at the positions `index` (integers), or where it is True (booleans)."""
        index = np.asarray(index)
        index = np.flatnonzero(index) if index.dtype == bool else index
        taken = {}
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if isinstance(value, tuple) and item.name != "feature_names":
                taken[item.name] = tuple(value[i] for i in index)
            elif isinstance(value, np.ndarray):
                taken[item.name] = value[index]
        return dataclasses.replace(self, **taken)

    def columns(self, names: Sequence[str]) -> "PatientTable":
        """The same patients with the features called `names`, in that order.

        Raises FeatureError when one is not there.
        """
        position = {name: column for column, name in enumerate(self.feature_names)}
        missing = [name for name in names if name not in position]
        if missing:
            raise FeatureError(
                tr("{n} features that the model needs were not extracted", n=len(missing)),
                expected=listed(missing[:3]),
                remedy=tr("extract them with the settings of the bundle"),
            )
        chosen = self.features[:, [position[name] for name in names]]
        return dataclasses.replace(self, feature_names=tuple(names), features=chosen)


def stack(
    measurements: Sequence[Measurements],
    feature_names: Sequence[str],
    centers: Sequence[str] = (),
    groups: Sequence[str] = (),
    clinical: Sequence[Mapping[str, str]] = (),
    outlines: Sequence[str] = (),
) -> PatientTable:
    """The measurements of several patients as one PatientTable, features in the given order.

    centers, groups, clinical, outlines: fields of PatientTable, in the order of the measurements. The
    number of lesions is added to what the table says of a patient; its column `phase` (arterial, portal
    venous, native) counts where the scan does not tell.
    """
    rows = clinical or [{}] * len(measurements)
    lesions = [str(m.lesions.to_json()["number"]) for m in measurements]
    patches = [m.patch for m in measurements]
    return PatientTable(
        patient_ids=tuple(m.patient_id for m in measurements),
        feature_names=tuple(feature_names),
        features=np.array(
            [[m.row[name] for name in feature_names] for m in measurements], dtype=float
        ).reshape(len(measurements), len(feature_names)),
        pixels=None if None in patches else np.stack([p.pixels for p in patches]),
        diameters_mm=np.array([m.lesions.largest_diameter_mm for m in measurements]),
        scans=np.array([[m.scan[name] for name in SCAN] for m in measurements]),
        phases=tuple(
            m.phase or row.get("phase", "").casefold() for m, row in zip(measurements, rows, strict=True)
        ),
        centers=tuple(centers),
        groups=tuple(groups),
        outlines=tuple(outlines),
        diagnostics=tuple(diagnostics_of(m.row) for m in measurements),
        burdens=tuple(TumourBurden.from_lesions(m.lesions) for m in measurements),
        clinical=tuple({**row, "lesions": n} for row, n in zip(clinical, lesions, strict=True))
        if clinical
        else (),
    )
