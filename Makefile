# Start with "make test": each target first prepares what it needs.
# UV is the uv command, for the two targets that write lock files.
PYTHON_IN_VENV := .venv/bin/python
UV ?= uv
DBT_MINOR ?= 1.11
LOCK_FLAGS := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet
DBT_LOCK_FLAGS := --python-platform linux --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet

.DEFAULT_GOAL := help
.PHONY: help setup python image images browser promtool test quick coverage adapters test-kubernetes fuzz unit lint demo demo-serve pictures bench accuracy catalogs compat series chaos load audit sbom test-deploy lock lock-dbt clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Prepare Python packages, a Docker engine and the runner image
	@deploy/setup.sh python engine image

python:
	@deploy/setup.sh python

image: ## Build the runner image
	@deploy/setup.sh engine image

images: ## Build the runner images with older dbt versions too, for the tests
	@deploy/setup.sh engine image images

browser: # without it, the tests say which of them did not run
	@deploy/setup.sh browser || true

promtool: # likewise
	@deploy/setup.sh promtool || true

test: setup images browser promtool ## Run every check and test, with a real database and real containers (a quarter of an hour on two processors)
	$(PYTHON_IN_VENV) -m tests.run

quick: python browser promtool ## Run what needs no container: style, types, unit tests, tests with a real database (3 minutes)
	$(PYTHON_IN_VENV) -m tests.run quick

coverage: setup images browser promtool ## Run everything as "make test" does, and measure coverage against its floor
	$(PYTHON_IN_VENV) -m tests.run coverage

test-deploy: setup ## Build the service's image, start the stack of deploy/compose, and test it and its proxies (five minutes)
	@deploy/setup.sh compose
	$(PYTHON_IN_VENV) -m tests.run deploy

adapters: setup images ## Try every adapter of every runner image in a container of its own (two minutes)
	ADAPTERS=all $(PYTHON_IN_VENV) -m pytest -rs tests/e2e/test_adapters.py

test-kubernetes: setup ## Run the tests of every runner in a real Kubernetes, built from Debian's source the first time (as root; half an hour)
	@deploy/test-cluster.sh build up
	TEST_CLUSTER=.cache/kubernetes/freshet.kubeconfig $(PYTHON_IN_VENV) -m pytest -q tests/integration/test_runner_conformance.py

fuzz: setup images ## Send the API generated requests, FUZZ=200 examples for each operation (ten minutes)
	FUZZ=$(or $(FUZZ),200) $(PYTHON_IN_VENV) -m pytest tests/e2e/test_schemathesis.py

unit: python ## Run the unit tests, in seconds: all but those that read the longest texts
	$(PYTHON_IN_VENV) -m pytest -m "not growth" tests/unit

lint: python ## Check style and types
	$(PYTHON_IN_VENV) -m ruff check
	$(PYTHON_IN_VENV) -m ruff format --check
	$(PYTHON_IN_VENV) -m mypy
	.venv/bin/zizmor --offline --quiet .github

demo: setup ## Follow three pushes to a sample project, without GitHub
	$(PYTHON_IN_VENV) -m demo

demo-serve: setup ## The same with a second repository, and all pages on http://127.0.0.1:3111 (or PORT) until Ctrl-C
	$(PYTHON_IN_VENV) -m demo --serve $(if $(PORT),--port $(PORT))

pictures: setup ## Take the pictures of the README from the demo, and those of every page into .cache/pictures
	@deploy/setup.sh browser
	$(PYTHON_IN_VENV) -m tests.pictures
	PICTURES=1 $(PYTHON_IN_VENV) -m pytest -q -rs tests/browser

bench: setup ## Compare the time of extractions with a simple script (half an hour; BENCH="--models 200" for less)
	$(PYTHON_IN_VENV) -m tests.bench $(BENCH)
	$(PYTHON_IN_VENV) -m tests.bench.explorer

accuracy: python ## Measure column lineage and impact, and write docs/accuracy.md (a few minutes; whole projects need the runner image)
	$(PYTHON_IN_VENV) -m tests.accuracy $(ACCURACY)

catalogs: python ## Give OpenMetadata's own reader the OpenLineage events of a project (some minutes: it installs the reader)
	$(PYTHON_IN_VENV) -m tests.catalogs

compat: setup images ## Extract public dbt projects and write docs/compatibility.md
	$(PYTHON_IN_VENV) -m tests.compat --write

series: setup ## Compare incremental results with full parses over 2,000 random edits (half an hour; SERIES="--dbt 11 --steps 50" for less)
	@deploy/setup.sh engine series
	$(PYTHON_IN_VENV) -m tests.series $(SERIES)

chaos: setup ## Kill, stop, cut off and refuse in every way, and audit what is left (an hour; CHAOS="--only database-killed" for less)
	$(PYTHON_IN_VENV) -m tests.chaos $(CHAOS)

load: setup ## Count what is lost and what grows under load (fifteen minutes; LOAD="--only viewers" for less)
	$(PYTHON_IN_VENV) -m tests.load $(LOAD)

lock: ## Update requirements.lock and what the service's image is built with (deploy/*.lock) from pyproject.toml
	$(UV) pip compile $(LOCK_FLAGS) --group dev pyproject.toml -o requirements.lock
	$(UV) pip compile $(LOCK_FLAGS) -c requirements.lock --extra otel --extra kubernetes pyproject.toml -o deploy/service.lock
	echo 'pip-audit<3' | $(UV) pip compile $(LOCK_FLAGS) - -o deploy/audit.lock
	echo 'hatchling<2' | $(UV) pip compile $(LOCK_FLAGS) -c requirements.lock - -o deploy/build.lock

lock-dbt: ## Update deploy/dbt/DBT_MINOR.txt, the versions in a runner image, and those of uv and sqlglot, which every image needs
	@new=$$(mktemp) && echo 'uv<1' | $(UV) pip compile $(DBT_LOCK_FLAGS) - -o $$new >/dev/null && \
	{ echo '# The uv that installs the others. Made by "make lock-dbt".'; cat $$new; } > deploy/dbt/uv.txt && rm $$new
	@new=$$(mktemp) && $(UV) pip compile $(DBT_LOCK_FLAGS) deploy/dbt/columns.in -o $$new >/dev/null && \
	{ echo '# What the columns of models are found with, in every runner image. Made by "make lock-dbt" from columns.in.'; cat $$new; } \
	  > deploy/dbt/columns.txt && rm $$new
	@new=$$(mktemp) && \
	own() { if [ -f deploy/dbt/$(DBT_MINOR).$$1 ]; then echo deploy/dbt/$(DBT_MINOR).$$1; else echo deploy/dbt/$$2; fi; } && \
	echo 'dbt-core==$(DBT_MINOR).*' | cat - "$$(own in adapters.in)" | \
	  $(UV) pip compile $(DBT_LOCK_FLAGS) --override "$$(own overrides overrides.txt)" - -o $$new >/dev/null && \
	{ echo '# What dbt $(DBT_MINOR) runs with: every version that it and any of its adapters may pull in, with the hashes of its files.'; \
	  echo '# Dockerfile.dbt installs dbt-core and the adapters that it was asked for under these constraints.'; \
	  echo '# Made by "make lock-dbt DBT_MINOR=$(DBT_MINOR)".'; \
	  cat $$new; } > deploy/dbt/$(DBT_MINOR).txt && rm $$new

audit: python ## Look for known vulnerabilities of the locked libraries (AUDIT=deploy/dbt/1.7.txt for another lock file)
	$(PYTHON_IN_VENV) deploy/audit.py $(AUDIT)

sbom: python ## Write the bill of materials of the service (CycloneDX) to dist/freshet.cdx.json
	@mkdir -p dist
	$(PYTHON_IN_VENV) deploy/sbom.py dist/freshet.cdx.json

clean: ## Remove everything that can be recreated, except images and .freshet
	rm -rf .venv .cache .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -not -path './.freshet/*' -prune -exec rm -rf {} +
