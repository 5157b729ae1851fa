"""The tumour as a binary DICOM SEG with one segment, on the slices of the CT."""

from typing import TYPE_CHECKING

import highdicom
import numpy as np
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.sr.codedict import codes

from TACEResponseLib.messages.language import mark, tr

from .instances import SEGMENTATION_SERIES, Identifiers, common_attributes
from .source import Source

if TYPE_CHECKING:
    from TACEResponseLib.answer.prediction import Prediction

SEGMENT, LABEL = 1, mark("Tumour")


def tumour_segmentation(
    prediction: "Prediction", source: Source, tumour: np.ndarray, identifiers: Identifiers
) -> Segmentation:
    """The SEG of `tumour`, (slice, row, column) booleans; slices without tumour have no frame."""
    first = source.headers[0]
    return Segmentation(
        source_images=source.headers,
        pixel_array=tumour.astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[_description(identifiers)],
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


def _description(identifiers: Identifiers) -> SegmentDescription:
    """What the segment is. Manual: a person chose this outline, by whatever tool it was drawn."""
    return SegmentDescription(
        segment_number=SEGMENT,
        segment_label=tr(LABEL),
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        # Not hepatocellular carcinoma: an outline is no diagnosis.
        segmented_property_type=codes.SCT.NeoplasmPrimary,
        anatomic_regions=[codes.SCT.Liver],
        algorithm_type="MANUAL",
        tracking_uid=identifiers.tracking,
        tracking_id=LABEL,
        display_color=highdicom.color.CIELabColor.from_string("orange"),
    )
