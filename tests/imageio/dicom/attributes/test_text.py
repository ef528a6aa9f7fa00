"""Text keeps its letters, fits its elements, and says first that the image is synthetic."""

import pydicom
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.derivation import Derivation
from hagan_clinic.imageio.dicom.options import SeriesOptions


@pytest.mark.parametrize("content", ["image", "uncertainty"])
@pytest.mark.parametrize("target", ["flair", "a target of a name much longer than usual " * 2])
@pytest.mark.parametrize("wanted", ["", "Kopf nativ", "x" * 64])
def test_a_description_fits_and_begins_with_synthetic(derivation, content, target, wanted):
    changed = Derivation(**{**vars(derivation), "content": content, "target": target})
    text = changed.series_description(wanted)
    assert text.startswith("SYNTHETIC ") and len(text) <= 64
    assert wanted[:40] in text
    assert wanted or "NOT FOR DIAGNOSIS" in text
    assert ("UNCERTAINTY" in text) == (content == "uncertainty")


def test_long_facts_are_cut_to_what_elements_hold(write, stack):
    long = "long \\ " * 300
    changes = {"settings": long, "licence": long, "model": long, "scale": long, "target": long}
    dataset = pydicom.dcmread(write(stack, **changes)[0])
    assert len(dataset.DerivationDescription) == 1024
    assert dataset.DerivationDescription.endswith("…")
    tool = dataset.ContributingEquipmentSequence[0]
    assert len(tool.ContributionDescription) <= 1024
    assert dataset.ManufacturerModelName == tool.ManufacturerModelName
    assert len(tool.ManufacturerModelName) <= 64 and len(dataset.SeriesDescription) <= 64
    assert "NOT FOR DIAGNOSIS" in dataset.SeriesDescription


NAMES = {
    "ISO_IR 100": "Müller^Jérôme",
    "ISO_IR 144": "Люкceмбypг",
    "ISO_IR 192": "王^小东",
    "GB18030": "Wang^XiaoDong=王^小东",
    "ISO_IR 166": "ประยุทธ์^จันทร์",
    "ISO_IR 203": "Œuvrard^Zoë",
    "ISO 2022 IR 6\\ISO 2022 IR 203": "Œuvrard^Zoë",
    "ISO IR 192": "Œuvrard^Zoë",  # misspelt, and common
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
}


@pytest.mark.parametrize("charset", NAMES)
def test_names_keep_their_letters_in_utf_8(charset, sources, make_stack, write, tmp_path):
    name = NAMES[charset]
    alphabetic = name.split("=")[-1].replace("^", " ")
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99X", alphabetic
    read = []
    for number, source in enumerate(sources):
        source.SpecificCharacterSet = charset.split("\\")
        source.PatientName, source.OtherPatientNames = name, [name, name]
        source.StudyDescription, source.ProcedureCodeSequence = alphabetic, [item]
        source.Manufacturer = alphabetic
        source.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
        read.append(pydicom.dcmread(tmp_path / f"{number}.dcm"))
        assert read[-1].PatientName == name  # else the test would test nothing
    for path in write(make_stack(read)):
        assert name.encode() in path.read_bytes()
        derived = pydicom.dcmread(path)
        assert derived.SpecificCharacterSet == "ISO_IR 192"
        assert str(derived.PatientName) == name
        assert [str(n) for n in derived.OtherPatientNames] == [name, name]
        assert derived.StudyDescription == alphabetic
        assert derived.ProcedureCodeSequence[0].CodeMeaning == alphabetic
        assert derived.ContributingEquipmentSequence[1].Manufacturer == alphabetic


@pytest.mark.parametrize(
    ("charset", "name", "told"),
    [
        ("ISO_IR 999", "Müller".encode("latin-1"), "is in the character set 'ISO_IR 999', which"),
        ("ISO_IR 192", "Müller".encode("latin-1"), "has bytes that are not of its character set"),
        ("ISO_IR 166", b"M\xfcller\xff", "has bytes that are not of its character set"),
    ],
)
def test_text_that_cannot_be_decoded_is_refused_and_not_changed(
    charset, name, told, sources, make_stack, write, tmp_path, recwarn
):
    read = [_with_bytes(source, charset, name, tmp_path) for source in sources]
    with pytest.raises(InputError, match=f"the source's PatientName {told}"):
        write(make_stack(read))


@pytest.mark.parametrize(
    ("charset", "name"), [("ISO_IR 999", b"Miller"), ("ISO_IR 192", "M\ufffdller".encode())]
)
def test_text_that_reads_the_same_in_any_character_set_is_carried(
    charset, name, sources, make_stack, write, tmp_path, recwarn
):
    read = [_with_bytes(source, charset, name, tmp_path) for source in sources]
    derived = pydicom.dcmread(write(make_stack(read))[0])
    assert str(derived.PatientName).encode() == name


def _with_bytes(source, charset, name, folder):
    """The source read from a file with a name of these bytes, whatever its character set."""
    source.SpecificCharacterSet, source.PatientName = "ISO_IR 100", "N" * (len(name) + 1)
    path = folder / f"{source.InstanceNumber}.dcm"
    source.save_as(path, enforce_file_format=True)
    content = path.read_bytes().replace(b"ISO_IR 100", charset.encode())
    written = name.ljust(len(name) + 1)
    path.write_bytes(content.replace(b"N" * len(written), written))
    return pydicom.dcmread(path)


def test_an_item_with_its_own_character_set_becomes_utf_8(sources, make_stack, write, tmp_path):
    item = pydicom.Dataset()
    item.SpecificCharacterSet = "ISO_IR 144"
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99X", "мозг"
    item.private_block(0x0029, "SCANNER", create=True).add_new(0x10, "LO", "private")
    sources[0].SpecificCharacterSet = "ISO_IR 100"
    sources[0].ProcedureCodeSequence = [item]
    sources[0].save_as(tmp_path / "0.dcm", enforce_file_format=True)
    read = pydicom.dcmread(tmp_path / "0.dcm")
    derived = pydicom.dcmread(write(make_stack([read, *sources[1:]]))[0])
    assert derived.ProcedureCodeSequence[0].CodeMeaning == "мозг"
    assert "SpecificCharacterSet" not in derived.ProcedureCodeSequence[0]
    assert not [e for e in derived.iterall() if e.tag.is_private]


def test_an_empty_name_stays_empty(sources, make_stack, write):
    for source in sources:
        source.PatientName, source.OtherPatientNames = None, None
        del source.ReferringPhysicianName
    derived = pydicom.dcmread(write(make_stack(sources))[0])
    assert derived["PatientName"].is_empty and derived["ReferringPhysicianName"].is_empty


def test_the_site_names_itself(write, stack):
    options = SeriesOptions(
        description="FLAIR (KI)",
        number=4711,
        institution_name="Klinikum Süd",
        institution_code="1^99KS^Klinikum Süd",
        department="Neuroradiologie",
        station_name="GPU1",
        manufacturer="Klinikum",
    )
    image = pydicom.dcmread(write(stack, options=options)[0])
    assert image.SeriesDescription == "SYNTHETIC FLAIR (KI)"
    assert image.SeriesNumber == 4711
    assert image.InstitutionName == "Klinikum Süd"
    assert image.InstitutionCodeSequence[0].CodeMeaning == "Klinikum Süd"
    assert image.InstitutionalDepartmentName == "Neuroradiologie"
    assert (image.StationName, image.Manufacturer) == ("GPU1", "Klinikum")
    uncertainty = pydicom.dcmread(write(stack, options=options, content="uncertainty")[0])
    assert uncertainty.SeriesNumber == 4712
