"""The tumour as a binary DICOM SEG with one segment, on the slices of the CT."""

from typing import TYPE_CHECKING

import highdicom
import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from pydicom.sr.codedict import codes

from TACEResponseLib.cases.outline import Outline
from TACEResponseLib.messages.language import mark, tr

from .instances import LONGEST_TEXT, SEGMENTATION_SERIES, Identifiers, common_attributes
from .source import Source

if TYPE_CHECKING:
    from TACEResponseLib.answer.prediction import Prediction

SEGMENT, LABEL = 1, mark("Tumour")
#: Name and version of a program that nobody named; both must be there.
UNNAMED = "unknown"
#: SegmentAlgorithmType of an outline's source: automatic is what nobody touched.
MANUAL = SegmentAlgorithmTypeValues.MANUAL
ALGORITHM_TYPES = {
    "proposed": SegmentAlgorithmTypeValues.AUTOMATIC,
    "confirmed": SegmentAlgorithmTypeValues.AUTOMATIC,
    "edited": SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
}


def tumour_segmentation(
    prediction: "Prediction", source: Source, tumour: np.ndarray, identifiers: Identifiers
) -> Segmentation:
    """The SEG of `tumour`, (slice, row, column) booleans; slices without tumour have no frame."""
    first = source.headers[0]
    return Segmentation(
        source_images=source.headers,
        pixel_array=tumour.astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[_description(prediction.outline, identifiers)],
        series_instance_uid=identifiers.segmentation_series,
        series_number=SEGMENTATION_SERIES,
        sop_instance_uid=identifiers.segmentation,
        # The distance between slices, without which a reader must guess across empty frames.
        pixel_measures=highdicom.PixelMeasuresSequence(
            pixel_spacing=first.PixelSpacing,
            slice_thickness=first.SliceThickness,
            spacing_between_slices=source.step_mm,
        ),
        content_label="TUMOUR",
        content_description=tr("The outline that the prediction was made from"),
        omit_empty_frames=True,
        **common_attributes(prediction, mark("tumour")),
    )


def _description(outline: Outline, identifiers: Identifiers) -> SegmentDescription:
    """What the segment is, and who made it as far as that is known.

    Manual where nothing is: a person chose this outline, by whatever tool it was drawn.
    """
    made = ALGORITHM_TYPES.get(outline.source, MANUAL)
    return SegmentDescription(
        segment_number=SEGMENT,
        segment_label=tr(LABEL),
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        # Not hepatocellular carcinoma: an outline is no diagnosis.
        segmented_property_type=codes.SCT.NeoplasmPrimary,
        anatomic_regions=[codes.SCT.Liver],
        algorithm_type=made,
        algorithm_identification=None if made == MANUAL else _algorithm(outline.program),
        tracking_uid=identifiers.tracking,
        tracking_id=LABEL,
        display_color=highdicom.color.CIELabColor.from_string("orange"),
    )


def _algorithm(program: str) -> highdicom.AlgorithmIdentificationSequence:
    """What proposed the outline, "TotalSegmentator 2.13.0": DICOM wants a name and a version of it."""
    name, _, version = program.rpartition(" ")
    if not (name and version[:1].isdigit()):
        name, version = program, ""
    return highdicom.AlgorithmIdentificationSequence(
        name=(name or UNNAMED)[:LONGEST_TEXT],
        family=codes.SCT.Unknown,  # a network or a region around a click: the record does not say
        version=(version or UNNAMED)[:LONGEST_TEXT],
    )
