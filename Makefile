# Run from anywhere: make -C path/to/stsr demo
PYTHON ?= python3
BIN := .venv/bin
# Processes of the test suite, of one thread each.
JOBS ?= 2
PYTEST = -m pytest -n $(JOBS) --dist worksteal
# What pip says, without the packages that are here already.
PIP := $(BIN)/python -u -m pip install --disable-pip-version-check -c constraints.txt
SHOWN := | awk '/Downloading|Building|Installing|Successfully/ { print; fflush() }'
CHECKED = @$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.exit(0 if sys.version_info >= (3, 11) else "stsr needs Python 3.11 or newer, but $(PYTHON) is " + v + "; say which to use: make PYTHON=python3.11")'
# The unit and contract tests, and the end-to-end tests of every library that a bound is about.
FAST := tests/unit tests/contract $(addprefix tests/e2e/test_,$(addsuffix .py,\
	cli_errors compare eval geometry hints hub_download preview probe_estimate segments timing tracks train \
	upscale video_writer))
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-min test-windows lint format docs clean

help:
	@echo "make demo     upscale tests/data/demo.mp4 4x in space and 2x in time"
	@echo "make test     run the test suite (all but the tests marked gpu or slow)"
	@echo "make test-min run its fast part with the lowest versions that pyproject.toml allows"
	@echo "make test-windows  run tests in a Python that behaves as on Windows"
	@echo "make lint     check style and types"
	@echo "make format   rewrite the code in the project's style"
	@echo "make docs     write the README's help blocks anew"
	@echo "make clean    delete build output, caches and the demo's result (.venv stays)"

demo: .venv/.core
	$(BIN)/stsr upscale tests/data/demo.mp4 demo_4x_2x.mp4 -y
	@echo "The result is $(CURDIR)/demo_4x_2x.mp4"

test: .venv/.dev
	$(BIN)/python $(PYTEST)

test-min: .venv-min/.stamp
	SETUPTOOLS_USE_DISTUTILS=stdlib .venv-min/bin/python $(PYTEST) -W ignore::DeprecationWarning $(FAST)  # old packages' own

# Without the tests that say what another system does, or pull away files that are open.
test-windows: .venv/.dev
	$(BIN)/python -m pytest tests/test_windows.py
	SIMULATE_WINDOWS=1 PYTHONPATH=$(CURDIR)/tests/windows $(BIN)/python $(PYTEST) tests/unit \
		-m 'not gpu and not slow and not posix'

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32
	$(BIN)/mypy --platform darwin

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.dev
	$(BIN)/python tests/test_docs.py

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis demo_4x_2x.mp4
	find stsr_cli tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so that an interrupted set-up starts again.
.venv/.core: pyproject.toml constraints.txt
	$(CHECKED)
	@echo "Setting up .venv; the first time this downloads PyTorch and takes some minutes"
	$(PYTHON) -m venv .venv
	$(PIP) -e . $(SHOWN)
	@touch $@

.venv/.dev: .venv/.core
	$(PIP) -e '.[train,dev]' $(SHOWN)
	@touch $@

# Every lower bound of pyproject.toml, in an environment of its own, and the part of the suite that shows most.
.venv-min/.stamp: pyproject.toml tests/lower_bounds.py
	$(CHECKED)
	$(PYTHON) -m venv .venv-min
	$(PYTHON) tests/lower_bounds.py > .venv-min/constraints.txt
	.venv-min/bin/python -u -m pip install --disable-pip-version-check -c .venv-min/constraints.txt \
		-e '.[train,ray,webp,test]' $(SHOWN)
	@touch $@
