# Every target makes the virtual environment it needs; `make` alone lists them.

PYTHON ?= python3
# Which build of torch: auto (CPU when no NVIDIA GPU is seen), cpu, or default (pip's choice).
TORCH ?= auto
# More arguments for what the target runs: make lab ARGS="--no-browser --port 8890"
ARGS ?=
# Processes that share the tests, and notebooks of the site executed at a time.
JOBS ?= 2

VENV := .venv
prepare = command -v $(firstword $(PYTHON)) >/dev/null 2>&1 \
	|| { echo "There is no $(PYTHON) here. Install Python 3.11 or newer (python.org has it)," \
	     "or name yours: make $@ PYTHON=/path/to/python3" >&2; exit 1; }; \
	$(PYTHON) tools/bootstrap.py --torch $(TORCH)

# One thread a process: the tests run side by side, and their timings do not depend on the machine.
pytest = OMP_NUM_THREADS=1 PYDEVD_DISABLE_FILE_VALIDATION=1 $(1)/bin/python -m pytest -n $(JOBS) --dist loadscope

.PHONY: help lab test test-faults test-kernels test-colab notebooks site handout bench gpu clean

help:
	@echo "make lab         open the course in JupyterLab"
	@echo "make test        run the checks: style, types, tests, notebooks, browser"
	@echo "make test-faults kill, stop and damage runs at many moments"
	@echo "make test-kernels  run the kernels for a GPU in an interpreter on the CPU"
	@echo "make test-colab  run the notebooks with the widgets of Google Colab"
	@echo "make notebooks   execute the notebooks that changed and write both files of each pair"
	@echo "make site        build the site into build/site, where figures live without a kernel"
	@echo "make handout     make a zip from which a class starts the course without a network"
	@echo "make bench       measure speed and memory"
	@echo "make gpu         on a machine with a GPU: its tests, times and goals, in 8 minutes"
	@echo "make clean       remove the environments and caches"

lab:
	@$(prepare) course
	@echo "Opening the course in JupyterLab; Ctrl-C, twice, ends it."
	@JUPYTER_CONFIG_PATH="$(CURDIR)/tools/jupyter$${JUPYTER_CONFIG_PATH:+:$$JUPYTER_CONFIG_PATH}" \
	$(VENV)/bin/python -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) \
	    --ServerApp.root_dir="$(CURDIR)" \
	    --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(ARGS) \
	|| { echo "JupyterLab stopped; the lines above say why. If no port was free, name one:" \
	     "make lab ARGS=\"--port 9000\"" >&2; exit 1; }

# All checks run; pytest comes last, so that its summary closes the output.
test:
	@$(prepare) tests
	@failed=; \
	for check in "ruff check ." "ruff format --check ." "mypy"; do \
	    echo "== $$check"; $(VENV)/bin/python -m $$check || failed="$$failed [$$check]"; \
	done; \
	echo "== pytest"; $(call pytest,$(VENV)) $(ARGS) || failed="$$failed [pytest]"; \
	test -z "$$failed" || { echo "Failed:$$failed" >&2; exit 1; }

# Kills, stops and damages at many seeded moments; `make test` tries a few.
test-faults:
	@$(prepare) tests
	@FAULTS=200 OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest tests/test_faults.py $(ARGS)

# The interpreter computes with NumPy, and a compiled function is one of torch's own, without C++.
test-kernels:
	@$(prepare) kernels --torch cpu
	@TRITON_INTERPRET=1 OMP_NUM_THREADS=1 .venv-kernels/bin/python -m pytest $(ARGS) tests/test_kernels.py

test-colab:
	@$(prepare) colab
	@$(call pytest,.venv-colab) -m "not browser" $(ARGS) tests/test_notebooks.py tests/test_figures_panel.py

notebooks:
	@$(prepare) tests
	@$(VENV)/bin/python tools/notebooks.py $(ARGS)

site:
	@$(prepare) site
	@.venv-site/bin/python docs/build.py --jobs $(JOBS) $(ARGS)

handout:
	@$(prepare) course
	@$(VENV)/bin/python tools/handout.py $(ARGS)

bench:
	@$(prepare) course
	@$(VENV)/bin/python benchmarks/run.py $(ARGS)

# With the Python at hand, so that a machine without a network can run it: PYTHON=/path/to/python
gpu:
	@$(PYTHON) benchmarks/gpu.py $(ARGS)

clean:
	rm -rf .venv .venv-colab .venv-kernels .venv-site .venv*.lock build *.egg-info .*_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
