# Two commands on a fresh machine with Python 3.11: `make demo` and `make test`. Each does its own set-up.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 4200
BIN := .venv/bin
INSTALLED := .venv/installed

# of make benchmark: a folder of clips (else the demo speaker), who agreed and what for, minutes of training a run, profile, configurations;
# side of the frames in px, the first seconds of long clips, wall or processor time, further minutes for quality against time
CLIPS ?=
CONSENT ?=
MINUTES ?= 5
PROFILE ?= cpu
CONFIGS ?=
SIZE ?=
SECONDS ?=
CLOCK ?= wall
ALSO ?=

# processes that tests run in, whole files at a time
WORKERS ?= 2

.PHONY: demo test lint audit up down benchmark benchmark-preparation benchmark-speakers setup clean
.DEFAULT_GOAL := demo

demo: $(INSTALLED) ## make the demo speaker, train, dub and report
	@$(BIN)/talkhead demo

test: $(INSTALLED) ## every test, one end-to-end run at the smoke profile included
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED) ## style, types and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

audit: $(INSTALLED) ## dependencies that do not fit, unsafe calls in our code, and known holes where the list of them can be reached
	@$(BIN)/python -m pip check
	@$(BIN)/ruff check --select S --ignore S101,S506,S607 flows tasks talkhead_core
	@$(BIN)/python .ci/known_holes.py constraints.txt

up: $(INSTALLED) ## a Prefect server and a worker on this machine
	@$(BIN)/python -m flows.server up --port $(PORT)

down: $(INSTALLED) ## stop them
	@$(BIN)/python -m flows.server down

benchmark: benchmark-preparation benchmark-speakers ## how fast this machine prepares a clip, and how good what it trains is

benchmark-preparation: $(INSTALLED)
	@$(BIN)/python -m benchmarks.preparation

benchmark-speakers: $(INSTALLED) ## every configuration on every clip of CLIPS, trained for MINUTES each
	@$(BIN)/python -m benchmarks.speakers --minutes $(MINUTES) --profile $(PROFILE) --clock $(CLOCK) \
	$(if $(CLIPS),--clips "$(CLIPS)" --consent "$(CONSENT)") $(foreach config,$(CONFIGS),--config $(config)) \
	$(if $(SIZE),--size $(SIZE)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(ALSO),--also-minutes $(ALSO))

setup: $(INSTALLED)

clean: ## remove the environment; data, results and caches stay
	rm -rf .venv

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "talkhead needs Python 3.11: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@echo "setting up .venv (once; takes a few minutes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
