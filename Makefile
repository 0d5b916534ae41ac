# make demo, make test: the two commands for a fresh machine. Both build their own virtual environment.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

DEMO ?= mscs_demo

.PHONY: setup demo test test-half test-other-half check clean

setup: $(VENV)/installed
	@echo "next: source $(BIN)/activate && mscs doctor"

# Safe to interrupt and to call again; DEMO=folder puts it elsewhere.
demo: $(VENV)/installed
	@$(BIN)/mscs demo --out $(DEMO)

test: $(VENV)/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@echo "Two halves of the tests side by side; what each prints appears at its end."
	@$(MAKE) --jobs=2 --output-sync=target --keep-going test-half test-other-half

# Side by side, in processes of their own: nnU-Net forks, which processes with threads such as pytest-xdist's do not bear.
# On the CPU nnU-Net takes as many threads as there are cores, in each of them: threads that wait must sleep, not spin.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/pytest --durations=15
HALF := phantom pipeline slurm training

test-half: $(VENV)/installed-for-tests
	$(PYTEST) $(addprefix tests/,$(HALF))

test-other-half: $(VENV)/installed-for-tests
	$(PYTEST) $(addprefix --ignore=tests/,$(HALF))

check: $(VENV)/installed-for-tests
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info

SOURCES := setup.py pyproject.toml $(shell find nnunetv2_mscs dataset_conversion -name '*.py') $(shell find results_templates -type f)

# What pip prints goes into a file, whose end is shown if it fails.
define install
	@rm -rf build *.egg-info
	@echo "installing $(1) into $(VENV): minutes, and about 6 GB the first time; what pip says: $(VENV)/install.log"
	@$(BIN)/python -m pip install "$(1)" > $(VENV)/install.log 2>&1 || { tail -n 5 $(VENV)/install.log >&2; \
		rm -rf build *.egg-info; echo "installing failed: all of it is in $(VENV)/install.log" >&2; exit 1; }
	@rm -rf build *.egg-info
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
