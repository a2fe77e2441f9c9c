# Two commands matter: `make demo` (the whole story on one photo) and `make test`. Both set everything up first.
PYTHON ?= python3
NPM ?= npm
PHOTO ?=
OUT ?= demo-out

VENV := .venv
BIN := $(VENV)/bin
PY_STAMP := $(VENV)/.installed
NODE_STAMP := devnet/node_modules/.installed

.PHONY: setup demo test lint contracts check-python check-node lock clean

setup: $(PY_STAMP) $(NODE_STAMP)

check-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }

check-node:
	@node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' 2>/dev/null || \
	  { echo "Node 20 or newer is needed (with npm), see https://nodejs.org" >&2; exit 1; }

$(PY_STAMP): pyproject.toml requirements.lock | check-python
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-virtualenv -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

$(NODE_STAMP): devnet/package.json devnet/package-lock.json | check-node
	cd devnet && $(NPM) ci --no-fund --no-audit --loglevel=error
	@touch $@

demo: setup
	$(BIN)/ffem demo $(if $(PHOTO),"$(PHOTO)",) --out "$(OUT)"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd contracts && ../devnet/node_modules/.bin/forge fmt --check

contracts: setup
	$(BIN)/python -m ffem_devnet.compile --check
	cd contracts && ../devnet/node_modules/.bin/forge test

test: lint contracts
	$(BIN)/pytest

lock: $(PY_STAMP)
	{ sed -n '/^#/p' requirements.lock; \
	  $(BIN)/python -m pip freeze --exclude-editable | sed 's/^\(torch==[0-9.]*\)+.*/\1/'; } > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean:
	rm -rf $(VENV) devnet/node_modules contracts/out contracts/cache demo-out .pytest_cache .mypy_cache .ruff_cache
