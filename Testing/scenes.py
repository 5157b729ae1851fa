"""One anatomical scene written in every format that a hospital sends: the readers' test material."""

from pathlib import Path

import highdicom
import numpy as np
import pydicom
import SimpleITK as sitk
from contourpy import contour_generator
from highdicom.sr.coding import CodedConcept
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

SIZE_KJI = (10, 48, 56)


def a_scene(direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)) -> tuple[sitk.Image, dict[str, np.ndarray]]:
    """A CT in HU and two overlapping-free segments, "Liver" and "Mass", as (k, j, i) arrays."""
    rng = np.random.default_rng(5)
    k, j, i = np.mgrid[tuple(slice(n) for n in SIZE_KJI)]
    liver = ((k - 5) / 4.5) ** 2 + ((j - 24) / 18) ** 2 + ((i - 26) / 20) ** 2 < 1
    mass = ((k - 4) / 2.6) ** 2 + ((j - 20) / 7) ** 2 + ((i - 30) / 8) ** 2 < 1
    hu = np.where(liver, 70, -80) + np.where(mass, 40, 0) + rng.normal(0, 8, SIZE_KJI)
    image = sitk.GetImageFromArray(hu.round().astype(np.int16))
    image.SetSpacing((0.75, 0.75, 2.5))
    image.SetOrigin((-120.5, -60.25, 410.0))
    image.SetDirection(direction)
    return image, {"Liver": liver & ~mass, "Mass": mass}


def as_labelmap(image: sitk.Image, segments: dict[str, np.ndarray]) -> sitk.Image:
    """The segments as labels 1, 2, ... on the CT's grid."""
    labels = sum(value * part.astype(np.uint8) for value, part in enumerate(segments.values(), start=1))
    mask = sitk.GetImageFromArray(labels)
    mask.CopyInformation(image)
    return mask


def write_seg_nrrd(path: Path, image: sitk.Image, segments: dict[str, np.ndarray]) -> Path:
    """A `.seg.nrrd` with the header keys that Slicer writes, cropped as Slicer crops."""
    mask = as_labelmap(image, segments)[2:54, 2:46, :]
    for number, name in enumerate(segments):
        for key, text in (("ID", f"Segment_{number}"), ("Name", name), ("LabelValue", str(number + 1))):
            mask.SetMetaData(f"Segment{number}_{key}", text)
        mask.SetMetaData(f"Segment{number}_Layer", "0")
    sitk.WriteImage(mask, str(path), True)
    return path


def write_dicom_series(
    folder: Path, image: sitk.Image, description: str = "arterial", extension: str = ".dcm", **changes
) -> list[pydicom.Dataset]:
    """One CT series, a file a slice, intercept -1024; returns the datasets in slice order."""
    folder.mkdir(parents=True, exist_ok=True)
    values = sitk.GetArrayFromImage(image).astype(np.int32) + 1024
    axes = np.array(image.GetDirection()).reshape(3, 3)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    datasets = []
    for number, layer in enumerate(values):
        data = pydicom.Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.PatientID, data.PatientName, data.PatientBirthDate, data.PatientSex = "0012", "A^B", "", ""
        data.StudyID, data.AccessionNumber, data.ReferringPhysicianName = "1", "", ""
        data.StudyDate, data.StudyTime = "20200101", "120000"
        data.Modality, data.Manufacturer, data.SeriesDescription = "CT", "phantom", description
        data.SeriesNumber, data.InstanceNumber, data.ImageType = (
            2,
            number + 1,
            ["ORIGINAL", "PRIMARY", "AXIAL"],
        )
        data.ImagePositionPatient = [float(v) for v in image.TransformIndexToPhysicalPoint((0, 0, number))]
        data.ImageOrientationPatient = [float(v) for v in (*axes[:, 0], *axes[:, 1])]
        data.PixelSpacing = [image.GetSpacing()[1], image.GetSpacing()[0]]
        data.SliceThickness = image.GetSpacing()[2]
        data.Rows, data.Columns, data.SamplesPerPixel = *layer.shape, 1
        data.PhotometricInterpretation = "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.PixelData = layer.astype(np.uint16).tobytes()
        for name, value in changes.items():
            setattr(data, name, value)
        data.save_as(folder / f"slice{number:03d}{extension}", enforce_file_format=True)
        datasets.append(data)
    return datasets


def write_dicom_seg(
    path: Path,
    slices: list[pydicom.Dataset],
    segments: dict[str, np.ndarray],
    kind: str = "BINARY",
    **options,
) -> Path:
    """A DICOM SEG, a segment after the other, empty frames left out unless `options` say so.

    kind: BINARY, or FRACTIONAL with values from 0 to 1 in `segments`. Segments may overlap.
    """
    descriptions = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
            segmented_property_type=CodedConcept("4147007", "SCT", "Mass"),
            algorithm_type="MANUAL",
        )
        for number, name in enumerate(segments, start=1)
    ]
    voxels = np.stack(list(segments.values()), axis=-1)
    series = {
        "manufacturer": "phantom",
        "series_description": "Segmentation",
        "sop_instance_uid": generate_uid(),
        **options,
    }
    segmentation = highdicom.seg.Segmentation(
        source_images=slices,
        pixel_array=voxels.astype(np.float32 if kind == "FRACTIONAL" else np.uint8),
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=generate_uid(),
        series_number=3,
        instance_number=1,
        manufacturer_model_name="scene",
        software_versions="1",
        device_serial_number="1",
        **series,
    )
    segmentation.save_as(path)
    return path


def contours_of(image: sitk.Image, inside: np.ndarray) -> list[list[float]]:
    """Closed contours in mm, slice by slice, half way between voxels inside and outside."""
    contours = []
    for k, layer in enumerate(inside):
        padded = np.pad(layer.astype(float), 1)
        for line in contour_generator(z=padded).lines(0.5):
            indices = [(x - 1, y - 1, k) for x, y in line[:-1]]
            contours.append(
                [round(v, 4) for p in indices for v in image.TransformContinuousIndexToPhysicalPoint(p)]
            )
    return contours


def write_rtstruct(path: Path, structures: dict[str, list[list[float]]], kind: str = "CLOSED_PLANAR") -> Path:
    """An RTSTRUCT with the given contours (mm, x y z x y z ...) by name."""
    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = RTStructureSetStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Modality, data.StructureSetLabel = "RTSTRUCT", "scene"
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(structures.items(), start=1):
        roi, drawn = pydicom.Dataset(), pydicom.Dataset()
        roi.ROINumber, roi.ROIName = number, name
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points in contours:
            contour = pydicom.Dataset()
            contour.ContourGeometricType = kind
            contour.NumberOfContourPoints, contour.ContourData = len(points) // 3, points
            drawn.ContourSequence.append(contour)
        data.StructureSetROISequence.append(roi)
        data.ROIContourSequence.append(drawn)
    data.save_as(path, enforce_file_format=True)
    return path
