# make run   - start Cosmo on this machine          make test  - the tests, on SQLite
# make check - lint, types, imports, settings       make test-services - the tests, on PostgreSQL and Redis
# make help  - all commands

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PYTEST = $(BIN)/python -m pytest --numprocesses 2 --dist worksteal
# Wall-clock bounds run alone. Status 5 means that ARGS select no such test.
TIMING = $(BIN)/python -m pytest -m timing $(ARGS) || [ $$? -eq 5 ]
DATABASE_URL_TEST ?= postgres://postgres@127.0.0.1:5432/postgres
REDIS_URL_TEST ?= redis://127.0.0.1:6379/9

# An example of a production environment, for Django's deployment checks.
A_SECRET = $(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(48))'
DEPLOYED = DJANGO_ENVIRONMENT=production SECRET_KEY=$$($(A_SECRET)) JWT_SIGNING_KEY=$$($(A_SECRET)) \
	ALLOWED_HOSTS=cosmo.example.com PUBLIC_BASE_URL=https://cosmo.example.com TRUSTED_PROXY_COUNT=1 \
	DATABASE_URL=postgres://cosmo@127.0.0.1/cosmo EMAIL_HOST=127.0.0.1 DEFAULT_FROM_EMAIL=cosmo@example.com

# The tests start Python some hundred times: each start would compile Cosmo anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test test-services test-faults test-browser test-schema check format bench bench-logging bench-monitoring clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(VENV)/run-installed  ## install, migrate, fill with a demo portfolio, and serve on http://127.0.0.1:8000
	@$(BIN)/python manage.py migrate --verbosity 0
	@EMAIL_BACKEND=django.core.mail.backends.dummy.EmailBackend $(BIN)/python manage.py seed_demo
	@$(BIN)/gunicorn -c deploy/gunicorn.conf.py backend.wsgi:application

test: $(VENV)/dev-installed  ## the tests, on SQLite
	DJANGO_ENVIRONMENT=test $(PYTEST) $(ARGS)
	DJANGO_ENVIRONMENT=test $(TIMING)

test-services: $(VENV)/dev-installed  ## the same on PostgreSQL and Redis (DATABASE_URL_TEST, REDIS_URL_TEST)
	DJANGO_ENVIRONMENT=test DATABASE_URL=$(DATABASE_URL_TEST) REDIS_URL=$(REDIS_URL_TEST) $(PYTEST) $(ARGS)
	DJANGO_ENVIRONMENT=test DATABASE_URL=$(DATABASE_URL_TEST) REDIS_URL=$(REDIS_URL_TEST) $(TIMING)

test-faults: $(VENV)/dev-installed  ## servers killed, frozen, full, restarted under load (needs root and the programs that CONTRIBUTING.md lists)
	DJANGO_ENVIRONMENT=test $(BIN)/python -m pytest -m fault $(ARGS)

test-browser: $(VENV)/dev-installed  ## pages in headless Chromium (needs chromium; SCREENSHOTS_DIR=folder keeps pictures)
	DJANGO_ENVIRONMENT=test $(BIN)/python -m pytest -m browser $(ARGS)

test-schema: $(VENV)/dev-installed  ## schemathesis against a running server (EXAMPLES for each operation)
	$(BIN)/python -m tests.schema.run --examples $(or $(EXAMPLES),20)

check: $(VENV)/dev-installed  ## what every commit passes: lint, format, types, imports, migrations, settings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive api backend deploy
	$(BIN)/lint-imports
	DJANGO_ENVIRONMENT=test $(BIN)/python manage.py makemigrations --check --dry-run
	DJANGO_ENVIRONMENT=test $(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null
	$(DEPLOYED) $(BIN)/python manage.py check --deploy --fail-level WARNING
	DJANGO_ENVIRONMENT=test $(BIN)/mypy

format: $(VENV)/dev-installed  ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev-installed  ## what answers cost, beside the plainest REST framework application and as tasks grow (needs wrk)
	DJANGO_ENVIRONMENT=test DATABASE_URL=$(DATABASE_URL_TEST) $(BIN)/python -m bench $(ARGS)

bench-logging: $(VENV)/dev-installed  ## a log record beside its peers, and what the three middlewares cost
	$(BIN)/python -m bench.log_records
	$(BIN)/python -m bench.middlewares

bench-monitoring: $(VENV)/dev-installed  ## what metrics and Sentry cost the task list
	$(BIN)/python -m bench.monitoring

clean:  ## remove what the commands above made, but not your database
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Cosmo needs Python 3.11 or newer; name it: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "This Python cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/run-installed: requirements.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/dev-installed: requirements.txt requirements-tracing.txt requirements-dev.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/run-installed
