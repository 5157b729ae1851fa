"""From a bare Python to an answer: `python3 Testing/bootstrap.py demo`, then `... test`.

Makes `.venv` in the checkout, installs what is needed once, says what it does, and runs the
demonstration or the tests. Needs Python 3.11 or newer with pip, and a network the first time.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
#: Extras of pyproject.toml per command: needed ones, and ones that some machines cannot have.
EXTRAS = {"demo": ((), ()), "test": (("test",), ("train", "reference", "fast-reading"))}
#: Several files of tests at a time; those of one file share what they set up.
IN_PARALLEL = ("--numprocesses=logical", "--maxprocesses=4", "--dist=loadfile")
WITHOUT = {
    "train": "TensorFlow has no package for this Python; tests that train the network will be skipped",
    "reference": "pyradiomics could not be built (no C compiler?); tests against it will be skipped",
    "fast-reading": "the package isal has no wheel for this machine; its tests will be skipped",
}


def main(arguments: list) -> int:
    """Run one of the two commands; further arguments go to the demonstration or to pytest."""
    if not arguments or arguments[0] not in EXTRAS:
        print(__doc__)
        return 2
    command, rest = arguments[0], arguments[1:]
    if sys.version_info < (3, 11):
        print(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}. Call a newer python3.")
        return 2
    try:
        prepare(command)
    except subprocess.CalledProcessError as error:
        print(f"Installing stopped: {' '.join(map(str, error.cmd))} ended with {error.returncode}.")
        print("The lines above say why. Without a network nothing can be installed the first time.")
        return 2
    environment = {**os.environ, "PYTHONUTF8": "1"}
    if command == "demo":
        run = [PYTHON, "-m", "TACEResponseLib", "demo", "--out", ROOT / "tace-response-demo", *rest]
    else:
        run = [PYTHON, "-m", "pytest", *IN_PARALLEL, *rest]
    say(f"Running {' '.join(map(str, run))}")
    return subprocess.run(run, cwd=ROOT, env=environment, check=False).returncode


def prepare(command: str) -> None:
    """Make the virtual environment and install what `command` needs, unless that is done."""
    if not PYTHON.exists():
        say(f"Making a virtual environment in {VENV}")
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    needed, wanted = EXTRAS[command]
    stamp = VENV / f"installed-for-{command}.txt"
    content = (ROOT / "pyproject.toml").read_bytes() + str(ROOT).encode()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == hashlib.sha256(content).hexdigest():
        say("Everything is installed already; nothing to install.")
        return
    what = f"[{','.join(needed)}]" if needed else ""
    say(f"Installing TACEResponse{what} and what it needs into .venv (once, some minutes)")
    pip("install", "--editable", f".{what}")
    for extra in wanted:
        say(f"Installing the optional part '{extra}'")
        try:
            pip("install", "--editable", f".[{extra}]")
        except subprocess.CalledProcessError:
            say(f"Going on without it: {WITHOUT[extra]}.")
    stamp.write_text(hashlib.sha256(content).hexdigest(), encoding="utf-8")


def pip(*arguments: str) -> None:
    """pip of the virtual environment, quiet except for errors."""
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", *arguments, "--quiet"]
    subprocess.run(command, cwd=ROOT, check=True)


def say(text: str) -> None:
    """One line, at once, so that a person sees what is going on."""
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
