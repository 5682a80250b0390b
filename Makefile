# The newcomer's two commands are `make demo` and `make test`; each installs what is missing first.
# A torch that the machine already has (a GPU image's own, say) is used; else a pinned one is installed.
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test quick lint format install bench clean
.DEFAULT_GOAL := help

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/bin/python:
	@if $(PYTHON) -c 'import torch' 2>/dev/null; then \
	  echo "== using the torch that is already here"; $(PYTHON) -m venv --system-site-packages $(VENV); \
	else $(PYTHON) -m venv $(VENV); fi

# One stamp a stage, so that a second `make` installs nothing.
$(VENV)/.torch: | $(VENV)/bin/python
	@$(BIN)/python -c 'import torch' 2>/dev/null || { echo "== installing $(TORCH)"; \
	  $(BIN)/python -m pip install --disable-pip-version-check --progress-bar on $(TORCH); }
	@touch $@

$(VENV)/.package: pyproject.toml | $(VENV)/.torch
	@echo "== installing radixlm"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.package
	@echo "== installing the test and lint tools"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -e '.[dev]'
	@touch $@

install: $(VENV)/.package ## install into .venv

demo: $(VENV)/.package ## run examples/quickstart.py on the shipped model
	$(BIN)/python examples/quickstart.py

test: $(VENV)/.dev ## the whole test suite
	$(BIN)/python -m pytest

quick: $(VENV)/.dev ## the fast part of the tests, under a minute
	$(BIN)/python -m pytest -m 'not slow' -q --hypothesis-profile=quick -n 2 --dist worksteal

lint: $(VENV)/.dev ## ruff, mypy, pyright, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	PYTHONPATH=src $(BIN)/lint-imports

format: $(VENV)/.dev ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## what the shipped model can do, measured
	$(BIN)/python benchmarks/shipped_model.py --json

clean: ## forget the environment and the caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build
