"""The documentation: every command in it parses, and every study in it is one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cyclopts import CycloptsError, MissingArgumentError
from pydantic import ValidationError

import nucleosynth
from nucleosynth.cli.app import build_app
from nucleosynth.cli.settings import gather_settings
from nucleosynth.config import override, parse
from nucleosynth.data.readers import ImportConfig
from nucleosynth.diffusion.config import DistillConfig
from nucleosynth.errors import InputError
from nucleosynth.study.design.config import StudyConfig
from tests.places import ROOT

NOTEBOOK = ROOT / "docs" / "notebook.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*nucleosynth (.+)$", re.MULTILINE)
MENTION = re.compile(r"`nucleosynth ([^`]+)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)")

APP = build_app()
WRONG = (CycloptsError, ValueError, InputError)


def commands(text: str) -> Iterator[str]:
    """What follows ``nucleosynth`` on the command lines of fenced blocks, continued lines joined."""
    for language, block in FENCE.findall(text):
        if language in ("", "sh", "bash", "console"):
            yield from COMMAND.findall(block.replace("\\\n", " "))


def mentions(text: str) -> Iterator[str]:
    """Commands within a sentence, which may leave out their arguments."""
    yield from MENTION.findall(FENCE.sub("", text))


def studies(text: str) -> Iterator[dict[str, object]]:
    """YAML blocks that state what data to read; all other YAML is a part of a file."""
    for language, block in FENCE.findall(text):
        content = yaml.safe_load(block) if language in ("yaml", "yml") else None
        if isinstance(content, dict) and "data" in content:
            yield content


def check(command: str, *, whole: bool = True) -> None:
    """Raise where the verb, an option, a setting or its value is not known."""
    words = gather_settings(shlex.split(command, comments=True))
    whole = whole and "--help" not in words
    try:
        APP.parse_args(words, print_error=False, exit_on_error=False)
    except MissingArgumentError as error:
        if whole or error.unused_tokens:
            raise
    if whole and APP.parse_commands(words)[1][-1].default_command is None:
        raise ValueError(f"{command}: a verb is missing")
    check_settings([word.removeprefix("--set=") for word in words if word.startswith("--set=")])


def check_settings(settings: list[str]) -> None:
    """Raise where a setting is none of a study or of `distill`; what is left out does not matter."""
    nested = override({}, settings)
    try:
        DistillConfig.model_validate(nested.pop("distill", {}))
        StudyConfig.model_validate(nested)
    except ValidationError as error:
        absent = ("missing", "name_missing")
        wrong = [e for e in error.errors(include_url=False) if e["type"] not in absent]
        if wrong:
            raise ValueError(f"{wrong[0]['loc']}: {wrong[0]['msg']}") from None


def check_study(content: dict[str, object]) -> None:
    """Raise InputError where a block is neither a whole study nor its sections `data` and `tiles`."""
    only_import = set(content) <= {"data", "tiles"}
    parse(ImportConfig if only_import else StudyConfig, content, source="page")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_parse(page):
    text = page.read_text(encoding="utf-8")
    for command in commands(text):
        try:
            check(command)
        except WRONG as error:
            pytest.fail(f"{page.name}: nucleosynth {command}\n{error}")
    for command in mentions(text):
        try:
            check(command, whole=False)
        except WRONG as error:
            pytest.fail(f"{page.name}: `nucleosynth {command}`\n{error}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_studies_parse(page):
    for content in studies(page.read_text(encoding="utf-8")):
        check_study(content)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    missing = [link for link in LINK.findall(page.read_text("utf-8")) if not (page.parent / link).exists()]
    assert not missing


def test_pages_hold_what_is_checked():
    texts = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
    for name in texts.keys() - {
        "architecture.md",
        "benchmarks.md",
        "diffusion.md",
        "glossary.md",
        "notebook.md",
    }:
        assert len(list(commands(texts[name]))) >= 2, name
    assert any("arms" in content for content in studies(texts["study.md"]))


@pytest.mark.slow
def test_the_cells_of_the_notebook_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = [cell for language, cell in FENCE.findall(NOTEBOOK.read_text("utf-8")) if language == "python"]
    assert len(cells) >= 6
    names: dict[str, Any] = {}
    for cell in cells:
        exec(compile(cell, str(NOTEBOOK), "exec"), names)
    assert names["images"].shape == (8, 32, 32, 3)
    assert len(list(Path("runs/images").iterdir())) == 8
    assert names["tiles"]._repr_html_()


def test_the_notebook_page_names_every_public_name():
    text = NOTEBOOK.read_text("utf-8")
    assert not [name for name in nucleosynth.__all__ if not re.search(rf"\b{name}\b", text)]


@pytest.mark.parametrize(
    "command",
    [
        "data improt --out runs/tiles",
        "data",
        "data show runs/tiles",
        "study run study.yaml --out runs/a --sed 3",
        "train runs/tiles --split s.json --out runs/g --generator.step 20",
        "train runs/tiles --split s.json --out runs/g --generator.steps many",
        "data import --data.reader folder --data.dataste lab --out runs/tiles",
        "data split runs/tiles --out s.json --split.fractions",
    ],
)
def test_wrong_command_is_found(command):
    with pytest.raises(WRONG):
        check(command)


def test_wrong_commands_are_found_where_they_stand():
    text = "Use `nucleosynth trian`.\n```\n$ nucleosynth data split runs/a \\\n  --otu s.json\nfold 0\n```\n"
    (command,) = commands(text)
    assert command.split() == ["data", "split", "runs/a", "--otu", "s.json"]
    assert list(mentions(text)) == ["trian"]
    for wrong in (command, "trian"):
        with pytest.raises(WRONG):
            check(wrong, whole=False)


def test_wrong_study_is_found():
    (content,) = studies("```yaml\nname: a\ndata: {reader: phantom}\nsplit: {fractions: [0.5, 0.5]}\n```\n")
    with pytest.raises(InputError, match="fractions"):
        check_study(content)
