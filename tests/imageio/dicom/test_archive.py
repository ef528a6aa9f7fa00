import zipfile

import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom import archive
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import stack


@pytest.fixture
def zipped(tmp_path, make_draft, save):
    """A zip of a series in nested folders, with extra members."""

    def made(**members):
        path = tmp_path / "series.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for source in save(make_draft()).iterdir():
                file.write(source, f"study/a/{source.name}")
            for name, content in members.items():
                file.writestr(name, content)
        return path

    return made


def test_a_series_is_read_from_a_zip_as_from_its_folder(zipped, tmp_path):
    path = zipped(**{"study/readme.txt": "not DICOM"})
    found = find_series(path)
    (plain,) = find_series(tmp_path / "series").series
    (series,) = found.series
    assert stack(series).grid.same_as(stack(plain).grid, 0)
    assert [name for name, _ in found.ignored] == ["study/readme.txt"]
    with series.instances[0].open() as stream:
        assert stream.read() == (tmp_path / "series" / "IM0001").read_bytes()


@pytest.mark.parametrize(
    "name",
    ["../IM1", "a/../../IM1", "/etc/IM1", "C:\\IM1", "..\\IM1", "a\\..\\IM1", "\\IM1", "a/.."],
)
def test_members_that_leave_the_folder_are_refused(zipped, name):
    with pytest.raises(InputError, match="leaves the folder; do not trust it"):
        find_series(zipped(**{name: "x"}))


def test_a_link_in_a_zip_is_refused(tmp_path):
    path = tmp_path / "link.zip"
    with zipfile.ZipFile(path, "w") as file:
        link = zipfile.ZipInfo("IM1")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="leaves the folder"):
        find_series(path)


def test_dots_in_names_are_no_way_out(zipped):
    assert find_series(zipped(**{"a..b/c...d": "x"})).series


def test_more_than_is_read_is_refused_before_inflating(zipped, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 2**20)
    with pytest.raises(InputError, match=r"inflates to \d+ bytes, more than the 1048576"):
        find_series(zipped(bomb=bytes(2**21)))


def test_more_members_than_are_read_are_refused(zipped, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 8)
    with pytest.raises(InputError, match="holds 9 files, more than the 8"):
        find_series(zipped())


def test_a_member_that_lies_about_its_size_is_cut_there(zipped):
    path = zipped()
    content = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        sizes = {info.file_size for info in file.infolist()}
    for size in sizes:
        content = content.replace(size.to_bytes(4, "little"), (200).to_bytes(4, "little"))
    path.write_bytes(content)
    found = find_series(path)
    assert not found.series
    assert len(found.damaged) == 9


def test_an_encrypted_zip_is_refused(zipped):
    path = zipped()
    content = bytearray(path.read_bytes())
    place = content.find(b"PK\x01\x02")
    content[place + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="is encrypted; unpack it first"):
        find_series(path)


@pytest.mark.parametrize(
    ("header", "offset", "value"),
    [
        (b"PK\x03\x04", 0, 0),  # that of the member itself is no header
        (b"PK\x01\x02", 10, 9),  # Deflate64, which Windows takes for large files
    ],
)
def test_a_member_that_cannot_be_opened_is_damage(zipped, header, offset, value):
    path = zipped()
    content = bytearray(path.read_bytes())
    content[content.rfind(header) + offset] = value
    path.write_bytes(content)
    (damaged,) = find_series(path).damaged
    assert "its header is damaged" in damaged.reason


def test_a_damaged_zip_is_refused(zipped):
    path = zipped()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="is a damaged zip"):
        find_series(path)


def test_a_damaged_member_is_known(zipped):
    path = zipped()
    content = bytearray(path.read_bytes())
    content[300] ^= 0xFF
    path.write_bytes(content)
    assert len(find_series(path).damaged) == 1


def test_an_empty_zip_is_refused(tmp_path):
    path = tmp_path / "empty.zip"
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.raises(InputError, match="is an empty zip"):
        find_series(path)
