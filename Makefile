# make demo: the main job on the sample corpus. make test: everything that CI runs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TESTS ?= tests

.PHONY: demo test check consumers fix docs clean

demo: $(VENV)/installed
	$(BIN)/curator run examples/quickstart.yaml
	$(BIN)/curator mix examples/mixture.yaml -c examples/corpus
	@echo "the command is $(BIN)/curator; \`. $(BIN)/activate\` puts it on your path"

test: $(VENV)/tests-installed check consumers
	$(BIN)/python -m pytest -n $$(nproc 2>/dev/null || echo 2) --dist loadscope -q $(TESTS)

check: $(VENV)/tests-installed
	$(BIN)/ruff check .
	$(BIN)/mypy

consumers: $(VENV)/consumers/installed

fix: $(VENV)/tests-installed
	$(BIN)/ruff check --fix .

docs: $(VENV)/tests-installed
	$(BIN)/python tests/readme.py --write

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -q -e .
	touch $@

$(VENV)/tests-installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -q -e '.[test]'
	touch $@ $(VENV)/installed

$(VENV)/consumers/installed: tests/exporters/consumers.txt | $(VENV)/tests-installed
	rm -rf $(VENV)/consumers
	$(BIN)/pip install -q --no-deps --target $(VENV)/consumers -r tests/exporters/consumers.txt
	touch $@

clean:
	rm -rf $(VENV) examples/corpus .mypy_cache .ruff_cache .pytest_cache
