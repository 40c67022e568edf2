# Every target makes .venv by itself: a fresh machine needs Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check-demo faults engines lint bench study ci clean

# The stamp is newer than what it was made from, so a second call starts at once.
$(VENV)/.installed: requirements.lock requirements-uv.lock pyproject.toml
	@echo "Making $(VENV) (once; PyTorch is large)"
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"Tracklore needs Python 3.11 or newer; {sys.executable} is {v.major}.{v.minor}. Try: make PYTHON=python3.11") if v < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-uv.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --require-hashes requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV): $(VENV)/.installed

demo: $(VENV)/.installed
	@$(BIN)/tracklore demo --out demo

# Two processes, a file of tests to one of them: many tests wait for processes of their own. Dataflow's go with the
# other engines.
TEST_PROCESSES ?= 2

test: $(VENV)/.installed
	$(BIN)/python -m pytest tests -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --ignore tests/faults \
		--ignore tests/engines --ignore tests/pipelines/dataflow --ignore tests/demo

# The demo from beginning to end, and whether what it left is what it must be; it trains for minutes.
check-demo: $(VENV)/.installed
	$(BIN)/python -m pytest tests/demo

# How many of a hundred planted faults are run: builds that are killed, starved or lied to must end in the right bytes
# or say why not. Counts are printed, and written to faults.json.
FAULTS ?= 100

faults: $(VENV)/.installed
	FAULTS=$(FAULTS) $(BIN)/python -m pytest tests/faults -n $(TEST_PROCESSES)

# The same manifests on every engine: each must end in the same receipt. What the engines need is fetched once into
# .engines, by Maven, by Go, and from the pins; a table is printed, and written to engines.json. With them go the jobs
# that Dataflow is sent, and the steps of the image that its workers run, whose packages are downloaded anew.
ENGINES := .engines
# Empty on a machine without 20 GB to spare.
DOCKERFILE ?= 1
PRISM_VERSION := v2.77.0
FLINK_VERSION := 1.19
BEAM_JAVA_VERSION := 2.62.0

# A stamp names its versions: others are fetched anew.
PRISM_BUILT := $(ENGINES)/.prism-$(PRISM_VERSION)
FLINK_FETCHED := $(ENGINES)/flink/.fetched-$(FLINK_VERSION)-$(BEAM_JAVA_VERSION)

engines: $(VENV)/.installed $(PRISM_BUILT) $(FLINK_FETCHED) $(ENGINES)/worker/.installed
	@rm -rf $(ENGINES)/dist && mkdir -p $(ENGINES)/dist
	@$(BIN)/python -m hatchling build --target wheel --directory $(ENGINES)/dist > /dev/null
	@VIRTUAL_ENV=$(ENGINES)/worker $(BIN)/uv pip install --quiet --no-deps --offline --reinstall $(ENGINES)/dist/*.whl
	FLINK_VERSION=$(FLINK_VERSION) TRACKLORE_DOCKERFILE=$(DOCKERFILE) $(BIN)/python -m pytest tests/engines \
		tests/pipelines/dataflow tests/test_dockerfile.py

$(PRISM_BUILT):
	@command -v go > /dev/null || { echo "Prism is built by Go, which is not here"; exit 1; }
	@echo "Building Prism (once; it takes minutes)"
	@rm -f $(ENGINES)/.prism-*
	@GOBIN=$(abspath $(ENGINES)) go install github.com/apache/beam/sdks/v2/go/cmd/prism@$(PRISM_VERSION)
	@touch $@

$(FLINK_FETCHED): tests/engines/pom.xml tests/engines/job_server_jar.py
	@command -v mvn > /dev/null && command -v java > /dev/null || \
		{ echo "Flink is fetched by Maven and run by Java, which are not both here"; exit 1; }
	@echo "Fetching Flink and its job server (once)"
	@rm -rf $(ENGINES)/flink
	@mvn --batch-mode --quiet --strict-checksums --file tests/engines/pom.xml dependency:copy-dependencies \
		-DoutputDirectory=$(abspath $(ENGINES))/flink -Dflink.version=$(FLINK_VERSION) -Dbeam.version=$(BEAM_JAVA_VERSION)
	@$(BIN)/python tests/engines/job_server_jar.py $(ENGINES)/flink
	@touch $@

# The workers' own environment: the same pins, and the wheel that a user would install.
$(ENGINES)/worker/.installed: $(VENV)/.installed
	@rm -rf $(ENGINES)/worker
	@$(BIN)/python -m venv --without-pip $(ENGINES)/worker
	@VIRTUAL_ENV=$(ENGINES)/worker $(BIN)/uv pip sync --quiet --require-hashes requirements.lock
	@touch $@

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
	rm -rf $(VENV) $(ENGINES) demo
