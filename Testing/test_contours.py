"""RTSTRUCT against a slow twin: every voxel of some fifty structures by its own arithmetic, and odd files."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scenes import SIZE_KJI, a_scene, contours_of, write_dicom_series, write_rtstruct
from scipy import ndimage
from TACEResponseLib.messages.errors import MaskError
from TACEResponseLib.readers import list_segments, read_case
from test_dicom_formats import flat, ring

IMAGE, SEGMENTS = a_scene()
MASS = SEGMENTS["Mass"]
LAYER = 4
ROWS_COLUMNS = SIZE_KJI[1:]


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    path = tmp_path_factory.mktemp("contours") / "ct.nrrd"
    sitk.WriteImage(IMAGE, str(path))
    return path


def read(ct, path, segment=None):
    case = read_case("P", ct, path, segment=segment)
    return sitk.GetArrayFromImage(case.mask) > 0, [str(w) for w in case.warnings if "structure" in w.message]


def in_mm(columns_rows: np.ndarray, k: int = LAYER) -> list[float]:
    points = [(float(x), float(y), k) for x, y in columns_rows]
    return [v for p in points for v in IMAGE.TransformContinuousIndexToPhysicalPoint(p)]


# --- the slow twin ------------------------------------------------------------------------------


def covers(polygon: np.ndarray, x: float, y: float) -> bool:
    """Even-odd, one point and one edge after the other."""
    odd = False
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if (y0 <= y) != (y1 <= y) and x0 + (y - y0) / (y1 - y0) * (x1 - x0) <= x:
            odd = not odd
    return odd


def touches(polygon: np.ndarray, x: float, y: float) -> bool:
    """Whether the point lies on an edge: its ways to both ends are as long as the edge."""
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        way = np.hypot(x - x0, y - y0) + np.hypot(x - x1, y - y1)
        if way - np.hypot(x1 - x0, y1 - y0) < 1e-9:
            return True
    return False


def slowly(truth, polygons) -> np.ndarray:
    """Voxels (j, i): `truth(x, y)` at every centre, or on any line of the polygons."""
    layer = np.zeros(ROWS_COLUMNS, bool)
    for j in range(ROWS_COLUMNS[0]):
        for i in range(ROWS_COLUMNS[1]):
            layer[j, i] = truth(i, j) or any(touches(p, i, j) for p in polygons)
    return layer


def star(rng, centre, reach) -> np.ndarray:
    """A polygon with corners in all directions around its centre, about `reach` voxels away."""
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    away = rng.uniform(0.55, 1.0, 14) * reach
    return np.asarray(centre) + np.column_stack([away * np.cos(angle), away * np.sin(angle)])


def shrunk(polygon: np.ndarray, centre, share: float) -> np.ndarray:
    return np.asarray(centre) + share * (polygon - centre)


CENTRE = np.array([27.3, 22.6])


def overlapping(rng):
    stars = [star(rng, CENTRE + shift, 11) for shift in ((-5, 0), (5, 1), (0, 7))]
    return stars, lambda x, y: any(covers(p, x, y) for p in stars), "CLOSED_PLANAR"


def nested(rng):
    outer = star(rng, CENTRE, 20)
    hole, island = shrunk(outer, CENTRE, 0.7)[::-1], shrunk(outer, CENTRE, 0.4)
    pit = shrunk(outer, CENTRE, 0.2)

    def truth(x, y):
        return (covers(outer, x, y) and not covers(hole, x, y)) or (
            covers(island, x, y) and not covers(pit, x, y)
        )

    return [pit, outer, island, hole], truth, "CLOSED_PLANAR"


def two_holes_and_a_neighbour(rng):
    outer = star(rng, CENTRE, 20)
    holes = [star(rng, CENTRE + shift, 3.5) for shift in ((-5, 0), (5, 0))]
    neighbour = star(rng, CENTRE + np.array([17, 8]), 8)  # over the outer line

    def truth(x, y):
        return (covers(outer, x, y) and not any(covers(h, x, y) for h in holes)) or covers(neighbour, x, y)

    return [outer, *holes, neighbour], truth, "CLOSED_PLANAR"


def keyhole(rng):
    outer = star(rng, CENTRE, 19)
    hole = shrunk(outer, CENTRE, 0.5)[::-1]
    joined = np.concatenate([outer, outer[:1], np.roll(hole, 1, axis=0), hole[-1:]])
    return [joined], lambda x, y: covers(outer, x, y) and not covers(hole, x, y), "CLOSED_PLANAR"


def exclusive(rng):
    stars = [star(rng, CENTRE + shift, 13) for shift in ((-4, 0), (4, 2), (0, -3))]
    return stars, lambda x, y: sum(covers(p, x, y) for p in stars) % 2 == 1, "CLOSEDPLANAR_XOR"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("drawn", [overlapping, nested, two_holes_and_a_neighbour, keyhole, exclusive])
def test_contours_are_filled_as_the_slow_twin_says(ct, tmp_path, drawn, seed):
    polygons, truth, kind = drawn(np.random.default_rng([seed, 17]))
    path = write_rtstruct(tmp_path / "rt.dcm", {"T": [in_mm(p) for p in polygons]}, kind)
    voxels, said = read(ct, path)
    expected = slowly(truth, polygons)
    assert expected.sum() > 150
    np.testing.assert_array_equal(voxels[LAYER], expected)
    assert not np.delete(voxels, LAYER, axis=0).any()
    assert said == []


# --- masks that were traced ---------------------------------------------------------------------


#: (row, column) of a voxel's neighbours, turning; the first is to the left, the fifth to the right.
AROUND = [(0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1)]


def border_of(mask: np.ndarray, start: tuple[int, int], behind: int) -> np.ndarray:
    """One border as (column, row), from voxel to voxel, as tracing programs go.

    start: a voxel of the mask; behind: the neighbour of it that is on the other side of the border.
    """

    def step(here, behind):
        for n in range(behind + 1, behind + 9):
            place = here[0] + AROUND[n % 8][0], here[1] + AROUND[n % 8][1]
            if mask[place]:
                before = AROUND[(n - 1) % 8]
                return place, AROUND.index((here[0] + before[0] - place[0], here[1] + before[1] - place[1]))
        return here, behind

    first, border = step(start, behind), [start]
    here = first
    while here[0] != start or step(*here)[0] != first[0]:
        border.append(here[0])
        here = step(*here)
    return np.array([(j, i) for i, j in border], float)


def traced(mask: np.ndarray) -> list[np.ndarray]:
    """Outer and inner borders of a mask, all points on centres of its own voxels."""
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    firsts = [tuple(np.argwhere(pieces == n)[0]) for n in range(1, count + 1)]
    borders = [border_of(mask, first, behind=0) for first in firsts]
    outside, count = ndimage.label(~mask)
    for n in range(1, count + 1):
        if n != outside[0, 0]:
            j, i = np.argwhere(outside == n)[0]
            borders.append(border_of(mask, (j, i - 1), behind=4))
    return borders


def blob(seed: int) -> np.ndarray:
    """A mask (j, i) with holes, islands, thin lines and single voxels."""
    rng = np.random.default_rng([seed, 23])
    noise = ndimage.gaussian_filter(rng.normal(size=ROWS_COLUMNS), rng.uniform(0.8, 2.5))
    mask = noise > np.quantile(noise, rng.uniform(0.5, 0.8))
    mask[[0, -1]] = mask[:, [0, -1]] = False
    return mask


@pytest.mark.parametrize("seed", range(12))
def test_a_mask_traced_on_its_voxel_centres_comes_back_exactly(ct, tmp_path, seed):
    mask = blob(seed)
    borders = traced(mask)
    for border in borders:
        assert mask[border[:, 1].astype(int), border[:, 0].astype(int)].all()
    path = write_rtstruct(tmp_path / "rt.dcm", {"T": [in_mm(b) for b in borders]})
    np.testing.assert_array_equal(read(ct, path)[0][LAYER], mask)


@pytest.mark.parametrize("seed", range(12))
def test_a_mask_traced_between_its_voxels_comes_back_exactly(ct, tmp_path, seed):
    mask = np.zeros(SIZE_KJI, bool)
    mask[LAYER] = blob(seed)
    path = write_rtstruct(tmp_path / "rt.dcm", {"T": contours_of(IMAGE, mask)})
    np.testing.assert_array_equal(read(ct, path)[0], mask)


def square(size: int, *pixels_out) -> np.ndarray:
    mask = np.zeros(ROWS_COLUMNS, bool)
    mask[10 : 10 + size, 12 : 12 + size] = True
    for j, i in pixels_out:
        mask[10 + j, 12 + i] = False
    return mask


def hollow(size: int) -> np.ndarray:
    mask = square(size)
    mask[11 : 9 + size, 13 : 11 + size] = False
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        square(10, (4, 5)),
        hollow(12),
        hollow(20) | np.pad(hollow(8)[:-6, :-6], ((6, 0), (6, 0))),
        square(1),
        square(10) & (np.arange(56) == 15),
        square(2),
        square(9, (2, 2), (6, 6)),
    ],
    ids=[
        "a hole of a voxel",
        "a ring",
        "rings in each other",
        "a voxel",
        "a line",
        "four voxels",
        "two holes",
    ],
)
def test_thin_structures_traced_on_centres_come_back_exactly(ct, tmp_path, mask):
    path = write_rtstruct(
        tmp_path / "rt.dcm", {"T": [in_mm(b) for b in traced(mask)] + [in_mm(traced(square(3))[0], 5)]}
    )
    voxels, said = read(ct, path)
    np.testing.assert_array_equal(voxels[LAYER], mask)
    assert said == []


def test_a_pin_hole_traced_on_centres_comes_back_exactly(ct, tmp_path):
    """Outer and inner line joined by a cut into one contour, as some programs write holes."""
    outer, inner = traced(square(10, (4, 5)))
    joined = np.concatenate([outer, outer[:1], inner, inner[:1]])
    path = write_rtstruct(tmp_path / "rt.dcm", {"T": [in_mm(joined)]})
    np.testing.assert_array_equal(read(ct, path)[0][LAYER], square(10, (4, 5)))


# --- odd files ----------------------------------------------------------------------------------


def changed(path, change):
    data = pydicom.dcmread(path)
    change(data)
    data.save_as(path)
    return path


def test_exclusive_and_plain_contours_in_one_structure_cut_the_hole(ct, tmp_path):
    path = write_rtstruct(tmp_path / "rt.dcm", {"T": flat(ring(10, 4), ring(4, 4))})

    def hole_by_type(data):
        data.ROIContourSequence[0].ContourSequence[1].ContourGeometricType = "CLOSEDPLANAR_XOR"

    voxels, said = read(ct, changed(path, hole_by_type))
    plain, _ = read(ct, write_rtstruct(tmp_path / "plain.dcm", {"T": flat(ring(10, 4), ring(4, 4))}))
    np.testing.assert_array_equal(voxels, plain)
    assert not voxels[4, 22, 28]
    assert voxels.sum() == pytest.approx(np.pi * (100 - 16), rel=0.05)
    assert said == []


def test_a_contour_drawn_twice_the_other_way_round_counts_once(ct, tmp_path):
    once, _ = read(ct, write_rtstruct(tmp_path / "a.dcm", {"T": flat(ring(9.5, 4))}))
    path = write_rtstruct(
        tmp_path / "b.dcm", {"T": flat(ring(9.5, 4), np.roll(ring(9.5, 4), 5, axis=0)[::-1])}
    )
    twice, said = read(ct, path)
    np.testing.assert_array_equal(twice, once)
    assert "1 contours are there twice and count once" in said[0]


def contour(data, number=1):
    return data.ROIContourSequence[0].ContourSequence[number]


def no_data(data):
    del contour(data).ContourData


def empty_data(data):
    contour(data).ContourData = None


def a_number_less(data):
    contour(data).ContourData = contour(data).ContourData[:-1]


def a_point_less(data):
    contour(data).ContourData = contour(data).ContourData[:-3]


@pytest.mark.parametrize(
    ("change", "received"),
    [
        (no_data, "contour 2 of 3 without data"),
        (empty_data, "contour 2 of 3 without data"),
        (a_number_less, "contour 2 of 3 with 269 numbers for 90 points"),
        (a_point_less, "contour 2 of 3 with 267 numbers for 90 points"),
    ],
)
def test_a_contour_whose_points_are_not_there_is_named(ct, tmp_path, change, received):
    rings = flat(*(ring(8, k) for k in (3, 4, 5)))
    path = changed(write_rtstruct(tmp_path / "rt.dcm", {"T": rings, "Other": rings[:2]}), change)
    with pytest.raises(MaskError) as caught:
        read(ct, path, "T")
    assert str(caught.value) == (
        'Patient P, rt.dcm: the structure "T" cannot be filled. Expected contours of points in mm; received '
        f"{received}. Export the structure again, or draw the missing contour."
    )
    assert read(ct, path, "Other")[0].sum() > 100


def test_contours_of_an_unknown_structure_number_are_named(ct, tmp_path):
    path = write_rtstruct(tmp_path / "rt.dcm", {"T": flat(ring(8, 4)), "Liver": flat(ring(12, 4))})

    def renumbered(data):
        data.ROIContourSequence[1].ReferencedROINumber = 7

    with pytest.raises(MaskError) as caught:
        read(ct, changed(path, renumbered), "T")
    assert str(caught.value) == (
        "Patient P, rt.dcm: the structure set does not say which structure its contours are of. Expected "
        'contours of a structure in the list: 1 "T", 2 "Liver"; received contours of ROI number 7. '
        "Export the structure set again."
    )


def test_contours_of_one_structure_in_two_places_are_one_structure(ct, tmp_path):
    path = write_rtstruct(tmp_path / "rt.dcm", {"T": flat(ring(8, 4)), "": flat(ring(8, 5))})

    def joined(data):
        data.ROIContourSequence[1].ReferencedROINumber = 1
        del data.StructureSetROISequence[1]

    assert list_segments(changed(path, joined)) == ["T"]
    assert read(ct, path)[0].any(axis=(1, 2)).nonzero()[0].tolist() == [4, 5]


def test_two_structures_of_one_number_are_refused(ct, tmp_path):
    path = write_rtstruct(tmp_path / "rt.dcm", {"T": flat(ring(8, 4)), "Liver": flat(ring(12, 4))})

    def one_number(data):
        data.StructureSetROISequence[1].ROINumber = 1

    with pytest.raises(MaskError, match="ROI number 1 of one structure"):
        read(ct, changed(path, one_number), "T")


def test_a_stray_point_beyond_the_ct_is_left_out_and_said(ct, tmp_path):
    rings = [*flat(ring(8, 4)), [0.0, 0.0, 9999.0]]
    voxels, said = read(ct, write_rtstruct(tmp_path / "rt.dcm", {"T": rings}))
    assert voxels[4].sum() > 150
    assert "1 points or open lines were left out" in said[0]


def test_a_ct_as_slices_gives_the_same_structure(ct, tmp_path):
    write_dicom_series(tmp_path / "ct", IMAGE)
    path = write_rtstruct(tmp_path / "rt.dcm", {"T": contours_of(IMAGE, MASS)})
    np.testing.assert_array_equal(read(tmp_path / "ct", path)[0], MASS)
    np.testing.assert_array_equal(read(ct, path)[0], MASS)
