# Everything is installed in .venv; nothing else is needed but Python 3.11 or newer with its venv module.
# make PYTHON=python3.13 VENV=.venv313 test    uses another Python

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TESTS ?=
IMAGE ?= klassd-test:1
DOCKER ?= docker

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench bench-cluster bench-artifacts bench-peers prove test-cluster test-image

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

setup: $(READY) ## install the package and its tools in .venv (the others do it by themselves)

$(READY): pyproject.toml scripts/venv
	@echo "installing in $(VENV)"
	@scripts/venv $(PYTHON) $(VENV)
	@touch $@

demo: $(READY) ## run the samples in this terminal
	@$(BIN)/python -m examples.demo

test: $(READY) ## run the tests; TESTS=tests/rules runs a part of them
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(TESTS)

test-cluster: $(READY) ## run the tests that need a Kubernetes: KLASSD_TEST_KUBECONFIG=... KLASSD_TEST_IMAGE=... (see test-image)
	@KLASSD_TEST_KUBECONFIG="$${KLASSD_TEST_KUBECONFIG:-$${KUBECONFIG:-$$HOME/.kube/config}}" $(BIN)/python -m pytest -m cluster tests/kubernetes

test-image: $(READY) ## build that image, tagged IMAGE, with DOCKER (docker or podman); the cluster must then get it
	@scripts/test-image-files $(BIN)/python .image
	@$(DOCKER) build --tag $(IMAGE) .image

check: $(READY) ## format, lint, types, layers, and whether the documentation is true
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python docs/check.py

format: $(READY) ## format the code, sort imports, renew the generated parts of the documentation
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .
	$(BIN)/python docs/check.py --write

bench: $(READY) ## measure against the machine's own limits; BENCH="--json out.json" and others, see benchmarks/
	@$(BIN)/python -m benchmarks $(BENCH)

prove: $(READY) ## the long battery of simulation, crashes, torture and stores; PROVE="--short" and others, see docs/proof.md
	@$(BIN)/python -m proof --report docs/proof.json $(PROVE)

bench-cluster: $(READY) ## measure on a Kubernetes: KLASSD_TEST_KUBECONFIG=... KLASSD_TEST_IMAGE=... as for test-cluster; BENCH="--quick" and others
	@KLASSD_TEST_KUBECONFIG="$${KLASSD_TEST_KUBECONFIG:-$${KUBECONFIG:-$$HOME/.kube/config}}" $(BIN)/python -m benchmarks.cluster $(BENCH)

bench-artifacts: $(READY) ## move an artifact of 20 GB to an S3 server and back; BENCH="--gigabytes 1" and others
	@$(BIN)/python -m benchmarks.artifacts $(BENCH)

bench-peers: $(READY) ## install other engines in .bench/ and measure the same job with them
	@$(BIN)/python -m benchmarks.peers $(BENCH)
