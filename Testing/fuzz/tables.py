"""Mutations of tables: CSV in every encoding and notation, and spreadsheets with all that they hide."""

import csv
import io
import re
import zipfile
from pathlib import Path

import numpy as np
from openpyxl import Workbook
from TACEResponseLib.readers.tables import read_table

from .cases import Case, choose, cut, flipped

HEADER = ["patient_id", "image", "mask", "label", "afp_ng_ml", "center"]
INVISIBLE = "\u202e\u200b\x07\x1b\u2028"
#: Names and the encodings that hold them.
NAMES = {
    ("gb18030", "utf-8", "utf-16"): ["李伟", "张敏", "王芳", "刘洋", "陈静"],
    ("big5", "utf-8"): ["陳怡君", "林志明", "黃淑芬", "張家豪", "李俊傑"],
    ("shift_jis", "euc_jp", "utf-8"): ["佐藤健", "鈴木花子", "高橋さくら", "田中一郎", "山本ゆき"],
    ("cp949", "utf-8"): ["김민준", "이서연", "박지우", "최수빈", "정현우"],
    ("cp1251", "koi8_r", "cp866", "utf-8"): ["Иванова", "Петров", "Смирнов", "Кузнецова", "Попов"],
    ("cp1252", "mac_roman", "cp850", "utf-8"): ["Müller", "Groß", "Schäfer", "Jäger", "Köhler"],
    ("cp1250", "utf-8"): ["Wałęsa", "Żak", "Dąbrowski", "Ścisło", "Źrebak"],
    ("ascii",): ["0012", "12", "NA", "1e5", "001"],
}


def a_table(rng: np.random.Generator) -> tuple[list[list[str]], str]:
    """Five patients with names of one region, and an encoding that holds them."""
    encodings = choose(rng, NAMES)
    names = [NAMES[encodings][i] for i in rng.permutation(5)]
    rows = [
        [name, f"p{n}/i.nrrd", f"p{n}/m.nrrd", str(n % 2), f"{n}.5", names[0]] for n, name in enumerate(names)
    ]
    return [HEADER, *rows], choose(rng, encodings)


def is_table(rows: list[list[str]]):
    """Whether the rows that were read are those, by the names of the columns."""
    return lambda found: (
        [dict(row) for row in found] == [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    )


def as_csv(rows, delimiter: str = ",", **options) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter, **options).writerows(rows)
    return stream.getvalue()


def csv_file(folder: Path, rng: np.random.Generator) -> Case:
    """A CSV: encoding, separator, quotes, line ends, order, and cells that must be refused."""
    rows, encoding = a_table(rng)
    kind = choose(
        rng, ["notation", "order", "blank", "twice", "invisible", "column", "zero", "cells", "named"]
    )
    delimiter, named, must_read = choose(rng, ",;\t"), None, False
    if kind == "order":
        order = rng.permutation(len(HEADER))
        rows = [[row[i] for i in order] for row in rows]
    text = as_csv(rows, delimiter, quoting=choose(rng, [csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
                  lineterminator=choose(rng, ["\n", "\r\n"]))  # fmt: skip
    if kind == "blank":
        text = text.replace("\n", "\n" * int(rng.integers(1, 4)))
    elif kind == "twice":
        text += as_csv([rows[1]], delimiter)
    elif kind == "invisible":
        text += as_csv([[f"P{choose(rng, INVISIBLE)}1", *rows[1][1:]]], delimiter)
    elif kind == "column":
        text = text.replace(choose(rng, ["patient_id", "image"]), "mask", 1)
    elif kind == "zero":
        text += "\0"
    elif kind == "cells":
        text += as_csv([[*rows[1], "beyond"]], delimiter)
    elif kind == "named":
        named, must_read = encoding, True
    try:
        content = text.encode(encoding)
    except UnicodeEncodeError:
        content = text.encode("utf-8")
    (folder / "t.csv").write_bytes(content)
    read = lambda: read_table(folder / "t.csv", ("patient_id", "image", "mask"), encoding=named)
    must_read |= encoding in ("utf-8", "utf-16", "ascii") and kind in ("notation", "order", "blank")
    return Case(f"{kind} {encoding} {delimiter!r}", read, is_table(rows), must_read)


def xlsx(folder: Path, rng: np.random.Generator) -> Case:
    """A spreadsheet: its range, its sheets, what it hides, and the archive around it."""
    rows, _ = a_table(rng)
    book = Workbook()
    for row in rows:
        book.active.append(row)
    kind = choose(
        rng,
        [
            "range",
            "hidden sheet",
            "notes",
            "two tables",
            "filter",
            "merge",
            "formula",
            "cut",
            "byte",
            "stored",
            "far",
        ],
    )
    right, must_read = is_table(rows), kind in ("range", "hidden sheet", "notes", "stored")
    if kind in ("hidden sheet", "notes", "two tables"):
        other = book.create_sheet("other", int(rng.integers(2)))
        other.append(HEADER if kind != "notes" else ["legend"])
        other.append([f"x{n}" for n in range(6)])
        if kind == "hidden sheet":
            other.sheet_state = choose(rng, ["hidden", "veryHidden"])
        book.active = int(rng.integers(2)) if kind != "hidden sheet" else book.sheetnames.index("Sheet")
    elif kind == "filter":
        book.active.row_dimensions[int(rng.integers(2, 7))].hidden = True
    elif kind == "merge":
        column, row = choose(rng, "ABCDE"), int(rng.integers(1, 6))
        book.active.merge_cells(f"{column}{row}:{column}{row + 1}")
    elif kind == "formula":
        book.active.cell(int(rng.integers(2, 7)), int(rng.integers(1, 7))).value = "=A1&B1"
    elif kind == "far":
        book.active.cell(choose(rng, [9, 1048576]), choose(rng, [9, 16384])).value = "x"
    stream = io.BytesIO()
    book.save(stream)
    content, said = stream.getvalue(), kind
    if kind in ("range", "stored"):
        content = _packed_again(
            content, choose(rng, ["A1", "A1:B3", "A1:F2", "A1:XFD1048576", "B2:C3"]), kind == "stored"
        )
    elif kind == "cut":
        content, said = cut(content, rng, [m.start() for m in re.finditer(b"PK", content)])
    elif kind == "byte":
        content, said = flipped(content, rng)
    name = choose(rng, ["t.xlsx", "t.csv"])
    (folder / name).write_bytes(content)
    read = lambda: read_table(folder / name, ("patient_id", "image", "mask"))
    return Case(said, read, right, must_read)


def _packed_again(content: bytes, stated: str, stored: bool) -> bytes:
    """The archive packed otherwise, its first sheet stating another range."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", 0 if stored else 8) as new:
        for name in old.namelist():
            part = old.read(name)
            if name.endswith("sheet1.xml"):
                part = re.sub(rb'<dimension ref="[^"]*"', f'<dimension ref="{stated}"'.encode(), part)
            new.writestr(name, part)
    return stream.getvalue()
