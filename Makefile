# Every target makes .venv by itself; `make` alone lists them.
PYTHON ?= python3
CASE ?= rerank

BIN := .venv/bin
INSTALL := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq install --no-compile
TORCH := $(shell sed -n 's/^\(torch==[^ ]*\).*/\1/p' constraints.txt)
UNRESOLVED := $(shell sed -n 's/^\(pylate==[^ ]*\|allrank==[^ ]*\).*/\1/p' constraints.txt)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-slow lint bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

setup: .venv/.dev ## make .venv with everything that development needs

demo: .venv/.demo ## train, measure, export and rerank on this Python's own documentation
	$(BIN)/rankgrad demo

test: lint ## lint, then all tests and doctests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-slow: .venv/.dev ## the benchmark cases in their quick form, before a benchmark changes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m slow tests/benchmarks

lint: .venv/.dev ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: .venv/.bench ## run a benchmark: make bench CASE=rerank
	$(BIN)/python -m benchmarks $(CASE)

clean: ## remove .venv and caches; runs/ stays
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The pinned torch goes in first and alone: left to the resolver, a looser one may bring gigabytes of CUDA libraries.
.venv/.torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("rankgrad needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(INSTALL) '$(TORCH)' -c constraints.txt
	@touch $@

# Compiling every file of every package takes as long as installing it; the demonstration imports few of them.
.venv/.demo: .venv/.torch pyproject.toml
	$(INSTALL) -e '.[all]' -c constraints.txt
	@touch $@

# Tests turn warnings into errors, also those of a package compiled for the first time: so compile all of them here.
.venv/.dev: .venv/.torch pyproject.toml
	$(INSTALL) -e '.[dev]' -c constraints.txt
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true
	@touch .venv/.demo $@

.venv/.bench: .venv/.torch pyproject.toml
	$(INSTALL) -e '.[bench]' -c constraints.txt
	$(INSTALL) --no-deps $(UNRESOLVED)
	@touch .venv/.demo $@
