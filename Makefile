# Two commands matter: `make run` and `make test`. Both install what they need into .venv first.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
ROOMS := base agents billing crm sandbox telephony tenants thanos
PORT ?= 8000
export UV_PYTHON_DOWNLOADS := never
# Some containers forbid Python to keep what it has compiled: then each of our processes compiles everything again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test install lint format bench clean

run: .venv/.runtime
	@exec $(BIN)/python manage.py serve --port $(PORT)

install: .venv/.runtime

test: .venv/.dev
	$(BIN)/python -m tests.browser
	$(BIN)/python -m pytest -n 3 $(ROOMS)
	@# Whole installations: each is several processes, and calls are spoken in real time.
	$(BIN)/python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder -m "not alone" tests
	$(BIN)/python -m pytest -m alone tests

lint: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python manage.py check
	$(BIN)/mypy
	$(BIN)/djhtml --check --tabwidth 2 templates
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py check_deploy

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/djhtml --tabwidth 2 templates

bench: .venv/.dev
	$(BIN)/python -m bench

.venv/.uv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (apt-get install python3)."; exit 1; }
	@$(PYTHON) -m venv .venv 2>/dev/null || sh .ci/venv.sh $(PYTHON)
	@$(BIN)/pip install -q --disable-pip-version-check uv==0.13.8
	@touch $@

.venv/.runtime: .venv/.uv requirements.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements.txt
	@$(BIN)/python manage.py check >/dev/null # compiles what is used, once, for whoever starts it without make
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements-dev.txt
	@touch $@

clean:
	rm -rf .venv .local
