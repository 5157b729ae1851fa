"""Figures from simulations: each with its error, the bounds it must lie in, and its place in a table."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: (patients, cohort, model) -> column -> figure, or a number that nothing is asked of.
Rows = dict[tuple[int | str, str, str], Mapping[str, "Figure | float"]]


@dataclass(frozen=True)
class Figure:
    """A value with its Monte Carlo error and the bounds that it must lie in; equal bounds: a truth."""

    value: float
    error: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Empty within the bounds, `~` outside by at most two errors, `!` beyond; a truth has no `~`."""
        outside = max(self.low - self.value, self.value - self.high)
        if outside <= (2 * self.error if self.low == self.high else 1e-9):
            return ""
        return "~" if outside <= 2 * self.error else "!"


def share(true: Sequence[bool], bounds: tuple[float, float]) -> Figure:
    """Per cent; the error is that of the share in the middle of the bounds, so that it is never nought."""
    expected = np.mean(bounds) / 100
    error = np.sqrt(expected * (1 - expected) / len(true))
    return Figure(float(100 * np.mean(true)), float(100 * error), *bounds)


def mean(values: Sequence[float], bounds: tuple[float, float]) -> Figure:
    """Mean with its standard error."""
    values = np.asarray(values, dtype=float)
    return Figure(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), *bounds)


def median(values: Sequence[float], bounds: tuple[float, float]) -> Figure:
    """Median; its error from the order statistics one standard error of a rank away."""
    away = 0.5 / np.sqrt(len(values))
    low, high = np.quantile(values, [0.5 - away, 0.5 + away])
    return Figure(float(np.median(values)), float((high - low) / 2), *bounds)


def together(rows: Rows) -> Rows:
    """Per cents of each model over all cohorts: a small deviation that each of them hides shows there."""
    pooled = {}
    for name in dict.fromkeys(name for *_, name in rows):
        of_model = [figures for (*_, model), figures in rows.items() if model == name]
        columns = [column for column in of_model[0] if "%" in column]
        found = {column: [figures[column] for figures in of_model] for column in columns}
        pooled["all", "together", name] = {column: _pooled(cells) for column, cells in found.items()}
    return pooled


def _pooled(cells: Sequence[Figure]) -> Figure:
    error = np.sqrt(sum(cell.error**2 for cell in cells)) / len(cells)
    value = np.mean([cell.value for cell in cells])
    return Figure(float(value), float(error), cells[0].low, cells[0].high)


def lines_of_table(rows: Rows, columns: Sequence[str]) -> Iterator[str]:
    """A Markdown table of those columns; errors in brackets, then the verdict."""
    yield "| n | cohort | model | " + " | ".join(columns) + " |"
    yield "|---" * (len(columns) + 3) + "|"
    for (patients, cohort, name), figures in rows.items():
        cells = [_printed(column, figures.get(column)) for column in columns]
        yield f"| {patients} | {cohort} | {name} | " + " | ".join(cells) + " |"


def _printed(column: str, value: Figure | float | None) -> str:
    """Per cents with one decimal, slopes and widths with two, all others with three."""
    if value is None:
        return ""
    digits = 1 if "%" in column else 2 if column in ("slope", "width") else 3
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return f"{value.value:.{digits}f} ({value.error:.{digits}f}){value.verdict}"


def write_rows(path: Path, rows: Rows, how: Mapping[str, int]) -> None:
    """Keep the rows; how: what they were made with, which `read_rows` asks for."""
    listed = [
        {"patients": patients, "cohort": cohort, "model": model, **how, "figures": _json_figures(figures)}
        for (patients, cohort, model), figures in rows.items()
    ]
    path.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")


def _json_figures(figures: Mapping[str, Figure | float]) -> dict:
    return {
        column: v if isinstance(v, float) else {**vars(v), "verdict": v.verdict}
        for column, v in figures.items()
    }


def read_rows(path: Path | None, how: Mapping[str, int]) -> Rows:
    """The rows that an earlier run made in the same way; none where there is no file."""
    if path is None or not path.is_file():
        return {}
    listed = json.loads(path.read_text(encoding="utf-8"))
    return {
        (row["patients"], row["cohort"], row["model"]): {
            column: v if isinstance(v, float) else Figure(v["value"], v["error"], v["low"], v["high"])
            for column, v in row["figures"].items()
        }
        for row in listed
        if all(row[name] == value for name, value in how.items())
    }
