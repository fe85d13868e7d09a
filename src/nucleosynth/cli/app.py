"""The tree of commands, and the handling of their errors."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from importlib.metadata import version

from cyclopts import App, CycloptsError

from nucleosynth.cli import classifier, data, demo, evaluate, generator, layouts, nuclei, study
from nucleosynth.cli.progress import show_progress
from nucleosynth.cli.settings import gather_settings, settings_error
from nucleosynth.errors import NucleosynthError

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def build_app() -> App:
    """Build the app with all commands; their modules import nothing heavy until one is called."""
    app = App(
        name="nucleosynth",
        help="Make annotated H&E tiles with diffusion models; measure whether they help a classifier.\n\n"
        "For example::\n\n    nucleosynth demo --out runs/demo",
        help_epilogue="Every command takes --help, and --debug for the traceback behind an error.",
        help_format="plaintext",
        version=lambda: f"nucleosynth {version('nucleosynth')}",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for command in (demo.app, data.app, layouts.app, evaluate.app, study.app, generator.app):
        app.command(command)
    for verb in (nuclei.segment, generator.distill, generator.sample, generator.preview, classifier.classify):
        app.command(verb)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command; every error a user can cause or meet is one line on stderr."""
    words = [word for word in arguments if word != "--debug"]
    debug = len(words) < len(arguments)
    show_progress()
    try:
        build_app()(gather_settings(words))
    except KeyboardInterrupt:
        return _report("interrupted; run the same command to continue", INTERRUPTED)
    except CycloptsError as error:
        return _report(settings_error(str(error), words), 2)
    except NucleosynthError as error:
        if debug:
            raise
        return _report(str(error), error.exit_code)
    except OSError as error:
        if debug:
            raise
        return _report(_explain(error), 1)
    return 0


def _explain(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{where}disk full; free some space and run the same command again"
    return f"{where}{error.strerror or error}"


def _report(message: str, code: int) -> int:
    print(f"nucleosynth: error: {' '.join(message.split())}", file=sys.stderr)
    return code
