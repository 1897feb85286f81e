# Commands of this repository. Each works from a fresh clone.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup quickstart test check docs wheel-test

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

quickstart: setup
	$(BIN)/omnithinker study lab-quick

test: setup
	$(BIN)/pytest -n 2

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Writes docs/reference/ and build/site/index.html; any warning is an error.
docs: setup
	$(BIN)/python scripts/reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# Builds the wheel and runs a study from it. ARGS='--set training.max_steps=2' makes the study shorter.
wheel-test: setup
	$(BIN)/python scripts/wheel_test.py $(ARGS)
