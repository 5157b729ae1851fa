"""`.seg.nrrd`, Slicer's segmentation file: which voxels belong to which segment, in all its dialects.

Slicer writes for segment n the keys `Segment<n>_ID`, `_Name`, `_Layer` and `_LabelValue`. Files of
before 2020 have one component of 0 and 1 a segment and neither Layer nor LabelValue; other
programs leave out one of them, or number with gaps. What a key does not say is taken as Slicer
takes it (LabelValue 1, and the segment's own component); what then is no place, or the place of
another segment, is a MaskError that names the key.
"""

import re

import SimpleITK as sitk

from TACEResponseLib.messages.errors import MaskError
from TACEResponseLib.messages.language import tr

#: A segment's place: the component of the voxels, and the value in it.
Place = tuple[int, int]


def segments_of(mask: sitk.Image) -> list[tuple[str, Place]]:
    """Name and place of every segment in order of their numbers; empty for a plain labelmap.

    Raises MaskError naming the attribute that is missing, no number, or beyond the file's layers.
    """
    found = (re.fullmatch(r"Segment(\d+)_(ID|Name)", key) for key in mask.GetMetaDataKeys())
    segments: list[tuple[str, Place]] = []
    for number in sorted({int(match[1]) for match in found if match}):
        name = _value(mask, number, "Name") or _value(mask, number, "ID") or ""
        place = _place(mask, number)
        if place in [taken for _, taken in segments] and not _is_said(mask, number):
            raise _wrong(
                f"Segment{number}_LabelValue", tr("a value of its own for every segment"), tr("nothing")
            )
        segments.append((name, place))
    return segments


def union_of(mask: sitk.Image, places: list[Place]) -> sitk.Image:
    """0/1 mask of the given places; overlapping segments lie in layers."""
    several_layers = mask.GetNumberOfComponentsPerPixel() > 1
    inside = None
    for layer, value in places:
        labels = sitk.VectorIndexSelectionCast(mask, layer) if several_layers else mask
        segment = labels == value
        inside = segment if inside is None else inside | segment
    return inside


def _place(mask: sitk.Image, number: int) -> Place:
    layers = mask.GetNumberOfComponentsPerPixel()
    layer = _whole(mask, number, "Layer", number if layers > 1 else 0)
    if not 0 <= layer < layers:
        raise _wrong(f"Segment{number}_Layer", tr("a layer from 0 to {last}", last=layers - 1), str(layer))
    return layer, _whole(mask, number, "LabelValue", 1)


def _is_said(mask: sitk.Image, number: int) -> bool:
    """Whether the file itself gives the segment's value, so that two at one place are meant so."""
    return _value(mask, number, "LabelValue") is not None


def _whole(mask: sitk.Image, number: int, attribute: str, default: int) -> int:
    text = _value(mask, number, attribute)
    if text is None:
        return default
    if not re.fullmatch(r"[+-]?\d+", text):
        raise _wrong(
            f"Segment{number}_{attribute}", tr("a whole number"), f'"{text}"' if text else tr("nothing")
        )
    return int(text)


def _value(mask: sitk.Image, number: int, attribute: str) -> str | None:
    key = f"Segment{number}_{attribute}"
    return mask.GetMetaData(key).strip() if mask.HasMetaDataKey(key) else None


def _wrong(attribute: str, expected: str, received: str) -> MaskError:
    return MaskError(
        tr("the segmentation's {attribute} names no place in the file", attribute=attribute),
        field="mask",
        expected=expected,
        received=received,
        remedy=tr("save the segmentation again in 3D Slicer, or export a labelmap"),
    )
