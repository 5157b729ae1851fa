"""The proposal by one click on 60 lesions of the phantom, and on the one real slice that is at hand.

The click is a random point at least 2 mm inside the lesion, so no person chose it well. "Half contrast" is
the same lesions brought halfway to the liver's intensity, with their noise. Two plain methods of SimpleITK
are measured beside it, with usual settings. The phantom is made by this project and is kind: its lesions are
round, their outlines are exact, and its liver is even. Figures on it say nothing about patients.

    python Testing/benchmarks/one_click.py [--lesions 60]

The real slice (HCC-TACE-Seg, HCC_034) is read from the folder that TACE_REAL_DATA names. It is one slice of
8 bits, so it is laid on itself to a volume, and what is compared is that slice.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "TACEResponse"))

from TACEResponseLib.phantom import make_patient
from TACEResponseLib.proposal.click import grow, prepare

#: The method was chosen on the population 11.
POPULATION, SEED, INSIDE_MM, SMALL_ML = 2026, 7, 2.0, 5.0


def lesions(number: int, seed: int = SEED):
    """(image, mask of one lesion, point in mm) of the first lesions of a phantom population."""
    rng, given = np.random.default_rng(seed), 0
    for index in range(10 * number):
        patient = make_patient(index, POPULATION)
        components, count = ndimage.label(sitk.GetArrayViewFromImage(patient.mask), np.ones((3, 3, 3)))
        for n in range(1, count + 1):
            one = components == n
            inside = ndimage.distance_transform_edt(np.pad(one, 1), patient.image.GetSpacing()[::-1])
            points = np.argwhere(inside[1:-1, 1:-1, 1:-1] >= INSIDE_MM)
            if not len(points):
                continue
            k, j, i = points[rng.integers(len(points))]
            mask = sitk.GetImageFromArray(one.astype(np.uint8))
            mask.CopyInformation(patient.image)
            yield patient.image, mask, patient.image.TransformIndexToPhysicalPoint((int(i), int(j), int(k)))
            given += 1
            if given == number:
                return


def half_contrast(image: sitk.Image, mask: sitk.Image) -> sitk.Image:
    """The image with the lesion halfway between itself and the median of what is around it; noise stays."""
    hu, inside = sitk.GetArrayFromImage(image).astype(float), sitk.GetArrayViewFromImage(mask) > 0
    sigma = 1.5 / np.array(image.GetSpacing())[::-1]
    ring = ndimage.binary_dilation(inside, iterations=6) & ~ndimage.binary_dilation(inside, iterations=2)
    liver = np.median(hu[ring])
    soft = ndimage.gaussian_filter(inside.astype(float), 0.5 * sigma)
    made = sitk.GetImageFromArray(
        (hu + 0.5 * soft * (liver - ndimage.gaussian_filter(hu, sigma))).astype(np.int16)
    )
    made.CopyInformation(image)
    return made


def connected(image: sitk.Image, point) -> sitk.Image:
    """Confidence-connected growing on the smoothed CT, holes filled."""
    smooth = sitk.SmoothingRecursiveGaussian(sitk.Cast(image, sitk.sitkFloat32), [1.2] * 3)
    seed = image.TransformPhysicalPointToIndex(point)
    return sitk.BinaryFillhole(sitk.ConfidenceConnected(smooth, [seed], 2, 1.5, 2))


def marching(image: sitk.Image, point) -> sitk.Image:
    """Fast marching, slow over edges, up to 15 mm of free way."""
    smooth = sitk.Cast(image, sitk.sitkFloat32)
    edges = sitk.GradientMagnitudeRecursiveGaussian(smooth, 1.5)
    speed = sitk.Sigmoid(edges, -2.0, 12.0, 1.0, 0.0)
    seed = image.TransformPhysicalPointToIndex(point)
    return sitk.FastMarching(speed, [seed], 1.0, 60.0) < 15.0


METHODS = {"one click": grow, "confidence connected": connected, "fast marching": marching}


def compare(found: sitk.Image, truth: sitk.Image) -> tuple[float, float, float]:
    """Dice, mean surface distance and 95 % Hausdorff distance in mm."""
    one, other = (sitk.GetArrayViewFromImage(mask) > 0 for mask in (found, truth))
    dice = 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))
    box = ndimage.find_objects(np.uint8(one | other))[0]
    one, other = (np.pad(mask[box], 1) for mask in (one, other))
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (one, other)]
    spacing = truth.GetSpacing()[::-1]
    away = [ndimage.distance_transform_edt(~surface, spacing) for surface in surfaces]
    apart = np.concatenate([away[1][surfaces[0]], away[0][surfaces[1]]])
    return dice, float(apart.mean()), float(np.percentile(apart, 95))


def row(name: str, found: np.ndarray) -> str:
    """One line of the table of (lesions, 3) figures."""
    dice, mean_mm, far_mm = found.T
    low, middle, high = np.percentile(dice, (5, 50, 95))
    return (
        f"{name:<40}{len(found):>4}{middle:>8.2f}{low:>8.2f} to {high:.2f}"
        f"{np.median(mean_mm):>10.1f}{np.median(far_mm):>10.1f}"
    )


def phantom(number: int) -> None:
    """Print the table of the phantom's lesions."""
    given = list(lesions(number))
    volumes = (
        np.array([np.prod(m.GetSpacing()) * sitk.GetArrayViewFromImage(m).sum() for _, m, _ in given]) / 1e3
    )
    print(f"{'':<40}{'n':>4}{'Dice':>8}{'5 to 95 %':>16}{'mean mm':>9}{'95 % mm':>10}")
    for name, method in METHODS.items():
        found = np.array([compare(method(image, point), mask) for image, mask, point in given])
        print(row(name, found))
        if method is grow:
            for part, chosen in (("below 5 mL", volumes < SMALL_ML), ("5 mL and more", volumes >= SMALL_ML)):
                print(row(f"  {part}", found[chosen]))
            half = [compare(grow(half_contrast(i, m), p), m) for i, m, p in given]
            print(row("  half contrast", np.array(half)), flush=True)


def durations() -> None:
    """Print how long a click and a move of the slider take on CTs of 512 x 512 voxels."""
    clicks, moves = [], []
    for index in range(3):
        patient = make_patient(index, POPULATION, "full")
        k, j, i = (int(np.median(n)) for n in np.nonzero(sitk.GetArrayViewFromImage(patient.mask)))
        point = patient.image.TransformIndexToPhysicalPoint((i, j, k))
        for _ in range(3):
            began = time.perf_counter()
            growth = prepare(patient.image, point)
            growth.mask()
            clicked = time.perf_counter()
            growth.mask(0.7)
            clicks.append(clicked - began)
            moves.append(time.perf_counter() - clicked)
    size = " x ".join(map(str, patient.image.GetSize()))
    print(f"{size} voxels: a click {np.median(clicks):.2f} s (longest {max(clicks):.2f}), ", end="")
    print(f"a move of the slider {np.median(moves):.2f} s (longest {max(moves):.2f})")


def real_slice(folder: Path, points: int = 21) -> None:
    """Print the Dice on the slice of HCC_034: from its middle, and from random points inside."""
    from matplotlib.image import imread

    hu = imread(folder / "hcc034_baseline.png") * 350 - 115
    truth = imread(folder / "hcc034_baseline_mass.png") > 0.5
    image = sitk.GetImageFromArray(np.repeat(hu[None], 80, axis=0).astype(np.float32))
    image.SetSpacing((0.78125, 0.820312, 1.0))
    rows = np.argwhere(ndimage.distance_transform_edt(truth, (0.820312, 0.78125)) >= INSIDE_MM)
    rng = np.random.default_rng(SEED)
    chosen = [
        np.argwhere(truth).mean(axis=0).round().astype(int),
        *rows[rng.integers(len(rows), size=points - 1)],
    ]
    found = []
    for j, i in chosen:
        mask = grow(image, image.TransformIndexToPhysicalPoint((int(i), int(j), 40)))
        one = sitk.GetArrayViewFromImage(mask)[40] > 0
        found.append(2 * np.count_nonzero(one & truth) / (np.count_nonzero(one) + np.count_nonzero(truth)))
    low, middle, high = np.percentile(found[1:], (5, 50, 95))
    print(f"HCC_034, one slice: Dice {found[0]:.2f} from the middle; ", end="")
    print(f"from {points - 1} random points {middle:.2f} ({low:.2f} to {high:.2f})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lesions", type=int, default=60)
    options = parser.parse_args()
    phantom(options.lesions)
    durations()
    if os.environ.get("TACE_REAL_DATA"):
        real_slice(Path(os.environ["TACE_REAL_DATA"], "hcc-tace-seg"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
