# Everything installs into this checkout: .venv (tools and collections), .venv-bench (the peers of the benchmark),
# .venv-engines (load tools that tests run) and .build (scratch). `make clean` removes all of it.
#
# Needed on the machine: bash, git, make and Python 3.11 to 3.13 with venv.

PYTHON ?= python3

# More arguments for pytest, for example PYTEST_ARGS="-k resume -x".
PYTEST_ARGS ?=
# What `make units` runs; empty means all, UNITS=tests/unit/plugins/module_utils/_transfer/ is one folder.
UNITS ?=
# More arguments for ansible-playbook, for example QUICKSTART_ARGS="-e quickstart_keep=true".
QUICKSTART_ARGS ?=
# More arguments for the benchmark.
BENCH_ARGS ?=

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The steps share .build and the two cores of a small machine; `make -j` would only mix their output.
.NOTPARALLEL:

VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
STAGED := .build/ansible_collections/modelops/serving
export PATH := $(BIN):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export ANSIBLE_COLLECTIONS_PATH := $(VENV)/collections

# The pinned files are complete, so pip does not resolve anything: faster, and the same result on every machine.
INSTALL := install --quiet --disable-pip-version-check --no-deps
PIP_INSTALL := -m pip $(INSTALL)

##@ Use

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: quickstart
quickstart: $(VENV)/.quickstart $(VENV)/.collections ## Sync, serve, ask and measure generated models, with services on this machine only
	$(BIN)/ansible-playbook playbooks/quickstart.yml -i inventories/local $(QUICKSTART_ARGS)

.PHONY: bench
bench: $(VENV)/.quickstart $(VENV)/.collections .venv-bench/.installed ## Compare model_sync with its peers (BENCH_ARGS=...)
	PATH="$(BIN):$(CURDIR)/.venv-bench/bin:$$PATH" $(BIN)/python benchmarks/model_sync/run.py $(BENCH_ARGS)

.PHONY: clean
clean: ## Remove everything make has installed or built
	rm -rf .venv .venv-bench .venv-engines .build .mypy_cache .pytest_cache .ruff_cache .hypothesis .ansible
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Test

.PHONY: test
test: ## Linters, unit tests and functional tests; what CI runs
	PYTHON=$(PYTHON) scripts/beside $(MAKE) lint units
	$(MAKE) functional

.PHONY: lint
lint: lint-python lint-shell lint-yaml lint-ansible lint-docs sanity ## All linters and static checks

.PHONY: units
units: stage ## Unit tests, isolated as Ansible isolates modules (UNITS=path)
	scripts/ansible-test units --num-workers 2 $(UNITS)

.PHONY: functional
functional: $(VENV)/.dev $(VENV)/.collections .venv-engines/locust/.installed ## Tests with real services on this machine (PYTEST_ARGS=...)
	scripts/functional $(PYTEST_ARGS)

.PHONY: cluster
cluster: ## Bring up a Kubernetes cluster for the tests (its kubeconfig is .local/cluster/kubeconfig)
	PYTHONPATH=tests/cluster $(PYTHON) -m test_cluster create
	PYTHONPATH=tests/cluster $(PYTHON) -m test_cluster image

.PHONY: cluster-down
cluster-down: ## Remove it again
	PYTHONPATH=tests/cluster $(PYTHON) -m test_cluster delete

.PHONY: molecule
molecule: $(VENV)/.dev $(VENV)/.collections ## The Molecule scenarios, on the same cluster
	$(BIN)/molecule test --all --report

##@ Lint, step by step

.PHONY: lint-python
lint-python: stage ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	cd .build && $(BIN)/mypy --config-file ../mypy.ini ansible_collections/modelops/serving/plugins
	MYPYPATH=roles/local_services/files $(BIN)/mypy --package local_services
	MYPYPATH=tests/cluster $(BIN)/mypy --package test_cluster

.PHONY: lint-shell
lint-shell: $(VENV)/.dev ## shellcheck
	$(BIN)/shellcheck .ci/run scripts/ansible-test scripts/beside scripts/functional scripts/stage

.PHONY: lint-yaml
lint-yaml: $(VENV)/.dev ## yamllint
	$(BIN)/yamllint --strict .

.PHONY: lint-ansible
lint-ansible: stage ## ansible-lint, profile production
	cd $(STAGED) && ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/.build $(BIN)/ansible-lint --offline --strict

.PHONY: lint-docs
lint-docs: stage ## Plugin documentation and changelog
	@# with a HOME of its own, since it leaves a log there
	cd $(STAGED) && HOME=$(VENV)/home ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/.build $(BIN)/antsibull-docs lint-collection-docs \
	  --plugin-docs --validate-collection-refs all --check-extra-docs-refs .
	$(BIN)/antsibull-changelog lint

.PHONY: sanity
sanity: stage ## ansible-test sanity, all tests
	scripts/ansible-test sanity

##@ Maintain

.PHONY: dev
dev: $(VENV)/.dev $(VENV)/.collections ## Install everything the steps above need

.PHONY: format
format: $(VENV)/.dev ## Format the Python code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: build
build: stage ## Build the tarball of the collection, from what git knows or would add, into .build
	$(BIN)/ansible-galaxy collection build --force --output-path .build $(STAGED)

.PHONY: changelog
changelog: dev ## Write CHANGELOG.md for the version in galaxy.yml from changelogs/fragments
	$(BIN)/antsibull-changelog release --reload-plugins --update-existing

# Tests run the load tools that are there. locust is small enough to be there always.
.PHONY: engines
engines: .venv-engines/locust/.installed .venv-engines/aiperf/.installed ## Install more load tools for the tests, 1.5 GB
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then \
	  $(MAKE) .venv-engines/inference_perf/.installed; \
	else \
	  echo "inference-perf needs Python 3.12: make PYTHON=python3.12 engines"; \
	fi

# requirements/*.in are edited by hand, requirements/*.txt of the same name are written here. dev is the superset, and
# the smaller files follow its choices, so that all of them fit into one environment. One set of versions serves Python
# 3.11 to 3.13, but for inference-perf. The comments in the .in files tell why something is capped.
.PHONY: pins
pins: .build/uv/.installed ## Renew the pinned versions in requirements/*.txt
	cd requirements && for name in dev quickstart runtime bench locust aiperf inference_perf; do \
	  constraint=; case $$name in quickstart|runtime) constraint="--constraint dev.txt" ;; esac; \
	  python=3.11; case $$name in inference_perf) python=3.12 ;; esac; \
	  ../.build/uv/bin/uv pip compile --quiet --upgrade --universal --python-version $$python --fork-strategy fewest \
	    --annotation-style line --custom-compile-command "make pins" $$constraint $$name.in --output-file $$name.txt; \
	done

# Not for direct use from here on. Each stamp file stands for one finished installation.

.PHONY: stage
stage: $(VENV)/.dev $(VENV)/.collections
	@scripts/stage

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
	  "ansible-core 2.19 runs on Python 3.11 to 3.13, and $(PYTHON) is %d.%d. Try: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(VENV)/home
	@touch $@

$(VENV)/.quickstart: requirements/quickstart.txt | $(VENV)/.created
	$(BIN)/python $(PIP_INSTALL) --requirement $<
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.quickstart
	$(BIN)/python $(PIP_INSTALL) --requirement $<
	$(BIN)/python -m pip check
	@touch $@

$(VENV)/.collections: requirements/collections.txt scripts/install_collections.py | $(VENV)/.created
	$(BIN)/python scripts/install_collections.py
	@touch $@

.venv-bench/.installed: requirements/bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python $(PIP_INSTALL) --requirement $<
	@touch $@

# Few of the files are ever run, so none is compiled before.
.venv-engines/%/.installed: requirements/%.txt | $(VENV)/.created
	$(PYTHON) -m venv --without-pip $(@D)
	$(BIN)/python -m pip --python $(@D)/bin/python $(INSTALL) --no-compile --requirement $<
	@touch $@

.build/uv/.installed: requirements/pins.txt
	$(PYTHON) -m venv .build/uv
	.build/uv/bin/python $(PIP_INSTALL) --requirement $<
	@touch $@
