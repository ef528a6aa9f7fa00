import json
import re
from pathlib import Path

import pydicom
import pytest
from click.testing import CliRunner

import hagan_clinic.cli
from hagan_clinic.cli import main

EVIL = "\x1b]0;owned\x07\x1b[2J\u202e"


def printed(*arguments):
    result = CliRunner(env={"COLUMNS": "300"}).invoke(main, [*map(str, arguments)])
    return result.stdout + result.stderr


def assert_fit_for_a_terminal(text):
    assert r"\x1b]0;owned\x07\x1b[2J\u202e" in text
    assert [one for one in text if not one.isprintable() and one != "\n"] == []


def test_every_command_prints_by_the_one_function_that_makes_text_printable():
    files = Path(hagan_clinic.cli.__file__).parent.rglob("*.py")
    others = [path for path in files if path.name != "printing.py"]
    assert len(others) > 20
    for path in others:
        assert not re.search(r"(?<!\.)\bprint\(|click\.s?echo|map\(Text", path.read_text()), path


def test_a_file_name_in_an_error_cannot_write_over_the_terminal(tmp_path):
    (tmp_path / EVIL).mkdir()
    assert_fit_for_a_terminal(printed("inspect", tmp_path / EVIL))
    assert_fit_for_a_terminal(printed("models", f"{EVIL}.onnx"))


@pytest.mark.parametrize("keyword", ["SeriesDescription", "ProtocolName"])
def test_a_header_cannot_write_over_the_terminal(test_data, tmp_path, keyword):
    for path in sorted((test_data / "dicom/sag_mprage").glob("*.dcm"))[:6]:
        scan = pydicom.dcmread(path)
        scan.SpecificCharacterSet = "ISO_IR 192"
        scan.SeriesDescription = scan.ProtocolName = "T2"
        setattr(scan, keyword, f"{EVIL} T2")
        scan.save_as(tmp_path / path.name)
    text = printed("inspect", tmp_path)
    assert "T2" in text
    assert [one for one in text if not one.isprintable() and one != "\n"] == []
    if keyword == "SeriesDescription":
        assert_fit_for_a_terminal(text)


def test_a_model_cannot_write_over_the_terminal(make_generator, tmp_path):
    card = {"name": f"toy{EVIL}", "licence": "CC0-1.0", "failures": [f"It{EVIL} fails."]}
    path = make_generator(tmp_path / "evil.onnx", metadata={"hagan_clinic.card": json.dumps(card)})
    assert_fit_for_a_terminal(printed("models", path))


def test_the_spool_cannot_write_over_the_terminal(tmp_path):
    pytest.importorskip("pynetdicom")
    from hagan_clinic.node.spool import Spool

    spool = Spool(tmp_path / "spool")
    folder = spool.root / "failed" / spool.name_of("1.2")
    (folder / "source").mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps({"reason": f"is {EVIL}"}))
    assert_fit_for_a_terminal(printed("spool", "show", "--spool", spool.root))
