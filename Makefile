# `make demo` and `make test` do all their own set-up, in .venv. They need Python 3.10+, make and pip.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
RESULTS ?= build/gpu
PEERS := stock tembed liger index_add
SEED ?= 0
FUZZ ?= 2000
# What `make gpu` runs with: the machine's own Python, which has its own torch.
GPU_PYTHON ?= $(PYTHON)

.PHONY: help demo test parity fuzz sweep mutants check format gpu clean

help:
	@echo 'make demo    trains a small model twice, stock and tembed, and compares'
	@echo 'make test    the test suite: kernels in the interpreter, then the torch reference'
	@echo 'make parity  judges stock, tembed and others, and renews parity/results'
	@echo 'make fuzz    twenty thousand random configurations'
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
	  echo '== kernels, on the GPU'; $(RUN) -m pytest -n 8; \
	else \
	  echo '== kernels, in the interpreter'; TRITON_INTERPRET=1 $(RUN) -m pytest -n auto; \
	fi
	@echo '== torch reference, on the CPU'
	@CUDA_VISIBLE_DEVICES= TRITON_INTERPRET=0 $(RUN) -m pytest -n auto

# Liger's kernels need Triton, which runs on a CPU in its interpreter; peers fail, and that is what is to be seen.
parity: $(READY)
	TRITON_INTERPRET=1 $(RUN) -m tembed.parity compare $(PEERS) --under bounds \
	  --json parity/results/matrix.json --report parity/results/matrix.html || [ $$? = 1 ]

fuzz: $(READY)
	TRITON_INTERPRET=1 $(RUN) -m tembed.parity run --impl tembed --group fuzz --fuzz 20000 --seed $(SEED) \
	  --json parity/results/fuzz.json

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
# A step that fails is named in RESULTS/failed, and the others run all the same.
PARITY = $(GPU_PYTHON) -m tembed.parity
gpu: SHELL := bash
gpu: .SHELLFLAGS := -o pipefail -c
gpu: DEVICE = $(shell $(GPU_PYTHON) -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')
gpu: WORKERS = $(shell $(GPU_PYTHON) -c 'import xdist; print("-n", 8)' 2>/dev/null)
gpu: LIGER = $(shell $(GPU_PYTHON) -c 'import liger_kernel; print("liger")' 2>/dev/null)
gpu:
	@mkdir -p $(RESULTS)
	@rm -f $(RESULTS)/failed
	$(GPU_PYTHON) -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(GPU_PYTHON) -m tembed 2>&1 | tee $(RESULTS)/selfcheck.txt || echo selfcheck >> $(RESULTS)/failed
	$(PARITY) run --impl tembed --device $(DEVICE) --jobs 8 --without device --json $(RESULTS)/parity_tembed.json 2>&1 \
	  | tee $(RESULTS)/parity_tembed.txt || echo parity >> $(RESULTS)/failed
	$(PARITY) compare stock $(RESULTS)/parity_tembed.json $(LIGER) index_add --device $(DEVICE) --jobs 8 --without device \
	  --json $(RESULTS)/parity.json --report $(RESULTS)/parity.html 2>&1 | tee $(RESULTS)/parity.txt \
	  || [ $$? = 1 ] || echo compare >> $(RESULTS)/failed
	[ $(DEVICE) = cpu ] || $(PARITY) run --impl tembed --device $(DEVICE) --jobs 1 --group device \
	  --json $(RESULTS)/parity_device.json 2>&1 | tee $(RESULTS)/parity_device.txt || echo parity_device >> $(RESULTS)/failed
	$(PARITY) run --impl tembed --device $(DEVICE) --jobs 8 --group fuzz --fuzz $(FUZZ) \
	  --json $(RESULTS)/fuzz.json 2>&1 | tee $(RESULTS)/fuzz.txt || echo fuzz >> $(RESULTS)/failed
	$(GPU_PYTHON) -m pytest -rs $(WORKERS) --junitxml=$(RESULTS)/tests.xml 2>&1 | tee $(RESULTS)/tests.txt \
	  || echo tests >> $(RESULTS)/failed
	$(GPU_PYTHON) -m tembed.bench.call_time --json $(RESULTS)/call_time.json || echo call_time >> $(RESULTS)/failed
	$(GPU_PYTHON) -m tembed.bench.demo --picture $(RESULTS)/demo.png 2>&1 | tee $(RESULTS)/demo.txt \
	  || echo demo >> $(RESULTS)/failed
	if [ $(DEVICE) = cuda ] && command -v compute-sanitizer; then for tool in memcheck racecheck initcheck; do \
	  PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool $$tool --target-processes all --error-exitcode 9 \
	    $(PARITY) run --impl tembed --device cuda --jobs 1 --case '*/values/*' 2>&1 \
	    | tee $(RESULTS)/sanitizer_$$tool.txt || echo $$tool >> $(RESULTS)/failed; done; fi
	@! test -s $(RESULTS)/failed || { echo 'failed:'; cat $(RESULTS)/failed; exit 1; }

clean:
	rm -rf $(VENV) build dist *.egg-info demo*.png
