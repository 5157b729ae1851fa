"""A finished model at another hospital: its probabilities are moved there, its ranking stays.

Nothing is trained. For every model and every fusion the intercept, or intercept and slope, of its
probability is estimated again on the hospital's patients, with the choice and the shrinkage of
`statistics.updating`. Thresholds go through the same curve, so that who is called a responder stays the
same until the hospital chooses another threshold. The original stands in the updated model beside what
was changed; `original_of` gives it back.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from TACEResponseLib.answer.response_model import Origin, ResponseModel, TrainingPatients
from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import in_language, listed, several, tr
from TACEResponseLib.models.calibrated import CalibratedFit
from TACEResponseLib.models.combination import Combination
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.statistics.updating import FEWEST_TO_UPDATE, Update, update_model

from .inputs import Labelled


def update_response_model(
    model: ResponseModel, patients: Labelled, *, demonstration: bool = False
) -> ResponseModel:
    """The model with the probabilities that fit n patients of another hospital.

    patients: whom the model has not seen, measured as it measures; they count as its training patients
    from now on. demonstration: whether they are synthetic, which marks the model for ever. Raises
    TrainingError for fewer than 5 patients of a class, or a model that was updated before: what is
    estimated again is the original's, and never more of it.
    """
    require_original(model)
    require_enough(patients.outcome)
    probabilities = model.probabilities(patients.table)
    missing = sorted(set(model.combinations) - set(probabilities))
    if missing:
        raise TrainingError(
            tr("a model cannot answer for these patients"),
            expected=listed(model.combinations),
            received=tr("no answer of {missing}", missing=listed(missing)),
            remedy=tr("give images and masks as the model was trained on"),
        )
    with in_language("en"):  # the reason of an update goes into the bundle
        updates = {
            name: update_model(values, patients.outcome.labels) for name, values in probabilities.items()
        }
    centers = tuple(sorted({center for center in patients.table.centers if center}))
    return replace(
        model,
        combinations=_updated(model.combinations, updates),
        thresholds={name: float(updates[name](cut)) for name, cut in model.thresholds.items()},
        training=_extended(model.training, patients, probabilities, updates),
        fold_fits=tuple(
            CalibratedFit(fit.models, _updated(fit.combinations, updates)) for fit in model.fold_fits
        ),
        demonstration=model.demonstration or demonstration,
        origin=Origin(model.identity, model.thresholds, len(model.training.patient_ids), centers),
    )


def original_of(model: ResponseModel) -> ResponseModel:
    """The model from which an updated one comes; itself when it was never updated.

    Its training patients are those of both, since neither is to be evaluated on any of them.
    """
    if model.origin is None:
        return model
    without = dict.fromkeys(model.combinations)
    return replace(
        model,
        combinations=_updated(model.combinations, without),
        thresholds=model.origin.thresholds,
        fold_fits=tuple(
            CalibratedFit(fit.models, _updated(fit.combinations, without)) for fit in model.fold_fits
        ),
        identity=model.origin.bundle_id,
        origin=None,
    )


def require_original(model: ResponseModel) -> None:
    """Raise TrainingError for a model that was updated before."""
    if model.origin is not None:
        raise TrainingError(
            tr("the model was updated before"),
            field="bundle",
            expected=tr("a bundle as it was trained"),
            received=model.identity,
            remedy=tr("update the bundle {bundle_id} instead", bundle_id=model.origin.bundle_id),
        )


def require_enough(outcome: Outcome) -> None:
    """Raise TrainingError when a class has too few patients for any estimate."""
    others = len(outcome) - outcome.responders
    if min(outcome.responders, others) < FEWEST_TO_UPDATE:
        raise TrainingError(
            tr("too few patients of one class to update a model"),
            field="label",
            expected=tr("at least {n} responders and {n} non-responders", n=FEWEST_TO_UPDATE),
            received=listed(
                (
                    several(outcome.responders, "1 responder", "{n} responders"),
                    several(others, "1 non-responder", "{n} non-responders"),
                )
            ),
            remedy=tr("use the model as it is until there are more patients"),
        )


def _updated(
    combinations: Mapping[str, Combination], updates: Mapping[str, Update | None]
) -> dict[str, Combination]:
    return {name: replace(of, update=updates[name]) for name, of in combinations.items()}


def _extended(
    known: TrainingPatients,
    patients: Labelled,
    probabilities: Mapping[str, np.ndarray],
    updates: Mapping[str, Update],
) -> TrainingPatients:
    """The training patients with those of the update behind them.

    Out of fold stands what the original says of the new ones, whom it had not seen; a new patient's
    probability is compared with updated ones.
    """
    images = {*known.image_hashes, *filter(None, patients.table.image_hashes)}
    outlines = Counter(known.outlines) + Counter(filter(None, patients.table.outlines))
    return TrainingPatients(
        patient_ids=(*known.patient_ids, *patients.table.patient_ids),
        outcome=Outcome(np.concatenate([known.outcome.labels, patients.outcome.labels])),
        out_of_fold={n: np.concatenate([v, probabilities[n]]) for n, v in known.out_of_fold.items()},
        conformal={n: updates[n](np.concatenate([v, probabilities[n]])) for n, v in known.conformal.items()},
        image_hashes=tuple(sorted(images)),
        outlines=dict(sorted(outlines.items())),
    )
