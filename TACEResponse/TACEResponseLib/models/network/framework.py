"""On what the network is trained: TensorFlow, torch or jax behind Keras, on the CPU or a GPU.

Nothing here is needed to predict. The framework is chosen once a process, before Keras is imported:
what the settings or `KERAS_BACKEND` name, else the first of TensorFlow, torch and jax that is
installed. Whatever runs is said in words, with the reason when it is not the GPU.
"""

import contextlib
import dataclasses
import importlib
import importlib.util
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from TACEResponseLib.messages.errors import DependencyError
from TACEResponseLib.messages.language import listed, tr
from TACEResponseLib.settings import NetworkSettings

#: Keras backend -> how people write it, in the order of preference.
BACKENDS = {"tensorflow": "TensorFlow", "torch": "PyTorch", "jax": "JAX"}
#: How the frameworks' errors of a full GPU are told apart from all others, without importing them.
OUT_OF_MEMORY_NAMES = ("ResourceExhaustedError", "OutOfMemoryError")
OUT_OF_MEMORY_TEXTS = ("resource_exhausted", "out of memory")  # not a text


@dataclass(frozen=True)
class Framework:
    """Keras on one backend and one device; `in_words` says which, and why not the GPU."""

    keras: ModuleType
    backend: str
    device: str
    in_words: str

    @property
    def compiles(self) -> bool:
        """Whether Keras is to use XLA: jax only, since TensorFlow is slower and unrepeatable with it."""
        return self.backend == "jax"

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Block in which Keras puts everything on the device and keeps its own deprecations to itself."""
        # Keras on torch makes copies that do not learn when a CPU is numbered.
        name = self.device if self.backend == "torch" else f"{self.device}:0"
        with warnings.catch_warnings(), self.keras.device(name):
            warnings.simplefilter("ignore")
            yield

    def on_cpu(self, reason: str) -> "Framework":
        """The same framework on the CPU, because of `reason`."""
        words = _in_words(self.backend, "cpu", reason)
        return dataclasses.replace(self, device="cpu", in_words=words)


def start_framework(settings: NetworkSettings) -> Framework:
    """Import Keras with the backend and find the device that the settings ask for.

    Raises DependencyError when nothing is installed, when Keras already runs on another backend, or
    when a GPU is demanded and cannot be used.
    """
    backend = choose_backend(settings.backend)
    with _quiet(), _environment(KERAS_BACKEND=backend):
        try:
            keras, framework = importlib.import_module("keras"), importlib.import_module(backend)
        except Exception as error:  # broken binaries fail in many ways
            raise DependencyError(
                tr("{framework} is installed and does not start", framework=BACKENDS[backend]),
                received=f"{type(error).__name__}: {error}",
                remedy=tr(
                    "install {backend} again, or choose another framework with KERAS_BACKEND", backend=backend
                ),
            ) from error
        obstacle = _why_not_the_gpu(backend, framework)
    if settings.device == "gpu" and obstacle:
        raise DependencyError(
            tr("the GPU cannot be used"),
            field="device",
            received=obstacle,
            remedy=tr("choose device auto or cpu, or install a framework that supports this GPU"),
        )
    if settings.device == "cpu":
        obstacle = tr("the CPU was asked for")
    device = "cpu" if obstacle else "gpu"
    if backend == "tensorflow" and device == "cpu":
        framework.config.experimental.enable_op_determinism()
    return Framework(keras, backend, device, _in_words(backend, device, obstacle))


def choose_backend(wanted: str = "auto") -> str:
    """`tensorflow`, `torch` or `jax`: the one that runs already, is wanted, or is installed."""
    running = sys.modules["keras"].config.backend() if "keras" in sys.modules else None
    if wanted == "auto":
        wanted = running or os.environ.get("KERAS_BACKEND") or "auto"
    if wanted not in ("auto", *BACKENDS):
        raise DependencyError(
            tr("the network cannot be trained with {wanted}", wanted=wanted),
            field="KERAS_BACKEND",
            expected=listed(BACKENDS),
            received=wanted,
        )
    if running and wanted != running:
        raise DependencyError(
            tr("Keras already runs on {running} in this process", running=BACKENDS.get(running, running)),
            field="backend",
            expected=BACKENDS[wanted],
            received=BACKENDS.get(running, running),
            remedy=tr("start the program again to change the framework"),
        )
    installed = [name for name in ("keras", *BACKENDS) if importlib.util.find_spec(name)]
    usable = [name for name in BACKENDS if name in installed and wanted in ("auto", name)]
    if "keras" not in installed or not usable:
        missing = BACKENDS.get(wanted) or tr("any of TensorFlow, PyTorch and JAX")
        missing = missing if "keras" in installed else "Keras"
        raise DependencyError(
            tr("the network cannot be trained without {missing}", missing=missing),
            expected=tr("Keras and one of TensorFlow, PyTorch, JAX"),
            received=tr("only {names}", names=listed(installed))
            if installed
            else tr("none of them is installed"),
            remedy=tr(
                "install them with: pip install keras {framework}; "
                "without the CNN nothing is needed (--no-cnn)",
                framework=wanted if wanted != "auto" else "tensorflow",
            ),
        )
    return usable[0]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a framework's error says that the memory of the GPU is full."""
    text = str(error).lower()
    return type(error).__name__ in OUT_OF_MEMORY_NAMES or any(words in text for words in OUT_OF_MEMORY_TEXTS)


def _why_not_the_gpu(backend: str, framework: ModuleType) -> str:
    """Why the framework cannot use a GPU, in words; empty when it can."""
    name = BACKENDS[backend]
    if backend == "tensorflow":
        visible = framework.config.list_physical_devices("GPU")
        built = framework.test.is_built_with_gpu_support()
        if not visible and sys.platform == "win32":
            return tr("TensorFlow has no GPU support on Windows, PyTorch has")
    elif backend == "torch":
        visible = framework.cuda.is_available()
        built = bool(framework.version.cuda or getattr(framework.version, "hip", None))
    else:
        visible = [device for device in framework.devices() if device.platform != "cpu"]
        built = True  # jax has no word on this
    if visible:
        return ""
    obstacle = tr("{name} finds no GPU" if built else "this build of {name} has no GPU support", name=name)
    if shutil.which("nvidia-smi"):
        return tr("an NVIDIA driver is installed, but {obstacle}", obstacle=obstacle)
    return obstacle


def _in_words(backend: str, device: str, obstacle: str) -> str:
    """For example `TensorFlow 2.21.0 on the CPU (this build of TensorFlow has no GPU support)`."""
    version = getattr(sys.modules[backend], "__version__", "")
    told = {"framework": BACKENDS[backend], "version": version, "device": device.upper()}
    words = tr("{framework} {version} on the {device}", **told)
    return tr("{words} ({obstacle})", words=words, obstacle=obstacle) if obstacle else words


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Environment variables for the time of the block; Keras and TensorFlow read theirs on import."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the frameworks' start-up messages off the user's terminal.

    TensorFlow writes some of them to file descriptor 2 before it reads its own log level, so the
    descriptor itself looks elsewhere for the time of the block. What goes wrong arrives as exceptions.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(_environment(TF_CPP_MIN_LOG_LEVEL=os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3")))
        with contextlib.suppress(OSError):  # a windowed program may have no descriptor 2
            terminal = os.dup(2)
            stack.callback(os.close, terminal)
            stack.callback(os.dup2, terminal, 2)
            with Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), 2)
        yield
