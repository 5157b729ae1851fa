"""The lines of a model card that a page shows, in the reader's language.

A card is English everywhere. The lines that the program itself writes follow fixed patterns, by which they
are recognised; a line that follows none, such as one by whoever trained the model, stays English.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from string import Formatter

from TACEResponseLib.messages.language import in_language, language_tag, mark, tr
from TACEResponseLib.models.combination import title

#: The sentences, as `report.model_card`, `summarize_card` and the card of the public cohort have them.
LINES = (
    mark(
        "Trained on {n} patients, {responders} of them responders; recipe {recipe}, {folds} folds, "
        "{repeats}, seed {seed}, {features}."
    ),
    mark(
        "Trained on the public collection {name}: {n} patients of one hospital, CT before TACE in the portal "
        "venous or late arterial phase, response by the majority of three readers (mRECIST)."
    ),
    mark("Reliability: no second reader; every feature was used."),
    mark("Reliability: {kept} of {all} features with {form} above {threshold} ({n} patients, two readers)."),
    mark("{model}, {estimate}: AUC {auc}, {n} patients."),
    mark(
        "Limits: one recipe, {sources}. Not evaluated on any other scanner, phase or treatment than those of "
        "its cohort."
    ),
)
#: What stands in their braces.
PARTS = (
    mark("1 repeat"),
    mark("{n} repeats"),
    mark("radiomics engine {engine}"),
    mark("features from a table that does not say how they were extracted"),
    mark("out of fold"),
    mark("external"),
    mark("{value} ({low} to {high})"),
    mark("one source of images"),
    mark("images of {n} centres"),
)


def card_in_words(lines: Iterable[str], headline: str) -> tuple[tuple[str, str], ...]:
    """Text and language tag of each line of `summarize_card`. headline: the model that answers."""
    with in_language("en"):
        answered_by = title(headline)
    names = {answered_by: title(headline)}
    said = [(line, _said(line, LINES, names)) for line in lines]
    return tuple((text or line, language_tag() if text else "en") for line, text in said)


def _said(text: str, patterns: Iterable[str], names: Mapping[str, str]) -> str | None:
    """A text by the first pattern that it follows; None where it follows none."""
    for pattern in patterns:
        if found := _as_regex(pattern).fullmatch(text):
            return tr(pattern, **{key: _part(value, names) for key, value in found.groupdict().items()})
    return None


def _part(value: str, names: Mapping[str, str]) -> str:
    return names.get(value) or _said(value, PARTS, names) or value


@cache
def _as_regex(pattern: str) -> re.Pattern:
    """A pattern with something in each of its braces."""
    return re.compile(
        "".join(
            re.escape(literal) + (f"(?P<{field}>.+?)" if field else "")
            for literal, field, *_ in Formatter().parse(pattern)
        )
    )
