# Front door for people: every target is one line into invoke, pytest or ansible.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
.ONESHELL:
MAKEFLAGS += --no-builtin-rules

# := and not ?=, so that an ENV of the calling shell does not choose the environment.
ENV :=
PYTHON := python3
VENV := .venv
INVOKE := $(VENV)/bin/invoke

env := $(if $(ENV),--env '$(ENV)')
dest := $(if $(DEST),--dest '$(DEST)')
json := $(if $(JSON),--json)
quiet := $(if $(QUIET),--quiet)
options = $(env) $(dest) $(json)

##@ Backups
.PHONY: backup verify drill list prune accept restore status report
backup: $(VENV)/host ## Take a verified backup: ENV=dev [DEST=/mnt/backups] [PRUNE=1] [QUIET=1] [JSON=1]
	@$(INVOKE) backup $(options) $(quiet) $(if $(PRUNE),--prune)
verify: $(VENV)/host ## Check a backup to its last byte: FILE=latest|NAME|PATH [ENV=dev]
	@$(INVOKE) verify $(if $(FILE),--file '$(FILE)') $(options) $(quiet)
drill: $(VENV)/host ## Restore a backup into a scratch database and compare it: [FILE=latest|NAME|PATH] ENV=dev
	@$(INVOKE) drill $(if $(FILE),--file '$(FILE)') $(options) $(quiet)
list: $(VENV)/host ## List backups: [ENV=dev]
	@$(INVOKE) list $(options)
prune: $(VENV)/host ## Show what retention deletes; delete it with APPLY=1: ENV=dev
	@$(INVOKE) prune $(options) $(if $(APPLY),--apply)
accept: $(VENV)/host ## Accept a suspect backup: FILE=latest|NAME [ENV=dev]
	@$(INVOKE) accept $(if $(FILE),--file '$(FILE)') $(options)
restore: $(VENV)/host ## Restore: FILE=latest|NAME|PATH TO=name|URL [ENV=dev] [CONFIRM=name] [DRY_RUN=1] [ARGS="--replace ..."]
	@$(INVOKE) restore $(if $(FILE),--file '$(FILE)') $(if $(TO),--to '$(TO)') $(options) $(if $(CONFIRM),--confirm '$(CONFIRM)') $(if $(DRY_RUN),--dry-run) $(quiet) $(ARGS)

status: $(VENV)/host ## Am I protected: every environment, or ENV=dev [JSON=1] [NAGIOS=1]
	@$(INVOKE) status $(options) $(if $(NAGIOS),--nagios)
report: $(VENV)/host ## Write a report as one HTML file: ENV=dev [OUTPUT=report-dev.html]
	@$(INVOKE) report $(options) $(if $(OUTPUT),--output '$(OUTPUT)')

##@ Backup hosts
.PHONY: deploy fetch doctor notify
deploy: $(VENV)/host ## Make backup hosts of an inventory's machines: ENV=prod [CHECK=1] [ARGS="--ask-vault-pass"]
	@$(INVOKE) deploy $(env) $(if $(CHECK),--check) $(if $(ARGS),--args "$(ARGS)")
fetch: $(VENV)/host ## Bring a backup here and verify it: ENV=prod [FILE=latest] [DEST=directory]
	@$(INVOKE) fetch $(env) $(if $(FILE),--file '$(FILE)') $(dest)
doctor: $(VENV)/host ## Will the next scheduled backup work, did the last one: ENV=prod
	@$(INVOKE) doctor $(env) $(json)
notify: $(VENV)/host ## Send a test message and ping to everybody who is told: ENV=prod
	@$(INVOKE) notify $(env) $(json)

##@ Demonstration
.PHONY: demo demo-clean
demo: $(VENV)/host ## Start a throwaway database here, back it up, verify, list and prune
	@$(INVOKE) demo
demo-clean: ## Stop that database and remove it
	@if [ -x $(INVOKE) ]; then $(INVOKE) demo-clean; fi

##@ Development
.PHONY: check lint test bench soak chaos requirements clean
check: lint test ## Lint, then test
lint: $(VENV)/dev ## Ruff, mypy, yamllint, ansible-lint
	@$(INVOKE) lint
test: $(VENV)/dev ## Set up what is missing and run every test: [ARGS="-k name"]
	@$(INVOKE) test $(if $(ARGS),--args "$(ARGS)")
bench: $(VENV)/dev ## Measure beside pg_dump: [SIZE=500] megabytes [ROUNDS=3] [ONLY=vector] [OURS=1] [WRITE=1] into docs/performance.md
	@$(INVOKE) bench $(if $(SIZE),--megabytes $(SIZE)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only '$(ONLY)') $(if $(OURS),--ours) $(if $(WRITE),--write)
soak: $(VENV)/dev ## Back up under writers and DDL, restore, check, again and again: [ROUNDS=1000]
	@$(INVOKE) soak $(if $(ROUNDS),--rounds $(ROUNDS))
chaos: $(VENV)/dev ## Try to lose data, in rounds of faults: [ROUNDS=200] [SEED=1] [MINUTES=60] [ONLY=kill] [WRITE=1] into docs/reliability.md
	@$(INVOKE) chaos $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(ONLY),--only '$(ONLY)') $(if $(WRITE),--write)
requirements: $(VENV)/dev ## Pin the requirements anew
	@$(INVOKE) requirements
clean: demo-clean ## Remove what can be made again
	@rm -rf $(VENV) .demo .bench .chaos .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*

##@ Help
.PHONY: help
help: ## Show this
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile

# A virtual environment with the control machine's requirements; `dev` adds the test's.
$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV)
$(VENV)/host: requirements.txt | $(VENV)/bin/python
	@$(VENV)/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes --requirement $< && touch $@
$(VENV)/dev: requirements-dev.txt $(VENV)/host
	@$(VENV)/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes --requirement $< && touch $@
