"""Output and exit codes of the command line, for good and bad requests."""

from __future__ import annotations

import errno
import logging

import pytest

from nucleosynth.cli import demo, main
from nucleosynth.errors import InputError, WorkError

COMMANDS = [
    ["demo"],
    ["data", "import"],
    ["data", "verify"],
    ["data", "show"],
    ["data", "split"],
    ["data", "merge"],
    ["data", "export"],
    ["data", "phantom"],
    ["segment"],
    ["train"],
    ["train", "segmenter"],
    ["train", "prior"],
    ["sample"],
    ["preview"],
    ["classify"],
    ["evaluate", "fidelity"],
    ["evaluate", "masks"],
    ["evaluate", "memorization"],
    ["study", "plan"],
    ["study", "run"],
    ["study", "status"],
    ["study", "report"],
    ["study", "compare"],
]


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr; nothing may be on stdout."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("nucleosynth: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_shows_an_example_of_its_own_command(command, capsys):
    assert main([*command, "--help"]) == 0
    assert f"    nucleosynth {' '.join(command)} " in capsys.readouterr().out


def test_the_root_help_names_every_command_and_debug(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(command[0] in text for command in COMMANDS)
    assert "--debug" in text


def test_version(capsys):
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"nucleosynth {version('nucleosynth')}\n"


def test_an_unknown_command_names_the_nearest(capsys):
    assert main(["stduy", "run"]) == 2
    assert '"study"' in error_line(capsys)


def test_an_unknown_option_names_the_nearest(capsys):
    assert main(["demo", "--sed", "3"]) == 2
    assert "--seed" in error_line(capsys)


def test_a_missing_option_is_named(capsys):
    assert main(["study", "run", "study.yaml"]) == 2
    assert "--out" in error_line(capsys)


def test_a_value_of_the_wrong_kind_is_named(capsys):
    assert main(["demo", "--seed", "many"]) == 2
    assert '"many"' in error_line(capsys)


def test_a_missing_tileset_is_one_line(tmp_path, capsys):
    assert main(["data", "verify", str(tmp_path / "none")]) == 2
    assert "none" in error_line(capsys)


@pytest.fixture
def failing_demo(monkeypatch):
    """Let ``nucleosynth demo`` meet a given error when it reads its device option's type."""

    def install(error: BaseException) -> None:
        def fail(**_: object) -> None:
            raise error

        app = type(demo.app)(name="demo", default_command=fail)
        monkeypatch.setattr(demo, "app", app)

    return install


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (InputError("table.csv: no column `uid`"), 2, "table.csv: no column `uid`"),
        (WorkError("loss is not a number\nat step 3"), 1, "loss is not a number at step 3"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), 1, "runs/x: disk full; free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "runs/x"), 1, "runs/x: Permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=["input", "work", "disk full", "permission", "interrupt"],
)
def test_errors_become_one_line_and_an_exit_code(error, code, text, failing_demo, capsys):
    failing_demo(error)
    assert main(["demo"]) == code
    assert text in error_line(capsys)


def test_debug_shows_the_traceback_wherever_it_stands(failing_demo):
    failing_demo(InputError("table.csv: no column `uid`"))
    for words in (["demo", "--debug"], ["--debug", "demo"]):
        with pytest.raises(InputError, match="no column"):
            main(words)


def test_away_from_a_terminal_only_warnings_reach_stderr(capsys):
    main(["--version"])
    capsys.readouterr()
    logging.getLogger("nucleosynth.training").info("step 10")
    logging.getLogger("nucleosynth.training").warning("one tile is blank")
    assert capsys.readouterr().err == "nucleosynth: WARNING: one tile is blank\n"
