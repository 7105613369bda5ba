# `make demo` and `make test` do everything, set-up included. `make` alone lists the rest.

PYTHON ?= python3
TORCH_INDEX ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
LESSON := source/vae_swiss_roll/vae_swiss_roll.ipynb
ALONE := tests/test_hostile.py
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

# $(call apt,PACKAGE): installs a Debian package where this user may. A fresh container has no package lists yet.
apt = { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "Installing $(1) with apt-get" \
	&& export DEBIAN_FRONTEND=noninteractive \
	&& { apt-get install -y --no-install-recommends $(1) \
		|| { apt-get update && apt-get install -y --no-install-recommends $(1); }; } >/dev/null 2>&1 </dev/null; }

# Where it is set, each of many processes compiles the tests and the package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check setup sandbox browser database lint format lesson release rubric clean

help:
	@echo "make demo      mark a sample class from start to end, into build/demo"
	@echo "make test      lint, then all tests"
	@echo "make check     lint, then the tests that need no class in a sandbox: a minute at most, for every change"
	@echo "make release   generate the student notebook from source/ and prove that it gives nothing away"
	@echo "make rubric    write docs/rubric.md from the hidden checks"
	@echo "make lesson    run the master notebook and keep its outputs"
	@echo "make format    format the code;  make lint  only look, types included"
	@echo "make setup     only make the environment (.venv) that all of these make when it is missing"
	@echo "make clean     remove .venv, build and caches; gradebooks and submissions stay"
	@echo
	@echo "PYTHON=python3.12    another Python than python3 (3.11 or newer)"
	@echo "TORCH_INDEX=URL      where to install torch from; the README says when"

demo: setup
	$(BIN)/autograder demo

# As many at a time as there are cores, and one more, as browsers and sandboxes are waited for; a file stays together for what
# it has made once. What attacks the machine comes after all others. nbval, which two tests start, reads a grammar for a second
# before anybody can tell it not to.
test: setup browser database lint
	$(BIN)/python -m pytest -p no:nbval --numprocesses $$(($$(nproc) + 1)) --dist loadfile --no-loadscope-reorder --ignore $(ALONE)
	$(BIN)/python -m pytest -p no:nbval $(ALONE)

check: .venv/ready lint
	$(BIN)/python -m pytest -p no:nbval --numprocesses auto --dist loadfile --no-loadscope-reorder -m "not sandboxed"

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lesson: .venv/ready
	$(BIN)/python tools/run_lesson.py $(LESSON)

release: .venv/ready
	$(BIN)/autograder release

rubric: .venv/ready
	$(BIN)/autograder rubric --output docs/rubric.md

clean:
	rm -rf .venv build .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: .venv/ready sandbox

# The stamp comes last, so that an installation that broke off is taken up again.
.venv/ready: pyproject.toml constraints.txt
	@$(BIN)/python -c 'import pip; $(NEW_ENOUGH)' 2>/dev/null || { \
		$(PYTHON) -c '$(NEW_ENOUGH)' 2>/dev/null || { \
			echo "Python 3.11 or newer is needed; $(PYTHON) is: $$($(PYTHON) --version 2>&1 || true)"; \
			echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }; \
		$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(call apt,python3-venv) || { \
			echo "$(PYTHON) cannot make environments here. On Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }; \
		echo "Making .venv with $$($(PYTHON) --version)"; \
		$(PYTHON) -m venv --clear .venv; }
ifneq ($(TORCH_INDEX),)
	@echo "Installing torch from $(TORCH_INDEX)"
	@$(PIP) --index-url "$(TORCH_INDEX)" torch
endif
	@echo "Installing the libraries into .venv (some minutes: torch is large)"
	@$(PIP) --editable '.[test]'
	@touch $@
	@echo "The environment is ready: .venv"

sandbox:
	@command -v bwrap >/dev/null || $(call apt,bubblewrap) || { \
		echo "bubblewrap is missing: students' code runs inside it, so nothing can be marked without. On Linux:"; \
		echo "    sudo apt-get install bubblewrap        (Fedora: sudo dnf install bubblewrap)"; }

# Only the tests need it: they open the pages that a person opens.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || $(call apt,chromium) || { \
		echo "chromium is missing: the tests that open feedback pages and formgrader in a browser are skipped. On Debian:"; \
		echo "    sudo apt-get install chromium        (Fedora: sudo dnf install chromium)"; }

# Only the tests need it: they keep a gradebook on a PostgreSQL server of their own.
database:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || $(call apt,postgresql) || { \
		echo "PostgreSQL is missing: the test of a gradebook on it is skipped. On Debian:"; \
		echo "    sudo apt-get install postgresql"; }
