# Run from anywhere: make -C path/to/stsr demo
PYTHON ?= python3
BIN := .venv/bin
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format docs clean

help:
	@echo "make demo     upscale tests/data/demo.mp4 4x in space and 2x in time"
	@echo "make test     run the test suite (all but the tests marked gpu or slow)"
	@echo "make lint     check style and types"
	@echo "make format   rewrite the code in the project's style"
	@echo "make docs     write the README's help blocks anew"
	@echo "make clean    delete build output, caches and the demo's result (.venv stays)"

demo: .venv/.stamp
	$(BIN)/stsr upscale tests/data/demo.mp4 demo_4x_2x.mp4 -y
	@echo "The result is $(CURDIR)/demo_4x_2x.mp4"

test: .venv/.stamp
	$(BIN)/python -m pytest

lint: .venv/.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.stamp
	$(BIN)/python tests/test_docs.py

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis demo_4x_2x.mp4
	find stsr_cli tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so that an interrupted set-up starts again.
.venv/.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.exit(0 if sys.version_info >= (3, 11) else "stsr needs Python 3.11 or newer, but $(PYTHON) is " + v + "; say which to use: make PYTHON=python3.11")'
	@echo "Setting up .venv; the first time this downloads PyTorch and takes some minutes"
	$(PYTHON) -m venv .venv
	$(BIN)/python -u -m pip install --disable-pip-version-check -c constraints.txt -e '.[train,dev]' \
		| awk '/Downloading|Building|Installing|Successfully/ { print; fflush() }'
	@touch $@
