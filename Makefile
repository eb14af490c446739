# Everything from nothing: each target makes the virtual environment it needs.
#
#   make lab     an audited JupyterLab with a production database to debug
#   make review  the auditor's side: verify the lab's ledger and show it as a page
#   make test    the test suite, against what `pip install` gives a user
#   make soak    the tests that take minutes: every byte flipped, hundreds of kills
#   make peers   ipykernel's and jupyter_server's own tests, as they are and with our classes put in, compared (needs PyPI)
#   make lint    ruff, mypy --strict, import contracts
#   make bench   audited against plain, in one run
#   make clean   remove what these made (the lab's ledger too)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LAB := .lab
SOURCES := $(shell find jupyter_audit kernel -type f -not -name '*.pyc')
# pip's editable installs leave data files out (kernelspec, server configuration), so every target
# installs what a user would get, again whenever a source file is newer.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: lab review test soak lint bench clean peers

$(VENV)/made:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade pip
	touch $@

$(VENV)/lab: $(VENV)/made $(SOURCES) setup.cfg pyproject.toml
	$(INSTALL) '.[lab,review]'
	$(INSTALL) --no-deps --force-reinstall .
	touch $@

# JupyterHub's proxy is a Node program. Without npm there is no Hub to test with; those tests say so and are skipped.
$(VENV)/hub-proxy: | $(VENV)/made
	if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --prefix $(VENV) configurable-http-proxy@5 \
	|| echo 'npm could not install configurable-http-proxy: the tests of JupyterHub are skipped'; fi
	touch $@

$(VENV)/test: $(VENV)/made $(SOURCES) setup.cfg pyproject.toml | $(VENV)/hub-proxy
	$(INSTALL) '.[test]'
	$(INSTALL) --no-deps --force-reinstall .
	touch $@

$(VENV)/lint: $(VENV)/made setup.cfg
	$(INSTALL) '.[test,lint]'
	touch $@

lab: $(VENV)/lab
	@PYTHON=$(BIN)/python sh notebooks/lab.sh $(LAB)

review: $(VENV)/lab
	@PYTHON=$(BIN)/python sh notebooks/review.sh $(LAB)

# -P: the tests see the installed package, never the folder beside them. A file's tests share a worker, and with it its servers.
# Three workers for two cores: tests of servers wait for them most of the time.
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) * 3 / 2 )))
test: $(VENV)/test
	$(BIN)/python -P -m pytest --numprocesses $(WORKERS) --dist loadfile $(PYTEST_ARGS)

soak: $(VENV)/test
	$(BIN)/python -P -m pytest -m soak --timeout 3600 --hypothesis-profile soak $(PYTEST_ARGS)

$(VENV)/peers: $(VENV)/test
	$(INSTALL) flaky matplotlib pytest-asyncio pytest-console-scripts pytest-cov 'pytest-jupyter[server]'
	touch $@

peers: $(VENV)/peers
	sh tests/peers/run.sh $(CURDIR)/$(BIN)/python

lint: $(VENV)/lint $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/python -P -m mypy -p jupyter_audit -p jupyter_audit_kernel
	$(BIN)/lint-imports

bench: $(VENV)/test
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) $(LAB) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
