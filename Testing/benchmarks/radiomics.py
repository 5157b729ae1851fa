"""The engine beside stock pyradiomics: time, memory, and how far apart the values are.

    python Testing/benchmarks/radiomics.py [--diameters 3 6 10] [--rounds 5] [--threads 1 2] [--json F]

For every tumour diameter a full-size phantom patient is written to disk as compressed NIfTI. One
process then does the whole of the work with stock pyradiomics and with the engine in turn: read
image and mask, resample, filter, all 1167 columns. It may use as many processor cores as the
engine has threads, and so may stock pyradiomics, whose ITK filters use all they get. The figures
are medians; `ratio` is the engine's wall time over stock's, `cpu_ratio` that of processor time,
which other programs on the machine disturb less. Peak memory is measured in a process of its own
for each of the two.

    python Testing/benchmarks/radiomics.py --cohort 36 [--json F]

measures a list of patients instead: each one with stock pyradiomics and with the engine in turn.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# In place of this file's folder, where this file would be found as the package radiomics.
sys.path[0] = str(ROOT / "TACEResponse")

#: Figures of one measurement that are printed, and how.
COLUMNS = {
    "diameter_cm": "{:g}",
    "threads": "{}",
    "seconds": "{:.2f}",
    "stock_seconds": "{:.2f}",
    "ratio": "{:.3f}",
    "cpu_ratio": "{:.3f}",
    "rss_mb": "{:.0f}",
    "stock_rss_mb": "{:.0f}",
    "max_relative_deviation": "{:.1e}",
}


def write_patient(folder: Path, index: int, diameter_mm: float | None) -> tuple[Path, Path]:
    """A full-size phantom patient as compressed NIfTI: image and mask."""
    import SimpleITK as sitk
    from TACEResponseLib.phantom import make_patient

    patient = make_patient(index, seed=1, size="full", diameter_mm=diameter_mm)
    image, mask = folder / "image.nii.gz", folder / "mask.nii.gz"
    sitk.WriteImage(patient.image, str(image), True)
    sitk.WriteImage(patient.mask, str(mask), True)
    return image, mask


def with_engine(image: Path, mask: Path, threads: int) -> dict:
    """What the product does for one patient, file to row, without its checks of the input."""
    import SimpleITK as sitk
    from TACEResponseLib.cases import Case
    from TACEResponseLib.radiomics import extract_row
    from TACEResponseLib.settings import RadiomicsSettings

    case = Case("phantom", sitk.ReadImage(str(image)), sitk.ReadImage(str(mask)))
    return extract_row(case, RadiomicsSettings(), threads=threads)


def with_stock(image: Path, mask: Path) -> dict:
    """The same with stock pyradiomics, called as its documentation shows."""
    import logging

    from radiomics.featureextractor import RadiomicsFeatureExtractor

    logging.getLogger("radiomics").setLevel(logging.ERROR)
    extractor = RadiomicsFeatureExtractor(
        binWidth=25, resampledPixelSpacing=[1, 1, 1], interpolator="sitkBSpline"
    )
    extractor.enableImageTypeByName("LoG", customArgs={"sigma": [1.0, 2.0, 3.0]})
    extractor.enableImageTypeByName("Wavelet")
    return extractor.execute(str(image), str(mask))


def deviations(row: dict, stock: dict) -> dict[str, float]:
    """Largest relative deviation by feature class; absolute differences up to 1e-12 count as none."""
    largest: dict[str, float] = {}
    for name, value in stock.items():
        if not name.startswith("diagnostics_"):
            value, family = float(value), name.split("_")[1]
            apart = abs(row[name] - value)
            relative = 0.0 if apart <= 1e-12 else apart / abs(value)
            largest[family] = max(largest.get(family, 0.0), relative)
    return largest


def timed(work, *arguments):
    """Result, wall seconds and processor seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work(*arguments)
    return result, time.perf_counter() - wall, time.process_time() - cpu


def alternate(image: Path, mask: Path, threads: int, rounds: int) -> dict:
    """Engine and stock in turn in this process; one call of each beforehand to warm up."""
    row, stock = with_engine(image, mask, threads), with_stock(image, mask)
    figures = {"engine": [], "stock": []}
    for _ in range(rounds):
        figures["stock"].append(timed(with_stock, image, mask)[1:])
        figures["engine"].append(timed(with_engine, image, mask, threads)[1:])
    wall, cpu = (statistics.median(f[n] for f in figures["engine"]) for n in (0, 1))
    stock_wall, stock_cpu = (statistics.median(f[n] for f in figures["stock"]) for n in (0, 1))
    by_class = deviations(row, stock)
    return {
        "seconds": wall,
        "stock_seconds": stock_wall,
        "ratio": wall / stock_wall,
        "cpu_seconds": cpu,
        "stock_cpu_seconds": stock_cpu,
        "cpu_ratio": cpu / stock_cpu,
        "max_relative_deviation": max(by_class.values()),
        "deviation_by_class": by_class,
    }


def peak_mb(image: Path, mask: Path, engine: str, threads: int) -> dict:
    """Peak resident memory of this process in MB after one extraction."""
    with_stock(image, mask) if engine == "stock" else with_engine(image, mask, threads)
    return {"rss_mb": peak_resident_mb()}


def peak_resident_mb() -> float:
    """Largest resident memory that this process has had.

    From /proc where there is one: the figure of `resource` is handed down by the parent process.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(n for n in status.read_text().splitlines() if n.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def in_a_process(threads: int, **task) -> dict:
    """Run one task of this file in a fresh process that may use `threads` cores."""
    environment = dict(os.environ, OPENBLAS_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    environment["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(threads)
    command = [sys.executable, __file__, "--task", json.dumps({"threads": threads, **task})]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def do_task(task: dict) -> dict:
    """The inside of `in_a_process`."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: task["threads"]])
    image, mask, threads = Path(task["image"]), Path(task["mask"]), task["threads"]
    if "engine" in task:
        return peak_mb(image, mask, task["engine"], threads)
    return alternate(image, mask, threads, task["rounds"])


def measure(diameter_cm: float, threads: int, rounds: int) -> dict:
    """All figures of one tumour diameter and number of threads."""
    with tempfile.TemporaryDirectory() as folder:
        image, mask = write_patient(Path(folder), 0, 10 * diameter_cm)
        files = {"image": str(image), "mask": str(mask)}
        figures = in_a_process(threads, rounds=rounds, **files)
        own = in_a_process(threads, engine="fast", **files)["rss_mb"]
        stock = in_a_process(threads, engine="stock", **files)["rss_mb"]
    about = {"diameter_cm": diameter_cm, "threads": threads}
    return {**about, **figures, "rss_mb": own, "stock_rss_mb": stock}


def measure_cohort(number: int, threads: int) -> list[dict]:
    """Every patient of a list with both, in turn; wall and processor seconds, peak memory so far."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for index in range(number):
            image, mask = write_patient(Path(folder), index, None)
            row, seconds, cpu = timed(with_engine, image, mask, threads)
            rss_mb = peak_resident_mb()
            stock, stock_seconds, stock_cpu = timed(with_stock, image, mask)
            results.append(
                {
                    "patient": index,
                    "voxels": row["diagnostics_Mask-interpolated_VoxelNum"],
                    "seconds": seconds,
                    "stock_seconds": stock_seconds,
                    "cpu_seconds": cpu,
                    "stock_cpu_seconds": stock_cpu,
                    "max_relative_deviation": max(deviations(row, stock).values()),
                    "rss_mb": rss_mb,
                }
            )
            print(json.dumps(results[-1]), flush=True)
    for what in ("seconds", "cpu_seconds"):
        own, stock = (sum(r[f"{who}{what}"] for r in results) for who in ("", "stock_"))
        print(f"{what}: {own:.1f}, stock {stock:.1f}, ratio {own / stock:.3f}")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--diameters", type=float, nargs="+", default=[3, 6, 10], metavar="CM")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cohort", type=int, metavar="N", help="measure a list of N patients instead")
    parser.add_argument("--json", type=Path, metavar="F", help="write the figures here as well")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.task:
        print(json.dumps(do_task(json.loads(chosen.task))))
        return
    if chosen.cohort:
        results = measure_cohort(chosen.cohort, max(chosen.threads))
    else:
        results = []
        print("  ".join(f"{name:>13}" for name in COLUMNS))
        for diameter in chosen.diameters:
            for threads in chosen.threads:
                results.append(measure(diameter, threads, chosen.rounds))
                figures = (form.format(results[-1][name]) for name, form in COLUMNS.items())
                print("  ".join(f"{figure:>13}" for figure in figures), flush=True)
        for result in results:
            classes = "  ".join(f"{n} {v:.1e}" for n, v in sorted(result["deviation_by_class"].items()))
            print(f"{result['diameter_cm']:g} cm, largest relative deviation by class: {classes}")
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
