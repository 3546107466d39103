# The same commands everywhere: `make` lists them. Nothing is needed but GNU make, a C library, and Python >= 3.11
# with pip and venv. Every path below is relative, so that the checkout may lie anywhere.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Where bytecode is not written, every process compiles what it needs of mlbench, and pytest all tests, anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install bench test check style types rules clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

install: $(STAMP) ## the environment in .venv, from constraints.txt

bench: $(STAMP) ## the default study: build, measure, decide, record in MLflow (ARGS="protocol=quick" overrides)
	$(BIN)/mlbench run $(ARGS)

# First what may run side by side, with coverage, and without threads that spin while they wait for a CPU; then what
# measures and decides, which needs the machine to itself.
test: $(STAMP) ## every test, with branch coverage of at least 90 % (ARGS="-k name" selects, without coverage)
ifeq ($(strip $(ARGS)),)
	@built=$$(mktemp -d); export MLBENCH_TEST_CACHE=$$built; \
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m 'not quiet' -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered --cov-fail-under=90; \
	side=$$?; $(BIN)/python -m pytest -m quiet tests/docs tests/e2e; alone=$$?; rm -rf $$built; [ $$side -eq 0 ] && [ $$alone -eq 0 ]
else
	$(BIN)/python -m pytest $(ARGS)
endif

check: style types rules ## format, lint, types, house rules
style: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
types: $(STAMP)
	$(BIN)/mypy
rules: $(STAMP)
	$(BIN)/lint-imports --no-logo

clean: ## removes the environment and everything that was generated, but no study: mlflow.db and mlruns stay
	rm -rf $(VENV) build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'pass' 2>/dev/null || { \
		echo "mlbench needs Python 3.11 or newer, and '$(PYTHON)' is not there: make install PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "mlbench needs Python 3.11 or newer, and '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1): make install PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "'$(PYTHON)' has no venv module with pip (Debian: apt install python3-venv)" >&2; exit 1; }
	@$(BIN)/python -c 'import pip' 2>/dev/null || "$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --no-compile --disable-pip-version-check -c constraints.txt -e '.[test,dev]'
	@$(BIN)/python -m compileall -q -j 0 -x '/tests?/' $(VENV)/lib >/dev/null 2>&1 || true  # on all CPUs; templates may not compile
	@touch $(STAMP)
