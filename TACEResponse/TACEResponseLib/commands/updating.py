"""The command that moves a bundle's probabilities to another hospital."""

from argparse import Namespace

from TACEResponseLib.messages.language import tr

from .output import Reporting, say_done
from .training import exit_code, first_sentences, is_synthetic


def update(options: Namespace, progress: Reporting) -> int:
    """Write a new bundle whose intercept, or intercept and slope, is estimated again on a cohort."""
    from TACEResponseLib.bundle import load_bundle, require_free_folder
    from TACEResponseLib.cohorts.table import read_cohort
    from TACEResponseLib.messages.errors import InputError
    from TACEResponseLib.report.updated_card import save_updated, update_sentence
    from TACEResponseLib.training.external import external_patients
    from TACEResponseLib.training.updating import require_original, update_response_model

    if options.out.resolve() == options.bundle.resolve():
        raise InputError(
            tr("the updated bundle would overwrite the original"),
            field="out",
            expected=tr("another folder than that of the bundle"),
            received=str(options.out),
        )
    require_free_folder(options.out)  # said before the work, not after it
    model = load_bundle(options.bundle)
    require_original(model)
    patients, left_out = external_patients(
        model,
        read_cohort(options.cohort, encoding=options.encoding),
        for_update=True,
        engine=options.engine,
        jobs=options.jobs,
        progress=progress,
    )
    updated = update_response_model(model, patients, demonstration=is_synthetic(options.cohort))
    bundle = save_updated(updated, options.bundle, options.out)
    text = [
        *first_sentences(list(left_out.values())),
        update_sentence(updated),
        tr("Bundle: {folder}", folder=bundle),
    ]
    say_done(
        progress,
        "\n".join(text),
        bundle=str(bundle),
        original=updated.origin.bundle_id,
        left_out=len(left_out),
        updates={name: of.update.to_json() for name, of in updated.combinations.items()},
        thresholds=dict(updated.thresholds),
    )
    return exit_code(left_out)
