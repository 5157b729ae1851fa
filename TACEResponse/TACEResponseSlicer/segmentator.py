"""TotalSegmentator, an extension of others that proposes liver lesions: found, offered, installed, called.

It is never needed. Its own installer brings its packages and asks for them; its program then runs as a
child process, so that it can be cancelled.
"""

import contextlib
import subprocess
import sys
import sysconfig
import tempfile
from importlib import metadata
from pathlib import Path

import slicer
from TACEResponseLib.messages.errors import DependencyError, MaskError
from TACEResponseLib.messages.progress import Progress
from TACEResponseLib.proposal.draft import DraftLesion, lesions_of
from TACEResponseLib.proposal.program import propose
from TACEResponseLib.resumable.process_tree import end_tree

from . import draft_node
from .process_tree import python_executable, start
from .texts import tr as _

#: Name of the extension, of its module, and of the script that its package brings.
EXTENSION = "TotalSegmentator"
#: Asks PyTorch in a process of its own: no framework is ever imported into the application.
SEES_GPU = "import torch; raise SystemExit(0 if torch.cuda.is_available() else 3)"  # not a text
POLL_S = 0.1


def is_there() -> bool:
    """Whether the extension is loaded into this Slicer."""
    return getattr(slicer.modules, EXTENSION.lower(), None) is not None


def moves_numpy() -> bool:
    """Whether its installer replaces Slicer's numpy by one below 2, as it does on macOS."""
    return sys.platform == "darwin" and int(metadata.version("numpy").partition(".")[0]) >= 2


def offer(installed: bool) -> str:
    """What the button does here, in a sentence or two. installed: since Slicer was started."""
    if is_there():
        return _(
            "TotalSegmentator outlines liver lesions of any kind. Uses a GPU where there is one; on a CPU it"
            " may take 5 to 50 minutes."
        )
    if installed:
        return _("TotalSegmentator is installed. Save your scene and restart Slicer to use it.")
    return _("TotalSegmentator would outline liver lesions. It is not installed; the button offers that.")


def asked_to_install() -> bool:
    """Whether the user wants the extension; True in testing mode, in which `install_extension` refuses."""
    question = _(
        "TotalSegmentator is an extension of others, with open weights. It proposes outlines of liver"
        " lesions, which you then check. It brings the extensions PyTorch and NNUNet; at the first use"
        " some GB of packages and weights are downloaded.\n\n"
        "Slicer has to be restarted afterwards.\n\nInstall it now?"
    )
    return slicer.app.testingEnabled() or slicer.util.confirmOkCancelDisplay(question, _("Propose tumour"))


def asked_to_move_numpy() -> bool:
    """Whether the user accepts what its installer does on macOS."""
    question = _(
        "On macOS TotalSegmentator installs numpy below version 2 in the place of Slicer's own. Other"
        " extensions, and this one, may then not work.\n\nGo on?"
    )
    return slicer.util.confirmOkCancelDisplay(question, _("Propose tumour"))


def install_extension() -> None:
    """Install the extension and those that it needs by name; used after a restart. DependencyError else."""
    if slicer.app.testingEnabled():
        raise DependencyError(_("nothing is installed in testing mode"), expected=EXTENSION)
    model = slicer.app.extensionsManagerModel()
    with _asking_nothing(model):  # it was asked; and restarting would lose a scene that was not saved
        installed = model.installExtensionFromServer(EXTENSION, False)
    if not installed:
        raise DependencyError(
            _("the extension {name} was not installed").format(name=EXTENSION),
            remedy=_("check the network, or install it in the Extensions Manager"),
        )


def ensure_packages() -> None:
    """Have its own installer install what it needs, which asks first. DependencyError when it did not."""
    if slicer.app.testingEnabled():
        return  # what is there is used
    import TotalSegmentator

    try:
        TotalSegmentator.TotalSegmentatorLogic().setupPythonRequirements()
    except Exception as error:  # its own classes, pip's, and those of what it imports
        restart = getattr(error, "restartRequired", False)
        raise DependencyError(
            _("the packages of {name} were not installed").format(name=EXTENSION),
            received=str(error).strip().rstrip(".")[:300],
            remedy=_("restart Slicer, then press the button again")
            if restart
            else _("press the button again, or install them in the module {name}").format(name=EXTENSION),
        ) from error


def command() -> list[str]:
    """What its program is started with: Slicer's Python and the script; DependencyError where one lacks."""
    name = f"{EXTENSION}.exe" if sys.platform == "win32" else EXTENSION
    script = Path(sysconfig.get_path("scripts")) / name
    if not script.is_file():
        raise DependencyError(
            _("the program {name} was not found").format(name=EXTENSION),
            expected=str(script),
            remedy=_("install it in the module {name}").format(name=EXTENSION),
        )
    return [python_executable(), str(script)]


def lesions(image, program: list[str], progress: Progress) -> tuple[DraftLesion, ...]:
    """The liver lesions that `program` proposes on a SimpleITK image in HU, largest first. Any thread.

    () where it found none. progress: also says which device is used. Raises what `proposal.program.propose`
    does, and what progress does: then nothing of the program is left.
    """
    looking = _("looking for a GPU")
    progress(looking, 0, 0)
    gpu = sees_gpu(lambda: progress(looking, 0, 0))
    said = _("{stage}, on the GPU") if gpu else _("{stage}; without a GPU this may take 5 to 50 minutes")
    try:
        label = propose(
            image,
            program,
            "gpu" if gpu else "cpu",
            lambda stage, done, total: progress(said.format(stage=stage), done, total),
        )
    except MaskError:  # an empty result is an answer, too
        return ()
    return draft_node.in_boxes(lesions_of(label, EXTENSION))


def title() -> str:
    """The program's name for the record, with the version of its package where that is known."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return f"{EXTENSION} {metadata.version(EXTENSION)}"
    return EXTENSION


def sees_gpu(on_wait=lambda: None) -> bool:
    """Whether its PyTorch finds a GPU. on_wait(): called while it looks, and may raise to end that."""
    with tempfile.TemporaryDirectory(prefix="tace-") as folder:
        process = start([python_executable(), "-c", SEES_GPU], folder)
        try:
            while process.poll() is None:
                on_wait()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=POLL_S)
        finally:
            end_tree(process)
            process.communicate()
        return process.returncode == 0


@contextlib.contextmanager
def _asking_nothing(model):
    before, model.interactive = model.interactive, False
    try:
        yield
    finally:
        model.interactive = before
