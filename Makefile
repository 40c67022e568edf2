# Every target makes .venv by itself: a fresh machine needs Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8

.PHONY: demo test faults lint bench study ci clean

# The stamp is newer than what it was made from, so a second call starts at once.
$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "Making $(VENV) (once; PyTorch is large)"
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"Tracklore needs Python 3.11 or newer; {sys.executable} is {v.major}.{v.minor}. Try: make PYTHON=python3.11") if v < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --require-hashes requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV): $(VENV)/.installed

demo: $(VENV)/.installed
	@$(BIN)/tracklore demo --out demo

# Two processes, a file of tests to one of them: many tests wait for processes of their own.
TEST_PROCESSES ?= 2

test: $(VENV)/.installed
	$(BIN)/python -m pytest tests -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --ignore tests/faults

# How many of a hundred planted faults are run: builds that are killed, starved or lied to must end in the right bytes
# or say why not. Counts are printed, and written to faults.json.
FAULTS ?= 100

faults: $(VENV)/.installed
	FAULTS=$(FAULTS) $(BIN)/python -m pytest tests/faults -n $(TEST_PROCESSES)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

# Does it learn? Variants on composed corpora over three seeds; it goes on where it was stopped.
study: $(VENV)/.installed
	$(BIN)/python -m benchmarks.study

clean:
	rm -rf $(VENV) demo
