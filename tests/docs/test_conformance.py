"""The conformance statement says what the code does."""

import ast
import json
import pkgutil
import re
from dataclasses import fields
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import UID, KeyObjectSelectionDocumentStorage, UID_dictionary

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import dicom
from hagan_clinic.imageio.bounded import MAX_VOXELS
from hagan_clinic.imageio.contrast import agent_given
from hagan_clinic.imageio.contrast_fields import AGENT_FIELDS, CIRCUMSTANCES
from hagan_clinic.imageio.dicom import agent, archive, attributes, choice, headers, planes
from hagan_clinic.imageio.dicom.carried import PATIENT_AND_STUDY
from hagan_clinic.imageio.dicom.codecs import _PLUGINS
from hagan_clinic.imageio.dicom.derivation import Derivation
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import stack
from hagan_clinic.imageio.dicom.options import SeriesOptions
from hagan_clinic.imageio.dicom.samples import describe
from hagan_clinic.imageio.dicom.uids import fixed_uid
from hagan_clinic.imageio.dicom.writer import write_series

ROOT = Path(__file__).parents[2]
STATEMENT = (ROOT / "export" / "conformance.md").read_text()
REAL = {
    "brainix": "brainix/t1",
    "enhanced": "xa30_enhanced/5_anat-T1w_acq-tfl",
    "supine": "decubitus/HFS/3_t1_fl2d_sag",
}
PACKAGE = Path(dicom.__file__).parent
ALL_OPTIONS = SeriesOptions(
    institution_name="a", institution_code="1^99X^a", department="b", station_name="c"
)


def section(title):
    """The text under a heading, down to the next of its level or above."""
    level, text = re.search(rf"^(##+) {title}\n(.*)", STATEMENT, re.MULTILINE | re.DOTALL).groups()
    return re.split(rf"^#{{2,{len(level)}}} ", text, flags=re.MULTILINE)[0]


def rows(text):
    """The cells of the rows of its tables, without their headings."""
    lines = [line[1:-1].split("|") for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    rules = [number for number, line in enumerate(cells) if set("".join(line)) <= {"-"}]
    headings = {number - 1 for number in rules}
    return [line for n, line in enumerate(cells) if n not in headings | set(rules)]


def quoted(text):
    return re.findall(r"`([^`]+)`", text)


ATTRIBUTES = {row[0]: row[1:] for row in rows(section("What is written").split("###")[0])}


@pytest.fixture(scope="module", params=list(REAL))
def derived(request, test_data, tmp_path_factory):
    """Instances derived from a real series: as a site without and with choices writes them."""
    (series,) = find_series(test_data / "dicom" / REAL[request.param]).series
    return [
        written(stack(series), options, tmp_path_factory.mktemp("derived"))
        for options in (SeriesOptions(), ALL_OPTIONS)
    ]


def written(source, options, folder):
    earlier = ("1.2.3",) if options is ALL_OPTIONS else ()
    derivation = Derivation(
        *("flair", "image", "hagan-clinic", "1", "t1_to_flair", "0" * 64, "none", "x", "CC0-1.0"),
        supersedes=earlier,
    )
    array = np.zeros(source.grid.shape, np.float32)
    now = datetime.fromisoformat("2024-03-02T10:20:30+01:00")
    return pydicom.dcmread(write_series(array, source, derivation, options, folder, now=now)[2])


def paths(dataset, before=""):
    """Path and element of everything in it; codes count as one."""
    for element in dataset:
        path = before + element.keyword
        yield path, element
        if element.VR == "SQ" and element.keyword not in PATIENT_AND_STUDY:
            for item in element.value:
                if "CodeValue" not in item:
                    yield from paths(item, f"{path} > ")


def test_what_real_series_give_is_listed(derived):
    for instance in derived:
        told = {path for path, _ in paths(instance)}
        assert told - set(PATIENT_AND_STUDY) <= ATTRIBUTES.keys()
    assert {"InstitutionCodeSequence", "StationName"} <= {path for path, _ in paths(derived[1])}


def test_what_is_listed_is_given_as_often_as_it_says(derived):
    for path, (_, _, _, presence, _, _) in ATTRIBUTES.items():
        if presence == "ANAP":
            continue
        for instance in derived:
            found = [element for name, element in paths(instance) if name == path]
            assert found, path
            if presence == "ALWAYS":
                assert not any(element.is_empty for element in found), path
            if presence == "EMPTY":
                assert all(element.is_empty for element in found), path


def test_fixed_values_are_those_written(derived):
    for path, (_, _, _, _, source, told) in ATTRIBUTES.items():
        if source != "FIXED" or not told.startswith("`"):
            continue
        for instance in derived:
            first = next(element for name, element in paths(instance) if name == path)
            value = first.value
            parts = value if isinstance(value, pydicom.multival.MultiValue) else [value]
            assert "\\".join(map(str, parts)) == quoted(told)[0], path


def test_every_fixed_attribute_of_the_writer_is_listed_as_fixed():
    for keyword in (*attributes.FIXED, *attributes.EMPTY):
        assert ATTRIBUTES[keyword][4] == "FIXED", keyword
        assert (ATTRIBUTES[keyword][3] == "EMPTY") == (keyword in attributes.EMPTY)


def test_tags_representations_and_types_are_those_of_the_standard():
    modules = json.loads(pkgutil.get_data("highdicom", "_standard/iod_module_map.json"))
    table = json.loads(pkgutil.get_data("highdicom", "_standard/module_attribute_map.json"))
    for path, (tag, vr, kind, *_) in ATTRIBUTES.items():
        *parents, keyword = path.split(" > ")
        number = tag_for_keyword(keyword)
        assert tag == f"({number >> 16:04X},{number & 0xFFFF:04X})", path
        assert vr in dictionary_VR(number), path
        types = [
            row["type"]
            for module in modules["mr-image"]
            for row in table[module["key"]]
            if (row["path"], row["keyword"]) == (parents, keyword) and row["type"]
        ]
        # The tables are older than InstitutionCodeSequence in General Equipment.
        assert kind == (min(types) if keyword != "InstitutionCodeSequence" else "3"), path


def test_the_attributes_of_patient_and_study_are_those_that_are_copied():
    told = quoted(section("Patient and study"))
    assert sorted(set(told) - {"1,78"}) == sorted(PATIENT_AND_STUDY)


def test_what_is_never_copied_is_not(test_data, tmp_path):
    never = quoted(section("Never copied"))
    assert len(never) > 40
    (series,) = find_series(test_data / "dicom" / REAL["brainix"]).series
    for instance in series.instances:
        for keyword in set(never) - {"ModalityLUTSequence"}:
            vr = dictionary_VR(keyword).split(" ")[0]
            value = {"SQ": [pydicom.Dataset()], "US": 1, "FD": 1.0, "OB": b"1"}.get(vr, "1")
            if keyword not in instance.header:
                instance.header.add_new(tag_for_keyword(keyword), vr, value)
    result = written(stack(series), SeriesOptions(), tmp_path)
    assert not {path for path, _ in paths(result)} & set(never)
    assert not [e for e in result.iterall() if e.tag.is_private or 0x5000 <= e.tag.group < 0x7000]


def test_the_transfer_syntaxes_are_those_that_are_read(derived):
    told = {row[1]: row for row in rows(section("Transfer syntaxes"))}
    image = {"Rows": 2, "Columns": 2, "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}
    header = pydicom.Dataset()
    for keyword, value in {**image, "PixelRepresentation": 0, "SamplesPerPixel": 1}.items():
        setattr(header, keyword, value)
    header.PhotometricInterpretation = "MONOCHROME2"
    header.file_meta = pydicom.dataset.FileMetaDataset()
    for uid in [uid for uid, facts in UID_dictionary.items() if facts[1] == "Transfer Syntax"]:
        header.file_meta.TransferSyntaxUID = UID(uid)
        try:
            describe(header)
        except InputError as error:
            assert "is compressed as" in str(error)
            assert uid not in told, uid
        else:
            assert told[uid][2] == "yes", uid
            extra = bool(_PLUGINS[uid][1]) if uid in _PLUGINS else False
            assert told[uid][4:] == (["`dicom-codecs`"] if extra else [""]), uid
    assert [uid for uid in told if told[uid][3] == "yes"] == [
        derived[0].file_meta.TransferSyntaxUID
    ]


def test_the_sop_classes_are_those_that_are_read_and_written():
    told = rows(section("SOP classes"))
    assert [row[1] for row in told if row[2] == "yes"] == list(headers.MR_STORAGE)
    assert [row[1] for row in told if row[3] == "yes"] == [
        attributes.FIXED["SOPClassUID"],
        KeyObjectSelectionDocumentStorage,
    ]
    for name, uid, *_ in told:
        assert UID(uid).name == name


def test_the_character_sets_are_those_that_are_read():
    told = set(quoted(section("Character sets"))) - {"ISO 2022 IR"}
    extended = {name.replace("ISO_IR", "ISO 2022 IR") for name in told - {"ISO_IR 192"}}
    known = {name for name in pydicom.charset.python_encoding if name} - {
        *("ISO_IR 6", "ISO 2022 IR 6"),  # the default repertoire
        *("ISO 2022 GBK", "ISO 2022 58"),  # misspelt
    }
    assert told | extended == known


def test_the_uids_and_codes_are_those_written(derived):
    scheme = section("Private coding scheme")
    assert fixed_uid("coding scheme") in scheme and attributes.CODING_SCHEME in scheme
    codes = [(row[0], row[1]) for row in rows(scheme)]
    assert codes == [*attributes._DERIVATIONS.values(), attributes.SUPERSEDED]
    meta = derived[0].file_meta
    assert meta.ImplementationClassUID in section("What is written")
    assert meta.ImplementationVersionName in section("What is written")


def test_the_choices_of_a_site_are_those_of_the_table():
    told = [quoted(row[0])[0] for row in rows(section("Configuration"))]
    assert told == [field.name for field in fields(SeriesOptions)]


REFUSALS = [quoted(row[0])[0] for row in rows(section("Refusals"))]


def words(node):
    """The fixed words of a string."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "·".join(str(part.value) for part in parts if isinstance(part, ast.Constant))


def is_text(node):
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def messages(module):
    """The words of every error that a module raises, or of every reason that it returns."""
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        told = None
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            told = node.exc.args[0]
        elif module == "choice" and isinstance(node, ast.Return):
            told = node.value
        if is_text(told) and len(words(told).strip("·: ")) > 3:
            yield words(told)


@pytest.mark.parametrize("module", ["geometry", "mixture", "planes", "enhanced"])
def test_every_refusal_of_the_geometry_gate_is_listed(module):
    found = list(messages(module))
    assert found
    for message in found:
        assert [name for name in REFUSALS if name in message], message


def test_every_refusal_that_is_listed_exists():
    trees = [ast.parse(path.read_text()) for path in PACKAGE.glob("*.py")]
    found = [words(node) for tree in trees for node in ast.walk(tree) if is_text(node)]
    for name in REFUSALS:
        assert [text for text in found if name in text], name


def test_what_a_series_is_refused_for_is_listed():
    choosing = ("series", "found no", "given")  # of several, or of none
    for message in messages("choice"):
        if not any(word in message for word in choosing):
            assert [name for name in REFUSALS if name in message], message


def test_what_tells_of_contrast_agent_is_listed():
    told = set(quoted(section("Refusals")))
    assert {*AGENT_FIELDS, *CIRCUMSTANCES, *agent.SEQUENCES} <= told
    for name in (*AGENT_FIELDS, *CIRCUMSTANCES):
        assert tag_for_keyword(name), name
    assert {name for name in told if name.startswith("Contrast")} == {
        *(*AGENT_FIELDS, *CIRCUMSTANCES, *agent.SEQUENCES, "ContrastBolusUsageSequence"),
        *("ContrastBolusAgentAdministered", "ContrastBolusAgentDetected"),
    }
    for value in ("NONE", "NO", "nativ", "ohne KM"):
        assert value in told and agent_given(value) is None


def test_the_limits_are_those_of_the_code():
    text = section("Refusals")
    assert f"more than {headers.MAX_HEADER // 2**20} MiB or {headers._MAX_READS // 2} el" in text
    assert f"more than {headers.MAX_HEADERS // 2**20} MiB of headers" in text
    assert f"more than {archive.MAX_MEMBERS} files or {archive.MAX_BYTES // 2**30} GiB" in text
    assert f"at most {MAX_VOXELS} voxels" in text
    assert f"fewer than {choice.MIN_SLICES} slices" in text
    covers = (
        f"{choice.GUESS_COVERS_MM:g} mm each way with pixels up to {choice.GUESS_PIXEL_MM:g} mm"
    )
    assert covers in text
    assert "under {:g} mm or over {:g} mm".format(*planes.VOXEL_MM) in text


def test_the_statement_is_linked_from_the_documentation():
    assert "(../export/conformance.md)" in (ROOT / "docs" / "README.md").read_text()
