# Two commands matter: `make quickstart` and `make test`. The rest is what they are made of.
.DEFAULT_GOAL := help
.PHONY: help install dev quickstart test lint unit wire sim local e2e conformance bench bench-scale bench-recovery bench-redis-delete lock clean
PYTEST := .venv/bin/pytest

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: ## Install what Headstay needs (system packages, .venv, kubectl, the samples' images)
	@scripts/install.sh

dev: ## install, with the tools that the tests need
	@scripts/install.sh --dev

quickstart: install ## Walk through GCS fault tolerance on this machine, with real Ray and real Redis
	@.venv/bin/headstay quickstart

test: dev lint unit ## Run every check and test
	@$(MAKE) --jobs=2 --output-sync=target wire sim # one waits, the other computes
	@$(MAKE) --jobs=2 --output-sync=target local $(BESIDE_LOCAL)
	@$(MAKE) e2e

lint: ## Style, types and the import contracts
	.venv/bin/ruff check src tests
	.venv/bin/ruff format --check src tests
	.venv/bin/mypy
	.venv/bin/lint-imports

unit: ## Pure logic, in seconds
	$(PYTEST) -q tests/unit

wire: ## The operator's client against a server that misbehaves
	$(PYTEST) -q tests/wire

sim: ## The operator broken at every write, and 1,000 seeds of faults, in virtual time
	$(PYTEST) -q tests/sim

local: ## The local Kubernetes, through kubectl
	$(PYTEST) -q tests/local

e2e: ## The quickstart, on real Ray and real Redis
	$(PYTEST) -q tests/e2e

conformance: dev ## The same kubectl transcripts against a real kube-apiserver
	tests/conformance/run.sh

bench: install ## Measure start-up, recovery, memory and idle CPU
	.venv/bin/python bench/run.py

bench-scale: dev ## Measure 100, 300 and 1,000 RayClusters on simulated nodes
	.venv/bin/python -m bench.scale

bench-recovery: install ## Measure recovery from a dead GCS, head restart beside in place (RUNS=10)
	.venv/bin/python bench/recovery.py

bench-redis-delete: install ## Measure what others feel while a namespace of 350 MB is deleted (RUNS=3)
	.venv/bin/python bench/redis_delete.py

lock: ## Bring the lock files up to date with pyproject.toml
	scripts/lock.sh

clean: ## Remove the environment (never the state of a running Headstay)
	rm -rf .venv
