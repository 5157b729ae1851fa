"""Clinical scores before TACE: inputs, published source, and what each was developed to predict.

D is the longest axial diameter of one lesion in cm, N the number of lesions, S = D + N. They say how
well patients do, mostly how long they live, and stand beside the model as baselines; nothing here is
fitted. A score with a missing item is NA and names the item: a missing value is never zero points.
"""

from collections.abc import Callable
from dataclasses import dataclass

from TACEResponseLib.messages.language import listed, mark, several, tr

from . import rules
from .items import ClinicalValues, TumourBurden

__all__ = ["DEFINITIONS", "ClinicalScore", "ClinicalValues", "Definition", "TumourBurden", "clinical_scores"]

NOT_AVAILABLE = "NA"
#: The groups of a score that is a set of criteria, in words.
CRITERIA = {"in": mark("within criteria"), "out": mark("beyond criteria")}


@dataclass(frozen=True)
class ClinicalScore:
    """One score of one patient.

    value: what the score measures (a sum in cm, an ALBI value), None where it only counts points.
    points: None where it counts none. group: as published, "NA" when something is missing. level: place
    of the group, 0 the best prognosis, None for NA. missing: names of the items without which there
    is no group; a censored value that decides nothing is named with it ("AFP >200 decides nothing");
    `item_in_words` says one in the reader's language, as title, built_for and note are.
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
            return several(self.points, "{group} (1 point)", "{group} ({n} points)", group=self.group)
        group = tr(CRITERIA.get(self.group, self.group))
        if self.value is None:
            return group
        return tr("{value}: {group}", value=f"{self.value:.2f}".rstrip("0").rstrip("."), group=group)

    def to_json(self) -> dict:
        """Every field, and the text; JSON types."""
        return {**vars(self), "missing": list(self.missing), "text": self.text}


def _missing_text(items: tuple[str, ...]) -> str:
    """ "needs albumin, bilirubin"; what is known and decides nothing stands behind it as it is."""
    needed = [item_in_words(item) for item in items if not item.endswith(rules.UNDECIDED)]
    known = [item_in_words(item) for item in items if item.endswith(rules.UNDECIDED)]
    return tr("; ").join([*([tr("needs {items}", items=listed(needed))] if needed else []), *known])


def item_in_words(item: str) -> str:
    """One entry of `ClinicalScore.missing` in the reader's language."""
    if not item.endswith(rules.UNDECIDED):
        return tr(item)
    name, measured = item.removesuffix(rules.UNDECIDED).rsplit(" ", 1)
    return tr("{item} {measured} decides nothing", item=tr(name), measured=measured)


@dataclass(frozen=True)
class Definition:
    """A published score: its rule, its groups from the best prognosis to the worst, its source."""

    name: str
    title: str
    rule: Callable[[ClinicalValues, TumourBurden | None], rules.Outcome]
    groups: tuple[str, ...]
    source: str
    built_for: str = mark("survival")
    note: str = ""

    def score(self, values: ClinicalValues, burden: TumourBurden | None) -> ClinicalScore:
        """The score of one patient."""
        found = self.rule(values, burden)
        group = NOT_AVAILABLE if found.level is None else self.groups[found.level]
        return ClinicalScore(
            self.name,
            tr(self.title),
            found.value,
            found.points,
            group,
            found.level,
            found.missing,
            tr(self.built_for),
            tr(self.source),
            tr(self.note),
        )


LETTERS, IN_OUT = ("A", "B", "C", "D"), ("in", "out")
THIRDS = (mark("low"), mark("middle"), mark("high"))
TRANSPLANT = mark("survival after transplant")
DEFINITIONS = (
    Definition(
        "hap",
        "HAP",
        rules.hap,
        LETTERS,
        "Kadalayil et al., Ann Oncol 2013;24:2565",  # not a text
    ),
    Definition(
        "mhap_ii",
        "mHAP-II",
        rules.mhap_ii,
        LETTERS,
        "Park et al., Liver Int 2016;36:100",  # not a text
        note=mark("bilirubin cut at 17 umol/L; the original prints 0.9 mg/dL"),
    ),
    Definition(
        "six_and_twelve",
        mark("six-and-twelve"),
        rules.sum_with_cuts(6, 12),
        THIRDS,
        "Wang et al., J Hepatol 2019;70:893",  # not a text
        note=mark("largest diameter (cm) + number of lesions: up to 6, above 6 to 12, above 12"),
    ),
    Definition(
        "seven_eleven",
        mark("seven-eleven"),
        rules.sum_with_cuts(7, 11),
        THIRDS,
        "Hung et al., Liver Cancer 2021;10:629",  # not a text
        mark("response and survival"),
        mark("largest diameter (cm) + number of lesions: up to 7, above 7 to 11, above 11"),
    ),
    Definition(
        "up_to_seven",
        mark("up-to-seven"),
        rules.sum_with_cuts(7),
        IN_OUT,
        "Mazzaferro et al., Lancet Oncol 2009;10:35",  # not a text
        TRANSPLANT,
        mark("largest diameter (cm) + number of lesions"),
    ),
    Definition(
        "up_to_eleven",
        mark("up-to-eleven"),
        rules.sum_with_cuts(11),
        IN_OUT,
        mark("as compared by Hung et al., Liver Cancer 2021;10:629"),
        note=mark("largest diameter (cm) + number of lesions"),
    ),
    Definition(
        "tumour_burden",
        mark("tumour burden score"),
        rules.tumour_burden,
        THIRDS,
        "Tsilimigras et al., Br J Surg 2020;107:854",  # not a text
        mark("survival after resection"),
        mark(
            "root of diameter (cm) squared + number squared: below 3.36, to 13.74, above; other cuts in print"
        ),
    ),
    Definition(
        "milan",
        mark("Milan"),
        rules.milan,
        IN_OUT,
        "Mazzaferro et al., N Engl J Med 1996;334:693",  # not a text
        TRANSPLANT,
    ),
    Definition(
        "ucsf",
        mark("UCSF"),
        rules.ucsf,
        IN_OUT,
        "Yao et al., Hepatology 2001;33:1394",  # not a text
        TRANSPLANT,
    ),
    Definition(
        "albi",
        mark("ALBI"),
        rules.albi,
        (mark("grade 1"), mark("grade 2"), mark("grade 3")),
        "Johnson et al., J Clin Oncol 2015;33:550",  # not a text
    ),
    Definition(
        "albi_tae",
        "ALBI-TAE",
        rules.albi_tae,
        LETTERS,
        "Lee et al., Liver Int 2019;39:1704",  # not a text
    ),
    Definition(
        "child_pugh",
        mark("Child-Pugh"),
        rules.child_pugh,
        ("A", "B", "C"),
        "Pugh et al., Br J Surg 1973;60:646",  # not a text
    ),
    Definition(
        "state",
        "STATE",
        rules.state,
        (mark("good"), mark("poor")),
        "Hucke et al., J Hepatol 2014;61:1287",  # not a text
        note=mark("good from 18"),
    ),
)


def clinical_scores(values: ClinicalValues, burden: TumourBurden | None) -> tuple[ClinicalScore, ...]:
    """Every score of one patient, in the order of `DEFINITIONS`; without burden those of it are NA."""
    return tuple(definition.score(values, burden) for definition in DEFINITIONS)
