# make demo, make test: the two commands for a fresh machine. Both build their own virtual environment.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

DEMO ?= mscs_demo

.PHONY: setup demo test types tests-1 tests-2 tests-3 check clean

setup: $(VENV)/installed
	@echo "next: source $(BIN)/activate && mscs doctor"

# Safe to interrupt and to call again; DEMO=folder puts it elsewhere.
demo: $(VENV)/installed
	@$(BIN)/mscs demo --out $(DEMO)

test: $(VENV)/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@echo "The types and three parts of the tests side by side; what each prints appears at its end."
	@$(MAKE) --jobs=4 --output-sync=target --keep-going types tests-1 tests-2 tests-3

types: $(VENV)/installed-for-tests
	$(BIN)/mypy

# Side by side, in processes of their own: nnU-Net forks, which processes with threads such as pytest-xdist's do not bear.
# On the CPU nnU-Net takes as many threads as there are cores, in each of them: threads that wait must sleep, not spin.
# Three, as they wait for jobs of Slurm, the disk and a browser; each takes about as long as the others.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/pytest --durations=15
PART_1 := $(addprefix tests/,benchmarks phantom pipeline slurm/test_whole_run.py)
PART_2 := $(addprefix tests/,$(addprefix slurm/test_,cluster.py job.py jobs.py queue.py) demo end_to_end training)

tests-1: $(VENV)/installed-for-tests
	$(PYTEST) $(PART_1)

tests-2: $(VENV)/installed-for-tests
	$(PYTEST) $(PART_2)

tests-3: $(VENV)/installed-for-tests
	$(PYTEST) $(addprefix --ignore=,$(PART_1) $(PART_2))

check: $(VENV)/installed-for-tests
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info

SOURCES := setup.py pyproject.toml $(shell find nnunetv2_mscs dataset_conversion -name '*.py') $(shell find results_templates -type f)

# What pip prints goes into a file, whose end is shown if it fails. pip would compile with one core, and tests too.
define install
	@rm -rf build *.egg-info
	@echo "installing $(1) into $(VENV): minutes, and about 6 GB the first time; what pip says: $(VENV)/install.log"
	@$(BIN)/python -m pip install --no-compile "$(1)" > $(VENV)/install.log 2>&1 || { tail -n 5 $(VENV)/install.log >&2; \
		rm -rf build *.egg-info; echo "installing failed: all of it is in $(VENV)/install.log" >&2; exit 1; }
	@rm -rf build *.egg-info
	@$(BIN)/python -m compileall -q -j 0 -x /tests/ $(VENV)/lib > $(VENV)/compile.log 2>&1 || true
	@echo "installed"
endef

$(BIN)/python:
	@echo "making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)

# A regular installation, as a user's: what the tests see is what the wheel holds.
$(VENV)/installed: $(BIN)/python $(SOURCES)
	$(call install,.)
	@touch $@

$(VENV)/installed-for-tests: $(BIN)/python $(SOURCES)
	$(call install,.[test])
	@touch $@ $(VENV)/installed
