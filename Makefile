# Every target sets up what it needs, once: a stamp in .venv/.stamps says for which lock a step was done.
# PYTHON=... chooses the interpreter of .venv, ARGS=... goes to the program that a target runs.

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
# The tests wait more than they work, so there are more processes than cores.
WORKERS = $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
UV := $(BIN)/uv
PIP_INSTALL := $(UV) pip install --quiet --python $(BIN)/python
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-dev demo test lint format bench soak screenshots compiled lock clean

help: ## what can be made (this list)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMPS)/runtime ## .venv with the locked dependencies; .venv/bin/cloudchamber is the command

setup-dev: $(STAMPS)/dev $(STAMPS)/peers system-tools ## the same, and all that the tests need

demo: $(STAMPS)/runtime ## a cloud, its devices and a customer's story; ONCE=1 stops after the walk
	@$(BIN)/cloudchamber demo $(if $(filter-out 0,$(ONCE)),--once) $(ARGS)

test: setup-dev ## every test but the long ones; ARGS="-x tests/wire" chooses, WORKERS=0 takes one process
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(STAMPS)/dev ## ruff, format, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMPS)/dev ## let ruff rewrite the files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMPS)/bench-peers $(if $(COMPILED),compiled) ## the benchmarks; ONLY=tokens chooses
	@$(if $(COMPILED),CLOUDCHAMBER_BENCH_COMPILED=$(CURDIR)/build/compiled )$(BIN)/python -m bench $(ONLY) \
		$(if $(COMPILED),--results bench/results/compiled )$(ARGS)

compiled: $(STAMPS)/dev ## a wheel whose hot modules are compiled, in dist/compiled; unpacked in build/compiled
	@rm -rf dist/compiled build/compiled
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 $(BIN)/python -m hatchling build -t wheel -d dist/compiled
	@mkdir -p build && $(BIN)/python -m zipfile -e dist/compiled/*.whl build/compiled

soak: setup-dev ## the long tests: soaks, storms, millions of mutations
	@$(BIN)/python -m pytest -m soak $(ARGS)

screenshots: setup-dev ## pictures of the console's pages, into docs/console
	@$(BIN)/python -m tests.browser.screenshots

lock: $(STAMPS)/build ## work out the locks anew from pyproject.toml; ARGS=--upgrade takes newer releases
	$(LOCK) --group build -o requirements-build.lock $(ARGS)
	$(LOCK) pyproject.toml -o requirements.lock $(ARGS)
	$(LOCK) --group dev -c requirements.lock -c requirements-build.lock -o requirements-dev.lock $(ARGS)
	$(LOCK) bench/peers/requirements.in -o bench/peers/requirements.lock $(ARGS)

clean: ## remove .venv, the Node packages and every cache; data folders stay
	rm -rf $(VENV) $(PEERS:=/node_modules) bench/peers/node_modules bench/peers/*/node_modules bench/peers/.venv test-artefacts dist build
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment whose Python is gone (a link that leads nowhere) is made anew, with all that was in it.
$(shell test -x $(BIN)/python || rm -rf $(STAMPS))
$(BIN)/python:
	@python=$$(scripts/find-python) && echo "making $(VENV) with $$python" && $$python -m venv --clear $(VENV)

# pip brings the pinned installer and build backend; from here on nothing comes unpinned or unhashed.
$(STAMPS)/build: requirements-build.lock $(BIN)/python
	@echo "installing $<"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@mkdir -p $(@D) && touch $@

$(STAMPS)/runtime: requirements.lock pyproject.toml $(STAMPS)/build
	@echo "installing $<"
	@$(PIP_INSTALL) --require-hashes -r $<
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMPS)/dev: requirements-dev.lock $(STAMPS)/runtime
	@echo "installing $<"
	@$(PIP_INSTALL) --require-hashes -r $<
	@scripts/link-node
	@touch $@

# Each folder has a lock of its own: two releases of one client cannot share one.
PEERS := tests/peers tests/peers/cli-3.43 tests/peers/cli-3.51
$(STAMPS)/peers: $(PEERS:=/package-lock.json) $(PEERS:=/.npmrc) $(STAMPS)/dev
	@for folder in $(PEERS); do \
		echo "installing $$folder/package-lock.json"; \
		(cd $$folder && $(CURDIR)/$(BIN)/node $(CURDIR)/$(BIN)/npm ci --loglevel=error >/dev/null) || exit 1; \
	done
	@touch $@

# What could not be installed is tried again by the next run.
$(STAMPS)/bench-peers: bench/peers/package-lock.json bench/peers/.npmrc bench/peers/requirements.lock \
		bench/peers/spark-server/package-lock.json bench/peers/spark-server/.npmrc \
		scripts/bench-peers $(STAMPS)/dev
	@if scripts/bench-peers; then touch $@; fi

.PHONY: system-tools
system-tools:
	@scripts/system-tools
