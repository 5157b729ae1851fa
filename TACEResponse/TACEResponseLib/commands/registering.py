"""The commands around the register: keep predictions, add the response, audit the model."""

import filecmp
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from TACEResponseLib.messages.errors import InputError, MaskError, TableError, TACEResponseError
from TACEResponseLib.messages.language import tr

from .output import DONE, Reporting, say_done

if TYPE_CHECKING:
    from TACEResponseLib.answer.prediction import Prediction
    from TACEResponseLib.cases import Case
    from TACEResponseLib.cohorts.table import Patient
    from TACEResponseLib.follow_up.mrecist import ObservedResponse
    from TACEResponseLib.follow_up.register import Recorded


def check_register(options: Namespace) -> None:
    """Before anything is predicted: that it can be kept. Does nothing without `--register`."""
    from TACEResponseLib.follow_up.register import Register, checked_day, checked_id

    if options.register is None:
        if options.date is not None:
            raise InputError(
                tr("a date is for the register"), field="date", expected=tr("--register beside it")
            )
        return
    checked_day(options.date)
    if options.cohort is None:
        checked_id(options.patient)  # a file's name is not taken for one
    with Register(options.register, create=True):
        pass


def days_of(patients: "tuple[Patient, ...]", options: Namespace) -> list[str | None]:
    """The day of each patient of a cohort: its column `date`, or `--date`; TableError names a bad cell."""
    from TACEResponseLib.follow_up.register import checked_day

    days, faults = [], []
    for patient in patients:
        day = patient.clinical.get("date") or options.date
        try:
            days.append(day if options.register is None else checked_day(day))
        except TACEResponseError as error:
            about = {"row": patient.row, "column": "date", "message": error.problem.message}
            message = tr("row {row}, column {column}: {message}", **about)
            faults.append(
                replace(error.problem, kind="table", message=message, patient_id=patient.patient_id)
            )
    if faults:
        raise TableError.listing(faults, options.cohort.name)
    return days


def keep(
    prediction: "Prediction", options: Namespace, day: str | None, *, response_known: bool = False
) -> None:
    """Keep a prediction where `--register` says, before anybody sees it; does nothing without it."""
    from TACEResponseLib.follow_up.register import Register

    if options.register is not None:
        with Register(options.register, create=True) as register:
            register.keep(prediction, day, response_known=response_known)


def follow_up(options: Namespace, progress: Reporting) -> int:
    """Record how a patient responded, from masks of viable tumour or as read, beside the prediction."""
    from TACEResponseLib.follow_up.register import Register

    _check_choice(options)
    sums, observed = {}, None
    with Register(options.register) as register:
        register.require_open(options.patient, replace=options.replace)  # said before the work
        if options.response is None:
            observed = _measured(options, progress)
            sums = {"baseline_mm": observed.baseline_mm, "follow_up_mm": observed.follow_up_mm}
        response = options.response if observed is None else observed.response
        recorded = register.record_outcome(options.patient, response, replace=options.replace, **sums)
    notes = () if observed is None else observed.notes
    lines = [] if observed is None else [tr("{text}.", text=observed.sentence())]
    lines += [*(tr("Note: {text}.", text=note) for note in notes), *map(_beside, recorded)]
    predictions = [_as_json(one) for one in recorded]
    say_done(
        progress, "\n".join(lines), response=response, **sums, notes=list(notes), predictions=predictions
    )
    return DONE


def _check_choice(options: Namespace) -> None:
    """That the response is given once: as read, or by masks, with or without one after TACE."""
    before, after = (options.baseline_image, options.baseline_mask), (options.image, options.mask)
    measured = any((*before, *after, options.none_viable, options.new_lesion, options.viable_arterial))
    if options.response is not None and measured:
        raise InputError(
            tr("the response is given twice"),
            field="response",
            expected=tr("--response, or masks, not both"),
        )
    if options.response is None and (None in before or (None in after) != options.none_viable):
        raise InputError(
            tr("no response to record"),
            field="response",
            expected=tr(
                "--response, or --baseline-image, --baseline-mask, --image and --mask (--none-viable in "
                "the place of the last two)"
            ),
            received=tr("a part of it") if measured else tr("none of them"),
        )


def _measured(options: Namespace, progress: Reporting) -> "ObservedResponse":
    from TACEResponseLib.cases.lesions import measure_lesions
    from TACEResponseLib.follow_up.mrecist import observed_response

    scans = 1 if options.none_viable else 2
    progress(tr("measuring viable tumour"), 0, scans)
    before = measure_lesions(_read(options, options.baseline_image, options.baseline_mask))
    after = None
    if not options.none_viable:
        progress(tr("measuring viable tumour"), 1, scans)
        if _same(options.baseline_image, options.image) or _same(options.baseline_mask, options.mask):
            raise InputError(
                tr("the CT or the mask after TACE is the one before it"),
                field="mask",
                expected=tr("another CT and another mask of viable tumour"),
                received=tr("the same files"),
                remedy=tr("give those of the follow-up; where nothing viable is left, use --none-viable"),
            )
        try:
            after = measure_lesions(_read(options, options.image, options.mask))
        except MaskError as error:
            remedy = tr(
                "{remedy}; where nothing viable is left, use --none-viable", remedy=error.problem.remedy
            )
            raise MaskError.from_problem(replace(error.problem, remedy=remedy)) from None
    progress(tr("measuring viable tumour"), scans, scans)
    return observed_response(
        before, after, viable_arterial=options.viable_arterial, new_lesion=options.new_lesion
    )


def _same(one: Path, other: Path) -> bool:
    """Whether both paths lead to the same content: the same place, or files with the same bytes."""
    if one.exists() and other.exists() and one.samefile(other):
        return True
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def _read(options: Namespace, image: Path, mask: Path) -> "Case":
    from TACEResponseLib.readers import read_case

    label = options.label
    label = int(label) if label and label.isdigit() else label
    return read_case(options.patient, image, mask, label=label, segment=options.segment)


def _beside(one: "Recorded") -> str:
    """Observed beside predicted, in a line."""
    from TACEResponseLib.answer.numbers import percent
    from TACEResponseLib.answer.prediction import DEMONSTRATION
    from TACEResponseLib.answer.words import model_title

    sentence = tr(
        "Patient {patient}: observed {response} ({outcome}), predicted {called} ({probability} by {model}, "
        "cut-off {threshold}): {met}. Model {bundle}.",
        patient=one.patient_id,
        response=one.response,
        outcome=tr("response") if one.label else tr("no response"),
        called=tr("responder") if one.called else tr("non-responder"),
        probability=percent(one.probability),
        model=model_title(one.model),
        threshold=percent(one.threshold),
        met=tr("as predicted") if one.called == bool(one.label) else tr("against the prediction"),
        bundle=one.bundle_id,
    )
    return f"{sentence} {tr(DEMONSTRATION)}" if one.demonstration else sentence


def _as_json(one: "Recorded") -> dict:
    return {
        "bundle_id": one.bundle_id,
        "demonstration": one.demonstration,
        "model": one.model,
        "fused": one.probability,
        "threshold": one.threshold,
        "responder": one.called,
        "observed_responder": bool(one.label),
        "similarity": one.similarity,
        "known_before": one.known_before,
    }


def audit(options: Namespace, progress: Reporting) -> int:
    """Show how recorded predictions met the responses, overall and over time, each model by itself."""
    from TACEResponseLib.follow_up.audit import audit_register
    from TACEResponseLib.follow_up.register import Register
    from TACEResponseLib.report.audit_page import as_text, write_audit

    with Register(options.register) as register:
        audits = audit_register(register.recorded(), bundle_id=options.bundle, period=options.period)
    page = write_audit(audits, options.out)
    say_done(
        progress, f"{as_text(audits)}\n\n{tr('Page: {file}', file=page)}", page=str(page), models=len(audits)
    )
    return DONE
