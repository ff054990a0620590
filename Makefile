# Every target makes the virtual environment it needs. PYTHON chooses the interpreter: make demo PYTHON=python3.12
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test test-unit test-comparisons test-fast test-fast-converters test-fast-others test-python lint bench learning learning-suite parity-long completeness applications layer-parity fuzz docs wheel wheel-test clean

help:             ## what there is
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

FIXTURE := parity_tests/fixtures/tf215_dqn_seed

demo: $(STAMP)    ## convert a real checkpoint, prove it, measure it (under a minute)
	mkdir -p demo
	$(BIN)/torchward inspect $(FIXTURE)/model.h5
	$(BIN)/torchward convert $(FIXTURE)/model.h5 -o demo/dqn.pth --source-code demo/dqn_model.py --force
	cat demo/dqn_model.py
	$(BIN)/torchward verify $(FIXTURE)/model.h5 demo/dqn.pth --expected $(FIXTURE)/expected.npz
	$(BIN)/torchward parity dqn --config plain --save demo/parity.json
	$(BIN)/torchward bench --quick --without torch-compile --parity demo/parity.json --output demo

PYTEST := $(BIN)/python -m pytest -q
FAST := -m "not tf and not slow"
# What pytest makes of the tests' sources is kept for the next run, whatever the shell says: half of the start.
KEEP := env -u PYTHONDONTWRITEBYTECODE
# Two processes of one thread each. Both run to their end; what one says is shown together, where make is able to.
SIDE_BY_SIDE := --jobs=2 --keep-going --no-print-directory $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

test: $(STAMP)    ## all tests
	$(MAKE) $(SIDE_BY_SIDE) test-unit test-comparisons

test-unit: $(STAMP)
	$(PYTEST) --durations=10 parity_tests/unit

test-comparisons: $(STAMP)
	$(PYTEST) --durations=10 --ignore=parity_tests/unit

test-fast: $(STAMP) ## tests without TensorFlow, about a minute
	$(MAKE) $(SIDE_BY_SIDE) test-fast-converters test-fast-others

# Two halves that take about as long as each other.
CONVERSION := parity_tests/unit/converters parity_tests/test_recorded.py

test-fast-converters: $(STAMP)
	$(KEEP) $(PYTEST) $(FAST) $(CONVERSION)

test-fast-others: $(STAMP)
	$(KEEP) $(PYTEST) $(FAST) $(CONVERSION:%=--ignore=%)

OTHER_VENV := .venv-$(notdir $(PYTHON))
test-python:      ## tests without TensorFlow on another interpreter: make test-python PYTHON=python3.13
	test -x $(OTHER_VENV)/bin/python || $(PYTHON) -m venv $(OTHER_VENV)
	$(OTHER_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[rl,mujoco,report,onnx,offline,ur,search,lessons,yaml]' \
	pytest ruff stable-baselines3
	$(OTHER_VENV)/bin/python -m pytest -q -m "not tf" parity_tests

lint: $(STAMP)    ## format, lint, types, dependencies between packages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)   ## TensorFlow and PyTorch side by side: speed, memory, size
	$(BIN)/torchward bench

learning: $(STAMP) ## CartPole, five seeds on both sides (about half an hour), and the curves
	for seed in 0 1 2 3 4; do for side in torch tensorflow; do OMP_NUM_THREADS=1 \
	$(BIN)/torchward train dqn --env CartPole-v1 --framework $$side --seed $$seed --run-folder runs/learning/$$side-$$seed -q \
	|| exit 1; done; done
	$(BIN)/torchward bench learning --runs runs/learning --output runs/learning

learning-suite: $(STAMP) ## the RRD suite: ten groups, five seeds on both sides (an hour on two cores; goes on where it was stopped)
	$(BIN)/python -m benchmarks.learning_suite --runs runs/learning-suite
	$(BIN)/torchward bench learning --runs runs/learning-suite --output runs/learning-suite
	$(BIN)/python -m benchmarks.learning_page --store runs/learning-suite/bench.json --update docs/rrd-training.md

parity-long: $(STAMP) ## 10,000 updates of every pair on both sides
	$(BIN)/torchward parity --updates 10000
	OMP_NUM_THREADS=1 $(BIN)/python -m parity_tests.trajectories --updates 10000

completeness: $(STAMP) ## what Keras's own tests build and call through the converter (half an hour), and the table
	mkdir -p bench-results
	$(BIN)/python -m parity_tests.completeness --json bench-results/layers.json --table bench-results/layers.md

applications: $(STAMP) ## every network of keras.applications through the converter (half an hour, some GB), and the table
	mkdir -p bench-results
	$(BIN)/python -m parity_tests.completeness.applications --json bench-results/applications.json \
	--table bench-results/applications.md

layer-parity: $(STAMP) ## every rule beside Keras, and the tables of docs/coverage.md (many minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -p parity_tests.layer_results --layer-results docs/results/layers.json \
	parity_tests/test_layers.py parity_tests/test_operators.py parity_tests/test_operations.py -k computes
	$(BIN)/python -m parity_tests.coverage --update docs/coverage.md

fuzz: $(STAMP)    ## 10,000 damaged files of every kind (an hour on two cores); python -m parity_tests.mutants KIND for one of them
	$(BIN)/python -m parity_tests.mutants

docs: $(STAMP)    ## run every snippet of the pages, check every link, test and command they name
	$(BIN)/python -m pytest -q parity_tests/test_migration_guide.py parity_tests/unit/docs

wheel: $(STAMP)   ## build the wheel
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

wheel-test: $(STAMP) ## build the wheel and try it in an environment of its own
	$(BIN)/python docs/check_wheel.py --share-packages

clean:            ## remove what was built
	rm -rf $(VENV) dist build bench-results demo .pytest_cache .mypy_cache .ruff_cache
