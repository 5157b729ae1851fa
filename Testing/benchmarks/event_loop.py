"""How long the panel ever holds up the application while a 10 cm tumour on a full CT is predicted.

The real panel runs on the test host (Testing/slicer_host) with the phantom's patient: 512 x 512
pixels, about 105 slices, one tumour of 10 cm. A timer of 10 ms ticks on the main thread; the time
between two ticks is how long the application could not react. Measured are

- predict: from the click on Predict until the answer is drawn, each of `--rounds` times;
- explain, sensitivity, report: after an answer, from the click until the result is drawn or written;
- cancel: Predict is pressed, and again after each of `--after` seconds; besides the ticks, the time
  until the button says Predict, and the time until every process and thread and every temporary
  file of the computation is gone;
- summary: the tumour is edited and the line under it is brought up to date.

`--lock held` makes the main thread keep Python's lock while it idles, as Slicer's event loop does
(PythonQt does not give it back); `free` gives it back, as PySide6's own loop does.

    nice -n -15 python Testing/benchmarks/event_loop.py --lock held --json event_loop.json
"""

import argparse
import ctypes
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing"))
TICK_MS = 10
LIMIT_MS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lock", choices=("held", "free"), default="held")
    parser.add_argument(
        "--rounds", type=int, default=2, help="predictions; the first one starts from nothing"
    )
    parser.add_argument("--after", type=float, nargs="*", default=[0.05, 0.5, 1.5, 3.0], metavar="SECONDS")
    parser.add_argument("--diameter", type=float, default=100.0, metavar="MM")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        tempfile.tempdir = temporary  # so that whatever is left behind is found
        rows = measure(options)
    load = Path("/proc/loadavg")
    about = {
        "lock": options.lock,
        "diameter_mm": options.diameter,
        "cpus": os.cpu_count(),
        "load": load.read_text().split()[:3] if load.exists() else None,
    }
    print(as_table(rows))
    if options.json:
        options.json.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", encoding="utf-8")


def measure(options) -> list[dict]:
    """One row an action, on one panel that stays open."""
    host = Host(options.lock, options.diameter)
    rows = [host.edit("summary, after an edit")]
    rows += [host.predict(f"predict, number {n + 1}") for n in range(options.rounds)]
    rows.append(host.act("explain, after the answer", host.panel.ui.explainButton.click))
    rows.append(host.act("sensitivity, after the answer", host.panel.ui.sensitivityButton.click))
    rows.append(host.report("report, after the answer"))
    rows += [host.cancel(f"cancel after {after:g} s", after) for after in options.after]
    rows.append(host.predict("predict, after the last cancel"))
    host.close()
    return rows


class Host:
    """The panel with the patient chosen, and the clock that listens to the event loop."""

    def __init__(self, lock: str, diameter_mm: float):
        from slicer_host import application

        application.start()
        import qt
        import slicer
        from TACEResponseLib.phantom import make_patient

        self._application, self._slicer = application, slicer
        # A call through PyDLL keeps Python's lock, which is what Slicer's idle event loop does.
        usleep = ctypes.PyDLL(None).usleep
        self._idle = (lambda: usleep(2000)) if lock == "held" else (lambda: time.sleep(0.002))
        self.panel = application.open_panel("TACEResponse")
        from TACEResponseSlicer import publish

        patient = make_patient(21, seed=1, size="full", diameter_mm=diameter_mm)
        volume, segmentation = publish.patient_nodes("10 cm", patient.image, patient.mask)
        node = self.panel._parameterNode
        node.ctVolume, node.segmentation = volume, segmentation
        node.segmentIds = [segmentation.GetSegmentation().GetNthSegmentID(0)]
        self._ticks = []
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.connect("timeout()", lambda: self._ticks.append(time.perf_counter()))
        self._timer.start()
        self._until(lambda: False, 2.0)

    def edit(self, name: str) -> dict:
        """Change a voxel of the tumour and wait for the line that describes it."""
        panel, node = self.panel, self.panel._parameterNode
        panel.ui.summaryLabel.text = ""
        segment = node.segmentIds[0]
        labels = self._slicer.util.arrayFromSegmentInternalBinaryLabelmap(node.segmentation, segment)
        where = tuple(np.argwhere(labels)[0])
        start = time.perf_counter()
        labels[where] = 0
        node.segmentation.GetSegmentation().GetSegment(segment).Modified()
        node.segmentation.GetSegmentation().InvokeEvent(
            node.segmentation.GetSegmentation().SourceRepresentationModified
        )
        self._until(lambda: bool(panel.ui.summaryLabel.text), 60)
        return self._row(name, start)

    def predict(self, name: str) -> dict:
        """Press Predict and wait for the answer."""
        row = self.act(name, self.panel.ui.predictButton.click)
        if self.panel.answer.prediction is None:
            raise SystemExit(f"{name}: no answer")
        return row

    def act(self, name: str, click) -> dict:
        """Click, and wait for what was asked for."""
        start = time.perf_counter()
        click()
        self._until(lambda: not self.panel.task.running, 300)
        row = self._row(name, start)
        if self.panel.lastError:
            raise SystemExit(f"{name}: {self.panel.lastError}")
        return row

    def report(self, name: str) -> dict:
        """Write the report into a folder that is gone afterwards."""
        with tempfile.TemporaryDirectory() as folder:
            return self.act(name, lambda: self.panel.actions.write_report(folder, lambda page: None))

    def cancel(self, name: str, after_s: float) -> dict:
        """Press Predict, press Cancel, and wait until nothing of it is left."""
        before = self._left()
        self.panel.answer.clear()
        begin = time.perf_counter()
        self.panel.ui.predictButton.click()
        self._until(lambda: not self.panel.task.running, after_s)
        if not self.panel.task.running:
            return {"action": f"{name}: the answer was there before", **self._figures(begin)}
        start = time.perf_counter()
        self.panel.ui.predictButton.click()
        self._until(lambda: self.panel.ui.predictButton.text == "Predict", 60)
        button_s = time.perf_counter() - start
        self._until(lambda: not self._left(), 60)
        row = self._row(name, begin)
        row.update(button_s=round(button_s, 3), gone_s=round(time.perf_counter() - start, 3))
        row["left"] = sorted(self._left())
        row["there_before"] = len(before)
        return row

    def close(self) -> None:
        self._application.close_panel("TACEResponse")

    def _left(self) -> set[str]:
        """What a computation may leave: processes, threads, temporary files."""
        import psutil

        processes = {f"process {child.pid}" for child in psutil.Process().children(recursive=True)}
        threads = {f"thread {t.name}" for t in threading.enumerate() if t.name.startswith("TACEResponse")}
        files = {str(file) for file in Path(tempfile.gettempdir()).rglob("*")}
        return processes | threads | files

    def _until(self, done, timeout_s: float) -> None:
        end = time.perf_counter() + timeout_s
        while not done() and time.perf_counter() < end:
            self._slicer.app.processEvents()
            self._idle()

    def _row(self, name: str, start: float) -> dict:
        self._until(lambda: False, 0.05)
        return {"action": name, **self._figures(start)}

    def _figures(self, start: float) -> dict:
        """Seconds since `start` and the gaps between the ticks in that time."""
        now = time.perf_counter()
        ticks = [start, *(tick for tick in self._ticks if tick > start), now]
        gaps_ms = 1000 * np.diff(ticks)
        figures = {f"p{p}_ms": round(float(np.percentile(gaps_ms, p)), 1) for p in (50, 95, 99)}
        longest = float(gaps_ms.max())
        return {
            "seconds": round(now - start, 2),
            "ticks": len(gaps_ms),
            **figures,
            "longest_ms": round(longest, 1),
            "held": longest <= LIMIT_MS,
        }


def as_table(rows: list[dict]) -> str:
    columns = ("seconds", "ticks", "p50_ms", "p95_ms", "p99_ms", "longest_ms", "button_s", "gone_s")
    lines = [f"{'action':<34}" + "".join(f"{column:>12}" for column in columns)]
    for row in rows:
        lines.append(f"{row['action']:<34}" + "".join(f"{row.get(column, '')!s:>12}" for column in columns))
        if row.get("left"):
            lines.append(f"    still there: {', '.join(row['left'])}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
