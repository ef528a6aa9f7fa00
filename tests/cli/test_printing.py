import json
import re
from pathlib import Path

import pydicom
import pytest
from click.testing import CliRunner

import hagan_clinic.cli
from hagan_clinic.cli import main
from hagan_clinic.cli.evaluate.reporting import show
from hagan_clinic.cli.printing import show_table
from hagan_clinic.evaluation.tables import Table

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


def lines_of(table, capsys, monkeypatch, columns=None, **options):
    """A table as it is printed in so many columns, or into a pipe."""
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", str(columns))
    show_table(*table, **options)
    return capsys.readouterr().out.splitlines()


PATIENTS = (
    ["patient", "file", "fault"],
    [["p1", "/data/" + "long/" * 12 + "t1.nii.gz", "is not\nas [bold]expected[/] here, " * 4]] * 2,
)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table_holds_at_any_width_and_nothing_is_cut_off(columns, capsys, monkeypatch):
    lines = lines_of(PATIENTS, capsys, monkeypatch, columns)
    assert max(map(len, lines)) <= columns
    assert "…" not in "".join(lines)
    letters = re.sub(r"\s", "", "".join(lines))
    for cell in PATIENTS[1][0]:
        for letter in set(cell) - {"\n", " "}:
            least = sum(text.count(letter) for row in PATIENTS[1] for text in row)
            assert letters.count(letter) >= least, letter


def test_a_table_in_a_pipe_has_each_row_in_a_line(capsys, monkeypatch):
    header, ((*cells, _), _) = PATIENTS
    lines = lines_of((header[:2], [cells] * 2), capsys, monkeypatch)
    assert [line.split() for line in lines[2:]] == [cells] * 2


def test_what_has_to_be_copied_is_never_broken(capsys, monkeypatch):
    name = "TCGA_CS_4941_19960909"
    table = (["name", "why"], [[name, "is no T1 by its timing"]])
    assert name in "\n".join(lines_of(table, capsys, monkeypatch, 32))
    assert name not in "\n".join(lines_of(table, capsys, monkeypatch, 32, loose=["name"]))


def test_where_columns_are_narrower_than_words_each_row_is_a_block(capsys, monkeypatch):
    table = (
        [f"heading{n}" for n in range(8)],
        [[f"value{n}{row}" for n in range(8)] for row in "ab"],
    )
    lines = lines_of(table, capsys, monkeypatch, 70)
    assert lines[-1] == "", "a block ends with an empty line"
    assert ["heading7", "value7a"] in [line.split() for line in lines]
    assert len(lines_of(table, capsys, monkeypatch, 80)) == 4  # header, rule, rows


def test_every_command_prints_its_tables_by_the_one_function():
    for path in Path(hagan_clinic.cli.__file__).parent.rglob("*.py"):
        if path.name != "printing.py":
            assert "from rich.table import Table" not in path.read_text(), path


@pytest.mark.parametrize(
    "words",
    [
        ["models"],
        ["models", "t1_to_flair"],
        ["doctor"],
        ["summary", "--mode", "unconditional", "--size", "64"],
    ],
    ids=" ".join,
)
def test_the_tables_of_commands_hold_in_80_columns(words):
    result = CliRunner(env={"COLUMNS": "80"}).invoke(main, words)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "…" not in result.stdout


def test_the_series_of_a_spool_can_be_copied_in_80_columns(tmp_path, monkeypatch):
    pytest.importorskip("pynetdicom")
    from hagan_clinic.node.spool import Spool

    spool = Spool(tmp_path / "spool")
    name = spool.name_of("1.2")
    (spool.root / "failed" / name / "source").mkdir(parents=True)
    reason = "is contrast-enhanced (its header has ContrastBolusAgent), expected a scan without"
    (spool.root / "failed" / name / "record.json").write_text(json.dumps({"reason": reason}))
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["spool", "show", "--spool", spool.root])
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert name in shown.stdout
    assert "ContrastBolusAgent" in re.sub(r"\s", "", shown.stdout)


def test_a_wide_table_of_an_evaluation_is_read_in_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    header = ["model", *(f"metric {n} [95 % interval]" for n in range(8)), "worst"]
    row = ["t1_to_flair", *(f"{n}.123 [0.100, 0.200]" for n in range(8)), "TCGA_CS_4941_19960909"]
    show([Table("Metrics", header, [row, row], "Of 12 patients.")])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert ["worst", "TCGA_CS_4941_19960909"] in [line.split() for line in lines]
    assert "Of 12 patients." in lines
