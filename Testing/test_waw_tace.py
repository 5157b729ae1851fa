"""The Warsaw cohort: a stand-in of its layout, its table's traps, and a download that breaks and goes on."""

import csv
import hashlib
import http.server
import json
import shutil
import threading
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk
from openpyxl import Workbook
from scenes import a_scene
from TACEResponseLib.__main__ import main
from TACEResponseLib.cohorts.public import waw_tace, zenodo
from TACEResponseLib.cohorts.public.waw_fetch import DONE
from TACEResponseLib.cohorts.public.zenodo import RemoteFile, fetch_file
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.messages.errors import Cancelled, InputError
from TACEResponseLib.statistics.outcome import OBJECTIVE_RESPONSE

IMAGE, _ = a_scene()
TABLE, MASKS = "clinical_data_wawtace_v2_15_07_2024.xlsx", "tumor_masks_wawtace_v1_08_05_2024.zip"
HEADER = ["PATPRI", "age", "gender_woman", "initial_LR_TR", "progression", "progression_time", "death"]
HEADER += ["survival_time", "lab_albumin", "lab_bilirubin", "lab_afp", "lesion1_diameter", "bclc", "label"]


def brighter(hu: int) -> sitk.Image:
    """The scene as another phase shows it."""
    return sitk.Cast(IMAGE + hu, sitk.sitkInt16)


def a_lesion(column: int) -> sitk.Image:
    """A box of 8 x 8 x 4 voxels on the scene's grid."""
    voxels = np.zeros(IMAGE.GetSize()[::-1], np.uint8)
    voxels[3:7, 20:28, column : column + 8] = 1
    mask = sitk.GetImageFromArray(voxels)
    mask.CopyInformation(IMAGE)
    return mask


def a_table(path, albumin=3.8, diameter=45, drop=(), codes=(0, 1, None, 0, 1, 0)):
    """The collection's table for patients 7, 8, 9, 10, 11 and 12."""
    book = Workbook()
    keep = [k for k, name in enumerate(HEADER) if name not in drop]
    book.active.append([HEADER[k] for k in keep])
    for k, code in enumerate(codes):
        row = [7 + k, 60 + k, k % 2, code, 1, 200, 0, 800, albumin + k / 10, 1.1, 50, diameter, 2, 5]
        book.active.append([row[k] for k in keep])
    book.save(path)
    return path


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """The collection unpacked: patients 7 to 12.

    7 has two lesions in the arterial phase; 8 one in the portal venous phase; 9 no known response; 10 a
    mask in both phases; 11 a mask without a scan of its phase; 12 an empty mask. 99 is not in the table.
    """
    folder = tmp_path_factory.mktemp("waw")
    scans, masks = folder / "scans", folder / "masks"
    drawn = {7: ("1", (10, 30)), 8: ("2", (12,)), 9: ("1", (14,)), 10: ("12", (16,)), 12: ("1", (18,))}
    for patient in (7, 8, 9, 10, 11, 12, 99):
        (scans / str(patient)).mkdir(parents=True)
        (masks / str(patient)).mkdir(parents=True)
        for phase, hu in (("0", 0), ("1", 40), ("2", 70)):
            if (patient, phase) != (11, "2"):
                name = f"{patient}_{phase}_scan.nii.gz"
                sitk.WriteImage(brighter(hu), str(scans / str(patient) / name))
        phases, columns = drawn.get(patient, ("2", (20,)))
        for phase in phases:
            for number, column in enumerate(columns):
                mask = a_lesion(column) * (patient != 12)
                sitk.WriteImage(
                    mask, str(masks / str(patient) / f"{patient}_{phase}_{number}_tumor_seg.nrrd")
                )
    a_table(folder / TABLE)
    return folder


def run(folder, out, *more) -> int:
    return main(["fetch", "waw-tace", "--from", str(folder), "--out", str(out), *more])


def rows_of(out) -> dict[str, dict]:
    with (out / "cohort.csv").open(encoding="utf-8", newline="") as stream:
        return {row["patient_id"]: row for row in csv.DictReader(stream)}


@pytest.fixture(scope="module")
def laid_out(collection, tmp_path_factory):
    out = tmp_path_factory.mktemp("cohort")
    assert run(collection, out) == 1  # three patients are broken
    return out


def test_the_lesions_of_a_patient_are_united_on_the_scan_they_were_drawn_on(laid_out):
    cohort = read_cohort(laid_out)
    assert [p.patient_id for p in cohort.patients] == ["WAW_007", "WAW_008", "WAW_009", "WAW_010"]
    first, second, *_ = (p.read_case() for p in cohort.patients)
    expected = sitk.GetArrayFromImage(a_lesion(10)) | sitk.GetArrayFromImage(a_lesion(30))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(first.mask) > 0, expected > 0)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(first.image), sitk.GetArrayFromImage(brighter(40)))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(second.image), sitk.GetArrayFromImage(brighter(70)))
    rows = rows_of(laid_out)
    assert [row["phase"] for row in rows.values()] == ["arterial", "portal venous", "arterial", "arterial"]
    assert [row["lesions_in_mask"] for row in rows.values()] == ["2", "1", "1", "1"]


def test_the_label_is_named_and_is_not_response(laid_out):
    cohort = read_cohort(laid_out)
    assert [p.label for p in cohort.patients] == [1, 0, None, 1]
    assert cohort.outcome == "nonviable by LI-RADS treatment response at the first assessment (WAW-TACE)"
    assert cohort.outcome != OBJECTIVE_RESPONSE
    assert {p.response for p in cohort.patients} == {""}
    assert cohort.part(training=True) == ()  # nothing to train on
    assert "This is not objective response" in " ".join((laid_out / "SOURCE.txt").read_text().split())


def test_outcomes_of_other_kinds_and_values_are_columns_with_their_units(laid_out):
    row = rows_of(laid_out)["WAW_008"]
    names = ("progressed", "time_to_progression_days", "died", "overall_survival_days", "age_years", "sex")
    assert [row[name] for name in names] == ["1", "200", "0", "800", "61", "female"]
    assert (row["albumin_g_dl"], row["bilirubin_mg_dl"], row["afp_ng_ml"]) == ("3.9", "1.1", "50")
    assert (row["lesion1_diameter_mm"], row["bclc"], row["waw_label"]) == ("45", "2", "5")
    assert "albumin_g_l" not in row


def test_patients_whose_files_do_not_fit_are_named_and_the_rest_go_on(collection, tmp_path, capsys):
    assert run(collection, tmp_path) == 1
    said = capsys.readouterr().out
    assert "Patient WAW_011: no lesion is drawn on the scan that is wanted" in said
    assert "scans: arterial, native; masks: portal venous" in said
    assert "Patient WAW_012, 12_1_0_tumor_seg.nrrd: the mask is empty" in said
    assert "Patient WAW_099: the clinical table has no row of this patient" in said
    assert f"4 patients: {tmp_path / 'cohort.csv'}" in said
    assert not list(tmp_path.glob(".writing-*"))


def test_the_traps_of_the_table_are_said(collection, tmp_path, capsys):
    run(collection, tmp_path)
    said = capsys.readouterr().out
    assert "albumin is documented as g/L and holds g/dL" in said
    assert "received 3.8 to 4.3, taken as g/dL" in said.replace("Received", "received")
    assert "the clinical table is another version than the known one" in said
    path = a_table(tmp_path / "t.xlsx", albumin=38, diameter=4.5, drop=("death",), codes=(0, 2, 3))
    rows = waw_tace.read_clinical(path)
    columns = waw_tace.clinical_columns(rows)
    assert (columns["lab_albumin"], columns["lesion1_diameter"]) == ("albumin_g_l", "lesion1_diameter_cm")
    notes = " ".join(map(str, waw_tace.differences(path, rows)))
    assert "no death" in notes and "look like cm" in notes and "holds further codes" in notes
    assert "albumin" not in notes.replace("lab_albumin", "")
    assert [waw_tace.label_of(row) for row in rows] == ["1", "0", "0"]


def test_another_phase_takes_the_patients_whose_lesions_were_drawn_on_it(collection, tmp_path, capsys):
    assert run(collection, tmp_path, "--phase", "portal venous") == 1
    assert list(rows_of(tmp_path)) == ["WAW_008", "WAW_010"]
    assert "take --phase annotated" in capsys.readouterr().out.replace("Take", "take")
    run(collection, tmp_path)  # asked for another phase: made anew
    assert rows_of(tmp_path)["WAW_010"]["phase"] == "arterial"


def test_a_rerun_keeps_what_is_there(collection, laid_out):
    before = {path: path.stat().st_mtime_ns for path in laid_out.rglob("*.nrrd")}
    run(collection, laid_out)
    assert {path: path.stat().st_mtime_ns for path in laid_out.rglob("*.nrrd")} == before
    assert len(before) == 8


def test_a_folder_without_scans_or_table_and_options_without_effect_are_refused(collection, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(collection / "masks", out) == 2
    assert "the collection's clinical table is not here" in capsys.readouterr().err
    assert run(collection / "masks", out, "--clinical", str(collection / TABLE)) == 2
    assert "the folder holds no scans of the collection" in capsys.readouterr().err
    assert run(collection, out, "--label", "majority") == 2
    assert "An option would have no effect" in capsys.readouterr().err
    assert main(["fetch", "hcc-tace-seg", "--from", str(collection), "--out", str(out), "--part", "1"]) == 2
    assert "received --part" in capsys.readouterr().err.replace("Received", "received")


# --- the download, against a server of our own ---------------------------------------------------


class Server(http.server.BaseHTTPRequestHandler):
    """A record and its files; it goes on in the middle, and can break off."""

    files: dict = {}  # noqa: RUF012
    asked: list = []  # noqa: RUF012
    breaks, knows_ranges = 0, True

    def do_GET(self):
        type(self).asked.append((self.path, self.headers.get("Range")))
        name = self.path.rpartition("/")[2]
        if name == waw_tace.RECORD:
            here = f"http://127.0.0.1:{self.server.server_port}/files"
            content = json.dumps({"files": [self.entry(n, here) for n in self.files]}).encode()
        elif name in self.files:
            content = self.files[name]
        else:
            self.send_error(404)
            return
        wanted = self.headers.get("Range") if self.knows_ranges else None
        first = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        if type(self).breaks and len(content) > 3000:
            type(self).breaks -= 1
            self.wfile.write(content[first : first + (len(content) - first) // 2])
            self.connection.close()
            return
        self.wfile.write(content[first:])

    def entry(self, name, here):
        md5 = hashlib.md5(self.files[name]).hexdigest()
        return {
            "key": name,
            "size": len(self.files[name]),
            "checksum": f"md5:{md5}",
            "links": {"self": f"{here}/{name}"},
        }

    def log_message(self, *_):
        pass


@pytest.fixture
def server(collection, tmp_path, monkeypatch):
    """The collection as Zenodo holds it: a table, a zip of masks and two zips of scans."""
    packed = tmp_path / "packed"
    packed.mkdir()
    for name, folder, patients in (
        (MASKS, "masks", (7, 8, 9, 10, 12)),
        ("ct_scans_1_4_wawtace_09_05_24.zip", "scans", (7, 8)),
        ("ct_scans_2_4_wawtace_09_05_24.zip", "scans", (9, 12)),
    ):
        with zipfile.ZipFile(packed / name, "w") as archive:
            for patient in patients:
                for path in sorted((collection / folder / str(patient)).iterdir()):
                    archive.write(path, f"wawtace/{patient}/{path.name}")
    shutil.copy(collection / TABLE, packed)
    handler = type("Fresh", (Server,), {"files": {}, "asked": []})
    handler.files = {path.name: path.read_bytes() for path in packed.iterdir()}
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(zenodo, "RECORDS", f"http://127.0.0.1:{running.server_port}/api/records")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield handler
    running.shutdown()
    running.server_close()
    thread.join()


def fetched(out, *more) -> int:
    return main(["fetch", "waw-tace", "--out", str(out), *more])


def test_the_archives_are_fetched_one_after_another_and_removed(server, tmp_path, capsys):
    out = tmp_path / "out"
    assert fetched(out) == 1  # patient 12 has an empty mask
    assert list(rows_of(out)) == ["WAW_007", "WAW_008", "WAW_009"]
    left = sorted(path.name for path in (out / "download").iterdir())
    assert left == [TABLE, *(f"ct_scans_{k}_4_wawtace_09_05_24.zip{DONE}" for k in (1, 2)), MASKS]
    said = capsys.readouterr().out
    assert "WAW_012, 12_1_0_tumor_seg.nrrd: the mask is empty" in said
    assert "Patient WAW_010: no scan of this patient is here" in said
    server.asked.clear()
    assert fetched(out) == 1  # what was said is said again, and nothing is fetched
    assert [path.rpartition("/")[2] for path, _ in server.asked] == [waw_tace.RECORD]
    assert "WAW_012, 12_1_0_tumor_seg.nrrd: the mask is empty" in capsys.readouterr().out


def test_one_part_is_fetched_where_one_is_named(server, tmp_path, capsys):
    out = tmp_path / "out"
    assert fetched(out, "--part", "1") == 0
    assert list(rows_of(out)) == ["WAW_007", "WAW_008"]
    assert not any("ct_scans_2" in path for path, _ in server.asked)
    assert "no scan of this patient" not in capsys.readouterr().out
    assert fetched(out, "--part", "2") == 1
    assert list(rows_of(out)) == ["WAW_007", "WAW_008", "WAW_009"]
    assert fetched(out, "--part", "5") == 2
    assert "there is no such part" in capsys.readouterr().err.lower()


def test_a_download_that_breaks_off_goes_on_where_it_stopped(server, tmp_path):
    server.breaks = 3
    assert fetched(tmp_path / "out", "--part", "1") == 0
    firsts = [int(wanted.removeprefix("bytes=").removesuffix("-")) for _, wanted in server.asked if wanted]
    assert len(firsts) == 3 and min(firsts) > 0
    assert len(rows_of(tmp_path / "out")) == 2


def test_a_server_that_cannot_go_on_is_asked_from_the_beginning(server, tmp_path):
    server.knows_ranges, server.breaks = False, 1
    wanted = remote(server)
    assert fetch_file(wanted, tmp_path).read_bytes() == server.files[wanted.name]
    half = wanted.bytes // 2
    assert [ranges for _, ranges in server.asked] == [None, f"bytes={half}-"]  # and not a third time


def remote(server, content=None, name="ct_scans_1_4_wawtace_09_05_24.zip"):
    content = server.files[name] if content is None else content
    url = f"{zenodo.RECORDS.removesuffix('/api/records')}/files/{name}"
    return RemoteFile(name, len(server.files[name]), hashlib.md5(content).hexdigest(), url)


def test_a_stopped_download_is_kept_and_goes_on_in_the_next_run(server, tmp_path, monkeypatch):
    monkeypatch.setattr(zenodo, "PIECE_BYTES", 1000)

    def stop(stage, done, total):
        if (tmp_path / f"{wanted.name}.part").stat().st_size >= 0 and len(pieces) == 3:
            raise Cancelled
        pieces.append(done)

    pieces, wanted = [], remote(server)
    with pytest.raises(Cancelled):
        fetch_file(wanted, tmp_path, stop)
    kept = (tmp_path / f"{wanted.name}.part").stat().st_size
    assert 0 < kept < wanted.bytes
    server.asked.clear()
    assert fetch_file(wanted, tmp_path).read_bytes() == server.files[wanted.name]
    assert server.asked == [(f"/files/{wanted.name}", f"bytes={kept}-")]


def test_another_checksum_is_refused_and_nothing_of_it_stays(server, tmp_path):
    with pytest.raises(InputError) as caught:
        fetch_file(remote(server, b"another"), tmp_path)
    assert "could not be fetched" in str(caught.value) and "MD5" in str(caught.value)
    assert list(tmp_path.glob("ct_scans*")) == []
    assert len(server.asked) == zenodo.ATTEMPTS


def test_a_damaged_file_on_disk_is_found_by_its_sum_and_fetched_again(server, tmp_path):
    wanted = remote(server)
    place = tmp_path / wanted.name
    place.write_bytes(bytes(wanted.bytes))
    assert fetch_file(wanted, tmp_path).read_bytes() == server.files[wanted.name]


def test_a_record_that_changed_or_cannot_be_reached_is_said(server, tmp_path, monkeypatch, capsys):
    server.files = {"something.zip": b"0"}
    assert fetched(tmp_path / "out") == 2
    assert "the Zenodo record 12741586 holds other files" in capsys.readouterr().err.replace("The", "the")
    monkeypatch.setattr(zenodo, "RECORDS", "http://127.0.0.1:9/api/records")
    assert fetched(tmp_path / "out") == 2
    assert "12741586 cannot be read" in capsys.readouterr().err
