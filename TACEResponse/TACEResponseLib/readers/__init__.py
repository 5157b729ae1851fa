"""Files to a case: a CT (volume file or DICOM folder) and a tumour mask of any format.

`read_case` is the door: two paths in, a checked `Case` out. Masks keep their own grid until
`cases.make_case` brings them to the CT's. A file that cannot be read is an InputError naming it.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import SimpleITK as sitk

from TACEResponseLib.cases import Case, make_case
from TACEResponseLib.cases.outline import UNKNOWN, Outline
from TACEResponseLib.cases.repair import UNION
from TACEResponseLib.messages.errors import InputError, TACEResponseError
from TACEResponseLib.messages.language import tr

from .acquisitions import Acquisition, choose_acquisition, group_slices, list_acquisitions
from .dicom import is_dicom, read_slices
from .gate import Admitted
from .identity import strangers
from .masks import MaskFile, list_segments, open_mask
from .phases import (
    ARTERIAL,
    VesselEnhancement,
    measure_vessels,
    phase_warning,
    provenance_of_phase,
    vessel_segments,
)
from .volumes import existing, open_volume

__all__ = ["list_segments", "propose_arterial", "read_case", "read_image"]


def read_case(
    patient_id: str,
    image_path: str | os.PathLike,
    mask_path: str | os.PathLike,
    *,
    label: int | str | None = None,
    segment: str | None = None,
    series: str | None = None,
    repairs: tuple[str, ...] = (),
    same_image_as: Case | None = None,
    outline: Outline = UNKNOWN,
) -> Case:
    """Read a CT and a tumour mask and check them into a Case.

    image_path: a volume file or a folder with a DICOM series. mask_path: a labelmap file, a
    `.seg.nrrd`, a DICOM SEG or an RTSTRUCT. label: the mask value of the tumour or `"all"`.
    segment: the name of the segment (`"all"` for their union) in formats that have names. series:
    what `acquisitions.choose_acquisition` takes, where the folder holds several. repairs: names
    from `repair.REPAIRS` that were asked for. same_image_as: a case of the same CT, which is then
    not read again. outline: who made the mask, where that is known.

    Raises InputError (file missing or unreadable), GeometryError, MaskError or IntensityError.
    """
    image_path, mask_path = Path(image_path), Path(mask_path)
    try:
        if same_image_as is None:
            admitted, image_source = _open_chosen_image(image_path, mask_path, series)
        else:
            admitted = Admitted(same_image_as.image)
            image_source = dict(same_image_as.provenance["image"])
        image = admitted.volume
        opened = open_mask(mask_path, image)
        if UNION in repairs and segment is None and opened.names:
            segment = "all"
        mask = opened.read(segment)
        vessels = measure_opened(opened, image)
        description = image_source.get("series_description", "")
        notes = (*admitted.notes, *mask.warnings, *phase_warning(vessels, description))
        if "series_uid" in image_source and is_dicom(mask_path):
            notes = (*strangers(image_path, image_source["series_uid"], mask_path), *notes)
        image_source |= provenance_of_phase(vessels, description)
        return make_case(
            patient_id,
            image,
            mask.labels,
            label=1 if mask.segment else label,
            cropped_is_normal=mask.cropped_is_normal,
            repairs=repairs,
            provenance={"image": image_source, "mask": _source(mask_path, mask.segment)},
            warnings=tuple(replace(note, patient_id=patient_id) for note in notes),
            outline=outline,
        )
    except TACEResponseError as error:
        field = error.problem.field
        file = {"image": image_path.name, "mask": mask_path.name, "label": mask_path.name}.get(field, "")
        raise error.about(patient_id=patient_id, file=file) from None


def read_image(path: Path, *, series: str | None = None) -> tuple[sitk.Image, dict]:
    """A CT from a volume file or a DICOM folder, with where it came from as JSON types.

    What was noticed in reading it stands in the source under `noticed`.
    """
    admitted, source = open_image(path, series=series)
    return admitted.volume, source


def open_image(path: Path, *, series: str | None = None) -> tuple[Admitted, dict]:
    """As `read_image`, with the volume's notes as warnings."""
    path = existing(path, "image")
    if path.is_dir():
        return choose_acquisition(list_acquisitions(path), series, path).open(path)
    if is_dicom(path):
        return _open_dicom_file(path, series)
    admitted = open_volume(path, "image")
    noticed = {"noticed": [note.message for note in admitted.notes]} if admitted.notes else {}
    return admitted, {"file": path.name, **noticed}


def _open_dicom_file(path: Path, series: str | None) -> tuple[Admitted, dict]:
    """A multi-frame file, which is a volume; InputError for one slice."""
    frames = read_slices(path)
    if len(frames) > 1:
        return choose_acquisition(group_slices(frames), series, path).open(path)
    raise InputError(
        tr("a DICOM file is one slice of a CT"),
        field="image",
        file=path.name,
        expected=tr("a volume file, or the folder of the series"),
        received=tr("a DICOM file"),
        remedy=tr("choose its folder"),
    )


def propose_arterial(
    acquisitions: Sequence[Acquisition], folder: Path, opened: MaskFile | None = None
) -> tuple[Acquisition | None, str]:
    """Which scan is likely the arterial one, and what shows it; (None, "") when nothing tells.

    By the HU in aorta and portal vein where the mask names both, else by description.
    """
    seen = {}
    for each in acquisitions if opened is not None and vessel_segments(opened.names) else ():
        try:
            vessels = measure_opened(opened, each.read(folder)[0])
        except TACEResponseError:
            continue  # a scan that cannot be read says so when it is chosen
        if vessels is not None:
            seen[each.choice] = (each, vessels)
    shown = [(each, str(v)) for each, v in seen.values() if v.phase == ARTERIAL]
    if not seen:
        shown = [
            (a, tr('description "{text}"', text=a.description)) for a in acquisitions if a.phase == ARTERIAL
        ]
    return shown[0] if len(shown) == 1 else (None, "")


def _open_chosen_image(image_path: Path, mask_path: Path, series: str | None) -> tuple[Admitted, dict]:
    """The CT; where the folder holds several scans and none was named, say which is arterial."""
    if series is not None or not image_path.is_dir():
        return open_image(image_path, series=series)
    acquisitions = list_acquisitions(image_path)
    proposal = ""
    if len(acquisitions) > 1:
        try:
            opened = open_mask(mask_path)
        except TACEResponseError:
            opened = None  # a mask that cannot be read is not what is wrong first
        likely, shown = propose_arterial(acquisitions, image_path, opened)
        proposal = (
            tr("the arterial one is likely {choice} ({shown})", choice=likely.choice, shown=shown)
            if likely
            else ""
        )
    return choose_acquisition(acquisitions, None, image_path, proposal).open(image_path)


def measure_opened(opened: MaskFile, image: sitk.Image) -> VesselEnhancement | None:
    """The enhancement of aorta and portal vein, where the mask's file names both."""
    names = vessel_segments(opened.names)
    if names is None:
        return None
    return measure_vessels(image, *(opened.read(name).labels for name in names))


def _source(path: Path, segment: str) -> dict:
    return {"file": path.name, "segment": segment} if segment else {"file": path.name}
