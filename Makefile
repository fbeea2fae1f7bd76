# `make demo` and `make test` do all their own set-up, in .venv. They need Python 3.10+, make and pip.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
RESULTS ?= build/gpu
# What `make gpu` runs with: the machine's own Python, which has its own torch.
GPU_PYTHON ?= $(PYTHON)

.PHONY: help demo test sweep mutants check format gpu clean

help:
	@echo 'make demo    trains a small model twice, stock and tembed, and compares'
	@echo 'make test    the test suite: kernels in the interpreter, then the torch reference'
	@echo 'make sweep   the long tests, left out of make test'
	@echo 'make mutants faults put in on purpose, which the suite must notice'
	@echo 'make check   formatter, linter, type checker, direction of imports'
	@echo 'make format  formats the code'
	@echo 'make gpu     everything that a GPU can show, into RESULTS=dir'

# A Debian Python has no ensurepip; pip can then install itself from outside.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "tembed needs Python 3.10 or newer, this is " + sys.version)'
	$(PYTHON) -m venv --clear $(VENV) 2>/dev/null || { \
	  $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(RUN) install --quiet pip; }
	$(RUN) -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(READY)
	$(RUN) -m tembed.bench.demo

# The kernels natively where there is a GPU, in the interpreter elsewhere; then the CPU's reference.
test: $(READY)
	@if $(RUN) -c 'import torch, sys; sys.exit(not torch.cuda.is_available())'; then \
	  echo '== kernels, on the GPU'; $(RUN) -m pytest; \
	else \
	  echo '== kernels, in the interpreter'; TRITON_INTERPRET=1 $(RUN) -m pytest; \
	fi
	@echo '== torch reference, on the CPU'
	@CUDA_VISIBLE_DEVICES= TRITON_INTERPRET=0 $(RUN) -m pytest

sweep: $(READY)
	TRITON_INTERPRET=1 $(RUN) -m pytest -m slow

mutants: $(READY)
	$(RUN) tests/mutants.py

check: $(READY)
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(RUN) -m pytest tests/test_imports.py

format: $(READY)
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

# Kernels compile once for each shape of problem: pytest-xdist, where it is installed, spreads that over the cores.
gpu: SHELL := bash
gpu: .SHELLFLAGS := -o pipefail -c
gpu:
	@mkdir -p $(RESULTS)
	$(GPU_PYTHON) -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(GPU_PYTHON) -m tembed | tee $(RESULTS)/selfcheck.txt
	workers=$$($(GPU_PYTHON) -c 'import xdist; print("-n", 8)' 2>/dev/null); \
	  $(GPU_PYTHON) -m pytest -rs $$workers --junitxml=$(RESULTS)/tests.xml 2>&1 | tee $(RESULTS)/tests.txt
	$(GPU_PYTHON) -m tembed.bench.call_time --json $(RESULTS)/call_time.json
	$(GPU_PYTHON) -m tembed.bench.demo --picture $(RESULTS)/demo.png | tee $(RESULTS)/demo.txt

clean:
	rm -rf $(VENV) build dist *.egg-info demo*.png
