"""How far readers agree on the response, and what that leaves for a model to reach."""

from itertools import combinations

import numpy as np

from TACEResponseLib.messages.language import mark, tr
from TACEResponseLib.statistics.intervals import AucInterval, auc_newcombe
from TACEResponseLib.statistics.readers import Kappa, ReaderAuc, cohen_kappa, fleiss_kappa, reader_aucs

from .study import Scored, Study, has_auc
from .table import Table

ONE_READER = mark("the table gives the response by one reader")
SOURCES = {
    "reader1": mark("reader 1's label"),
    "majority": mark("the label of most readers"),
    "soft": mark("the label of most readers"),
}


def reader_tables(study: Study) -> tuple[Table, ...]:
    """The tables of this room, in the order of the page."""
    return agreement_table(study), ceiling_table(study)


def _read(study: Study) -> list[tuple[Scored, np.ndarray]]:
    """The groups with the labels (n, r) of several readers, and at least one patient with all of them."""
    found = [(group, group.patients.outcome.readers) for group in study.scored]
    return [(g, r) for g, r in found if r is not None and np.isfinite(r).all(axis=1).any()]


def agreement_table(study: Study) -> Table:
    """Kappa of every two readers, and of all of them."""
    rows = []
    for group, readers in _read(study):
        complete = readers[np.isfinite(readers).all(axis=1)]
        pairs = list(combinations(range(readers.shape[1]), 2))
        for a, b in pairs:
            kappa = cohen_kappa(complete[:, a], complete[:, b])
            rows.append(_kappa_row(group, tr("readers {a} and {b}", a=a + 1, b=b + 1), kappa))
        if len(pairs) > 1:
            rows.append(_kappa_row(group, tr("all readers (Fleiss)"), fleiss_kappa(complete)))
    return Table(
        "reader_agreement",
        tr("Agreement of the readers on response"),
        rows,
        tr("Kappa: agreement beyond chance, 1 perfect, 0 as by chance. Patients read by all readers."),
        "" if rows else tr(ONE_READER),
    )


def _kappa_row(group: Scored, readers: str, kappa: Kappa) -> dict:
    return {
        "cohort": group.part,
        "readers": readers,
        "n": kappa.patients,
        "agreed": kappa.observed,
        "kappa": kappa.kappa,
        "kappa_ci_low": kappa.ci_low,
        "kappa_ci_high": kappa.ci_high,
    }


def ceiling_table(study: Study) -> Table:
    """How well the other readers rank each reader's label, with the model on the same patients."""
    rows = [row for group, readers in _read(study) for row in _ceiling_rows(study, group, readers)]
    absent = "" if rows else tr(ONE_READER)
    caption = tr("The readers' ceiling: how well one reader's label is told from the others'")
    return Table("reader_ceiling", caption, rows, _note(study), absent)


def _ceiling_rows(study: Study, group: Scored, readers: np.ndarray) -> list[dict]:
    complete = np.isfinite(readers).all(axis=1)
    rows = [_reader_row(group, found) for found in reader_aucs(readers, readers)]
    # The very same patients, so that model and readers can be set beside each other.
    if has_auc(group.labels[complete]):
        auc = group.auc(study.model.headline, None if complete.all() else complete)
        words = tr(SOURCES[study.model.settings.outcome])
        by = tr("the headline model, {estimate}", estimate=group.title)
        rows.append(_auc_row(group, words, by, auc))
    return rows


def _reader_row(group: Scored, found: ReaderAuc) -> dict:
    others = [str(reader + 1) for reader in found.by]
    votes = tr("votes of readers {readers}", readers=tr(" and ").join(others))
    by = tr("reader {n}", n=others[0]) if len(others) == 1 else votes
    return _auc_row(group, tr("reader {n}'s label", n=found.reader + 1), by, found.auc)


def _auc_row(group: Scored, label: str, by: str, auc: AucInterval) -> dict:
    return {
        "cohort": group.part,
        "label": label,
        "ranked_by": by,
        "n": auc.responders + auc.others,
        "responders": auc.responders,
        "auc": auc.auc,
        "auc_ci_low": auc.ci_low,
        "auc_ci_high": auc.ci_high,
    }


def ceiling(readers: np.ndarray) -> AucInterval:
    """AUC of the votes of all other readers for the first reader's label; readers: (n, r) labels."""
    complete = readers[np.isfinite(readers).all(axis=1)]
    return auc_newcombe(complete[:, 0], complete[:, 1:].mean(axis=1))


def _note(study: Study) -> str:
    """The ceiling in words, for the first group that has one."""
    for group, readers in _read(study):
        auc = ceiling(readers)
        if auc.auc is None:
            continue
        ranks = tr("the other reader ranks")
        others = ranks if readers.shape[1] == 2 else tr("the votes of the other readers rank")
        return tr(
            "With the scans before and after treatment before them, {others} reader 1's label with an AUC "
            "of {auc:.3f} ({cohort}, {patients} patients). A model that sees the scan before treatment alone "
            "is not to be expected above it when it is judged by one reader's label. A label of several "
            "readers is steadier, and its ceiling may be higher.",
            others=others,
            auc=auc.auc,
            cohort=group.part,
            patients=auc.responders + auc.others,
        )
    return ""
