# One command for a newcomer: "make test". Everything below prepares what it needs by itself.
# UV names the uv command for the two targets that write lock files.
PYTHON_IN_VENV := .venv/bin/python
UV ?= uv
DBT_MINOR ?= 1.11
LOCK_FLAGS := --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate --quiet
DBT_LOCK_FLAGS := --python-platform linux --python-version 3.11 --no-emit-index-url --no-header --no-annotate --quiet

.DEFAULT_GOAL := help
.PHONY: help setup python image images test unit lint demo demo-serve bench compat lock lock-dbt clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Python packages, a Docker engine, the runner image
	@deploy/setup.sh python engine image

python:
	@deploy/setup.sh python

image: ## The runner image alone
	@deploy/setup.sh engine image

images: ## Runner images of older dbt versions besides, as the tests use them
	@deploy/setup.sh engine image images

test: setup ## Every test, with a real database and real containers
	@deploy/setup.sh images
	$(PYTHON_IN_VENV) -m tests.run

unit: python ## The tests of pure code, in seconds
	$(PYTHON_IN_VENV) -m pytest tests/unit

lint: python ## Style and types
	$(PYTHON_IN_VENV) -m ruff check
	$(PYTHON_IN_VENV) -m ruff format --check
	$(PYTHON_IN_VENV) -m mypy

demo: setup ## The whole path on a sample project, without GitHub
	$(PYTHON_IN_VENV) -m demo

demo-serve: setup ## The same, and then the pages stay up to look at
	$(PYTHON_IN_VENV) -m demo --serve

bench: setup ## How long extractions take, beside the obvious script (half an hour; BENCH="--models 200" for less)
	$(PYTHON_IN_VENV) -m tests.bench $(BENCH)

compat: setup images ## Public dbt projects through `extract`: the table of docs/compatibility.md
	$(PYTHON_IN_VENV) -m tests.compat --write

lock: ## Write requirements.lock anew from pyproject.toml
	$(UV) pip compile $(LOCK_FLAGS) --generate-hashes --group dev pyproject.toml -o requirements.lock

lock-dbt: ## Write deploy/dbt/DBT_MINOR.txt anew, for another runner image
	@new=$$(mktemp) && \
	own() { if [ -f deploy/dbt/$(DBT_MINOR).$$1 ]; then echo deploy/dbt/$(DBT_MINOR).$$1; else echo deploy/dbt/$$2; fi; } && \
	echo 'dbt-core==$(DBT_MINOR).*' | cat - "$$(own in adapters.in)" | \
	  $(UV) pip compile $(DBT_LOCK_FLAGS) --override "$$(own overrides overrides.txt)" - -o $$new >/dev/null && \
	{ echo '# What dbt $(DBT_MINOR) runs with: every version that it and any of its adapters may pull in, pinned.'; \
	  echo '# Dockerfile.dbt installs dbt-core and the adapters that it was asked for under these constraints.'; \
	  echo '# Made by "make lock-dbt DBT_MINOR=$(DBT_MINOR)".'; \
	  cat $$new; } > deploy/dbt/$(DBT_MINOR).txt && rm $$new

clean: ## Remove what can be made again (not the images, not .freshet)
	rm -rf .venv .cache .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -not -path './.freshet/*' -prune -exec rm -rf {} +
