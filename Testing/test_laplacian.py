"""Our recursive Laplacian of Gaussian beside ITK's, to the last bit, and beside the formula."""

import platform

import numpy as np
import pytest
import SimpleITK as sitk
from TACEResponseLib.radiomics import filters
from TACEResponseLib.radiomics.laplacian import itk_laplacian, laplacian, rounds_as_itk

#: Processors for which ITK is built without fused multiply-add, and so rounds as we do.
ROUNDS_AS_ITK = ("x86_64", "AMD64")


@pytest.mark.parametrize("voxel_type", [np.uint8, np.int16, np.uint32, np.float32, np.float64])
@pytest.mark.parametrize(
    "shape, spacing_mm",
    [
        ((20, 33, 47), (1.0, 1.0, 1.0)),
        ((4, 5, 4), (0.7, 1.3, 2.2)),  # the shortest lines there can be
        ((23, 16, 32), (0.75, 0.75, 2.5)),  # rows of whole groups of lines
    ],
)
def test_every_bit_is_as_itk_has_it(voxel_type, shape, spacing_mm):
    if platform.machine() not in ROUNDS_AS_ITK and not rounds_as_itk():
        pytest.skip("ITK's own filter rounds otherwise on this processor, and is used instead")
    voxels = np.random.default_rng(3).normal(100, 30, shape).astype(voxel_type)
    voxels[:, :2] = 70  # where nothing varies, only rounding is left
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing_mm)
    box = (slice(1, shape[0] - 1), slice(0, shape[1]), slice(2, 4))
    for sigma_mm in (0.6, 1.0, 3.0, 7.1):
        expected = sitk.GetArrayFromImage(itk_laplacian(image, sigma_mm))
        own = laplacian(voxels, spacing_mm, box, sigma_mm)
        assert own.dtype == expected.dtype
        np.testing.assert_array_equal(own, expected[box])


def test_a_paraboloid_has_the_curvature_that_the_formula_says():
    x, y, z = np.meshgrid(*[np.arange(-24, 25) * s for s in (0.9, 1.1, 1.4)], indexing="ij")
    voxels = (0.7 * x**2 + 0.4 * y**2 + 0.2 * z**2).transpose(2, 1, 0)
    middle = (slice(22, 27), slice(22, 27), slice(22, 27))
    curvature = laplacian(voxels, (0.9, 1.1, 1.4), middle, 1.5) / 1.5**2
    np.testing.assert_allclose(curvature, 2 * (0.7 + 0.4 + 0.2), rtol=2e-3)


def test_where_itk_rounds_otherwise_itk_is_used(monkeypatch):
    image = sitk.GetImageFromArray(np.random.default_rng(1).normal(0, 9, (9, 9, 9)).astype(np.float32))
    box = (slice(2, 7), slice(2, 7), slice(2, 7))
    monkeypatch.setattr(filters, "rounds_as_itk", lambda: False)
    monkeypatch.setattr(filters, "laplacian", lambda *_: pytest.fail("it was ours"))
    expected = sitk.GetArrayFromImage(sitk.LaplacianRecursiveGaussian(image, 1.0, True))[box]
    np.testing.assert_array_equal(filters.laplacian_of_gaussian(image, box, 1.0), expected)
