"""The commands by which a model goes to the data: figures out of a hospital, and several put together."""

from argparse import Namespace
from typing import TYPE_CHECKING

from TACEResponseLib.messages.language import several, tr

from .output import DONE, Reporting, say_done

if TYPE_CHECKING:
    from TACEResponseLib.report.study import Study


def combine(options: Namespace, progress: Reporting) -> int:
    """The random-effects meta-analysis of what hospitals wrote with `evaluate --aggregates-only`."""
    from TACEResponseLib.report.combined import as_text, write_combined
    from TACEResponseLib.report.hospitals import read_hospitals

    found = read_hospitals(options.files)
    page = write_combined(found, options.out)
    estimates = {name: pooled.estimate for name, pooled in found.pooled.items()}
    say_done(progress, f"{as_text(found)}\n{tr('Page: {file}', file=page)}", page=str(page), pooled=estimates)
    return DONE


def say_aggregates(study: "Study", options: Namespace, progress: Reporting) -> None:
    """Write the one file of `evaluate --aggregates-only` and say what it holds; no patient is named."""
    from TACEResponseLib.report.aggregates import write_aggregates

    path, found = write_aggregates(study, options.out)
    text, left_out = [], len(study.left_out)
    if found.auc is not None:
        figures = {"auc": found.auc.auc, "low": found.auc.ci_low, "high": found.auc.ci_high}
        text.append(tr("AUC {auc:.3f} ({low:.3f} to {high:.3f})", **figures))
    if left_out:
        text.append(
            several(
                left_out,
                "1 patient was not evaluated; tace-response check --cohort says why.",
                "{n} patients were not evaluated; tace-response check --cohort says why.",
            )
        )
    text.append(tr("Figures of all patients together, no patient named: {file}", file=path))
    say_done(progress, "\n".join(text), aggregates=str(path), left_out=left_out)
