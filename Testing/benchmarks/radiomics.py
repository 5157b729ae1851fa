"""The engine beside stock pyradiomics: time, memory, and how far apart the values are.

    python Testing/benchmarks/radiomics.py [--diameters 3 6 10] [--rounds 5] [--threads 1 2] [--json F]

For every tumour diameter a full-size phantom patient is written to disk as compressed NIfTI. One
process then does the whole of the work with stock pyradiomics and with the engine in turn: read
image and mask, resample, filter, all 1167 columns; the engine with every check that the product
makes of its input. It may use as many processor cores as the engine has threads, and so may stock
pyradiomics, whose ITK filters use all they get. The figures are medians; `ratio` is the
engine's wall time over stock's, `cpu_ratio` that of processor time, which other programs on the
machine disturb less. `floor` is what reading both files and the two hashes among the columns
take alone, over stock's time: no engine that reads and hashes like ours can be below it. Peak memory
is measured in a process of its own for each of the two; `floor_mb` is that of a process that loads the
libraries and one compiled kernel and reads both files.

    python Testing/benchmarks/radiomics.py --first-call [--json F]

measures the first extraction of a process against its later ones, with an empty and with a filled
cache of compiled code.

    python Testing/benchmarks/radiomics.py --cohort 360 [--stock 36] [--json F]

measures a list of extractions, two readers a patient, as `tace-response extract` does them: processes
over cases, results stored. Stock pyradiomics does the first of them in turn, batch by batch.
"""

import argparse
import importlib
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
    "floor": "{:.3f}",
    "rss_mb": "{:.0f}",
    "floor_mb": "{:.0f}",
    "stock_rss_mb": "{:.0f}",
    "max_relative_deviation": "{:.1e}",
}
#: Patients of a cohort that are on disk at a time; each has two readers' masks.
BATCH = 6


def write_patient(folder: Path, index: int, diameter_mm: float | None) -> list[Path]:
    """A full-size phantom patient as compressed NIfTI: image and the masks of two readers."""
    import SimpleITK as sitk
    from TACEResponseLib.phantom import make_patient

    patient = make_patient(index, seed=1, size="full", diameter_mm=diameter_mm)
    paths = []
    for name in ("image", "mask", "mask_reader2"):
        paths.append(folder / f"{index}_{name}.nii.gz")
        sitk.WriteImage(getattr(patient, name), str(paths[-1]), True)
    return paths


def with_engine(image: Path, mask: Path, threads: int) -> dict:
    """What the product does for one patient, file to row."""
    from TACEResponseLib.radiomics import extract_row
    from TACEResponseLib.readers import read_case
    from TACEResponseLib.settings import RadiomicsSettings

    return extract_row(read_case("phantom", image, mask), RadiomicsSettings(), threads=threads)


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


def read_and_hash(image: Path, mask: Path) -> None:
    """The part of the work that no engine can leave out: both files, and SHA-1 of both as stock has it."""
    from TACEResponseLib.cases import Case
    from TACEResponseLib.radiomics.diagnostics import sha1_of_image, sha1_of_mask
    from TACEResponseLib.readers.volumes import read_volume

    case = Case("phantom", read_volume(image, "image"), read_volume(mask, "mask"))
    sha1_of_image(case), sha1_of_mask(case)


def load_and_read(image: Path, mask: Path) -> None:
    """What no engine with numba can leave out of its memory: the libraries, and both volumes, read."""
    import numpy as np
    from TACEResponseLib.radiomics import kernels
    from TACEResponseLib.readers import read_case

    case = read_case("phantom", image, mask)
    importlib.import_module("TACEResponseLib.radiomics.fast")  # with all that it imports
    kernels.extremes_and_sum(np.zeros(1, np.int16))
    del case


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
    figures = {"engine": [], "stock": [], "floor": []}
    for _ in range(rounds):
        figures["stock"].append(timed(with_stock, image, mask)[1:])
        figures["engine"].append(timed(with_engine, image, mask, threads)[1:])
        figures["floor"].append(timed(read_and_hash, image, mask)[1:])
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
        "floor": statistics.median(f[0] for f in figures["floor"]) / stock_wall,
        "max_relative_deviation": max(by_class.values()),
        "deviation_by_class": by_class,
    }


def peak_mb(image: Path, mask: Path, what: str, threads: int) -> dict:
    """Peak resident memory of this process in MB after one extraction, or after loading and reading."""
    if what == "fast":
        with_engine(image, mask, threads)
    else:
        {"stock": with_stock, "floor": load_and_read}[what](image, mask)
    return {"rss_mb": peak_resident_mb()}


def first_and_later(image: Path, mask: Path) -> dict:
    """Seconds of the first extraction in this process, its imports included, and of later ones."""
    importlib.import_module("TACEResponseLib.readers")  # what every use of the product has loaded before
    seconds = [timed(with_engine, image, mask, 1)[1] for _ in range(6)]
    later = statistics.median(seconds[1:])
    return {"first_seconds": seconds[0], "later_seconds": later, "extra_seconds": seconds[0] - later}


def peak_resident_mb(process: int | str = "self") -> float:
    """Largest resident memory that a process has had; of another one than this only where /proc is.

    The figure of `resource` is handed down by the parent process.
    """
    status = Path(f"/proc/{process}/status")
    if status.is_file():
        line = next(n for n in status.read_text().splitlines() if n.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def in_a_process(threads: int, cache: Path | None = None, **task) -> dict:
    """Run one task of this file in a fresh process that may use `threads` cores."""
    environment = dict(os.environ, OPENBLAS_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    environment["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(threads)
    if cache is not None:
        environment |= dict.fromkeys(("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"), str(cache))
    command = [sys.executable, __file__, "--task", json.dumps({"threads": threads, **task})]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def do_task(task: dict) -> dict:
    """The inside of `in_a_process`."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: task["threads"]])
    image, mask, threads = Path(task["image"]), Path(task["mask"]), task["threads"]
    if "first" in task:
        return first_and_later(image, mask)
    if "memory_of" in task:
        return peak_mb(image, mask, task["memory_of"], threads)
    return alternate(image, mask, threads, task["rounds"])


def measure(diameter_cm: float, threads: int, rounds: int) -> dict:
    """All figures of one tumour diameter and number of threads."""
    with tempfile.TemporaryDirectory() as folder:
        image, mask, _ = write_patient(Path(folder), 0, 10 * diameter_cm)
        files = {"image": str(image), "mask": str(mask)}
        figures = in_a_process(threads, rounds=rounds, **files)
        own, floor, stock = (
            in_a_process(threads, memory_of=what, **files)["rss_mb"] for what in ("fast", "floor", "stock")
        )
    about = {"diameter_cm": diameter_cm, "threads": threads}
    return {**about, **figures, "rss_mb": own, "floor_mb": floor, "stock_rss_mb": stock}


def measure_table(diameters: list[float], threads: list[int], rounds: int) -> list[dict]:
    """Every diameter with every number of threads, printed as they come."""
    results = []
    print("  ".join(f"{name:>13}" for name in COLUMNS))
    for diameter in diameters:
        for number in threads:
            results.append(measure(diameter, number, rounds))
            figures = (form.format(results[-1][name]) for name, form in COLUMNS.items())
            print("  ".join(f"{figure:>13}" for figure in figures), flush=True)
    for result in results:
        classes = "  ".join(f"{n} {v:.1e}" for n, v in sorted(result["deviation_by_class"].items()))
        print(f"{result['diameter_cm']:g} cm, largest relative deviation by class: {classes}")
    return results


def measure_first_call() -> list[dict]:
    """First call of a process with an empty cache, and three times with the filled one (median)."""
    with tempfile.TemporaryDirectory() as folder:
        image, mask, _ = write_patient(Path(folder), 0, 30.0)
        task = {"image": str(image), "mask": str(mask), "first": True, "cache": Path(folder) / "cache"}
        empty, *filled = (in_a_process(1, **task) for _ in range(4))
    filled.sort(key=lambda result: result["extra_seconds"])
    results = [{"cache": "empty", **empty}, {"cache": "filled", **filled[1]}]
    for result in results:
        print("  ".join(f"{name} {v if name == 'cache' else f'{v:.2f}'}" for name, v in result.items()))
    return results


def read_job(job):
    """The case of one extraction in a cohort."""
    from TACEResponseLib.readers import read_case

    return read_case(job.patient_id, *job.files)


def measure_cohort(number: int, with_stock_first: int, processes: int) -> list[dict]:
    """Batches of a list of extractions; wall seconds for each, memory of the largest process so far."""
    os.environ["PYTHONPATH"] = os.pathsep.join([sys.path[0], os.environ.get("PYTHONPATH", "")])
    results = []
    while (done := sum(result["extractions"] for result in results)) < number:
        patients = min(BATCH, (number - done + 1) // 2)
        with tempfile.TemporaryDirectory() as folder:
            results.append(
                _measure_batch(Path(folder), done // 2, patients, done < with_stock_first, processes)
            )
        print(json.dumps(results[-1]), flush=True)
    compared = [result for result in results if "stock_seconds" in result]
    for name, some in (("compared with stock", compared), ("all", results)):
        if not some:
            continue
        cases, own = (sum(result[what] for result in some) for what in ("extractions", "seconds"))
        print(f"{name}: {cases} extractions, {own:.1f} s, {own / cases:.3f} s each", end="")
        stock = sum(result.get("stock_seconds", 0.0) for result in some)
        print(f", stock {stock:.1f} s, ratio {own / stock:.3f}" if some is compared else "")
    first, last = (results[n]["rss_mb"] for n in (max(len(compared) - 1, 0), -1))
    print(f"largest process: {first:.0f} MB after the compared ones, {last:.0f} MB at the end")
    return results


def _measure_batch(folder: Path, first: int, patients: int, stock: bool, processes: int) -> dict:
    """Extract some patients, two readers each, with the engine and perhaps with stock pyradiomics."""
    from TACEResponseLib.measuring.feature_table import extract_features
    from TACEResponseLib.resumable import CaseJob
    from TACEResponseLib.settings import RadiomicsSettings

    jobs = []
    for index in range(first, first + patients):
        image, *masks = write_patient(folder, index, None)
        jobs += [CaseJob(f"{index}-{reader}", (image, mask)) for reader, mask in enumerate(masks, 1)]
    store, started = folder / "store", time.perf_counter()
    found = extract_features(
        jobs, read_job, RadiomicsSettings(), store=store, jobs_in_parallel=processes, threads=1
    )
    result = {"extractions": len(jobs), "seconds": time.perf_counter() - started}
    result["voxels"] = sum(r.values["diagnostics_Mask-interpolated_VoxelNum"] for r in found)
    if stock:
        rows, result["stock_seconds"], _ = timed(lambda: [with_stock(*job.files) for job in jobs])
        pairs = zip(found, rows, strict=True)
        result["max_relative_deviation"] = max(max(deviations(f.values, r).values()) for f, r in pairs)
    return {**result, "rss_mb": _largest_worker_mb()}


def _largest_worker_mb() -> float:
    """Peak memory of the process that has had most, among this one's children."""
    import psutil

    return max(peak_resident_mb(child.pid) for child in psutil.Process().children(recursive=True))


def measure_beside(other: Path, number: int, rounds: int) -> list[dict]:
    """Seconds of a list of extractions by this state of the project and by another one, in turn."""
    results = []
    for turn in range(rounds + 1):
        seconds = {}
        # Who is first changes, so that neither has the warmer or the cooler processor.
        for name, root in (("here", ROOT), ("beside", other))[:: 1 if turn % 2 else -1]:
            seconds[name] = _seconds_of_cohort(root, number)
        results.append({**seconds, "ratio": seconds["here"] / seconds["beside"]})
        print("  ".join(f"{name} {value:.3f}" for name, value in results[-1].items()), flush=True)
    ratios = [result["ratio"] for result in results[1:]]
    print(f"median ratio {statistics.median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")
    return results


def _seconds_of_cohort(root: Path, number: int) -> float:
    """Seconds that the benchmark in a state of the project prints for a list of extractions."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "figures.json"
        command = [sys.executable, root / "Testing/benchmarks/radiomics.py", "--cohort", str(number)]
        command += ["--stock", "0", "--json", found]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return sum(result["seconds"] for result in json.loads(found.read_text(encoding="utf-8")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--diameters", type=float, nargs="+", default=[3, 6, 10], metavar="CM")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--first-call", action="store_true", help="measure the first call instead")
    parser.add_argument("--cohort", type=int, metavar="N", help="measure a list of N extractions instead")
    parser.add_argument(
        "--stock", type=int, default=36, metavar="N", help="of a list, how many with stock, too"
    )
    parser.add_argument(
        "--beside", type=Path, metavar="FOLDER", help="measure a list in turn with another state of it"
    )
    parser.add_argument("--json", type=Path, metavar="F", help="write the figures here as well")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.task:
        print(json.dumps(do_task(json.loads(chosen.task))))
        return
    if chosen.first_call:
        results = measure_first_call()
    elif chosen.beside:
        results = measure_beside(chosen.beside.resolve(), chosen.cohort or 24, chosen.rounds)
    elif chosen.cohort:
        results = measure_cohort(chosen.cohort, chosen.stock, max(chosen.threads))
    else:
        results = measure_table(chosen.diameters, chosen.threads, chosen.rounds)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
