"""What the commands do with outlines: their source by an option, and two columns of them compared."""

from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING

from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import tr

from .output import Reporting

if TYPE_CHECKING:
    from TACEResponseLib.answer.response_model import ResponseModel
    from TACEResponseLib.cohorts.table import Cohort
    from TACEResponseLib.training.inputs import Labelled
    from TACEResponseLib.training.outlines import TwoOutlines


def with_sources(cohort: "Cohort", source: str) -> "Cohort":
    """The cohort with `source` for every mask whose row says nothing; InputError for another word."""
    from TACEResponseLib.cases.outline import Outline

    said = Outline.from_text(source)
    patients = (p if p.outline.source else replace(p, outline=said) for p in cohort.patients)
    return replace(cohort, patients=tuple(patients))


def require_second_mask(cohort: "Cohort", options: Namespace) -> None:
    """InputError for a column without outlines, or a comparison of which nothing would be written."""
    from TACEResponseLib.training.outlines import second_masks

    if options.second_mask:
        second_masks(cohort, options.second_mask)
    if options.second_mask and options.aggregates_only:
        raise InputError(
            tr("an option would have no effect"),
            field="second-mask",
            expected=tr("--second-mask without --aggregates-only"),
            received=options.second_mask,
            remedy=tr("leave one of the two out"),
        )


def second_outlines(
    model: "ResponseModel", cohort: "Cohort", first: "Labelled", options: Namespace, progress: Reporting
) -> "TwoOutlines | None":
    """The comparison that `--second-mask` asks for; None without it."""
    from TACEResponseLib.training.outlines import compare_outlines

    if not options.second_mask:
        return None
    how = {"engine": options.engine, "jobs": options.jobs, "progress": progress}
    return compare_outlines(model, cohort, options.second_mask, first, **how)
