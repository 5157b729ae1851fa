"""What both instances share: their identifiers, the equipment that made them, and their series."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.uid import generate_uid

from TACEResponseLib import __version__
from TACEResponseLib.messages.language import tr

if TYPE_CHECKING:
    from TACEResponseLib.answer.prediction import Prediction

#: Far above the numbers that scanners give, so that the results stand below the CT in a list.
SEGMENTATION_SERIES, REPORT_SERIES = 9101, 9102
LONGEST_TEXT = 64


@dataclass(frozen=True)
class Identifiers:
    """The UIDs of one export; `tracking` is the tumour's in both instances."""

    segmentation: str
    segmentation_series: str
    report: str
    report_series: str
    tracking: str

    @classmethod
    def new(cls, seed: str = "") -> "Identifiers":
        """Unique ones; the same ones for the same `seed`, for tests alone."""
        return cls(**{n: generate_uid(entropy_srcs=[seed, n] if seed else None) for n in cls.__annotations__})


def common_attributes(prediction: "Prediction", noun: str) -> dict:
    """Keywords for both of highdicom's constructors; noun: of the series, a text that is translated here."""
    purpose = tr("synthetic demonstration" if prediction.demonstration else "research use only")
    description = tr("TACEResponse {noun} ({purpose})", noun=tr(noun), purpose=purpose)
    return {
        "instance_number": 1,
        "series_description": description,
        "manufacturer": "TACEResponse",
        "manufacturer_model_name": "TACEResponse",
        "software_versions": __version__,
        "device_serial_number": prediction.bundle_id[:LONGEST_TEXT],
        "content_qualification": "RESEARCH",
        "specific_character_set": "ISO_IR 192",  # UTF-8 holds every name, whatever the CT is written in
    }
