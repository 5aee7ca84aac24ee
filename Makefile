# make help lists all commands.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PYTEST = $(BIN)/python -m pytest --numprocesses 2 --dist worksteal
# Wall-clock bounds run alone. Status 5 means that ARGS select no such test.
TIMING = $(BIN)/python -m pytest -m timing $(ARGS) || [ $$? -eq 5 ]
DATABASE_URL_TEST ?= postgres://postgres@127.0.0.1:5432/postgres
REDIS_URL_TEST ?= redis://127.0.0.1:6379/9

# A complete production environment, for Django's deployment checks.
A_SECRET = $(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(48))'
DEPLOYED = DJANGO_ENVIRONMENT=production SECRET_KEY=$$($(A_SECRET)) JWT_SIGNING_KEY=$$($(A_SECRET)) \
	ALLOWED_HOSTS=cosmo.example.com PUBLIC_BASE_URL=https://cosmo.example.com TRUSTED_PROXY_COUNT=1 \
	DATABASE_URL=postgres://cosmo@127.0.0.1/cosmo EMAIL_HOST=127.0.0.1 DEFAULT_FROM_EMAIL=cosmo@example.com

# The tests start Python hundreds of times. Without .pyc files each start would compile Cosmo again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run clean test test-services test-faults test-browser test-schema check format \
	bench bench-logging bench-monitoring bench-digests

# A line "##@ Run" starts a group; the text after ## describes a target.
help:
	@awk -F ':.*## ' '/^##@ /{printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## /{printf "  make %-18s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run

run: $(VENV)/run-installed  ## start Cosmo with demo data on http://127.0.0.1:8000
	@$(BIN)/python manage.py migrate --verbosity 0
	@EMAIL_BACKEND=django.core.mail.backends.dummy.EmailBackend $(BIN)/python manage.py seed_demo
	@$(BIN)/gunicorn -c deploy/gunicorn.conf.py backend.wsgi:application

clean:  ## delete .venv and caches; keeps your database
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

##@ Test

test: $(VENV)/dev-installed  ## run the tests on SQLite; ARGS='-k transition' selects some
	DJANGO_ENVIRONMENT=test $(PYTEST) $(ARGS)
	DJANGO_ENVIRONMENT=test $(TIMING)

test-services: $(VENV)/dev-installed  ## run the same tests on PostgreSQL and Redis (DATABASE_URL_TEST, REDIS_URL_TEST)
	DJANGO_ENVIRONMENT=test DATABASE_URL=$(DATABASE_URL_TEST) REDIS_URL=$(REDIS_URL_TEST) $(PYTEST) $(ARGS)
	DJANGO_ENVIRONMENT=test DATABASE_URL=$(DATABASE_URL_TEST) REDIS_URL=$(REDIS_URL_TEST) $(TIMING)

test-faults: $(VENV)/dev-installed  ## break real servers under load (as root; CONTRIBUTING.md lists the programs)
	DJANGO_ENVIRONMENT=test $(BIN)/python -m pytest -m fault $(ARGS)

test-browser: $(VENV)/dev-installed  ## test pages in Chromium; SCREENSHOTS_DIR=folder keeps pictures
	DJANGO_ENVIRONMENT=test $(BIN)/python -m pytest -m browser $(ARGS)

test-schema: $(VENV)/dev-installed  ## send generated requests to a server; EXAMPLES=50 per operation
	$(BIN)/python -m tests.schema.run --examples $(or $(EXAMPLES),20)

##@ Check

check: $(VENV)/dev-installed  ## check lint, words, imports, migrations, settings and types; each commit must pass
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tests.plain_english
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive api backend deploy
	$(BIN)/lint-imports
	DJANGO_ENVIRONMENT=test $(BIN)/python manage.py makemigrations --check --dry-run
	DJANGO_ENVIRONMENT=test $(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null
	$(DEPLOYED) $(BIN)/python manage.py check --deploy --fail-level WARNING
	DJANGO_ENVIRONMENT=test $(BIN)/mypy

format: $(VENV)/dev-installed  ## format the code and apply safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

##@ Measure

bench: $(VENV)/dev-installed  ## measure requests, compared with a plain REST framework application (needs wrk)
	DJANGO_ENVIRONMENT=test DATABASE_URL=$(DATABASE_URL_TEST) $(BIN)/python -m bench $(ARGS)

bench-logging: $(VENV)/dev-installed  ## measure log records, compared with other libraries, and the middleware
	$(BIN)/python -m bench.log_records
	$(BIN)/python -m bench.middlewares

bench-monitoring: $(VENV)/dev-installed  ## measure what metrics and Sentry add to the task list
	$(BIN)/python -m bench.monitoring

bench-digests: $(VENV)/dev-installed  ## measure the digests of 10,000 users
	$(BIN)/python -m bench.digests

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Cosmo needs Python 3.11 or newer. Name one: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "This Python cannot create a virtual environment. On Debian and Ubuntu, run: apt install python3-venv"; exit 1; }

$(VENV)/run-installed: requirements.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/dev-installed: requirements.txt requirements-tracing.txt requirements-dev.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/run-installed
