import os
import shutil

import pydicom
import pytest
from pydicom.fileset import FileSet
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom import headers
from hagan_clinic.imageio.dicom.choice import choose
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import stack
from hagan_clinic.imageio.dicom.series import Instance


@pytest.fixture
def dicomdir(make_draft, tmp_path):
    """The path of a DICOMDIR that refers to a series of nine images."""
    files = FileSet()
    for one in make_draft():
        one.StudyDate, one.StudyTime, one.StudyID, one.AccessionNumber = "20200101", "1", "1", "1"
        files.add(one)
    files.write(tmp_path / "disc")
    return tmp_path / "disc" / "DICOMDIR"


def test_series_are_found_in_nested_folders_among_other_files(make_draft, save, tmp_path):
    save(make_draft(), "a/b")
    save(make_draft(uid="1.2.4", SeriesNumber=2), "a/c")
    (tmp_path / "a" / "notes").write_text("not DICOM")
    (tmp_path / "a" / "empty").touch()
    (tmp_path / "a" / "b" / "._IM0001.dcm").write_bytes(b"of macOS")
    found = find_series(tmp_path / "a")
    assert [series.uid for series in found.series] == ["1.2.4", "1.2.3"]
    assert [len(series.instances) for series in found.series] == [9, 9]
    assert sorted(name for name, _ in found.ignored) == ["b/._IM0001.dcm", "empty", "notes"]
    assert not found.damaged


@pytest.mark.parametrize("content", [b"", bytes(100), b"text"])
def test_a_file_that_is_called_dicom_and_is_not_is_damage(make_draft, save, content):
    folder = save(make_draft())
    (folder / "IM0010.DCM").write_bytes(content)  # the last slice, perhaps
    (damaged,) = find_series(folder).damaged
    assert damaged.reason.startswith("IM0010.DCM: is not DICOM") and damaged.uid is None


@pytest.mark.parametrize("content", [b"", b"\0" * 40000, b"<html>" * 100])
def test_a_file_that_is_called_as_the_slices_and_is_none_is_damage(make_draft, save, content):
    folder = save(make_draft())
    (folder / "IM0010").write_bytes(content)
    found = find_series(folder)
    (damaged,) = found.damaged
    assert damaged.name == "IM0010"
    with pytest.raises(InputError, match=r"IM0010: is (not DICOM|filled with zeros)"):
        choose(found, "t1")


def test_it_is_of_the_series_beside_it_alone(make_draft, save, tmp_path):
    save(make_draft(), "a/b")
    save(make_draft(uid="1.2.4", MRAcquisitionType="2D"), "a/c")
    (tmp_path / "a" / "c" / "IM0010").touch()
    found = find_series(tmp_path / "a")
    assert [one.uid for one in found.damaged] == ["1.2.4"]
    assert choose(found, "t1").series.uid == "1.2.3"
    with pytest.raises(InputError, match="called as the slices beside it; copy it again, or rem"):
        choose(found, "t1", "1.2.4")


def test_a_file_filled_with_zeros_is_damage_whatever_it_is_called(make_draft, save):
    folder = save(make_draft())
    (folder / "last").write_bytes(b"\0" * 40000)
    (damaged,) = find_series(folder).damaged
    assert damaged.reason.startswith("last: is filled with zeros")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("meta", [True, False])
def test_a_slice_without_the_preamble_of_a_file_is_damage(make_draft, save, syntax, meta):
    folder = save(make_draft())
    last = pydicom.dcmread(folder / "IM0009")
    last.file_meta.TransferSyntaxUID = syntax
    last.save_as(folder / "IM0009", enforce_file_format=True)
    content = (folder / "IM0009").read_bytes()
    skipped = 132 if meta else content.index(b"\x08\0\x08\0")
    (folder / "IM0009").rename(folder / "last")
    (folder / "last").write_bytes(content[skipped:])
    found = find_series(folder)
    assert len(found.series[0].instances) == 8
    with pytest.raises(InputError, match="last: is a DICOM data set without the preamble of a f"):
        choose(found, "t1")


def test_raw_data_with_rows_are_no_truncated_image(make_draft, save):
    raw = make_draft(1, uid="1.2.4", SOPClassUID="1.2.840.10008.5.1.4.1.1.66")[0]
    raw.file_meta.MediaStorageSOPClassUID = raw.SOPClassUID
    del raw.PixelData
    found = find_series(save([*make_draft(), raw]))
    assert not found.damaged
    assert choose(found, "t1").series.uid == "1.2.3"


def test_a_link_to_nothing_is_damage(make_draft, save):
    folder = save(make_draft())
    (folder / "IM0010").symlink_to("not-fetched")
    (damaged,) = find_series(folder).damaged
    assert damaged.reason == "IM0010: cannot be read (No such file or directory)"


def test_a_folder_that_cannot_be_read_is_named(make_draft, save, tmp_path, monkeypatch):
    save(make_draft()[:4], "a/one")
    closed = save(make_draft()[4:], "a/two")
    scan = os.scandir

    def scandir(path):
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match=r"a folder in it cannot be read \(Permission denied\)"):
        find_series(tmp_path / "a")


def test_headers_take_no_more_memory_than_they_may(make_draft, save, monkeypatch):
    monkeypatch.setattr(headers, "MAX_HEADERS", 5 * 2**20)
    folder = save(make_draft(PatientComments="x" * 2**20))
    with pytest.raises(InputError, match="take more than the 5 MiB that are read"):
        find_series(folder)
    datasets = make_draft()
    for one in datasets:  # what is not kept does not count
        block = one.private_block(0x0029, "SCANNER", create=True)
        block.add_new(0x10, "OB", bytes(2**20))
    assert len(find_series(save(datasets, "private")).series[0].instances) == 9


def test_a_series_may_lie_in_several_folders(make_draft, save, tmp_path):
    datasets = make_draft()
    save(datasets[:4], "a/one")
    save(datasets[4:], "a/two")
    (series,) = find_series(tmp_path / "a").series
    assert len(stack(series).slices) == 9


def test_real_structured_reports_lie_beside_the_series(test_data):
    found = find_series(test_data / "dicom" / "xa30_enhanced")
    kinds = [(series.header.Modality, len(series.instances)) for series in found.series]
    assert kinds == [("MR", 1), ("SR", 7)]


def test_one_file_is_a_series(test_data):
    (path,) = (test_data / "dicom" / "xa30_enhanced" / "5_anat-T1w_acq-tfl").iterdir()
    (series,) = find_series(path).series
    assert stack(series).grid.shape == (128, 128, 96)
    with series.instances[0].open() as stream:
        assert stream.read(132)[128:] == b"DICM"


def test_a_dicomdir_names_its_series(dicomdir):
    (series,) = find_series(dicomdir).series
    (walked,) = find_series(dicomdir.parent).series
    assert len(series.instances) == 9
    assert stack(series).grid.same_as(stack(walked).grid, 0)


def test_a_dicomdir_in_a_folder_is_no_series(dicomdir):
    assert [name for name, _ in find_series(dicomdir.parent).ignored] == ["DICOMDIR"]


@pytest.mark.parametrize(
    "shown",
    [str.lower, lambda name: f"{name.lower()}.dcm", "{};1".format],
    ids=["im1", "im1.dcm", "IM1;1"],
)
def test_a_dicomdir_finds_its_files_as_systems_show_them(dicomdir, shown):
    """ISO 9660 under Linux: lower case; a copy to a disk: a suffix; a raw one: a version."""
    straight = find_series(dicomdir).series[0]
    paths = sorted(dicomdir.parent.rglob("*"), reverse=True)  # files before their folders
    for path in paths:
        if path != dicomdir:
            path.rename(path.with_name(shown(path.name) if path.is_file() else path.name.lower()))
    found = find_series(dicomdir)
    assert not found.damaged
    assert [len(series.instances) for series in found.series] == [9]
    assert [one.name for one in found.series[0].instances] == [
        one.name for one in straight.instances
    ]


def test_a_file_that_a_dicomdir_names_and_is_not_there_is_damage(dicomdir):
    image = next(path for path in dicomdir.parent.rglob("*") if path.is_file() and path != dicomdir)
    image.unlink()
    found = find_series(dicomdir)
    assert [one.uid for one in found.damaged] == [None]
    assert len(found.series[0].instances) == 8


def test_a_file_that_a_dicomdir_names_and_is_not_dicom_is_damage(dicomdir):
    image = next(path for path in dicomdir.parent.rglob("*") if path.is_file() and path != dicomdir)
    image.write_bytes(b"")
    found = find_series(dicomdir)
    assert [one.uid for one in found.damaged] == [None]


@pytest.mark.parametrize("outside", [["..", "IM1"], ["", "etc", "passwd"], ["IM\0", "IM1"]])
def test_a_dicomdir_that_refers_outside_its_folder_is_refused(dicomdir, outside):
    directory = pydicom.dcmread(dicomdir)
    directory.DirectoryRecordSequence[-1].ReferencedFileID = outside
    directory.save_as(dicomdir)
    with pytest.raises(InputError, match="outside its folder; do not trust it"):
        find_series(dicomdir)


def test_a_link_out_of_the_folder_of_a_dicomdir_is_refused(dicomdir, tmp_path):
    image = next(path for path in dicomdir.parent.rglob("*") if path.is_file() and path != dicomdir)
    shutil.move(image, tmp_path / "outside")
    image.symlink_to(tmp_path / "outside")
    with pytest.raises(InputError, match="outside its folder"):
        find_series(dicomdir)


def test_a_damaged_file_is_known_by_its_series(make_draft, save):
    folder = save(make_draft())
    path = folder / "IM0009"
    path.write_bytes(path.read_bytes()[:-10])
    found = find_series(folder)
    (damaged,) = found.damaged
    assert damaged.uid == "1.2.3"
    assert damaged.reason.startswith("IM0009: is truncated: 86 bytes of pixels")
    assert len(found.series[0].instances) == 8


def test_a_file_without_series_is_damage(make_draft, save):
    datasets = make_draft()
    del datasets[3].SeriesInstanceUID
    (damaged,) = find_series(save(datasets)).damaged
    assert damaged.reason == "IM0004: has no SeriesInstanceUID"


def test_a_pipe_is_not_waited_for(make_draft, save):
    folder = save(make_draft())
    os.mkfifo(folder / "pipe")
    assert len(find_series(folder).series) == 1


def test_links_to_folders_are_not_followed(make_draft, save):
    folder = save(make_draft())
    (folder / "again").symlink_to(folder)
    assert len(find_series(folder).series[0].instances) == 9


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="is an empty folder, expected a DICOM series"):
        find_series(tmp_path)


def test_a_path_to_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        find_series(tmp_path / "nothing")


def test_a_file_that_is_not_dicom_is_refused(tmp_path):
    path = tmp_path / "scan.nii"
    path.write_bytes(b"some text " * 50)
    with pytest.raises(InputError, match=r"scan\.nii: is not DICOM"):
        find_series(path)


def test_an_instance_tells_nothing_of_its_patient(make_draft, save):
    found = find_series(save(make_draft()))
    assert isinstance(found.series[0].instances[0], Instance)
    assert "Doe" not in repr(found)
    assert "4711" not in repr(found)
