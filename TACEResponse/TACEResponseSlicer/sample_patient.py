"""The sample patient: synthetic, made on the spot, so that anybody sees an answer without a download."""

from pathlib import Path

import slicer

from . import publish
from .background import BackgroundTask
from .texts import tr as _

#: Number and seed in the phantom population; three lesions of up to 46 mm.
SAMPLE_INDEX, SAMPLE_SEED = 21, 1
SAMPLE_NAME = "TACE sample patient"  # not a text: its nodes are found by it
#: Attribute of its volume, which stays when somebody gives it another name.
SAMPLE = "TACEResponse.Sample"


def make(size: str = "small"):
    """The patient's voxels (`phantom.PhantomPatient`), on any thread.

    size: `small` (a crop, about a second) or `full` (512 x 512, some seconds).
    """
    from TACEResponseLib.phantom import make_patient

    return make_patient(SAMPLE_INDEX, seed=SAMPLE_SEED, size=size)


def nodes_of(patient):
    """CT volume and segmentation node of what `make` made; main thread."""
    volume, segmentation = publish.patient_nodes(SAMPLE_NAME, patient.image, patient.mask)
    volume.SetAttribute(SAMPLE, "1")
    volume.SetDescription(_("Synthetic: computed from random numbers, no patient is in it."))
    return volume, segmentation


def is_sample(volume) -> bool:
    """Whether a volume is the sample patient's."""
    return bool(volume.GetAttribute(SAMPLE))


def load(size: str = "small"):
    """Both at once, for the console and the Sample Data module; shown in the views.

    The patient is made beside the application, which stays alive and waits.
    """
    outcome = []
    task = BackgroundTask(lambda report: make(size), lambda *step: None, lambda *both: outcome.extend(both))
    task.waitForCompletion()
    patient, error = outcome
    if error is not None:
        raise error
    volume, segmentation = nodes_of(patient)
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume, segmentation


def register(download):
    """Offer the sample patient in the Sample Data module; download: called by its button.

    From the console call `TACEResponse.loadSamplePatient()`, because `SampleData.downloadSample` knows
    only addresses and passes over a source's own function.
    """
    import SampleData

    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):  # newer than Slicer 5.12
        logic.registerCustomSampleDataCategory("TACEResponse", title=_("TACE Response"))
    thumbnail = Path(__file__).parents[1] / "Resources" / "Icons" / "TACEResponseSamplePatient.png"
    logic.registerCustomSampleDataSource(
        category="TACEResponse",
        sampleName="TACEResponseSamplePatient",
        uris="",  # made on the spot, never downloaded
        fileNames="",
        nodeNames=SAMPLE_NAME,
        thumbnailFileName=str(thumbnail),
        customDownloader=download,
    )
