"""NRRD and MetaImage agree with ITK's geometry; hostile files are refused."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import DESCRIPTION, read, write
from hagan_clinic.volume import Volume

SUFFIXES = [".nrrd", ".mha"]
OBLIQUE = np.array(
    [[-0.9, 0.2, 0.3, 80.25], [0.15, 1.9, -0.2, -110.5], [0.2, 0.6, 0.93, -60.1], [0, 0, 0, 1]]
)


def itk_image(array):
    """An image with a left-handed, oblique geometry."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 1.5, 3.0))
    image.SetOrigin((10, -20, 30))
    image.SetDirection((0, 1, 0, 0.6, 0, 0.8, 0.8, 0, -0.6))
    return image


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float64])
def test_every_voxel_lies_where_itk_puts_it(suffix, dtype, tmp_path):
    image = itk_image(np.arange(60).reshape(5, 4, 3).astype(dtype))
    sitk.WriteImage(image, tmp_path / f"a{suffix}")
    volume = read(tmp_path / f"a{suffix}")
    assert volume.shape == image.GetSize()
    for index in np.ndindex(*volume.shape):
        index = [int(i) for i in index]
        x, y, z = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(volume.affine @ [*index, 1], [-x, -y, z, 1], atol=1e-9)
        assert volume.array[tuple(index)] == image[index]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nifti_and_itk_files_agree(suffix, tmp_path):
    volume = Volume(np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32), OBLIQUE)
    write(volume, tmp_path / f"a{suffix}")
    write(volume, tmp_path / "a.nii")
    image = nib.load(tmp_path / "a.nii")
    np.testing.assert_allclose(read(tmp_path / f"a{suffix}").affine, image.affine, atol=1e-4)
    assert (read(tmp_path / f"a{suffix}").array == image.get_fdata()).all()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_description_is_in_the_header(suffix, tmp_path):
    write(Volume(np.ones((3, 4, 5), np.float32), OBLIQUE), tmp_path / f"a{suffix}")
    assert DESCRIPTION.encode() in (tmp_path / f"a{suffix}").read_bytes()[:2000]


def test_a_trailing_axis_of_size_one_is_dropped(tmp_path):
    image = itk_image(np.arange(60, dtype=np.float32).reshape(5, 4, 3))
    sitk.WriteImage(image, tmp_path / "three.mha")
    sitk.WriteImage(sitk.JoinSeries([image]), tmp_path / "four.mha")
    three, four = read(tmp_path / "three.mha"), read(tmp_path / "four.mha")
    assert (four.array == three.array).all()
    assert (four.affine == three.affine).all()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (sitk.Image((3, 4, 5), sitk.sitkVectorUInt8, 3), "vector.* values, expected one real"),
        (sitk.Image((3, 4), sitk.sitkFloat32), r"has 2 axes \(3x4\), expected one 3D image"),
        (sitk.Image((3, 4, 5, 2), sitk.sitkFloat32), r"has 4 axes \(3x4x5x2\), expected one 3D"),
    ],
)
def test_what_is_not_one_scalar_volume_is_refused(suffix, image, message, tmp_path):
    sitk.WriteImage(image, tmp_path / f"a{suffix}")
    with pytest.raises(InputError, match=message):
        read(tmp_path / f"a{suffix}")


def test_complex_values_are_refused(tmp_path):
    sitk.WriteImage(sitk.Image((3, 4, 5), sitk.sitkComplexFloat32), tmp_path / "a.nrrd")
    with pytest.raises(InputError, match=r"complex.* values, expected one real"):
        read(tmp_path / "a.nrrd")


def nrrd(path, *lines, data=bytes(120)):
    head = ["NRRD0004", "type: short", "dimension: 3", "encoding: raw", "endian: little", *lines]
    path.write_bytes("\n".join(head).encode() + b"\n\n" + data)
    return path


SPACE = "space: left-posterior-superior"
DIRECTIONS = "space directions: (1,0,0) (0,1,0) (0,0,1)"


def test_a_plain_nrrd_is_read(tmp_path):
    path = nrrd(tmp_path / "a.nrrd", "sizes: 3 4 5", SPACE, DIRECTIONS, "space origin: (1,2,3)")
    assert (read(path).affine == [[-1, 0, 0, -1], [0, -1, 0, -2], [0, 0, 1, 3], [0, 0, 0, 1]]).all()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["sizes: 3 4 5", "spacings: 1 1 1"], "has no space field, so its orientation is unknown"),
        (["sizes: 32768 32768 32768", SPACE, DIRECTIONS], "declares 32768x32768x32768 voxels"),
        (["sizes: 800 800 800", SPACE, DIRECTIONS], "bytes cannot hold the 512000000"),
        (["sizes: 3 4 6", SPACE, DIRECTIONS], "is truncated or damaged"),
        (["sizes: 3 4 0", SPACE, DIRECTIONS], "is not a readable .nrrd file|is empty"),
        (["sizes: 3 4 5", SPACE, DIRECTIONS, "data file: b.raw"], "voxels in another file"),
        (["sizes: 3 4 5", "#" * 70000, SPACE, "DataFile: b.raw"], "voxels in another file"),
        (
            ["sizes: 3 4 5", "#" * 2**20, SPACE, DIRECTIONS],
            "header has no end in the first 1048576",
        ),
        (["sizes: 3 4 5", SPACE, "space directions: (1,0,0) (1,0,0) (0,0,1)"], "singular|readable"),
    ],
)
def test_a_hostile_nrrd_is_refused(lines, message, tmp_path):
    (tmp_path / "b.raw").write_bytes(bytes(120))
    with pytest.raises(InputError, match=rf"a\.nrrd: .*({message})") as caught:
        read(nrrd(tmp_path / "a.nrrd", *lines))
    assert "\n" not in str(caught.value)


def test_a_header_longer_than_most_is_read(tmp_path):
    path = nrrd(tmp_path / "a.nrrd", "sizes: 3 4 5", *["# a line" * 8] * 2000, SPACE, DIRECTIONS)
    assert path.stat().st_size > 2**16
    assert read(path).shape == (3, 4, 5)


def metaimage(path, size="3 4 5", file="LOCAL", matrix="1 0 0 0 1 0 0 0 1", kind="MET_SHORT"):
    lines = [
        *("ObjectType = Image", "NDims = 3", "BinaryData = True", "CompressedData = False"),
        *(f"TransformMatrix = {matrix}", "Offset = 1 2 3", "ElementSpacing = 1 1 1"),
        *(f"DimSize = {size}", f"ElementType = {kind}", f"ElementDataFile = {file}"),
    ]
    path.write_bytes("\n".join(lines).encode() + b"\n" + bytes(120))
    return path


def test_a_plain_metaimage_is_read(tmp_path):
    path = metaimage(tmp_path / "a.mha")
    assert (read(path).affine == [[-1, 0, 0, -1], [0, -1, 0, -2], [0, 0, 1, 3], [0, 0, 0, 1]]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "32768 32768 32768"}, "declares 32768x32768x32768 voxels"),
        ({"size": "4294967296 4294967296 4294967296"}, "declares|readable|is empty"),
        ({"size": "800 800 800"}, "bytes cannot hold the 512000000"),
        ({"size": "3 4 6"}, "is truncated or damaged"),
        ({"size": "3 4 -5"}, "is empty|declares|readable"),
        ({"file": "b.raw"}, "voxels in another file"),
        ({"file": "LIST"}, "voxels in another file"),
        ({"matrix": "1 0 0 1 0 0 0 0 1"}, "singular|readable"),
        ({"kind": "MET_NONSENSE"}, "readable|values, expected one real"),
    ],
)
def test_a_hostile_metaimage_is_refused(change, message, tmp_path):
    (tmp_path / "b.raw").write_bytes(bytes(120))
    with pytest.raises(InputError, match=rf"a\.mha: .*({message})") as caught:
        read(metaimage(tmp_path / "a.mha", **change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["ElementDataFile : b.raw", " ElementDataFile = b.raw"])
def test_a_metaimage_cannot_hide_that_it_points_to_another_file(field, tmp_path):
    (tmp_path / "b.raw").write_bytes(bytes(120))
    path = metaimage(tmp_path / "a.mha")
    path.write_bytes(path.read_bytes().replace(b"ElementDataFile = LOCAL", field.encode()))
    assert sitk.ReadImage(path).GetSize() == (3, 4, 5)  # as ITK would read it
    with pytest.raises(InputError, match="keeps its voxels in another file"):
        read(path)


@pytest.mark.parametrize("changed", [30, 3000, -6])
def test_a_metaimage_with_damaged_data_is_refused(changed, tmp_path):
    path = tmp_path / "a.mha"
    noise = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    write(Volume(noise, OBLIQUE), path)
    content = bytearray(path.read_bytes())
    place = changed if changed < 0 else content.index(b"LOCAL\n") + changed
    content[place : place + 4] = b"\x55" * 4
    path.write_bytes(content)
    with pytest.raises(InputError, match="is truncated"):
        read(path)
