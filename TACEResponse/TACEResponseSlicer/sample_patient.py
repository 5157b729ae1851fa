"""The sample patient: synthetic, made on the spot, so that anybody sees an answer without a download."""

import slicer
from slicer.i18n import tr as _

from . import publish

#: Number and seed in the phantom population; three lesions of up to 46 mm.
SAMPLE_INDEX, SAMPLE_SEED = 21, 1
SAMPLE_NAME = "TACE sample patient"


def make(size: str = "small"):
    """The patient's voxels (`phantom.PhantomPatient`), on any thread.

    size: `small` (a crop, about a second) or `full` (512 x 512, some seconds).
    """
    from TACEResponseLib.phantom import make_patient

    return make_patient(SAMPLE_INDEX, seed=SAMPLE_SEED, size=size)


def nodes_of(patient):
    """CT volume and segmentation node of what `make` made; main thread."""
    volume, segmentation = publish.patient_nodes(SAMPLE_NAME, patient.image, patient.mask)
    volume.SetDescription(_("Synthetic: computed from random numbers, no patient is in it."))
    return volume, segmentation


def load(size: str = "small"):
    """Both at once, for the console and the Sample Data module; shown in the views."""
    volume, segmentation = nodes_of(make(size))
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume, segmentation
