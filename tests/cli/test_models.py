import hashlib
import json

import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.runtime import library


@pytest.fixture
def bundled(tmp_path, monkeypatch, make_generator):
    """An installation with the one model `toy`."""
    folder = tmp_path / "models" / "toy"
    folder.mkdir(parents=True)
    path = make_generator(folder / "toy.onnx")
    (folder / "SHA256").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  toy.onnx\n")
    monkeypatch.setattr(library, "INSTALLED", tmp_path / "models")
    monkeypatch.setattr(library, "CHECKOUT", tmp_path / "export")
    return path


def _run(*arguments):
    return CliRunner().invoke(main, ["models", *arguments])


def test_list_names_model_sequences_and_licence(bundled):
    result = _run()
    assert result.exit_code == 0
    for word in ("toy", "t1 → flair", "2 × 2 × 2 mm", "CC0-1.0"):
        assert word in result.stdout


def test_card_tells_licence_and_sha256(bundled):
    result = _run("toy")
    assert result.exit_code == 0
    assert "A toy." in result.stdout
    assert "CC0-1.0" in result.stdout
    assert hashlib.sha256(bundled.read_bytes()).hexdigest() in result.stdout


def test_card_tells_every_known_failure_on_a_line_of_its_own(tmp_path, make_generator):
    cases = ["Lesions are missing.", "Edges of stripped brains are blurred."]
    card = {"name": "toy", "licence": "CC0-1.0", "failures": cases}
    path = make_generator(tmp_path / "toy.onnx", metadata={"hagan_clinic.card": json.dumps(card)})
    lines = [line.strip() for line in _run(str(path)).stdout.splitlines()]
    second = lines.index(cases[1])
    assert lines[second - 1].split(maxsplit=1) == ["failures", cases[0]]
    assert json.loads(_run(str(path), "--json").stdout)["failures"] == cases


def test_a_generator_of_an_unconditional_run_has_a_card_too(random_parts):
    result = _run(str(random_parts["generator"]), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["kind"] == "generator"


@pytest.mark.parametrize("arguments", [[], ["toy"]])
def test_json_holds_the_same_facts(bundled, arguments):
    told = json.loads(_run(*arguments, "--json").stdout)
    (facts,) = told if isinstance(told, list) else [told]
    assert facts["licence"] == "CC0-1.0"
    assert facts["sources"] == ["t1"]
    assert facts["verified"] is False


@pytest.mark.parametrize("arguments", [[], ["toy"]])
def test_verification_of_the_published_files_succeeds(bundled, arguments):
    result = _run(*arguments, "--verify", "--json")
    assert result.exit_code == 0
    assert '"verified": true' in result.stdout


@pytest.mark.parametrize("arguments", [[], ["--verify"], ["toy"], ["--json"]])
def test_changed_model_is_an_error_with_code_four(bundled, arguments):
    content = bytearray(bundled.read_bytes())
    content[len(content) // 4] ^= 1
    bundled.write_bytes(content)
    result = _run(*arguments)
    assert result.exit_code == 4
    assert "damaged or was changed" in result.stderr


def test_unknown_name_is_an_error_with_code_four(bundled):
    result = _run("toys")
    assert result.exit_code == 4
    assert "No bundled model is called 'toys'; there is toy." in result.stderr


def test_a_licence_that_nobody_stated_is_told_in_words(tmp_path, make_generator):
    card = {"name": "toy", "licence": "NOASSERTION"}
    path = make_generator(tmp_path / "toy.onnx", metadata={"hagan_clinic.card": json.dumps(card)})
    assert "no licence stated" in _run(str(path)).stdout
    assert "NOASSERTION" not in _run(str(path)).stdout
    assert json.loads(_run(str(path), "--json").stdout)["licence"] == "NOASSERTION"
