"""`python Testing/fuzz/run.py --cases 5000`: how many mutations are read rightly, named, or go wrong.

Each case is its seed and its format, so that one that went wrong is seen again with `--first SEED --cases 1`.
The work is done in a process of its own: one that hangs or dies is counted and another goes on after it.
"""

import argparse
import multiprocessing
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "TACEResponse")]

import numpy as np  # noqa: E402

LONGEST_S = 60
#: Formats in the order in which the seeds take them; a bundle takes a hundred times as long as a table.
_QUICK = ("NIfTI", "NRRD", "MetaImage", "DICOM", "SEG", "RTSTRUCT", "seg.nrrd", "csv", "xlsx")
ORDER = (*_QUICK * 6, "bundle")
WRONG = ("silent difference", "traceback", "hang", "crash")


def makers():
    """Format -> what makes a case of it."""
    from fuzz import bundles, dicom, tables, volumes

    return {
        "NIfTI": volumes.nifti,
        "NRRD": volumes.nrrd,
        "MetaImage": volumes.metaimage,
        "seg.nrrd": volumes.seg_nrrd,
        "DICOM": dicom.series,
        "SEG": dicom.seg,
        "RTSTRUCT": dicom.rtstruct,
        "csv": tables.csv_file,
        "xlsx": tables.xlsx,
        "bundle": bundles.bundle,
    }


def run_case(seed: int) -> tuple[str, str, str]:
    """Format, outcome and a line about the case of this seed."""
    from fuzz.cases import outcome_of

    kind = ORDER[seed % len(ORDER)]
    with tempfile.TemporaryDirectory(prefix="tace-fuzz-") as folder:
        case = makers()[kind](Path(folder), np.random.default_rng([seed, 17]))
        outcome, said = outcome_of(case)
    return kind, outcome.value, f"{case.mutation}: {said}" if said else case.mutation


def _work(first: int, after: int, results) -> None:
    """Send the result of every seed; the memory at its highest comes with each."""
    for seed in range(first, after):
        results.send((seed, *run_case(seed), _peak_mb()))


def _peak_mb() -> float:
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def run_all(first: int, cases: int, show=lambda line: None) -> tuple[Counter, list[str], float]:
    """Outcomes by (format, outcome), a line for each that went wrong, and the highest memory in MB."""
    counts, wrong, peak_mb, seed, after = Counter(), [], 0.0, first, first + cases
    context = multiprocessing.get_context("spawn")
    while seed < after:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(seed, after, sender), daemon=True)
        process.start()
        sender.close()
        while seed < after:
            kind, outcome, said = ORDER[seed % len(ORDER)], "", "no answer"
            try:
                if receiver.poll(LONGEST_S):
                    _, kind, outcome, said, mb = receiver.recv()
                    peak_mb = max(peak_mb, mb)
                else:
                    outcome = "hang"
            except EOFError:
                outcome = "crash"
            counts[kind, outcome] += 1
            if outcome in WRONG or outcome == "right file refused":
                wrong.append(f"{seed} {kind} {outcome}: {said}")
                show(wrong[-1])
            seed += 1
            if outcome in ("hang", "crash"):
                break
        process.kill()
        process.join()
        receiver.close()
    return counts, wrong, peak_mb


def main() -> int:
    """Print every case that went wrong, then the counts; 1 when there is one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="seed of the first case")
    options = parser.parse_args()
    counts, _, peak_mb = run_all(options.first, options.cases, lambda line: print(line, flush=True))
    outcomes = ("right", "named error", "right file refused", *WRONG)
    print(f"{'format':<11}" + "".join(f"{outcome:>20}" for outcome in outcomes))
    for kind in dict.fromkeys(ORDER):
        print(f"{kind:<11}" + "".join(f"{counts[kind, outcome]:>20}" for outcome in outcomes))
    total = {outcome: sum(n for (_, o), n in counts.items() if o == outcome) for outcome in outcomes}
    print(
        f"{options.cases} cases: {total['traceback'] + total['crash']} tracebacks, "
        f"{total['silent difference']} silent differences, {total['hang']} hangs over {LONGEST_S} s, "
        f"{total['right file refused']} right files refused, {peak_mb:.0f} MB at most"
    )
    return 1 if any(total[outcome] for outcome in WRONG) else 0


if __name__ == "__main__":
    sys.exit(main())
