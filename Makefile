# Everything installs into .venv, from pinned and hashed requirements. What is installed stays: a second run needs no network.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
ARGS   ?=
# Tests wait longer than they work: three workers on two cores. Each worker starts the servers that its tests use; the tests of a heavy one go to one worker.
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test check bench crash several docs requirements sbom clean

help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 22

demo: $(VENV)/.run  ## harvest a simulated week with every fault, and see the proof (no credentials)
	@$(BIN)/harvest demo $(ARGS)

# Tests start the program many hundred times: what Python compiled of it and of the tests is kept, whatever the environment says.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.dev  ## all tests, with the real servers that are to be had here; the longer proofs are crash and bench
	$(BIN)/pytest -q -n $(WORKERS) --dist worksteal $(ARGS)

check: $(VENV)/.dev  ## linter, formatter, types, import direction
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/unit/test_house.py

crash: $(VENV)/.dev  ## kill the real processes at every crash point and at random, and count what is missing
	$(BIN)/python -m tests.crash $(ARGS)

several: $(VENV)/.dev  ## three consumers on real Kafka join, leave and are killed while 500,000 events flow; then the sink is away
	$(BIN)/python -m tests.several $(ARGS)

bench: $(VENV)/.dev  ## the product beside a naive script, as ratios in one run
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.dev  ## write the generated pages anew
	$(BIN)/python docs/generate.py

requirements: $(VENV)/.dev  ## resolve requirements/*.in into pinned, hashed *.txt; what production needs decides, the others follow it
	cd requirements && for set in production run dev peers emulators; do \
	  UV_CUSTOM_COMPILE_COMMAND="make requirements" ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-annotate --no-emit-find-links --no-emit-index-url --upgrade $$set.in --output-file $$set.txt \
	    $$(case $$set in run|dev) echo -c production.txt;; esac) || exit 1; done

sbom: $(BIN)/python  ## write dist/sbom.cdx.json: what an installation for production consists of, as CycloneDX
	@mkdir -p dist
	$(BIN)/python requirements/sbom.py requirements/production.txt > dist/sbom.cdx.json

clean:  ## remove what was installed and made, but not var/, where your data are, nor .cache/, the servers fetched for tests
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) here; Python 3.11 or newer is needed: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) has no venv module; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.run: requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV), once" >&2
	$(PIP) install --require-hashes -r requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@
