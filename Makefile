# Every target does its own set-up: a machine needs python3 (3.11 or newer) and make.
#
# One virtual environment, filled in steps: `demo` waits only for the few packages that run
# Toril (core.lock); tests and linters add dev.lock, benchmarks add bench.lock.
# The locks agree on every version, so a later step never changes an earlier one.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
LOCKS := requirements/core.lock requirements/dev.lock requirements/bench.lock
UV_VERSION := 0.13.9
UV_FLAGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
PIP_INSTALL := $(BIN)/python -m pip install -qq
INSTALL_LOCK := $(PIP_INSTALL) --require-hashes --no-deps -r

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-tools lint lint-locks bench bench-tools redis chaos lock clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '%-10s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.core ## Run real work on the embedded engine (ARGS="--help" explains)
	$(BIN)/toril demo $(ARGS)

test: $(VENV)/.dev test-tools ## Run the tests (ARGS="-k name" selects)
	$(BIN)/python -m pytest -n 2 $(ARGS)

lint: $(VENV)/.dev lint-locks ## Check style, format, types, layers, sizes and lock files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -q -n 0 tests/test_sizes.py

# A lock that names where it was made from installs only there.
lint-locks:
	@! grep -nE '://|^ *-(i|f|-index-url|-extra-index-url|-find-links)' $(LOCKS)
	@! find . \( -name node_modules -o -name $(VENV) \) -prune -o -name package-lock.json \
		-exec grep -Hn '"resolved": "[a-z+]*:' {} + | grep .

bench: $(VENV)/.bench bench-tools ## Measure side by side with peers
	$(BIN)/python -m benchmarks $(ARGS)

chaos: $(VENV)/.dev test-tools ## Kill, stop and starve workers and Redis, and count the jobs
	$(BIN)/python -m tests.faults $(ARGS)

lock: $(VENV)/.python ## Resolve the locks again (UV_FLAGS=--upgrade moves versions)
	$(PIP_INSTALL) uv==$(UV_VERSION)
	$(COMPILE) pyproject.toml --group build -o requirements/core.lock
	$(COMPILE) pyproject.toml --group dev -c requirements/core.lock -o requirements/dev.lock
	$(COMPILE) --group bench -c requirements/dev.lock -o requirements/bench.lock

COMPILE = $(BIN)/uv pip compile --quiet --no-progress --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	$(UV_FLAGS)

clean: ## Remove everything that the targets made
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf benchmarks/node/node_modules tests/interop/node/node_modules
	find . -name .git -prune -o -name __pycache__ -type d -exec rm -rf {} +

# Set-up. A stamp file says that its step is done; a changed lock or pyproject.toml repeats it.

$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "Toril needs Python 3.11 or newer, and there is no $(PYTHON) here." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
		"Toril needs Python 3.11 or newer, and $(PYTHON) is %d.%d. Name another one:" \
		" make PYTHON=python3.12 ..." % (v[0], v[1]) or 0)'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(call apt,python3-venv) ; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.core: $(VENV)/.python requirements/core.lock pyproject.toml
	$(INSTALL_LOCK) requirements/core.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core requirements/dev.lock
	$(INSTALL_LOCK) requirements/dev.lock
	@touch $@

$(VENV)/.bench: $(VENV)/.core requirements/bench.lock
	$(INSTALL_LOCK) requirements/bench.lock
	@touch $@

bench-tools: benchmarks/node/node_modules/.package-lock.json redis

test-tools: tests/interop/node/node_modules/.package-lock.json redis
	@echo '#include <time.h>' | cc -xc -fsyntax-only - 2>/dev/null || { $(call apt,gcc libc6-dev) ; }

redis:
	@command -v redis-server >/dev/null || { $(call apt,redis-server) ; }

# Not `npm ci`: it refuses a lock that lacks the optional binaries of other platforms. This keeps to
# the locked versions and hashes too, and never writes the lock.
%/node_modules/.package-lock.json: %/package-lock.json
	@command -v node >/dev/null && command -v npm >/dev/null || { $(call apt,nodejs npm) ; }
	cd $* && npm install --no-save --no-audit --no-fund
	@touch $@

# $(call apt,packages): install Debian packages where that is possible, else say what is missing.
apt = if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends $(1); \
	else echo "Please install: $(1) (the names are Debian's), then run make again." >&2; exit 1; fi
