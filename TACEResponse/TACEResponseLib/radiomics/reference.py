"""The reference engine: pyradiomics itself, kept from dropping columns and from touching the host.

pyradiomics turns a failing feature into NaN, leaves out filters that do not fit, and speaks
through a log handler of its own. Here everything it cannot compute is a FeatureError, and the
process is left as it was found.
"""

import importlib.util
import logging
import math
import warnings
from contextlib import contextmanager

from TACEResponseLib.cases import Case
from TACEResponseLib.messages.errors import DependencyError, FeatureError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.settings import RadiomicsSettings

from .columns import names_of
from .diagnostics import as_text
from .grid import frame_of, require_filters_fit
from .parameters import to_parameters


def extract(
    case: Case, settings: RadiomicsSettings, names: tuple[str, ...], diagnostics: bool, threads: int
) -> dict[str, float | str]:
    """Columns `names`, and the diagnostics when asked for, as pyradiomics computes them.

    pyradiomics has no threads of its own; `threads` is for the other engine.
    """
    require_filters_fit(frame_of(case, settings), settings, names)
    _require_lbp_packages(settings)
    with _quiet() as complaints:
        extractor = _extractor(settings, names, diagnostics)
        try:
            row = extractor.execute(case.image, case.mask)
        except (ValueError, RuntimeError, IndexError, ZeroDivisionError, MemoryError) as error:
            raise FeatureError(
                tr("pyradiomics cannot measure this tumour"), received=" ".join(str(error).split())
            ) from None
    for name in names:
        if name not in row or not math.isfinite(float(row[name])):
            raise _not_computed(
                name, tr("no value") if name not in row else f"{float(row[name])}", complaints
            )
    values = {name: float(row[name]) for name in names}
    described = {name: as_text(value) for name, value in row.items() if name.startswith("diagnostics_")}
    return {**described, **values}


def _extractor(settings: RadiomicsSettings, names: tuple[str, ...], diagnostics: bool):
    """pyradiomics' extractor for the image types and features that `names` needs."""
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    extractor = RadiomicsFeatureExtractor()
    content, image_types = to_parameters(settings)
    extractor.settings = {**content, "additionalInfo": diagnostics}
    seen = {name.split("_")[0] for name in names}
    extractor.enabledImagetypes = {
        image_type: own
        for image_type, own in image_types.items()
        if seen & set(names_of(image_type, settings)) or diagnostics
    }
    chosen: dict[str, list[str]] = {}
    for name in names:
        _, family, feature = name.split("_")
        if feature not in chosen.setdefault(family, []):
            chosen[family].append(feature)
    extractor.enabledFeatures = chosen
    return extractor


def _not_computed(name: str, received: str, complaints: list[str]) -> FeatureError:
    image_type, family, feature = name.split("_")
    reason = complaints[0] if complaints else received
    return FeatureError(
        tr(
            "the feature {feature} cannot be computed on the image type {image_type}",
            feature=f"{family} {feature}",
            image_type=image_type,
        ),
        field=name,
        expected=tr("a finite number"),
        received=reason,
    )


def _require_lbp_packages(settings: RadiomicsSettings) -> None:
    """pyradiomics leaves LBP3D out, with a word in its log only, where it cannot import what it needs."""
    if "LBP3D" not in settings.image_types:
        return
    import scipy.special

    missing = [] if importlib.util.find_spec("trimesh") else [tr("the package trimesh")]
    missing += [] if hasattr(scipy.special, "sph_harm") else [tr("a SciPy older than 1.17")]
    if missing:
        raise DependencyError(
            tr("pyradiomics needs {missing} for the image type LBP3D", missing=tr(" and ").join(missing)),
            field="image_types",
            remedy=tr("choose the engine fast, which has the same values, or leave LBP3D out"),
        )


@contextmanager
def _quiet():
    """Collect what pyradiomics logs, and leave logging and warnings as they were."""
    complaints: list[str] = []
    collector = logging.Handler(logging.ERROR)
    collector.emit = lambda record: complaints.append(record.getMessage().strip().splitlines()[-1])
    logger = logging.getLogger("radiomics")
    before = (logger.level, logger.propagate, list(logger.handlers))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import radiomics  # noqa: F401  its import adds a handler and sets a level

            logger.handlers, logger.propagate = [collector], False
            logger.setLevel(logging.ERROR)
            yield complaints
    finally:
        logger.setLevel(before[0])
        logger.propagate, logger.handlers = before[1], before[2]
