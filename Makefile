# Every target does its own setup. A machine needs only python3 (3.11 or newer) and make.
#
# There is one virtual environment, which is filled in steps: `demo` installs only the few packages
# that Toril needs to run (core.lock), tests and linters add dev.lock, benchmarks add bench.lock.
# All locks agree on versions, so a later step never changes what an earlier one installed.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
NODE_5 := tests/interop/node5/node_modules
LOCKS := requirements/core.lock requirements/dev.lock requirements/bench.lock
UV_VERSION := 0.13.9
UV_FLAGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
PIP_INSTALL := $(BIN)/python -m pip install -qq
INSTALL_LOCK := $(PIP_INSTALL) --require-hashes --no-deps -r

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-tools lint lint-locks bench bench-tools redis chaos interop-suite interop-5 lock clean

help: ## List all targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '%-14s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.core ## Run jobs on real files, with the SQLite engine (ARGS="--help" lists options)
	$(BIN)/toril demo $(ARGS)

test: $(VENV)/.dev test-tools ## Run the tests (ARGS="-k name" selects some)
	$(BIN)/python -m pytest -n 2 $(ARGS)

lint: $(VENV)/.dev lint-locks ## Check style, formatting, types, layers, sizes and lock files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -q -n 0 tests/test_sizes.py

# A lock file that names a package index can only be installed from that index.
lint-locks:
	@! grep -nE '://|^ *-(i|f|-index-url|-extra-index-url|-find-links)' $(LOCKS)
	@! find . \( -name node_modules -o -name $(VENV) \) -prune -o -name package-lock.json \
		-exec grep -Hn '"resolved": "[a-z+]*:' {} + | grep .

bench: $(VENV)/.bench bench-tools ## Run the benchmarks against other job queues
	$(BIN)/python -m benchmarks $(ARGS)

chaos: $(VENV)/.dev test-tools ## Kill, stop and starve workers and Redis, and check all jobs
	$(BIN)/python -m tests.faults $(ARGS)

interop-suite: $(VENV)/.dev test-tools ## Play what BullMQ's Worker does with Toril's in its place
	$(BIN)/python -m tests.interop.suite $(ARGS)

interop-5: $(VENV)/.dev test-tools $(NODE_5)/.package-lock.json ## Run the tests with Node.js against BullMQ 5
	BULLMQ=5.81 $(BIN)/python -m pytest -n 2 tests/interop $(ARGS)

lock: $(VENV)/.python ## Update the lock files (UV_FLAGS=--upgrade upgrades versions)
	$(PIP_INSTALL) uv==$(UV_VERSION)
	$(COMPILE) pyproject.toml --group build -o requirements/core.lock
	$(COMPILE) pyproject.toml --group dev -c requirements/core.lock -o requirements/dev.lock
	$(COMPILE) --group bench -c requirements/dev.lock -o requirements/bench.lock

COMPILE = $(BIN)/uv pip compile --quiet --no-progress --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	$(UV_FLAGS)

clean: ## Remove everything that the targets created
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf benchmarks/node/node_modules tests/interop/node/node_modules $(NODE_5)
	find . -name .git -prune -o -name __pycache__ -type d -exec rm -rf {} +

# Setup. A stamp file marks a finished step. A changed lock file or pyproject.toml repeats the step.

$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "Toril needs Python 3.11 or newer, but $(PYTHON) was not found." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
		"Toril needs Python 3.11 or newer, but $(PYTHON) is %d.%d. Use another one:" \
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

# Not `npm ci`, which refuses a lock file without the optional binaries of other platforms. This
# command also installs the locked versions, checks their hashes, and never changes the lock file.
%/node_modules/.package-lock.json: %/package-lock.json
	@command -v node >/dev/null && command -v npm >/dev/null || { $(call apt,nodejs npm) ; }
	cd $* && npm install --no-save --no-audit --no-fund
	@touch $@

# $(call apt,packages): install Debian packages if possible, otherwise print what is missing.
apt = if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends $(1); \
	else echo "Please install $(1) (Debian package names), then run make again." >&2; exit 1; fi
