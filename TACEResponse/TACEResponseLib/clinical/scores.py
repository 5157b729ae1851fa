"""Clinical scores before TACE: inputs, published source, and what each was developed to predict.

D is the longest axial diameter of one lesion in cm, N the number of lesions, S = D + N. They say how
well patients do, mostly how long they live, and stand beside the model as baselines; nothing here is
fitted. A score with a missing item is NA and names the item: a missing value is never zero points.
"""

from collections.abc import Callable
from dataclasses import dataclass

from . import rules
from .items import ClinicalValues, TumourBurden

__all__ = ["DEFINITIONS", "ClinicalScore", "ClinicalValues", "Definition", "TumourBurden", "clinical_scores"]

NOT_AVAILABLE = "NA"
#: The groups of a score that is a set of criteria, in words.
CRITERIA = {"in": "within criteria", "out": "beyond criteria"}


@dataclass(frozen=True)
class ClinicalScore:
    """One score of one patient.

    value: what the score measures (a sum in cm, an ALBI value), None where it only counts points.
    points: None where it counts none. group: as published, "NA" when something is missing. level: place
    of the group, 0 the best prognosis, None for NA. missing: names of the items without which there
    is no group; a censored value that decides nothing is named with it ("AFP >200 decides nothing").
    built_for: what its authors predicted. source: where it was published.
    """

    name: str
    title: str
    value: float | None
    points: int | None
    group: str
    level: int | None
    missing: tuple[str, ...]
    built_for: str
    source: str
    note: str

    @property
    def text(self) -> str:
        """The answer as a reader meets it: "B (1 point)", "6.7: within criteria", "needs albumin"."""
        if self.missing:
            return _missing_text(self.missing)
        if self.points is not None:
            return f"{self.group} ({self.points} {'point' if self.points == 1 else 'points'})"
        group = CRITERIA.get(self.group, self.group)
        if self.value is None:
            return group
        return f"{f'{self.value:.2f}'.rstrip('0').rstrip('.')}: {group}"

    def to_json(self) -> dict:
        """Every field, and the text; JSON types."""
        return {**vars(self), "missing": list(self.missing), "text": self.text}


def _missing_text(items: tuple[str, ...]) -> str:
    """ "needs albumin, bilirubin"; what is known and decides nothing stands behind it as it is."""
    needed = [item for item in items if not item.endswith(rules.UNDECIDED)]
    known = [item for item in items if item.endswith(rules.UNDECIDED)]
    return "; ".join([*([f"needs {', '.join(needed)}"] if needed else []), *known])


@dataclass(frozen=True)
class Definition:
    """A published score: its rule, its groups from the best prognosis to the worst, its source."""

    name: str
    title: str
    rule: Callable[[ClinicalValues, TumourBurden | None], rules.Outcome]
    groups: tuple[str, ...]
    source: str
    built_for: str = "survival"
    note: str = ""

    def score(self, values: ClinicalValues, burden: TumourBurden | None) -> ClinicalScore:
        """The score of one patient."""
        found = self.rule(values, burden)
        group = NOT_AVAILABLE if found.level is None else self.groups[found.level]
        return ClinicalScore(
            self.name,
            self.title,
            found.value,
            found.points,
            group,
            found.level,
            found.missing,
            self.built_for,
            self.source,
            self.note,
        )


LETTERS, IN_OUT, THIRDS = ("A", "B", "C", "D"), ("in", "out"), ("low", "middle", "high")
TRANSPLANT = "survival after transplant"
DEFINITIONS = (
    Definition("hap", "HAP", rules.hap, LETTERS, "Kadalayil et al., Ann Oncol 2013;24:2565"),
    Definition(
        "mhap_ii",
        "mHAP-II",
        rules.mhap_ii,
        LETTERS,
        "Park et al., Liver Int 2016;36:100",
        note="bilirubin cut at 17 umol/L; the original prints 0.9 mg/dL",
    ),
    Definition(
        "six_and_twelve",
        "six-and-twelve",
        rules.sum_with_cuts(6, 12),
        THIRDS,
        "Wang et al., J Hepatol 2019;70:893",
        note="largest diameter (cm) + number of lesions: up to 6, above 6 to 12, above 12",
    ),
    Definition(
        "seven_eleven",
        "seven-eleven",
        rules.sum_with_cuts(7, 11),
        THIRDS,
        "Hung et al., Liver Cancer 2021;10:629",
        "response and survival",
        "largest diameter (cm) + number of lesions: up to 7, above 7 to 11, above 11",
    ),
    Definition(
        "up_to_seven",
        "up-to-seven",
        rules.sum_with_cuts(7),
        IN_OUT,
        "Mazzaferro et al., Lancet Oncol 2009;10:35",
        TRANSPLANT,
        "largest diameter (cm) + number of lesions",
    ),
    Definition(
        "up_to_eleven",
        "up-to-eleven",
        rules.sum_with_cuts(11),
        IN_OUT,
        "as compared by Hung et al., Liver Cancer 2021;10:629",
        note="largest diameter (cm) + number of lesions",
    ),
    Definition(
        "tumour_burden",
        "tumour burden score",
        rules.tumour_burden,
        THIRDS,
        "Tsilimigras et al., Br J Surg 2020;107:854",
        "survival after resection",
        "root of diameter (cm) squared + number squared: below 3.36, to 13.74, above; other cuts in print",
    ),
    Definition(
        "milan", "Milan", rules.milan, IN_OUT, "Mazzaferro et al., N Engl J Med 1996;334:693", TRANSPLANT
    ),
    Definition("ucsf", "UCSF", rules.ucsf, IN_OUT, "Yao et al., Hepatology 2001;33:1394", TRANSPLANT),
    Definition(
        "albi",
        "ALBI",
        rules.albi,
        ("grade 1", "grade 2", "grade 3"),
        "Johnson et al., J Clin Oncol 2015;33:550",
    ),
    Definition("albi_tae", "ALBI-TAE", rules.albi_tae, LETTERS, "Lee et al., Liver Int 2019;39:1704"),
    Definition(
        "child_pugh", "Child-Pugh", rules.child_pugh, ("A", "B", "C"), "Pugh et al., Br J Surg 1973;60:646"
    ),
    Definition(
        "state",
        "STATE",
        rules.state,
        ("good", "poor"),
        "Hucke et al., J Hepatol 2014;61:1287",
        note="good from 18",
    ),
)


def clinical_scores(values: ClinicalValues, burden: TumourBurden | None) -> tuple[ClinicalScore, ...]:
    """Every score of one patient, in the order of `DEFINITIONS`; without burden those of it are NA."""
    return tuple(definition.score(values, burden) for definition in DEFINITIONS)
