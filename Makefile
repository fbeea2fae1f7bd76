# `make demo` and `make test` do all their own set-up, in .venv. They need Python 3.10+, make and pip.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
RESULTS ?= build/gpu
SEED ?= 0
FUZZ ?= 5000
# What `make gpu` runs with: the machine's own Python, which has its own torch.
GPU_PYTHON ?= $(PYTHON)

.PHONY: help demo test parity tables fuzz sweep mutants check pyright format gpu clean

help:
	@echo 'make demo    trains a small model twice, stock and tembed, and compares'
	@echo 'make test    the test suite: kernels in the interpreter, then the torch reference'
	@echo 'make parity  judges stock, tembed and others, and renews parity/results'
	@echo 'make tables  renews the tables of bench/results that need no GPU'
	@echo 'make fuzz    twenty thousand random configurations'
	@echo 'make sweep   the long tests, left out of make test'
	@echo 'make mutants faults put in on purpose, which the suite must notice'
	@echo 'make check   formatter, linter, type checker, direction of imports'
	@echo 'make format  formats the code'
	@echo 'make gpu     everything that a GPU can show, into RESULTS=dir; by steps: $(GPU_STEPS)'

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

# Liger's kernels need Triton, which runs on a CPU in its interpreter, and there takes a few cases for minutes: they count
# as failed. Peers fail, and that is what is to be seen.
parity: $(READY)
	@mkdir -p build
	TRITON_INTERPRET=1 $(RUN) -m tembed.parity run --impl liger --under bounds --timeout 20 \
	  --json build/parity_liger.json > build/parity_liger.txt || [ $$? = 1 ]
	TRITON_INTERPRET=1 $(RUN) -m tembed.parity compare stock tembed build/parity_liger.json index_add --under bounds \
	  --json parity/results/matrix.json --report parity/results/matrix.html || [ $$? = 1 ]
	$(RUN) -m tembed.parity bad-inputs --write

# Bytes moved, counted in the interpreter; registers and access widths of what is compiled; the host's share of a call.
tables: $(READY)
	$(RUN) -m tembed.bench traffic --write
	$(RUN) -m tembed.bench static --write
	$(RUN) -m tembed.bench call --device cpu --json bench/results/cpu_call_time.json
	$(RUN) -m tembed.bench call --device cpu --stubbed --json bench/results/stubbed_call_time.json

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

# pyright comes from npm: Node.js is needed.
pyright: $(READY)
	npx --yes pyright@1.1.407 --project tests/pyrightconfig.json --pythonpath $(RUN)

format: $(READY)
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

# Steps of `make gpu`, each of which can be made alone: gpu-install first, and RESULTS=dir. What a step prints and finds is
# in RESULTS; one that fails is named in RESULTS/failed, and make gpu runs the others all the same. LIMIT=seconds ends
# each command that takes minutes after so long, with what it has found by then. COMMIT says what is measured where there
# is no repository. Kernels compile once for each shape of problem: pytest-xdist, where it is installed, spreads that over
# the cores.
GPU_STEPS := gpu-install gpu-selfcheck gpu-parity gpu-device gpu-transcript gpu-bench gpu-call gpu-tests \
  gpu-fuzz gpu-demo gpu-sanitizer gpu-suites gpu-targets gpu-tune gpu-counters
.PHONY: $(GPU_STEPS)
gpu%: export TEMBED_COMMIT ?= $(COMMIT)
gpu%: export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))
JOBS ?= 10
LIMIT ?=
PARITY = $(KERNELS) $(call limited,TERM) $(GPU_PYTHON) -m tembed.parity
TIMES = $(call limited,TERM) $(GPU_PYTHON) -m tembed.bench
# Without a GPU, a rehearsal: in the interpreter, but for what has to do with time.
KERNELS = $(if $(filter cpu,$(DEVICE)),TRITON_INTERPRET=1)
DEVICE = $(eval DEVICE := $(shell $(GPU_PYTHON) -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")'))$(DEVICE)
BENCH ?= --suite quick
SMALL = $(if $(filter cpu,$(DEVICE)),--scale 4096 --budget 60)
WORKERS = $(shell $(GPU_PYTHON) -c 'import xdist; print("-n", $(JOBS))' 2>/dev/null)
LIGER = $(shell $(GPU_PYTHON) -c 'import liger_kernel; print("liger")' 2>/dev/null)
gpu%: SHELL := bash
limited = $(if $(LIMIT),timeout --foreground --signal=$(1) --kill-after=30 $(LIMIT))
# the step's name, and its command; no pipe, whose end would be waited for while anything that was started has it
step = @mkdir -p $(RESULTS); { $(2); } > >(tee $(RESULTS)/$(1).txt) 2>&1 || { echo $(1) >> $(RESULTS)/failed; false; }
on_gpu = $(if $(filter cuda,$(DEVICE)),$(1),echo 'needs a GPU')

gpu:
	@rm -f $(RESULTS)/failed
	-@$(MAKE) --no-print-directory --keep-going $(GPU_STEPS)
	@! test -s $(RESULTS)/failed || { echo 'failed:'; cat $(RESULTS)/failed; exit 1; }

gpu-install:
	$(call step,install,$(GPU_PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --editable . || { echo 'not installed: it runs from here'; $(GPU_PYTHON) -c 'import tembed'; })

gpu-selfcheck:
	$(call step,selfcheck,$(KERNELS) $(GPU_PYTHON) -m tembed)

# The peers fail, and that is what is to be seen; tembed's failures are the first step's.
CASES = --device $(DEVICE) --jobs $(JOBS) --timeout 90 --without device --fuzz 0
gpu-parity:
	-$(call step,parity_tembed,$(PARITY) run --impl tembed $(CASES) --json $(RESULTS)/parity_tembed.json)
	$(call step,parity,$(PARITY) compare stock $(RESULTS)/parity_tembed.json $(LIGER) index_add $(CASES) \
	  --json $(RESULTS)/parity.json --report $(RESULTS)/parity.html || [ $$? = 1 ])

# Beyond 2^31 elements, a thousand repetitions, streams, graphs: what takes the whole device.
gpu-device:
	$(call step,parity_device,$(call on_gpu,$(PARITY) run --impl tembed --device $(DEVICE) --jobs 1 --group device \
	  --json $(RESULTS)/parity_device.json))

# A batch of another vocabulary in the midst of training: an IndexError, and on it goes to the same losses.
gpu-transcript:
	$(call step,transcript,$(KERNELS) $(call limited,INT) $(GPU_PYTHON) tests/mismatch.py && \
	  $(KERNELS) $(call limited,INT) $(GPU_PYTHON) tests/mismatch.py 5)

# Of suite quick the forward takes at most five minutes, and so do the backwards, and so do steps of training; compiled
# providers have no part in these, whose gradients are sparse.
BACKWARDS ?= --operation backward --operation forward+backward --operation 'sparse backward' --budget 300
STEPS ?= --operation step --budget 300 --provider stock --provider 'stock deterministic' --provider tembed
gpu-bench:
	-$(call step,bench,$(TIMES) run $(BENCH) $(SMALL) --device $(DEVICE) --json $(RESULTS)/bench.json)
	-$(call step,bench_backward,$(TIMES) run $(BENCH) $(BACKWARDS) $(SMALL) --device $(DEVICE) \
	  --json $(RESULTS)/bench_backward.json)
	-$(call step,bench_steps,$(TIMES) run $(BENCH) $(STEPS) $(SMALL) --device $(DEVICE) \
	  --json $(RESULTS)/bench_steps.json)
	$(call step,plot,$(TIMES) plot $(RESULTS)/bench*.json --out $(RESULTS))

gpu-call:
	-$(call step,sort_time,$(TIMES) sort --device $(DEVICE) --json $(RESULTS)/sort_time.json)
	$(call step,call_time,$(TIMES) call --device $(DEVICE) --json $(RESULTS)/call_time.json)

gpu-targets:
	$(call step,targets,$(TIMES) targets $$(ls $(RESULTS)/{bench*,suites,call_time}.json 2>/dev/null) \
	  --markdown $(RESULTS)/targets.md)

# Cases of parity have been judged by then.
gpu-tests: export TORCHINDUCTOR_COMPILE_THREADS = 1
gpu-tests:
	$(call step,tests,$(KERNELS) $(call limited,INT) $(GPU_PYTHON) -m pytest -rs $(WORKERS) --ignore tests/test_parity.py \
	  --junitxml=$(RESULTS)/tests.xml)

gpu-fuzz:
	$(call step,fuzz,$(PARITY) run --impl tembed --device $(DEVICE) --jobs $(JOBS) --timeout 90 --group fuzz \
	  --fuzz $(FUZZ) --batch 100 --json $(RESULTS)/fuzz.json)

gpu-demo:
	$(call step,demo,$(call limited,INT) $(GPU_PYTHON) -m tembed.bench.demo --picture $(RESULTS)/demo.png)

gpu-sanitizer:
	$(call step,sanitizer,$(KERNELS) $(call limited,INT) $(GPU_PYTHON) \
	  $(if $(filter cpu,$(DEVICE)),tests/tour.py,tests/sanitizer.py $(RESULTS)))

# Every workload that there is; without what torch compiles, which takes it seconds for each.
gpu-suites:
	$(call step,suites,$(TIMES) run --provider stock --provider 'stock deterministic' --provider tembed --provider liger \
	  --operation forward --operation backward --operation 'sparse backward' --budget 540 $(SMALL) --device $(DEVICE) \
	  --json $(RESULTS)/suites.json)

gpu-tune:
	$(call step,tune,$(TIMES) tune --budget 500 $(SMALL) --device $(DEVICE) --json $(RESULTS)/tune.json)

# Hardware counters of each kernel, at the clocks that the device has by itself.
COUNTERS := gpu__time_duration.sum,dram__bytes_read.sum,dram__bytes_write.sum,$(strip \
  )dram__throughput.avg.pct_of_peak_sustained_elapsed,lts__t_sector_hit_rate.pct,launch__registers_per_thread,$(strip \
  )launch__grid_size,launch__block_size,sm__warps_active.avg.pct_of_peak_sustained_active,$(strip \
  )smsp__issue_active.avg.pct_of_peak_sustained_active
NCU = $(call limited,INT) ncu --profile-from-start off --nvtx --clock-control none --csv --page raw --print-units base \
  --metrics $(COUNTERS) --log-file $(RESULTS)/counters.csv
ONCE ?= --suite quick --operation forward --operation backward --budget 240
gpu-counters:
	$(call step,counters,$(if $(filter cuda,$(DEVICE)),$(NCU)) $(GPU_PYTHON) -m tembed.bench once $(ONCE) \
	  $(if $(filter cpu,$(DEVICE)),--scale 4096) --device $(DEVICE))

clean:
	rm -rf $(VENV) build dist *.egg-info demo*.png
