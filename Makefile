PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS := .venv-docs
DOCS_READY := $(DOCS)/.ready

# `make -C` names itself in MAKEFLAGS (w); then the application is looked for where make was called.
FROM := $(if $(findstring w,$(firstword -$(MAKEFLAGS))),$(PWD),$(CURDIR))

.DEFAULT_GOAL := help
.PHONY: help venv demo up test check lint format type layers docs screenshots cov bench dist version release audit lock clean

help: ## List what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

venv: $(READY) ## Make the virtual environment that everything runs in

demo: $(READY) ## Run the example audit on the laptop stack, with real data
	@$(BIN)/python -m examples.packages $(OPTIONS)

up: $(READY) ## Run the laptop stack for an application: make up APP=package.module:app, or APP=~/shop/tasks.py:app
	@test -n "$(APP)" || { echo "Say which application to run: make up APP=package.module:app, or APP=~/shop/tasks.py:app" >&2; exit 2; }
	@cd "$(FROM)" && exec "$(abspath $(BIN))/python" -m adjourn_local up "$(APP)" $(OPTIONS)

test: $(READY) ## Run all tests
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(OPTIONS)

check: lint type layers ## Run every check that is not a test

lint: $(READY) ## Check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/shellcheck deploy.sh .ci/run

format: $(READY) ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

type: $(READY) ## Check types
	@$(BIN)/mypy

layers: $(READY) ## Check that imports point one way
	@PYTHONPATH=shared:local $(BIN)/lint-imports

docs: $(DOCS_READY) ## Build the documentation as a site, build/docs; a broken link fails
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet

screenshots: $(READY) ## Take the pictures of the console in docs/images; needs Chromium
	@$(BIN)/python -m tools.screenshots

cov: $(READY) ## Measure which lines and branches of the library the tests reach
	@$(BIN)/coverage run -m pytest -q
	@$(BIN)/coverage report --show-missing

bench: $(READY) ## Measure everything that docs/benchmarks.md reports
	@for each in imports startup loop delivery dispatch end_to_end enqueue first_call async_calls function_forms iteration tasks_server datastore memory scale console schedules codec sealing; do \
	  echo "== $$each"; $(BIN)/python -m bench.$$each || exit 1; done

dist: $(READY) ## Build the distributions of both packages into dist, check them and try them out
	@$(BIN)/python -m tools.release

version: ## Print the version
	@sed -n 's/^__version__ = "\(.*\)"$$/\1/p' shared/adjourn/__init__.py

release: $(READY) ## Make a release, without committing or uploading: make release VERSION=1.4.0
	@test -n "$(VERSION)" || { echo "Say which version: make release VERSION=1.4.0" >&2; exit 2; }
	@$(BIN)/python -m tools.release "$(VERSION)"

audit: $(READY) ## Ask the package index for known vulnerabilities of the pins; Error 1: some, Error 3: it could not be asked
	@$(BIN)/python -m tools.audit

lock: $(READY) ## Pin the newest dependencies, with hashes
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock" shared/pyproject.toml -o requirements.txt
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock" \
	  requirements.txt requirements-dev.in -o requirements-dev.txt
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock" requirements-docs.in -o requirements-docs.txt
	@echo "viur-core~=3.7.0" | $(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
	  shared/pyproject.toml requirements-viur.in - -o requirements-viur-3.7.txt
	@echo "viur-core~=3.9.0" | $(BIN)/uv pip compile -q --upgrade --universal --python-version 3.12 \
	  --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
	  shared/pyproject.toml requirements-viur.in - -o requirements-viur-3.9.txt

clean: ## Remove the virtual environment, state and caches
	@rm -rf $(VENV) $(DOCS) .adjourn build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The checkout itself is on the environment's path, so nothing has to be built or installed twice.
$(READY): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("adjourn needs Python 3.11 or newer; choose one with: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	@echo "Making the virtual environment $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@printf '%s\n' "$(CURDIR)/shared" "$(CURDIR)/local" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/adjourn.pth"
	@touch $@

# The site has an environment of its own: what builds it is of no use to the tests.
$(DOCS_READY): requirements-docs.txt
	@$(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.txt
	@touch $@
