"""Radiomics: a Case becomes a row of named numbers, with pyradiomics' names, order and values.

Two engines compute the same row. `fast` is ours and needs wheels only; `pyradiomics` is the
reference, where that package is installed. Neither ever leaves out a column or fills one with
NaN: a feature that cannot be computed is a FeatureError that says which, on what, and why.
"""

import importlib.metadata
import importlib.util
from collections.abc import Collection

from TACEResponseLib.cases import Case
from TACEResponseLib.messages.errors import DependencyError, FeatureError
from TACEResponseLib.messages.language import listed, mark, tr
from TACEResponseLib.settings import RadiomicsSettings

from .columns import column_names, diagnostic_names, feature_names, restrict

__all__ = [
    "ENGINES",
    "available_engines",
    "column_names",
    "engine_version",
    "extract_row",
    "feature_names",
]

#: Raised when the fast engine gives other values than before, so that stored rows are not reused.
FAST_ENGINE_VERSION = 3

#: Engine -> packages that it needs beside SimpleITK, and how to get them.
ENGINES = {
    "fast": (("numba", "pywt", "threadpoolctl"), "pip install numba PyWavelets threadpoolctl"),  # not a text
    "pyradiomics": (("radiomics",), mark("pip install pyradiomics-bhklab (needs a C compiler)")),
}


def available_engines() -> tuple[str, ...]:
    """Engines whose packages are installed, the preferred one first."""
    return tuple(engine for engine in ENGINES if not _missing(engine))


def extract_row(
    case: Case,
    settings: RadiomicsSettings,
    *,
    engine: str = "fast",
    threads: int = 1,
    only: Collection[str] | None = None,
) -> dict[str, float | str]:
    """Measure one case: column -> value, in the order of `column_names(settings)`.

    threads: how many threads work inside the case. only: feature columns to compute; the row then
    holds exactly those, with the same values, and no diagnostics. Feature values are floats;
    diagnostics are numbers or text. Raises FeatureError when a feature cannot be computed,
    SettingsError when `only` names a column that these settings do not measure, and
    DependencyError when the engine is unknown or not installed.
    """
    _require(engine)
    names = restrict(settings, only)
    with_diagnostics = settings.diagnostics and only is None
    if engine == "fast":
        from .fast import extract
    else:
        from .reference import extract
    try:
        row = extract(case, settings, names, with_diagnostics, max(1, threads))
    except FeatureError as error:
        raise error.about(patient_id=case.patient_id) from None
    expected = (*diagnostic_names(settings), *names) if with_diagnostics else names
    return {name: row[name] for name in expected}


def engine_version(engine: str) -> str:
    """Name and version of an engine; rows of the same version are the same."""
    _require(engine)
    if engine == "fast":
        return f"fast {FAST_ENGINE_VERSION}"
    for package in ("pyradiomics-bhklab", "pyradiomics"):
        try:
            return f"pyradiomics {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return "pyradiomics"


def _missing(engine: str) -> list[str]:
    return [package for package in ENGINES[engine][0] if not _is_installed(package)]


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


def _require(engine: str) -> None:
    """Raise DependencyError unless `engine` is known and its packages are installed."""
    if engine not in ENGINES:
        raise DependencyError(
            tr("there is no radiomics engine named {engine}", engine=engine),
            field="engine",
            expected=listed(ENGINES),
            received=engine,
        )
    missing = _missing(engine)
    if missing:
        others = [name for name in available_engines() if name != engine]
        remedy = tr("install it with: {command}", command=tr(ENGINES[engine][1]))
        if others:
            remedy = tr(
                "{remedy}; or choose the engine {other}, which is installed and gives the same values",
                remedy=remedy,
                other=others[0],
            )
        raise DependencyError(
            tr("the radiomics engine {engine} needs {missing}", engine=engine, missing=listed(missing)),
            field="engine",
            remedy=remedy,
        )
