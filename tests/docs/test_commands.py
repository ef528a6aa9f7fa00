"""The command lines of the README and the docs.

A fence that opens with ```` ```bash runnable ```` is run, the fences of one page one after the
other in one folder that holds `examples/`; `runnable slow` marks a page whose commands take long.
Every `hagan-clinic` line, runnable or not, must name a command and options that exist.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from hagan_clinic.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
FENCE = re.compile(r"^```bash(?P<words>[a-z ]*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)


def fences(page):
    return [(match["words"].split(), match["text"]) for match in FENCE.finditer(page.read_text())]


def named(page):
    return page.relative_to(ROOT).as_posix()


def runnable_pages():
    for page in PAGES:
        words = {word for words, _ in fences(page) if "runnable" in words for word in words}
        if words:
            marks = [pytest.mark.slow] if "slow" in words else []
            yield pytest.param(page, id=named(page), marks=marks)


def command_lines():
    for page in PAGES:
        for _, text in fences(page):
            for line in text.replace("\\\n", " ").splitlines():
                if line.strip().startswith("hagan-clinic"):
                    yield pytest.param(line.strip(), id=f"{named(page)}: {line.split('#')[0]}")


@pytest.mark.parametrize("page", list(runnable_pages()))
def test_the_commands_of_a_page_run(page, tmp_path, request):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    script = "\n".join(text for words, text in fences(page) if "runnable" in words)
    if "HAGAN_TEST_DATA" in script:
        request.getfixturevalue("test_data")  # which skips where there is none
    here = str(Path(sys.executable).parent)
    outcome = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": here + os.pathsep + os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize("line", list(command_lines()))
def test_a_command_line_names_a_command_and_options_that_exist(line):
    arguments = shlex.split(line, comments=True)[1:]
    command, context = main, click.Context(main, info_name="hagan-clinic")
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name = arguments.pop(0)
        command = command.get_command(context, name)
        assert command is not None, f"there is no command {name!r}"
        context = click.Context(command, parent=context, info_name=name)
    command.make_parser(context).parse_args(arguments)


def test_the_pages_link_to_files_that_exist():
    broken = [
        f"{named(page)}: {target}"
        for page in PAGES
        for target in LINK.findall(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_index_links_to_every_page():
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / target).resolve() for target in LINK.findall(index.read_text())}
    assert set((ROOT / "docs").rglob("*.md")) - {index} <= linked
