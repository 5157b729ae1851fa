"""Nodes of a real MRML scene give the same Case as files, and results come back as nodes."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from answers import an_answer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from TACEResponseLib.answer.prediction import DEMONSTRATION
from TACEResponseLib.cases import make_case
from TACEResponseLib.cases.lesions import measure_lesions
from TACEResponseLib.messages import errors

pytest.importorskip("slicer", reason="slicer-core is not installed here, so no MRML node can be made")

import slicer
import vtk
from slicer_host import mrml

SHAPE = (18, 40, 36)


@pytest.fixture(autouse=True)
def scene():
    """An empty scene."""
    return mrml.start()


@pytest.fixture
def rooms(scene):
    """The rooms under test, imported once `slicer` has a scene."""
    from TACEResponseSlicer import publish
    from TACEResponseSlicer import scene as room

    class Rooms:
        case_from_nodes = staticmethod(room.case_from_nodes)
        voxels_of_nodes = staticmethod(room.voxels_of_nodes)
        chosen_segments = staticmethod(room.chosen_segments)

    Rooms.publish = publish
    return Rooms


def rotation(degrees: float, axis: int) -> np.ndarray:
    """3 x 3 rotation about one of the axes."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    i, j = [a for a in range(3) if a != axis]
    matrix[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return matrix


def ijk_to_ras(rotated=None, spacing_mm=(0.8, 0.7, 2.5), origin_mm=(-31.0, 12.5, 100.0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) if rotated is None else rotated) * spacing_mm
    matrix[:3, 3] = origin_mm
    return matrix


OBLIQUE = rotation(17, 0) @ rotation(-9, 2)


def ct_voxels(seed=0, dtype=np.int16) -> np.ndarray:
    return np.random.default_rng(seed).normal(60, 25, SHAPE).astype(dtype)


def ellipsoid(centre_kji=(9, 20, 17), radii_kji=(5, 11, 8)) -> np.ndarray:
    grid = np.indices(SHAPE).T - np.array(centre_kji)
    return ((grid / np.array(radii_kji)) ** 2).sum(axis=-1).T <= 1


def a_volume_node(matrix, voxels=None, name="CT arterial"):
    return slicer.util.addVolumeFromArray(ct_voxels() if voxels is None else voxels, matrix, name)


def a_segmentation_node(volume, **masks):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name, mask in masks.items():
        identifier = node.GetSegmentation().AddEmptySegment(name, name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, identifier, volume)
    return node


def a_transform_node(matrix, parent=None):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    if parent is not None:
        node.SetAndObserveTransformNodeID(parent.GetID())
    return node


def put_under(transform, *nodes):
    for node in nodes:
        node.SetAndObserveTransformNodeID(transform.GetID())


def save(node, file: str) -> None:
    storage = node.CreateDefaultStorageNode()
    storage.UnRegister(None)
    storage.SetFileName(file)
    assert storage.WriteData(node)


def mask_of(case) -> np.ndarray:
    return sitk.GetArrayFromImage(case.mask)


def slicers_own_mask(segmentation, name, volume) -> np.ndarray:
    identifier = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, volume)


def sentences(case) -> str:
    return " ".join(str(warning) for warning in case.warnings)


@pytest.mark.parametrize("rotated", [None, OBLIQUE], ids=["axial", "oblique"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_nodes_give_the_same_case_as_the_files_they_are_saved_to(rooms, rotated, dtype):
    volume = a_volume_node(ijk_to_ras(rotated), ct_voxels(dtype=dtype))
    segmentation = a_segmentation_node(volume, Tumour=ellipsoid())
    case = rooms.case_from_nodes(volume, segmentation)
    with tempfile.TemporaryDirectory() as folder:
        image_file, mask_file = (str(Path(folder) / name) for name in ("ct.nrrd", "tumour.seg.nrrd"))
        save(volume, image_file)
        save(segmentation, mask_file)
        image, mask = sitk.ReadImage(image_file), sitk.ReadImage(mask_file)
    from_files = make_case("x", image, mask, cropped_is_normal=True)
    assert case.image.GetPixelID() == from_files.image.GetPixelID()
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(case.image), sitk.GetArrayFromImage(from_files.image)
    )
    np.testing.assert_array_equal(mask_of(case), mask_of(from_files))
    for what in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(case.image, what)(), getattr(from_files.image, what)(), atol=1e-6)
    assert measure_lesions(case).to_json() == measure_lesions(from_files).to_json()
    assert case.warnings == ()


def test_voxels_are_where_slicer_says_they_are(rooms):
    matrix = ijk_to_ras(OBLIQUE)
    case = rooms.case_from_nodes(
        volume := a_volume_node(matrix), a_segmentation_node(volume, Tumour=ellipsoid())
    )
    ras = matrix @ [5, 30, 11, 1]
    np.testing.assert_allclose(
        case.image.TransformIndexToPhysicalPoint((5, 30, 11)), [-ras[0], -ras[1], ras[2]], atol=1e-9
    )


def test_the_case_is_a_copy_that_later_edits_do_not_reach(rooms):
    volume = a_volume_node(ijk_to_ras())
    segmentation = a_segmentation_node(volume, Tumour=ellipsoid())
    case = rooms.case_from_nodes(volume, segmentation)
    before = sitk.GetArrayFromImage(case.image)
    slicer.util.arrayFromVolume(volume)[:] = -1000
    slicer.util.arrayFromSegmentInternalBinaryLabelmap(segmentation, "Tumour")[:] = 0
    np.testing.assert_array_equal(sitk.GetArrayFromImage(case.image), before)
    assert mask_of(case).sum() == ellipsoid().sum()


def test_several_segments_are_their_union_even_where_they_overlap(rooms):
    volume = a_volume_node(ijk_to_ras())
    parts = {
        "Tumour 1": ellipsoid(),
        "Tumour 2": ellipsoid((9, 30, 17), (3, 6, 6)),
        "Liver": ellipsoid((9, 20, 17), (8, 18, 16)),
    }
    segmentation = a_segmentation_node(volume, **parts)
    two = rooms.case_from_nodes(volume, segmentation, ["Tumour 1", "Tumour 2"])
    np.testing.assert_array_equal(mask_of(two), parts["Tumour 1"] | parts["Tumour 2"])
    everything = rooms.case_from_nodes(volume, segmentation, "all")
    np.testing.assert_array_equal(mask_of(everything), np.logical_or.reduce(list(parts.values())))
    assert two.provenance["segments"] == ["Tumour 1", "Tumour 2"]


def test_the_phase_that_a_volumes_name_says_stands_in_the_provenance(rooms):
    volume = a_volume_node(ijk_to_ras())
    segmentation = a_segmentation_node(volume, Tumour=ellipsoid())
    for name, phase in (("Abdomen nativ", "native"), ("LIVER", None)):
        volume.SetName(name)
        image = rooms.case_from_nodes(volume, segmentation).provenance["image"]
        assert (image["name"], image.get("phase")) == (name, phase)


@pytest.mark.parametrize(
    ("aorta_hu", "portal_hu", "phase"),
    [(300, 120, "arterial"), (150, 160, "portal venous"), (40, 42, "native")],
)
def test_the_phase_is_measured_in_vessels_that_nobody_ticked_as_it_is_from_files(
    rooms, aorta_hu, portal_hu, phase
):
    from TACEResponseLib.readers import read_case

    aorta, portal_vein = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    aorta[:, 30:34, 4:8] = portal_vein[6:9, 5:9, 20:34] = True
    voxels = ct_voxels()
    voxels[aorta], voxels[portal_vein] = aorta_hu, portal_hu
    volume = a_volume_node(ijk_to_ras(OBLIQUE), voxels, name="CT")
    segmentation = a_segmentation_node(
        volume, Tumour=ellipsoid(), Aorta=aorta, **{"Portal vein and splenic vein": portal_vein}
    )
    case = rooms.case_from_nodes(volume, segmentation, ["Tumour"])
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("ct.nrrd", "tumour.seg.nrrd")]
        save(volume, str(files[0]))
        save(segmentation, str(files[1]))
        from_files = read_case("P", *files, segment="Tumour")
    for key in ("phase", "vessels"):
        assert case.provenance["image"][key] == from_files.provenance["image"][key]
    assert case.provenance["image"]["phase"] == phase
    assert [str(w).replace("Patient P: t", "T") for w in from_files.warnings] == [
        str(w).replace("Patient CT: t", "T") for w in case.warnings
    ]
    assert (phase == "arterial") == (case.warnings == ())
    quick = rooms.voxels_of_nodes(volume, segmentation, ["Tumour"]).case(margin_voxels=2)
    assert quick.provenance["image"] == case.provenance["image"]


def test_vessels_that_lie_outside_the_ct_or_are_empty_leave_the_phase_to_the_name(rooms):
    volume = a_volume_node(ijk_to_ras(), name="5: art. phase")
    far = a_volume_node(ijk_to_ras(origin_mm=(500.0, 500.0, 500.0)), name="far")
    segmentation = a_segmentation_node(volume, Tumour=ellipsoid())
    for name in ("Aorta", "Portal vein"):
        identifier = segmentation.GetSegmentation().AddEmptySegment(name, name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            ellipsoid().astype(np.uint8), segmentation, identifier, far
        )
    image = rooms.case_from_nodes(volume, segmentation, ["Tumour"]).provenance["image"]
    assert (image["phase"], "vessels" in image) == ("arterial", False)
    segmentation.GetSegmentation().RemoveSegment("Aorta")
    segmentation.GetSegmentation().AddEmptySegment("Aorta", "Aorta")
    assert "vessels" not in rooms.case_from_nodes(volume, segmentation, ["Tumour"]).provenance["image"]


@pytest.mark.parametrize("angle", [0, 30, 90])
def test_a_rigid_transform_over_both_nodes_turns_the_geometry_and_keeps_every_voxel(rooms, angle):
    volume = a_volume_node(ijk_to_ras())
    segmentation = a_segmentation_node(volume, Tumour=ellipsoid())
    plain = rooms.case_from_nodes(volume, segmentation)
    moved = np.eye(4)
    moved[:3, :3], moved[:3, 3] = rotation(angle, 2), (40, -7, 3)
    outer = a_transform_node(ijk_to_ras(spacing_mm=(1, 1, 1)))
    put_under(a_transform_node(moved, parent=outer), volume, segmentation)
    case = rooms.case_from_nodes(volume, segmentation)
    np.testing.assert_array_equal(mask_of(case), mask_of(plain))
    np.testing.assert_allclose(case.spacing_mm, plain.spacing_mm, rtol=1e-9)
    ras = ijk_to_ras(spacing_mm=(1, 1, 1)) @ moved @ ijk_to_ras() @ [3, 4, 5, 1]
    np.testing.assert_allclose(
        case.image.TransformIndexToPhysicalPoint((3, 4, 5)), [-ras[0], -ras[1], ras[2]], atol=1e-9
    )
    assert case.warnings == ()


def test_a_transform_that_scales_changes_the_measured_size(rooms):
    volume = a_volume_node(ijk_to_ras())
    segmentation = a_segmentation_node(volume, Tumour=ellipsoid())
    before = measure_lesions(rooms.case_from_nodes(volume, segmentation))
    put_under(a_transform_node(np.diag([2.0, 2.0, 2.0, 1.0])), volume, segmentation)
    after = measure_lesions(rooms.case_from_nodes(volume, segmentation))
    assert after.largest_diameter_mm == pytest.approx(2 * before.largest_diameter_mm)
    assert after.volume_ml == pytest.approx(8 * before.volume_ml)


def test_a_segmentation_moved_by_whole_voxels_moves_in_the_mask(rooms):
    volume = a_volume_node(ijk_to_ras())
    segmentation = a_segmentation_node(volume, Tumour=ellipsoid())
    step = np.eye(4)
    step[:3, 3] = (2 * 0.8, -3 * 0.7, 2.5)
    put_under(a_transform_node(step), segmentation)
    case = rooms.case_from_nodes(volume, segmentation)
    np.testing.assert_array_equal(mask_of(case), np.roll(ellipsoid(), (1, -3, 2), axis=(0, 1, 2)))
    np.testing.assert_array_equal(mask_of(case), slicers_own_mask(segmentation, "Tumour", volume))
    assert case.warnings == ()


def test_a_turned_segmentation_is_resampled_as_slicer_does_it_and_says_so(rooms):
    volume = a_volume_node(ijk_to_ras(OBLIQUE))
    segmentation = a_segmentation_node(volume, Tumour=ellipsoid())
    centre = ijk_to_ras(OBLIQUE) @ [17, 20, 9, 1]
    turn = np.eye(4)
    turn[:3, :3] = rotation(13, 1)
    turn[:3, 3] = centre[:3] - turn[:3, :3] @ centre[:3]
    put_under(a_transform_node(turn), segmentation)
    case = rooms.case_from_nodes(volume, segmentation)
    twin = slicers_own_mask(segmentation, "Tumour", volume) > 0
    assert (mask_of(case) != twin).sum() <= 0.005 * twin.sum()
    assert "another grid" in sentences(case)


def test_a_segment_drawn_on_a_finer_grid_is_brought_to_the_ct(rooms):
    fine = a_volume_node(ijk_to_ras(spacing_mm=(0.4, 0.35, 1.25)), name="fine")
    volume = a_volume_node(ijk_to_ras(origin_mm=(-35.0, 9.0, 95.0)))
    segmentation = a_segmentation_node(fine, Tumour=ellipsoid())
    case = rooms.case_from_nodes(volume, segmentation)
    np.testing.assert_array_equal(mask_of(case), slicers_own_mask(segmentation, "Tumour", volume) > 0)
    assert "another grid" in sentences(case)


def test_a_label_map_that_starts_in_the_middle_of_its_grid_lies_where_slicer_puts_it(rooms):
    volume = a_volume_node(ijk_to_ras(OBLIQUE))
    labelmap = slicer.vtkOrientedImageData()
    labelmap.SetExtent(11, 20, 7, 18, 4, 9)  # as the Segment Editor stores what was drawn
    labelmap.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    labelmap.GetPointData().GetScalars().Fill(1)
    labelmap.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras(OBLIQUE)))
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentation.AddSegmentFromBinaryLabelmapRepresentation(labelmap, "Tumour")
    expected = np.zeros(SHAPE, bool)
    expected[4:10, 7:19, 11:21] = True
    case = rooms.case_from_nodes(volume, segmentation)
    np.testing.assert_array_equal(mask_of(case), expected)
    np.testing.assert_array_equal(slicers_own_mask(segmentation, "Tumour", volume) > 0, expected)


def test_a_segment_grid_larger_than_the_ct_is_fine_while_the_tumour_lies_inside(rooms):
    large = a_volume_node(ijk_to_ras(), name="large")
    volume = a_volume_node(
        ijk_to_ras(origin_mm=(-31.0 + 4 * 0.8, 12.5 + 4 * 0.7, 100.0)), ct_voxels()[:, 4:-4, 4:-4].copy()
    )
    segmentation = a_segmentation_node(large, Tumour=ellipsoid())
    case = rooms.case_from_nodes(volume, segmentation)
    np.testing.assert_array_equal(mask_of(case), ellipsoid()[:, 4:-4, 4:-4])


def test_a_tumour_that_leaves_the_ct_is_an_error_that_counts(rooms):
    large = a_volume_node(ijk_to_ras(), name="large")
    volume = a_volume_node(ijk_to_ras(), ct_voxels()[:9].copy())
    segmentation = a_segmentation_node(large, Tumour=ellipsoid())
    with pytest.raises(errors.GeometryError, match="outside the CT") as caught:
        rooms.case_from_nodes(volume, segmentation)
    assert caught.value.problem.expected.startswith(str(ellipsoid().sum()))
    assert caught.value.problem.received == f"{ellipsoid()[:9].sum()} inside"


def test_a_surface_is_turned_into_voxels_on_a_copy_and_said(rooms):
    volume = a_volume_node(ijk_to_ras())
    segmentation = a_segmentation_node(volume, Tumour=ellipsoid())
    inner = segmentation.GetSegmentation()
    assert inner.CreateRepresentation("Closed surface")
    inner.SetSourceRepresentationName("Closed surface")
    inner.RemoveRepresentation("Binary labelmap")
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    case = rooms.case_from_nodes(volume, segmentation)
    assert inner.GetSegment("Tumour").GetRepresentation("Binary labelmap") is None
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert "surface only" in sentences(case)
    assert mask_of(case).sum() == pytest.approx(ellipsoid().sum(), rel=0.1)


def a_bending_transform_node():
    points = [vtk.vtkPoints(), vtk.vtkPoints()]
    for x in (-40, 0, 40):
        for y in (-20, 15, 50):
            for z in (90, 120, 150):
                points[0].InsertNextPoint(x, y, z)
                points[1].InsertNextPoint(x + 3 * np.sin(y / 20), y, z + 2 * np.cos(x / 15))
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetBasisToR()
    spline.SetSourceLandmarks(points[0])
    spline.SetTargetLandmarks(points[1])
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    node.SetAndObserveTransformToParent(spline)
    return node


def test_a_bending_transform_is_hardened_on_copies_and_never_on_the_users_nodes(rooms):
    volume = a_volume_node(ijk_to_ras())
    segmentation = a_segmentation_node(volume, Tumour=ellipsoid())
    put_under(a_bending_transform_node(), volume, segmentation)
    before = slicer.util.arrayFromVolume(volume).copy()
    own_mask = slicer.util.arrayFromSegmentInternalBinaryLabelmap(segmentation, "Tumour").copy()
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    case = rooms.case_from_nodes(volume, segmentation)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), before)
    np.testing.assert_array_equal(
        slicer.util.arrayFromSegmentInternalBinaryLabelmap(segmentation, "Tumour"), own_mask
    )
    assert volume.GetParentTransformNode() is not None
    assert segmentation.GetParentTransformNode() is not None
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert sentences(case).count("not linear") == 2
    assert not np.array_equal(sitk.GetArrayFromImage(case.image), before)
    assert mask_of(case).sum() == pytest.approx(ellipsoid().sum(), rel=0.2)


def test_a_shearing_transform_is_refused_with_the_angle(rooms):
    volume = a_volume_node(ijk_to_ras())
    segmentation = a_segmentation_node(volume, Tumour=ellipsoid())
    shear = np.eye(4)
    shear[0, 1] = 0.2
    put_under(a_transform_node(shear), volume, segmentation)
    with pytest.raises(errors.GeometryError, match="shears"):
        rooms.case_from_nodes(volume, segmentation)


def test_volumes_that_are_no_ct_are_refused_by_name(rooms):
    volume = a_volume_node(ijk_to_ras())
    segmentation = a_segmentation_node(volume, Tumour=ellipsoid())
    colour = slicer.util.addVolumeFromArray(
        np.zeros((*SHAPE, 3), np.uint8), ijk_to_ras(), "photo", "vtkMRMLVectorVolumeNode"
    )
    labels = slicer.util.addVolumeFromArray(
        np.ones(SHAPE, np.uint8), ijk_to_ras(), "labels", "vtkMRMLLabelMapVolumeNode"
    )
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "phases")
    for node, words in (
        (None, "No CT volume is chosen"),
        (colour, "Photo holds several values a voxel"),
        (labels, "Labels is a label map"),
        (empty, "Nothing holds no voxels"),
        (sequence, "Phases is not a volume"),
    ):
        with pytest.raises(errors.InputError, match=words):
            rooms.case_from_nodes(node, segmentation)


def test_segments_that_are_missing_empty_or_unchosen_are_refused_by_name(rooms):
    volume = a_volume_node(ijk_to_ras())
    segmentation = a_segmentation_node(volume, Tumour=ellipsoid(), Liver=ellipsoid())
    segmentation.GetSegmentation().AddEmptySegment("", "Later")
    for ids, words in (
        (None, "several segments"),
        (["Spleen"], "no segment Spleen"),
        ([], "o segment is chosen"),
        (["Later"], "segment Later is empty"),
    ):
        with pytest.raises(errors.MaskError, match=f"(?i){words}"):
            rooms.case_from_nodes(volume, segmentation, ids)
    with pytest.raises(errors.InputError, match="No tumour segmentation"):
        rooms.case_from_nodes(volume, None)
    with pytest.raises(errors.MaskError, match="holds no segment"):
        rooms.case_from_nodes(volume, a_segmentation_node(volume))


def test_a_frame_of_a_sequence_is_measured_with_a_warning(rooms):
    volume = a_volume_node(ijk_to_ras())
    segmentation = a_segmentation_node(volume, Tumour=ellipsoid())
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "phases")
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    for phase in ("10", "40"):
        sequence.SetDataNodeAtValue(volume, phase)
    browser.AddSynchronizedSequenceNode(sequence)
    browser.AddProxyNode(volume, sequence, False)
    browser.SetSelectedItemNumber(1)
    assert "Frame 2 was measured" in sentences(rooms.case_from_nodes(volume, segmentation))


def test_the_sample_patient_comes_back_from_its_nodes_unchanged(rooms, phantom_case):
    volume, segmentation = rooms.publish.patient_nodes("sample", phantom_case.image, phantom_case.mask)
    case = rooms.case_from_nodes(volume, segmentation, "all")
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(case.image), sitk.GetArrayFromImage(phantom_case.image)
    )
    np.testing.assert_array_equal(mask_of(case), mask_of(phantom_case))
    np.testing.assert_allclose(case.image.GetOrigin(), phantom_case.image.GetOrigin(), atol=1e-9)
    names = list(rooms.chosen_segments(segmentation, "all").values())
    assert names == [f"Tumour {n + 1}" for n in range(len(names))]
    assert case.warnings == ()


def test_a_quick_look_around_the_tumour_measures_the_same_lesions(rooms):
    volume = a_volume_node(ijk_to_ras(OBLIQUE))
    segmentation = a_segmentation_node(volume, Tumour=ellipsoid())
    whole = rooms.case_from_nodes(volume, segmentation)
    quick = rooms.voxels_of_nodes(volume, segmentation).case(margin_voxels=2)
    assert quick.image.GetNumberOfPixels() < 0.6 * whole.image.GetNumberOfPixels()
    overlap = sitk.Resample(quick.mask, whole.mask, sitk.Transform(), sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(overlap), mask_of(whole))
    inside = mask_of(quick) > 0
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(quick.image)[inside], sitk.GetArrayFromImage(whole.image)[mask_of(whole) > 0]
    )


def test_a_prediction_becomes_a_table_that_says_where_the_model_comes_from(rooms):
    prediction = an_answer(probabilities={"size": 0.5, "random_forest": 0.74, "cnn": 0.61})
    node = rooms.publish.prediction_table(prediction)
    content = node.GetTable()
    assert [content.GetValueByName(n, "model").ToString() for n in range(4)] == [
        "tumour size",
        "random forest",
        "CNN",
        "fused",
    ]
    np.testing.assert_allclose(
        slicer.util.arrayFromTableColumn(node, "probability of response"), [0.5, 0.74, 0.61, 0.72]
    )
    assert content.GetValueByName(3, "verdict").ToString() == "Above this model's cut-off (55 of 100)"
    assert content.GetValueByName(3, "note").ToString() == DEMONSTRATION
    assert node.GetDescription() == DEMONSTRATION
    certainty = replace(prediction.certainty, conformal=("no response",))
    below = replace(prediction, fused=0.1, responder=False, demonstration=False, certainty=certainty)
    rooms.publish.prediction_table(below, node)
    assert node.GetTable().GetValueByName(3, "verdict").ToString() == "Below this model's cut-off (55 of 100)"
    assert node.GetDescription() == ""
    assert node.GetTable().GetNumberOfRows() == 4


def test_curves_become_a_chart_with_tables_and_a_second_run_replaces_it(rooms):
    x = np.linspace(0, 1, 5)
    for _run in range(2):
        chart = rooms.publish.curve_chart(
            "ROC", {"CNN": (x, x**0.5)}, "1 - specificity", "sensitivity", diagonal=True
        )
    assert chart.GetNumberOfPlotSeriesNodes() == 2
    assert len(slicer.util.getNodesByClass("vtkMRMLPlotSeriesNode")) == 2
    assert len(slicer.util.getNodesByClass("vtkMRMLTableNode")) == 2
    tabled = chart.GetNthPlotSeriesNode(0).GetTableNode()
    np.testing.assert_allclose(slicer.util.arrayFromTableColumn(tabled, "sensitivity"), x**0.5)
    assert chart.GetXAxisTitle() == "1 - specificity"


def test_a_map_lies_exactly_over_the_ct(rooms):
    volume = a_volume_node(ijk_to_ras(OBLIQUE))
    case = rooms.case_from_nodes(volume, a_segmentation_node(volume, Tumour=ellipsoid()))
    node = rooms.publish.volume_from_image(sitk.Cast(case.mask, sitk.sitkFloat32), "map")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(matrix), ijk_to_ras(OBLIQUE), atol=1e-9)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), ellipsoid())


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing_mm=st.tuples(*[st.floats(0.4, 5)] * 3),
    origin_mm=st.tuples(*[st.floats(-500, 500)] * 3),
    crop=st.tuples(*[st.integers(0, 3)] * 3),
    moved=st.booleans(),
)
def test_any_geometry_gives_the_same_case_through_nodes_as_from_files(
    angles, spacing_mm, origin_mm, crop, moved
):
    mrml.start()
    from TACEResponseSlicer.scene import case_from_nodes

    rotated = rotation(angles[0], 0) @ rotation(angles[1], 1) @ rotation(angles[2], 2)
    matrix = ijk_to_ras(rotated, spacing_mm, origin_mm)
    volume = a_volume_node(matrix)
    # The segmentation has a grid of its own: part of the CT's, beginning at another voxel.
    k, j, i = crop
    own = matrix @ np.array([[1, 0, 0, i], [0, 1, 0, j], [0, 0, 1, k], [0, 0, 0, 1.0]])
    reference = a_volume_node(own, ct_voxels()[k:, j:, i:].copy(), name="reference")
    segmentation = a_segmentation_node(reference, Tumour=ellipsoid()[k:, j:, i:])
    if moved:
        world = np.eye(4)
        world[:3, :3], world[:3, 3] = rotation(angles[2], 1), origin_mm
        put_under(a_transform_node(world), volume, segmentation)
        matrix = world @ matrix
    case = case_from_nodes(volume, segmentation)
    from_file = make_case("x", *sitk_images(matrix))
    np.testing.assert_array_equal(mask_of(case), mask_of(from_file))
    np.testing.assert_array_equal(
        sitk.GetArrayViewFromImage(case.image), sitk.GetArrayViewFromImage(from_file.image)
    )
    np.testing.assert_allclose(case.image.GetSpacing(), from_file.image.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(case.image.GetOrigin(), from_file.image.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(case.image.GetDirection(), from_file.image.GetDirection(), atol=1e-6)


def sitk_images(matrix) -> list[sitk.Image]:
    """CT and mask as a file reader would deliver them, made without the code under test."""
    to_lps = np.diag([-1, -1, 1, 1]) @ matrix
    spacing_mm = np.sqrt((to_lps[:3, :3] ** 2).sum(axis=0))
    images = [sitk.GetImageFromArray(a) for a in (ct_voxels(), ellipsoid().astype(np.uint8))]
    for image in images:
        image.SetSpacing(spacing_mm.tolist())
        image.SetOrigin(to_lps[:3, 3].tolist())
        image.SetDirection((to_lps[:3, :3] / spacing_mm).ravel().tolist())
    return images


@pytest.mark.parametrize(
    ("image", "mask", "choice"),
    [
        ("pyradiomics/lung2_image_crop.nrrd", "pyradiomics/lung2_label_crop.nrrd", {"label": "all"}),
        ("dcmqi-liver", "dcmqi-liver/liver.dcm", {"segment": "Liver"}),
        ("totalsegmentator/ct_dicom", "totalsegmentator/example_seg_dicom.nii.gz", {"label": 5}),
    ],
)
def test_real_patients_are_the_same_case_through_nodes(rooms, real_data, image, mask, choice):
    from TACEResponseLib.readers import read_case

    from_files = read_case("P", real_data / image, real_data / mask, **choice)
    volume, segmentation = rooms.publish.patient_nodes("P", from_files.image, from_files.mask)
    case = rooms.case_from_nodes(volume, segmentation, "all")
    for ours, theirs in ((case.image, from_files.image), (case.mask, from_files.mask)):
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(ours), sitk.GetArrayViewFromImage(theirs))
        np.testing.assert_allclose(ours.GetOrigin(), theirs.GetOrigin(), atol=1e-6)
        np.testing.assert_allclose(ours.GetSpacing(), theirs.GetSpacing(), rtol=1e-9)
        np.testing.assert_allclose(ours.GetDirection(), theirs.GetDirection(), atol=1e-9)
    assert case.image.GetPixelID() == from_files.image.GetPixelID()


@pytest.mark.parametrize("crop", ["lung1", "lung2"])
def test_a_real_volume_file_read_by_slicer_is_the_case_that_our_reader_gives(rooms, real_data, crop):
    from TACEResponseLib.readers import read_case

    files = [real_data / "pyradiomics" / f"{crop}_{kind}_crop.nrrd" for kind in ("image", "label")]
    from_files = read_case("P", *files, label="all")
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetFileName(str(files[0]))
    assert storage.ReadData(volume)
    segmentation = a_segmentation_node(volume, Tumour=mask_of(from_files))
    case = rooms.case_from_nodes(volume, segmentation)
    np.testing.assert_array_equal(
        sitk.GetArrayViewFromImage(case.image), sitk.GetArrayViewFromImage(from_files.image)
    )
    np.testing.assert_array_equal(mask_of(case), mask_of(from_files))
    np.testing.assert_allclose(case.image.GetOrigin(), from_files.image.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(case.image.GetDirection(), from_files.image.GetDirection(), atol=1e-6)
    assert case.image.GetPixelID() == from_files.image.GetPixelID()
