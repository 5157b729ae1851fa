"""The first sentence of a report: how good the headline model is, and the one planned comparison."""

from TACEResponseLib.messages.language import listed, mark, tr
from TACEResponseLib.models.combination import ALL, title
from TACEResponseLib.statistics.discrimination import AucDifference
from TACEResponseLib.statistics.small_classes import FEWEST_FOR_TEST

from .rivals import named
from .study import Scored, Study
from .table import interval_text, p_text, patients_text, signed

SIGNIFICANT = 0.05
ONE_CLASS = mark("no group of patients holds responders and non-responders, at least five of each")
TOO_FEW_TO_TEST = mark("fewer than {fewest} patients of a class")
VERDICTS = {
    "open": mark("{figure}, not shown to beat {rival} alone ({compared})"),
    "better": mark("{figure}, better than {rival} alone ({compared})"),
    "worse": mark("{figure}, worse than {rival} alone ({compared})"),
}


def planned_rival(study: Study, group: Scored) -> str | None:
    """The measure of size that the headline is compared with in this group; None where there is none."""
    there = study.rival in group.rivals and study.model.headline != "size"
    return study.rival if there else None


def against_size(study: Study, group: Scored) -> AucDifference | None:
    """The headline model against tumour size as measured, the one comparison planned beforehand."""
    rival = planned_rival(study, group)
    return None if rival is None else group.difference(study.model.headline, rival)


def instead_of_planned(study: Study) -> str:
    """That another model than the settings name is the headline, in a sentence; empty where it is the one."""
    planned, model = study.model.settings.fusion.headline, study.model.headline
    if study.record is None or planned == model:
        return ""
    missing = [part for part in planned.split("+") if part not in study.models]
    return tr(
        "Planned as headline model: {planned}. In its place: {model}. Not in this run: {missing}.",
        planned=title(planned),
        model=title(model),
        missing=listed(map(title, missing)),
    )


def headline(study: Study, in_card: bool = False) -> str:
    """One sentence: how good the headline model is, and whether it beats tumour size alone.

    in_card: for the card of a model, whose sentence belongs to the identity of its bundle. It states the AUC
    of size among all patients; the report states it within the folds, where it is compared.
    """
    if not study.with_auc:
        return tr("No AUC can be given: {reason}.", reason=tr(ONE_CLASS))
    parts = [_verdict(study, group, in_card) for group in study.with_auc]
    if study.record is not None and study.no_external:
        parts.append(tr("external: none, {reason}", reason=study.no_external))
    name = tr("all models together") if study.model.headline == ALL else title(study.model.headline)
    return tr("{model}: {figures}.", model=name[0].upper() + name[1:], figures=tr("; ").join(parts))


def _figure(study: Study, group: Scored) -> str:
    auc = group.auc(study.model.headline)
    return tr(
        "{estimate} AUC {auc:.3f} ({interval}, {patients})",
        estimate=group.title,
        auc=auc.auc,
        interval=interval_text(auc),
        patients=patients_text(len(group.labels), auc.responders),
    )


def _verdict(study: Study, group: Scored, in_card: bool) -> str:
    """The figure with what the planned comparison says, or why there is none."""
    figure, rival = _figure(study, group), planned_rival(study, group)
    if rival is None:
        alone = study.model.headline == "size"
        return figure if alone else tr("{figure}, with no tumour size to compare with", figure=figure)
    pair = against_size(study, group)
    if pair is None:
        return tr(
            "{figure}; {rival} alone {auc:.3f}, not compared by a test: {reason}",
            figure=figure,
            rival=named(rival),
            auc=group.auc(rival).auc,
            reason=tr(TOO_FEW_TO_TEST, fewest=FEWEST_FOR_TEST),
        )
    beats = VERDICTS["open" if pair.p >= SIGNIFICANT else "better" if pair.difference > 0 else "worse"]
    p = p_text(pair.p)
    compared = tr(
        "AUC {auc:.3f}, difference {difference}, paired test p {p}",
        auc=group.auc(rival).auc if in_card else group.compared_auc(rival),
        difference=signed(pair.difference),
        p=p if p.startswith("<") else f"= {p}",
    )
    return tr(beats, figure=figure, rival=named(rival), compared=compared)
