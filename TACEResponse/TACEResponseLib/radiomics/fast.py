"""The fast engine: one pass over the tumour for an image type, threads over image types.

Only wheels: numpy, SimpleITK, PyWavelets, threadpoolctl and numba. The values are pyradiomics';
Docs/radiomics.md says how that is tested and what differs from IBSI.
"""

import math
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from TACEResponseLib.cases import Case
from TACEResponseLib.messages.errors import FeatureError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.settings import RadiomicsSettings

from . import diagnostics as described
from .columns import names_of
from .filters import Piece, filtered
from .firstorder import firstorder_features
from .grid import frame_of, require_filters_fit
from .levels import Places, levels_of, places_of
from .region import Region, region_of
from .shape import shape_features
from .texture import CLASSES, texture_features


def extract(
    case: Case, settings: RadiomicsSettings, names: tuple[str, ...], diagnostics: bool, threads: int
) -> dict[str, float | str]:
    """Columns `names`, and the diagnostics when asked for, computed by `threads` threads."""
    frame = frame_of(case, settings)
    require_filters_fit(frame, settings, names)
    row: dict[str, float | str] = {}
    # Undefined values are found at the end and become errors with a name, not warnings. Threads that
    # a BLAS starts beside ours spin for work that is too small for them.
    with np.errstate(all="ignore"), threadpool_limits(1, "blas"), _workers(threads) as pool:
        # Hashing two whole volumes needs no result of the others: it fills the time of a second thread.
        laid_out = pool.submit(region_of, case, frame, settings, threads)
        hashing = (described.sha1_of_image, described.sha1_of_mask) if diagnostics else ()
        hashes = [pool.submit(sha1, case) for sha1 in hashing]
        region = laid_out.result()
        measuring = _measurements(region, settings, names, pool)
        measuring.append(pool.submit(_shape, region, names))
        if diagnostics:  # waits for the hashes, which were handed out before everything else
            measuring.append(pool.submit(_about, case, settings, region, hashes))
        for done in measuring:
            row.update(done.result())
    for name in names:
        if not math.isfinite(row[name]):
            raise _undefined(name, row[name], region)
    return row


def _about(case: Case, settings: RadiomicsSettings, region: Region, hashes) -> dict[str, float | str]:
    """The diagnostics; hashes: futures of the image's and the mask's."""
    return described.diagnostics(case, settings, region, tuple(sha1.result() for sha1 in hashes))


def _workers(threads: int) -> Executor:
    """Threads that work; for one, this thread itself: another's heap of its own is memory for nothing."""
    if threads == 1:
        return _Here()
    return ThreadPoolExecutor(threads, initializer=np.seterr, initargs=("ignore",))


class _Here(Executor):
    """Does at once, in this thread, what it is given."""

    def submit(self, work, *arguments):
        done = Future()
        try:
            done.set_result(work(*arguments))
        except Exception as error:
            done.set_exception(error)
        return done


def _shape(region: Region, names: tuple[str, ...]) -> dict[str, float]:
    wanted = [name for name in names if name.startswith("original_shape_")]
    if not wanted:
        return {}
    features = shape_features(np.pad(region.shape_mask, 1), region.spacing_mm)
    return {name: float(features[name.split("_")[2]]) for name in wanted}


def _measurements(
    region: Region, settings: RadiomicsSettings, names: tuple[str, ...], pool: Executor
) -> list[Future]:
    """Futures of the columns of every image type, wavelets first: they are the longest pieces."""
    wanted: dict[str, dict[str, list[str]]] = {}
    for name in names:
        image_type, family, feature = name.split("_")
        if family != "shape":
            wanted.setdefault(image_type, {}).setdefault(family, []).append(feature)
    places = places_of(region.mask, max(settings.distances_voxels))
    return [
        pool.submit(_filter_and_measure, piece, region, places, settings, image_type, wanted)
        for image_type in sorted(settings.image_types, key=lambda name: name != "Wavelet")
        if wanted.keys() & set(names_of(image_type, settings))
        for piece in filtered(region.image, image_type, settings, region.box, region.mask)
    ]


def _filter_and_measure(
    piece: Piece,
    region: Region,
    places: Places,
    settings: RadiomicsSettings,
    image_type: str,
    wanted: dict[str, dict[str, list[str]]],
) -> dict[str, float]:
    """Columns of one piece; each of its images is measured when it is there, and then forgotten."""
    row: dict[str, float] = {}
    for image_name, values in piece():
        if image_name in wanted:
            row.update(_measure(values, region, places, settings, image_type, image_name, wanted[image_name]))
    return row


def _measure(
    image: np.ndarray,
    region: Region,
    places: Places,
    settings: RadiomicsSettings,
    image_type: str,
    image_name: str,
    wanted: dict[str, list[str]],
) -> dict[str, float]:
    """The wanted features of one image (k, j, i on the tumour's box)."""
    values = image[region.mask]
    if not np.isfinite(values).all():
        raise FeatureError(
            tr("the image type {image_name} is undefined in the tumour", image_name=image_name),
            field=image_name,
            received=tr(
                "{n} of {total} voxels without a value",
                n=int((~np.isfinite(values)).sum()),
                total=values.size,
            ),
        )
    width = dict(settings.bin_widths).get(image_type, settings.bin_width)
    levels = levels_of(values, places, width, settings.bin_count)
    classes = set(wanted) & set(CLASSES)
    features = texture_features(levels, classes, settings, region.spacing_mm)
    if "firstorder" in wanted:
        voxel_mm3 = float(np.prod(region.spacing_mm))
        values = values.astype(np.float64)
        features["firstorder"] = firstorder_features(values, levels.counts, settings, voxel_mm3)
    return {
        f"{image_name}_{family}_{feature}": float(features[family][feature])
        for family, chosen in wanted.items()
        for feature in chosen
    }


def _undefined(name: str, value: float, region: Region) -> FeatureError:
    image_type, family, feature = name.split("_")
    voxels = int(np.count_nonzero(region.mask))
    return FeatureError(
        tr(
            "the feature {feature} cannot be computed on the image type {image_type}",
            feature=f"{family} {feature}",
            image_type=image_type,
        ),
        field=name,
        expected=tr("a finite number"),
        received=tr("{value} for a tumour of {voxels} voxels after resampling", value=value, voxels=voxels),
        remedy=tr("check the outline of the tumour, or leave this feature out"),
    )
