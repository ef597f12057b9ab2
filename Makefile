# Two commands on a fresh machine: `make demo` runs the whole chain, `make test` runs the tests.
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(shell command -v $(p) 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A machine with an NVIDIA device gets the registry's normal torch, every other one the pinned set.
CONSTRAINTS := $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1 || echo -c constraints-cpu.txt)
EXTRAS := events,hub,interop,sweep,docs,dev
RUNS := runs
BUNDLE := $(RUNS)/quickstart/bundle
MINUTES := 5
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest

# Python of an environment with the CUDA build of torch, for test-cuda-fake; made here unless one is given.
CUDA_VENV := .venv-cuda
CUDA_PYTHON ?= $(CUDA_VENV)/bin/python
CUDA_STUB := $(abspath build)/cuda_fake.so

.PHONY: help install lava demo test test-slow bench test-cuda-fake gpu-run docs wheel-check faults fuzz embedded interop test-services shelf schemas lint \
	build clean

help:
	@echo "make demo         set up, distil, export, prove, price and report on the embedded data set"
	@echo "make test         set up and run the tests"
	@echo "make test-slow    also run the slow tests"
	@echo "make test-cuda-fake  training steps on fake CUDA tensors and Triton kernels, without a GPU (CUDA_PYTHON=...)"
	@echo "make gpu-run      the first quarter of an hour on a machine with a GPU (GPU_ARGS=...)"
	@echo "make bench        every row of \"How fast\" against its peers, on an idle machine (BENCH_ARGS=--minutes 25)"
	@echo "make wheel-check  use the wheel in an empty environment, and its bundle's kits in theirs"
	@echo "make faults       plant a thousand faults in exported files and see that the proof finds them"
	@echo "make fuzz         feed damaged files to the readers for MINUTES (5)"
	@echo "make embedded     run the C code of BUNDLE on emulated Cortex-M4 and -M33 boards (BUNDLE=$(BUNDLE))"
	@echo "make interop      run our files in peers, and other counters on our networks (INTEROP=FOLDER)"
	@echo "make test-services  sweep on a PostgreSQL server of its own (Debian: postgresql)"
	@echo "make shelf        train, export and prove the models of models/ anew (hours without the data's cache)"
	@echo "make schemas      write the JSON schemas of docs/schemas from the code"
	@echo "make lint         ruff, mypy and the floors of the design"
	@echo "make docs         the documentation as a site in site/, without network; any warning is an error"
	@echo "make build        sdist and wheel"

install: $(STAMP)

$(STAMP): pyproject.toml constraints-cpu.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed"; exit 6; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e ".[$(EXTRAS)]"
	@touch $(STAMP)

# The Lava environment is optional: where it cannot be installed, say so and go on.
lava: $(STAMP)
	@$(BIN)/snn-deploy doctor --install-lava --lava-dir .venv-lava >/dev/null \
		|| echo "The Lava environment could not be installed (see above); Lava checks are skipped."

demo: lava
	$(BIN)/snn-deploy distill quickstart --run-dir $(RUNS)/quickstart --resume
	$(BIN)/snn-deploy export $(RUNS)/quickstart --to nir,onnx,lava --samples all

test: lava
	$(PYTEST) -n 2 -m "not slow"

test-slow: lava
	$(PYTEST) -n 2

$(CUDA_VENV)/bin/python: pyproject.toml
	test -x $@ || $(PYTHON) -m venv $(CUDA_VENV)
	$@ -m pip install --quiet --disable-pip-version-check -e . "pytest>=8.3" "pytest-timeout>=2.3" "hypothesis>=6.100"
	@touch $@

# No driver and no GPU: a C compiler and the CUDA build of torch (x86_64 Linux, about 3 GB to download).
test-cuda-fake: $(CUDA_PYTHON)
	@$(CUDA_PYTHON) -c "import sys, torch; sys.exit(torch.version.cuda is None)" || { echo \
		"$(CUDA_PYTHON) has a torch without CUDA; give another: make test-cuda-fake CUDA_PYTHON=..."; exit 6; }
	@mkdir -p $(dir $(CUDA_STUB))
	$(CC) -shared -fPIC -Wl,-soname,libcuda.so.1 -o $(CUDA_STUB) tests/cuda_fake/stub.c
	OMP_NUM_THREADS=1 PYTHONPATH=. $(CUDA_PYTHON) -m pytest -q tests/unit/distill/neurons
	OMP_NUM_THREADS=1 PYTHONPATH=. TRITON_INTERPRET=1 $(CUDA_PYTHON) -m pytest -q tests/unit/distill/neurons/test_fused.py
	OMP_NUM_THREADS=1 PYTHONPATH=.:tests:benchmarks LD_PRELOAD=$(CUDA_STUB) $(CUDA_PYTHON) -m cuda_fake $(CUDA_STUB)

gpu-run: $(STAMP)
	PYTHONPATH=benchmarks $(BIN)/python -m gpu $(GPU_ARGS)

# Dated tables in benchmarks/results; peers as benchmarks/quiet_run.py says (OPENVINO=, EVENT_JUDGES=, INTEROP=).
bench: lava
	$(BIN)/python benchmarks/quiet_run.py $(BENCH_ARGS)

wheel-check: $(STAMP)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python tests/wheel/check.py $(CONSTRAINTS)

# A thousand single faults in exported files, all caught, and two hundred right files, all passed.
faults: $(STAMP)
	$(PYTEST) -s -m slow tests/unit/export/proof/test_faults.py

fuzz: $(STAMP)
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python tests/fuzz/fuzz_readers.py --minutes $(MINUTES)

# One environment per peer of tests/interop, kept in $(INTEROP); interrupted installations go on.
interop: $(STAMP)
	INTEROP=$(abspath $(INTEROP)) PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m interop.readers
	INTEROP=$(abspath $(INTEROP)) PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m interop.dialects
	INTEROP=$(abspath $(INTEROP)) PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m interop.modules
	INTEROP=$(abspath $(INTEROP)) PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m interop.conformance
	INTEROP=$(abspath $(INTEROP)) PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m interop.exporters
	INTEROP=$(abspath $(INTEROP)) $(BIN)/python tests/support/other_counters.py
	INTEROP=$(abspath $(INTEROP)) $(PYTEST) tests/parity/test_neurobench.py

# Debian's gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm.
embedded: $(STAMP)
	$(BIN)/python tests/embedded/boards.py $(BUNDLE)

test-services: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) psycopg2-binary
	$(PYTEST) -s -m slow tests/services

shelf: $(STAMP)
	$(BIN)/python tests/support/shelf.py $(RUNS)

schemas: $(STAMP)
	$(BIN)/python tests/support/schemas.py

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

build: $(STAMP)
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf $(RUNS) dist build .pytest_cache .mypy_cache .ruff_cache
