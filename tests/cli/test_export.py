import pytest
from click.testing import CliRunner

from hagan_clinic import onnx_export
from hagan_clinic.cli import main


@pytest.mark.parametrize(
    ("output", "code", "message"),
    [
        ("model.bin", 6, "has .bin, expected .onnx"),
        ("there.onnx", 6, "there.onnx: exists already; choose another path or --overwrite"),
        ("new.onnx", 4, "is not a run folder"),
    ],
)
def test_what_cannot_be_exported_is_named_and_leaves_no_file(tmp_path, output, code, message):
    (tmp_path / "there.onnx").write_bytes(b"kept")
    result = CliRunner().invoke(main, ["export", str(tmp_path), "-o", str(tmp_path / output)])
    assert result.exit_code == code
    assert message in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]
    assert (tmp_path / "there.onnx").read_bytes() == b"kept"


@pytest.mark.parametrize(("checked", "warned"), [(("random",), True), (("random", "real"), False)])
def test_a_file_checked_on_no_scan_is_warned_of(tmp_path, monkeypatch, checked, warned):
    def exported(run, output, **options):
        output.write_bytes(b"model")
        return onnx_export.Exported(output, 1, 0.0, checked)

    monkeypatch.setattr(onnx_export, "export_run", exported)
    (tmp_path / "config.json").write_text("{}")
    result = CliRunner().invoke(main, ["export", str(tmp_path), "-o", str(tmp_path / "m.onnx")])
    assert result.exit_code == 0
    assert ("checked on random input alone" in result.stderr) == warned
