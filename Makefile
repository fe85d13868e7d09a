# make demo, test, fast: each does all its own set-up on a fresh machine with Python >= 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOWEST := .venv-lowest
LOWEST_READY := $(LOWEST)/.ready

.PHONY: demo test fast test-lowest lint clean

demo: $(READY)
	$(BIN)/nucleosynth demo --out runs/demo

test: lint
	$(BIN)/python -m pytest

fast: $(READY)
	$(BIN)/python -m pytest -m "not slow"

# With the lowest versions that pyproject.toml states, in a venv of its own. torch and torchvision are those of
# constraints.txt: their other builds cost gigabytes.
test-lowest: $(LOWEST_READY)
	$(LOWEST)/bin/python -m pytest -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

$(LOWEST_READY): pyproject.toml constraints-lowest.txt
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install $$(grep -E '^torch(vision)?==' constraints.txt)
	$(LOWEST)/bin/python -m pip install -c constraints-lowest.txt -e ".[test]"
	touch $@

# torch comes first and alone: it is most of the download, and pip keeps it when the rest changes.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt torch torchvision
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
