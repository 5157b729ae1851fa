"""Stands for TotalSegmentator where its weights cannot be had: its options, progress, result and faults.

    python stand_in_segmentator.py -i image.nii.gz -o lesions.nii.gz --task liver_lesions --ml --device cpu

It prints a log and bars on standard error as TotalSegmentator and tqdm do, and writes a label file at the
end. The lesion is a ball of 30 mm in the middle of the image. The environment variable TACE_STAND_IN says
what else happens, several words with a comma between them:

    slow        takes TACE_STAND_IN_SECONDS (default 60) for its bar
    fail        ends with a traceback and exit code 1
    empty       finds nothing
    wrong_grid  writes its result on another grid
    several     finds three lesions: of 30, 16 and 6 mm
    no_file     ends well and writes nothing
    no_nifti    writes something that is no NIfTI
    stubborn    ignores SIGTERM and SIGINT and starts a child that does too; implies slow

TACE_STAND_IN_CALLS names a file to which every call adds a line: its process, that of its child, its options.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

#: Centre as a share of the image's size along i, j, k, and the diameter in mm.
ONE = [((0.5, 0.5, 0.5), 30.0)]
SEVERAL = [*ONE, ((0.25, 0.25, 0.5), 16.0), ((0.75, 0.75, 0.5), 6.0)]
#: A child that does not end when it is asked to.
CHILD = """
import signal, time
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
time.sleep(600)
"""


def main() -> int:
    options = _options()
    modes = set(filter(None, os.environ.get("TACE_STAND_IN", "").split(",")))
    child = _stubborn() if "stubborn" in modes else None
    _record(child)
    say("If you use this tool please cite: https://pubs.rsna.org/doi/10.1148/ryai.230024")
    if options.device == "gpu":
        say("No GPU detected. Running on CPU. This can be very slow.")
    say("Resampling...")
    image = sitk.ReadImage(str(options.input))
    say("Predicting part 1 of 1 ...")
    bar(slow_s=_seconds() if modes & {"slow", "stubborn"} else 0.2)
    if "fail" in modes:
        print("Traceback (most recent call last):", file=sys.stderr)
        print('  File "nnunet.py", line 514, in nnUNet_predict', file=sys.stderr)
        print("RuntimeError: CUDA error: no kernel image is available for this device", file=sys.stderr)
        return 1
    lesions = [] if "empty" in modes else SEVERAL if "several" in modes else ONE
    label = draw(image, lesions)
    if "wrong_grid" in modes:
        label = sitk.BinShrink(label, [2, 2, 1])
    if "no_nifti" in modes:
        options.output.write_bytes(b"\x89PNG" + bytes(400))
    elif "no_file" not in modes:
        sitk.WriteImage(label, str(options.output))
    say("Saving segmentations...")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="TotalSegmentator")
    parser.add_argument("-i", dest="input", type=Path, required=True)
    parser.add_argument("-o", dest="output", type=Path, required=True)
    parser.add_argument("--task", choices=("total", "liver_lesions", "liver_segments"), default="total")
    parser.add_argument("--ml", action="store_true")
    parser.add_argument("--device", default="gpu")
    return parser.parse_args()


def _seconds() -> float:
    return float(os.environ.get("TACE_STAND_IN_SECONDS", "60"))


def _stubborn() -> subprocess.Popen:
    """Ignore what asks for an end, as the child does that is started here."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    return subprocess.Popen([sys.executable, "-c", CHILD])


def _record(child: subprocess.Popen | None) -> None:
    file = os.environ.get("TACE_STAND_IN_CALLS")
    if file:
        with Path(file).open("a", encoding="utf-8") as stream:
            stream.write(f"{os.getpid()} {child.pid if child else 0} {' '.join(sys.argv[1:])}\n")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def bar(slow_s: float, steps: int = 20) -> None:
    """A bar as tqdm draws it on a stream: over itself, with carriage returns."""
    for done in range(steps + 1):
        full = 10 * done // steps
        print(
            f"\r{100 * done // steps:3d}%|{'█' * full}{' ' * (10 - full)}| {done}/{steps} [00:00<00:00]",
            end="" if done < steps else "\n",
            file=sys.stderr,
            flush=True,
        )
        time.sleep(slow_s / steps)


def draw(image: sitk.Image, lesions) -> sitk.Image:
    """A label file with a ball for every lesion."""
    spacing, size = np.array(image.GetSpacing()), np.array(image.GetSize())
    voxels = np.zeros(image.GetSize()[::-1], np.uint8)
    k, j, i = np.ogrid[tuple(slice(n) for n in voxels.shape)]
    for share, diameter_mm in lesions:
        x, y, z = np.floor(np.array(share) * size)
        apart = ((i - x) * spacing[0]) ** 2 + ((j - y) * spacing[1]) ** 2 + ((k - z) * spacing[2]) ** 2
        voxels[apart <= (diameter_mm / 2) ** 2] = 1
    label = sitk.GetImageFromArray(voxels)
    label.CopyInformation(image)
    return label


if __name__ == "__main__":
    sys.stderr.reconfigure(encoding="utf-8")
    sys.exit(main())
