# The two commands: `make demo` and `make test`. Everything else serves them.
# Each target sets up what it needs; the second time that costs nothing.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-print-directory

# After `su` without a dash, PATH lacks the folders of ovs-vswitchd, tcpdump and nft.
export PATH := $(PATH):/usr/sbin:/sbin

PYTHON := .venv/bin/python
# Arguments for pytest, for example: make test PYTEST="tests/unit -k spoof"
PYTEST ?=
# Two workers, a file each at a time: labs are shared within a file, and wait more than they compute.
WORKERS ?= 2
# Arguments for the benchmarks, for example: make bench BENCH="--only ports -o json"
BENCH ?=
# Seconds, and what makes the schedule.
SOAK ?= 1800
SEED ?= 1
# How many faults.
FAULTS ?= 1000
# A PID namespace of its own: whatever a test leaves behind, also after a crash, dies with it. The shell is its
# first process and reaps orphans, which pytest would not.
CAGE := unshare --pid --fork --kill-child --mount-proc

.PHONY: help setup setup-all demo demo-down test test-all test-long test-guest test-guest-chosen soak torture lint format bench docs clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | \
		awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

setup: ## Debian packages, virtual environment, locked Python packages
	@scripts/setup.sh

setup-all: setup ## what test-all needs besides: QEMU, a newer one, Debian's kernel for guests, checkers, resolvers (unpacked)
	@scripts/setup.sh all
	@scripts/kernel.sh
	@scripts/qemu.sh
	@scripts/oracles.sh
	@scripts/names.sh

demo: setup ## two tenants with the same addresses on several hypervisors, with real packets
	@$(PYTHON) -m topologies demo

demo-down: ## remove everything that the demo made, and nothing else
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m topologies demo-down; \
	else echo "demo-down: there is no .venv, so there was no demo"; fi

test: setup lint ## linters, then all tests: unit, property, contract, integration
	@mkdir -p .cache
	@$(CAGE) /bin/sh -c '"$$@"; exit $$?' - $(PYTHON) -m pytest -q -n $(WORKERS) --dist loadfile \
		-m "not long and not guest" --junitxml=.cache/junit.xml $(PYTEST)

# Side by side, since most of what long tests do is wait; the guest has what processor they leave. The long tests
# themselves go one after the other: what they count by the wall's clock suffers from a busy processor beside them.
test-all: setup-all ## what make test leaves out: long tests, and of those on the kernel data path one of each kind
	@$(MAKE) --keep-going --jobs=2 --output-sync=none test-long test-guest-chosen

test-long: setup-all ## the tests that are marked long
	@mkdir -p .cache
	@$(CAGE) /bin/sh -c '"$$@"; exit $$?' - $(PYTHON) -m pytest -q -m long --junitxml=.cache/junit-long.xml $(PYTEST)

test-guest: setup-all ## integration tests in a QEMU guest with Debian's kernel (tests/kernel), one to three hours
	@nice -n 19 $(CAGE) /bin/sh -c '"$$@"; exit $$?' - $(PYTHON) -m tests.kernel $(PYTEST)

test-guest-chosen: setup-all ## some of them: isolation, the bill, the way out, routing, policy, names
	@nice -n 19 $(CAGE) /bin/sh -c '"$$@"; exit $$?' - $(PYTHON) -m tests.kernel --chosen

soak: setup ## half an hour of random restarts and migrations, then everything compared: make soak SOAK=1800 SEED=1
	@mkdir -p .cache
	@RINGFENCE_SOAK_SECONDS=$(SOAK) RINGFENCE_SOAK_SEED=$(SEED) $(CAGE) /bin/sh -c '"$$@"; exit $$?' - \
		$(PYTHON) -m pytest -q -s --junitxml=.cache/junit-soak.xml tests/integration/product/test_soak.py

torture: setup ## a thousand random faults under traffic, then the bill to the byte: make torture FAULTS=1000 SEED=1
	@mkdir -p .cache
	@RINGFENCE_TORTURE_FAULTS=$(FAULTS) RINGFENCE_TORTURE_SEED=$(SEED) RINGFENCE_TORTURE_LOG=.cache/torture.log \
		$(CAGE) /bin/sh -c '"$$@"; exit $$?' - \
		$(PYTHON) -m pytest -q -s --junitxml=.cache/junit-torture.xml tests/integration/product/test_torture.py

lint: setup ## ruff, mypy --strict on the pure rooms, direction of imports
	@echo "lint: ruff"; $(PYTHON) -m ruff check --quiet . && \
		{ $(PYTHON) -m ruff format --quiet --check . || { echo "lint: unformatted files; run 'make format'"; \
		$(PYTHON) -m ruff format --check .; exit 1; }; }
	@echo "lint: mypy --strict"; $(PYTHON) -m mypy --strict
	@echo "lint: import-linter"; .venv/bin/lint-imports --no-logo >.cache/lint-imports.log 2>&1 || \
		{ cat .cache/lint-imports.log; exit 1; }; tail -n 2 .cache/lint-imports.log

format: setup ## what ruff can mend by itself
	@$(PYTHON) -m ruff check --quiet --fix . ; $(PYTHON) -m ruff format --quiet .

bench: ## figures, beside OVN's; no timed assertions
	@scripts/setup.sh bench
	@scripts/names.sh
	@$(CAGE) /bin/sh -c '"$$@"; exit $$?' - $(PYTHON) -m tests.bench $(BENCH)

docs: setup ## generate docs/pipeline.md from the tables' declarations
	@$(PYTHON) -m pipelines.document >.cache/pipeline.md && mv .cache/pipeline.md docs/pipeline.md

clean: ## remove caches and the virtual environment (not the demo: make demo-down)
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build ./*.egg-info
