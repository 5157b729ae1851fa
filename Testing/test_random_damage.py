"""Two hundred seeded corruptions of every kind of file: a named error or a right value, nothing else."""

import json
import signal
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
import SimpleITK as sitk
from openpyxl import Workbook
from scenes import (
    a_scene,
    as_labelmap,
    contours_of,
    write_dicom_seg,
    write_dicom_series,
    write_rtstruct,
    write_seg_nrrd,
)
from TACEResponseLib.__main__ import main
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.messages.errors import TACEResponseError
from TACEResponseLib.readers import read_case
from test_multiframe import an_enhanced_ct

IMAGE, SEGMENTS = a_scene()
MASS = SEGMENTS["Mass"]
#: Every kind of file with what it is read together with: image, mask, and the choice.
FILES = {
    "ct.nii": ("ct.nii", "mask.nrrd", {"label": 2}),
    "ct.nii.gz": ("ct.nii.gz", "mask.nrrd", {"label": 2}),
    "ct.nrrd": ("ct.nrrd", "mask.nrrd", {"label": 2}),
    "ct.mha": ("ct.mha", "mask.nrrd", {"label": 2}),
    "packed.nrrd": ("packed.nrrd", "mask.nrrd", {"label": 2}),
    "packed.mha": ("packed.mha", "mask.nrrd", {"label": 2}),
    "mask.nrrd": ("ct.nrrd", "mask.nrrd", {"label": 2}),
    "s.seg.nrrd": ("ct.nrrd", "s.seg.nrrd", {"segment": "Mass"}),
    "dicom/slice000.dcm": ("dicom", "mask.nrrd", {"label": 2}),
    "dicom/slice005.dcm": ("dicom", "s.seg.nrrd", {"segment": "Mass"}),
    "seg.dcm": ("ct.nrrd", "seg.dcm", {"segment": "Mass"}),
    "contours.dcm": ("ct.nrrd", "contours.dcm", {"segment": "Mass"}),
    "pair.hdr": ("pair.hdr", "mask.nrrd", {"label": 2}),
    "beside.mhd": ("beside.mhd", "mask.nrrd", {"label": 2}),
    "beside.zraw": ("beside.mhd", "mask.nrrd", {"label": 2}),
    "frames/all.dcm": ("frames", "mask.nrrd", {"label": 2}),
    "map.dcm": ("ct.nrrd", "map.dcm", {"segment": "Mass"}),
}
#: Formats with a checksum over everything: damage is found, or did not matter.
CHECKSUMMED = ("ct.nii.gz", "packed.nrrd", "packed.mha", "beside.zraw")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("damage")
    for name in ("ct.nii", "ct.nii.gz", "ct.nrrd", "ct.mha"):
        sitk.WriteImage(IMAGE, str(place / name))
    for name in ("packed.nrrd", "packed.mha"):
        sitk.WriteImage(IMAGE, str(place / name), True)
    sitk.WriteImage(as_labelmap(IMAGE, SEGMENTS), str(place / "mask.nrrd"))
    write_seg_nrrd(place / "s.seg.nrrd", IMAGE, SEGMENTS)
    slices = write_dicom_series(place / "dicom", IMAGE)
    write_dicom_seg(place / "seg.dcm", slices, SEGMENTS)
    write_dicom_seg(place / "map.dcm", slices, SEGMENTS, "LABELMAP")
    for name in ("pair.hdr", "beside.mhd"):
        sitk.WriteImage(IMAGE, str(place / name), name == "beside.mhd")
    (place / "frames").mkdir()
    an_enhanced_ct(place / "all.dcm")
    (place / "all.dcm").rename(place / "frames" / "all.dcm")
    write_rtstruct(place / "contours.dcm", {"Mass": contours_of(IMAGE, MASS)})
    return place


def damaged(content: bytes, rng: np.random.Generator) -> tuple[bytes, int]:
    """The content with one fault, and how many bytes at most are not what they were."""
    data, header = bytearray(content), min(len(content), 700)
    kind = rng.choice(["cut", "header", "anywhere", "zeros", "insert", "delete", "digits"])
    if kind == "cut":
        return bytes(data[: rng.integers(0, len(data))]), len(data)
    if kind in ("header", "anywhere"):
        places = rng.integers(0, header if kind == "header" else len(data), rng.integers(1, 5))
        for place in places:
            data[place] ^= int(rng.integers(1, 256))
        return bytes(data), len(places)
    start, length = int(rng.integers(0, len(data))), int(rng.integers(1, 60))
    if kind == "zeros":
        data[start : start + length] = bytes(len(data[start : start + length]))
        return bytes(data), length
    if kind == "insert":
        data[start:start] = rng.bytes(length)
        return bytes(data), len(data)
    if kind == "delete":
        del data[start : start + length]
        return bytes(data), len(data)
    digits = [n for n in range(header) if 48 <= data[n] <= 57] or [0]
    data[int(rng.choice(digits))] = 48 + int(rng.integers(10))
    return bytes(data), 1


@contextmanager
def at_most(seconds: int):
    """Fail instead of waiting for ever, where the system has an alarm clock."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def ring(*_):
        pytest.fail(f"still at work after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def replaced(path, content: bytes):
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_named_or_right(folder, name):
    """Fourteen faults a file. Right: the mask of the truth but for the voxels whose bytes were hit."""
    image, mask, choice = FILES[name]
    content = (folder / name).read_bytes()
    outcomes = Counter()
    for seed in range(14):
        rng = np.random.default_rng([seed, *name.encode()])
        broken, bytes_hit = damaged(content, rng)
        with replaced(folder / name, broken), at_most(60):
            try:
                case = read_case("P", folder / image, folder / mask, **choice)
            except TACEResponseError as error:
                assert "\n" not in str(error)
                assert str(error).startswith("Patient P")
                outcomes["named"] += 1
                continue
        outcomes["read"] += 1
        assert case.image.GetSize() == case.mask.GetSize() == IMAGE.GetSize()
        np.testing.assert_allclose(case.image.GetSpacing(), IMAGE.GetSpacing(), rtol=0.02)
        differing = (sitk.GetArrayViewFromImage(case.mask) > 0) != MASS
        # A changed digit is another number, which nothing can tell: a corner of one contour moves, or
        # a cropped mask as a whole.
        if name == "contours.dcm":
            assert differing.any(axis=(1, 2)).sum() <= bytes_hit, seed
        elif name == "s.seg.nrrd" and differing.sum() > 8 * bytes_hit:
            assert sitk.GetArrayViewFromImage(case.mask).sum() == MASS.sum(), seed
        else:
            assert differing.sum() <= 8 * bytes_hit, seed
        if name in CHECKSUMMED:
            np.testing.assert_array_equal(
                sitk.GetArrayViewFromImage(case.image), sitk.GetArrayViewFromImage(IMAGE)
            )
    assert outcomes["named"] >= 3  # the faults are real


@pytest.mark.parametrize("name", ["cohort.csv", "cohort.xlsx"])
def test_damaged_tables_are_named_or_right(tmp_path, name):
    """Sixteen faults a table. Right: the rows of the truth but for the cells whose bytes were hit."""
    rows = [("patient_id", "image", "mask", "label", "afp_ng_ml")]
    rows += [(f"{n:04d}", f"p{n}/image.nrrd", f"p{n}/mask.nrrd", n % 2, 10.5 * n) for n in range(1, 9)]
    if name.endswith(".csv"):
        text = "".join(",".join(map(str, row)) + "\n" for row in rows)
        content = text.encode()
    else:
        book = Workbook()
        for row in rows:
            book.active.append(row)
        book.save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
    path, outcomes = tmp_path / name, Counter()
    path.write_bytes(content)
    truth = read_cohort(path).patients
    for seed in range(16):
        broken, bytes_hit = damaged(content, np.random.default_rng([seed, *name.encode()]))
        with replaced(path, broken), at_most(60):
            try:
                found = read_cohort(path).patients
            except TACEResponseError as error:
                assert name in str(error)
                outcomes["named"] += 1
                continue
        outcomes["read"] += 1
        assert len(found) <= len(truth)
        if bytes_hit < 60:
            changed = sum(a != b for a, b in zip(found, truth, strict=False))
            assert changed <= bytes_hit + 2
    assert outcomes["named"] >= 3


def test_a_preflight_of_damaged_files_never_faults_and_writes_whole_files(folder, tmp_path, capsys):
    """One cohort of all kinds of file, each damaged: a verdict each, and files that can be read."""
    rows = ["patient_id,image,mask,mask_label,segment"]
    for name, (image, mask, choice) in FILES.items():
        rows.append(
            f"{name},{folder / image},{folder / mask},{choice.get('label', '')},{choice.get('segment', '')}"
        )
    (tmp_path / "cohort.csv").write_text("\n".join(rows))
    whole = {name: (folder / name).read_bytes() for name in FILES}
    for seed in range(2):
        for name, content in whole.items():
            (folder / name).write_bytes(
                damaged(content, np.random.default_rng([seed + 99, *name.encode()]))[0]
            )
        try:
            with at_most(120):
                code = main(
                    ["check", "--cohort", str(tmp_path), "--out", str(tmp_path / "out"), "--jobs", "1"]
                )
        finally:
            for name, content in whole.items():
                (folder / name).write_bytes(content)
        assert code == 1
        assert "Traceback" not in capsys.readouterr().err
        lines = [json.loads(line) for line in (tmp_path / "out" / "check.jsonl").read_text().splitlines()]
        assert [line["patient_id"] for line in lines] == list(FILES)
        assert "fault" not in {problem["kind"] for line in lines for problem in line["problems"]}
        assert sitk.ReadImage(str(tmp_path / "out" / "contact_sheet.png")).GetSize()[0] > 0
        assert len(list((tmp_path / "out").iterdir())) == 4
