"""Python packages that Slicer does not bundle: asked for when they are needed, in plain words.

Nothing is installed at import, on opening a panel or without a yes. What Slicer bundles stays as it
is: its versions are handed to pip as constraints, so pip refuses instead of moving them.
"""

import contextlib
import importlib.util
import subprocess
import tempfile
from collections.abc import Collection, Sequence
from importlib import metadata
from pathlib import Path

import slicer
from TACEResponseLib.messages.errors import DependencyError

from .texts import tr as _

#: What a prediction needs; beside this package in a checkout and in an installed extension.
PREDICTION = Path(__file__).resolve().parent.parent / "Resources" / "TACEResponseRequirements.txt"
#: Packages that only training a network needs.
FRAMEWORK = ("keras", "tensorflow")
#: Packages of Slicer whose version must not change under it.
BUNDLED = ("numpy", "scipy", "SimpleITK", "pydicom", "requests", "pillow", "packaging", "vtk")
#: Import names that differ from the distribution's.
IMPORT_NAMES = {"pywavelets": "pywt", "scikit-learn": "sklearn"}


def ensure(
    requirements: Sequence[Path], requester: str, purpose: str, megabytes: int, without: Collection[str] = ()
) -> None:
    """Have every package of the requirements files, after asking; otherwise DependencyError.

    purpose: what the packages are for, ends the sentence "... needs them to". megabytes: how much
    is downloaded, about. without: names left out this time. In testing mode nothing is installed.
    """
    absent = [str(r) for r in _wanted(requirements, without) if not slicer.packaging.pip_check(r)]
    if absent and not slicer.app.testingEnabled():
        question = _(
            "{requester} needs {count} Python packages to {purpose}. About {megabytes} MB are downloaded"
            " from the Python Package Index into this Slicer. What Slicer itself uses stays as it is.\n\n"
            "Install them now?"
        ).format(requester=requester, count=len(absent), purpose=purpose, megabytes=megabytes)
        if not slicer.util.confirmOkCancelDisplay(question, requester, detailedText="\n".join(absent)):
            raise DependencyError(
                _("the packages were not installed"),
                expected=", ".join(absent),
                remedy=_("press the button again and accept, or install them with pip in this Slicer"),
            )
        _install(absent, requester)
    require(requirements, without)


def _install(absent: list[str], requester: str) -> None:
    with _constraints() as constraints:
        try:
            slicer.packaging.pip_ensure(
                absent, constraints=constraints, prompt_install=False, requester=requester
            )
        except (RuntimeError, subprocess.CalledProcessError, OSError) as error:
            raise DependencyError(
                _("the packages could not be installed"),
                expected=", ".join(absent),
                received=_last_line(error),
                remedy=_(
                    "check the network, the proxy and whether Slicer's folder can be written,"
                    " then press the button again"
                ),
            ) from error


def require(requirements: Sequence[Path], without: Collection[str] = ()) -> None:
    """Raise DependencyError naming the packages of the files that cannot be imported."""
    importlib.invalidate_caches()
    missing = []
    for requirement in _wanted(requirements, without):
        applies = requirement.marker is None or requirement.marker.evaluate()
        name = IMPORT_NAMES.get(requirement.name.lower(), requirement.name.lower())
        if applies and importlib.util.find_spec(name) is None:
            missing.append(str(requirement))
    if missing:
        raise DependencyError(
            _("Python packages are missing"),
            expected=", ".join(missing),
            received=_("not installed in this Slicer"),
            remedy=_("press the button in the panel to install them (not in testing mode)"),
        )


def are_there(requirements: Sequence[Path]) -> bool:
    """Whether the packages of the files can be imported; nothing is imported or installed."""
    try:
        require(requirements)
    except DependencyError:
        return False
    return True


def _wanted(requirements: Sequence[Path], without: Collection[str]) -> list:
    import slicer.packaging

    every = [r for path in requirements for r in slicer.packaging.load_requirements(path)]
    return [requirement for requirement in every if requirement.name.lower() not in without]


@contextlib.contextmanager
def _constraints():
    """Path of a pip constraints file with the bundled versions, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tace-") as folder:
        lines = []
        for name in BUNDLED:
            with contextlib.suppress(metadata.PackageNotFoundError):
                lines.append(f"{name}=={metadata.version(name)}\n")
        path = Path(folder) / "constraints.txt"
        path.write_text("".join(lines), encoding="utf-8")
        yield path


def _last_line(error: Exception) -> str:
    text = str(getattr(error, "output", "") or error).strip()
    return text.splitlines()[-1][:200] if text else type(error).__name__
