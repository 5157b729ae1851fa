"""The point of a click, as a person types it."""

from contextlib import suppress
from typing import TYPE_CHECKING

from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import tr

if TYPE_CHECKING:
    import SimpleITK as sitk


def parse_point(text: str) -> tuple[float, float, float]:
    """(x, y, z) of `-62.5,10,-120`; InputError else."""
    parts = text.replace(";", ",").split(",")
    with suppress(ValueError):
        x, y, z = map(float, parts)
        return x, y, z
    raise InputError(
        tr("a point cannot be read"),
        field="seed_mm",
        expected=tr("three numbers in mm with commas, for example --seed-mm -62.5,10,-120"),
        received=text,
        remedy=tr("write commas, and no blanks") if " " in text.strip() else "",
    )


def require_lps(image: "sitk.Image", seed_mm: tuple[float, float, float]) -> None:
    """Raise InputError for a point outside the CT that lies inside it when read as Slicer shows it."""
    from TACEResponseLib.proposal.click import is_inside

    x, y, z = seed_mm
    if not is_inside(image, seed_mm) and is_inside(image, (-x, -y, z)):
        raise InputError(
            tr("the point lies outside the CT"),
            field="seed_mm",
            expected=tr("a point inside the tumour, LPS in mm"),
            received=f"{x:g},{y:g},{z:g}",
            remedy=tr(
                "the point is in LPS; Slicer shows RAS: try --seed-mm {point}", point=f"{-x:g},{-y:g},{z:g}"
            ),
        )
