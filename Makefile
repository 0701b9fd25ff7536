# make run: the whole solution on the built-in data. make test: the tests. Both set up .venv first if need be.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: run test clean

run: .venv/run
	$(BIN)/python run.py

test: .venv/test
	$(BIN)/python -m pytest -q

.venv/run: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/test: requirements-test.txt requirements-twin.txt requirements-serve.txt requirements-orl.txt requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-test.txt
	touch $@ .venv/run

clean:
	rm -rf .venv .pytest_cache .hypothesis
