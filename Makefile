# make demo: the main job on the sample corpus. make test: everything that CI runs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# what is imported is compiled then; all of it at once takes a minute
PIP := $(BIN)/pip install -q --no-compile
TESTS ?= tests

.PHONY: demo test check consumers fix docs ablation clean

demo: $(VENV)/installed
	$(BIN)/curator run examples/quickstart.yaml
	$(BIN)/curator mix examples/mixture.yaml -c examples/corpus
	@echo "the command is $(BIN)/curator; \`. $(BIN)/activate\` puts it on your path"

test: $(VENV)/tests-installed
	$(MAKE) --no-print-directory -j2 check consumers
	$(BIN)/python -m pytest -n $$(nproc 2>/dev/null || echo 2) --dist loadscope --no-loadscope-reorder -q $(TESTS)

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
	$(PIP) -e .
	touch $@

$(VENV)/tests-installed: pyproject.toml | $(VENV)/bin/python
	$(PIP) -e '.[test]'
	touch $@ $(VENV)/installed

$(VENV)/consumers/installed: tests/exporters/consumers.txt | $(VENV)/tests-installed
	rm -rf $(VENV)/consumers
	$(PIP) --no-deps --target $(VENV)/consumers -r tests/exporters/consumers.txt
	touch $@

# Does curation pay? Rust's documentation, as read and as the recipe keeps it; The Rust Book is held out.
# Of another corpus, or more arms: benchmarks/ablation.py --help, and ABLATION_OPTIONS.
ABLATION ?= $(abspath .ablation)
PAGES = source = 'rust' AND regexp_matches(source_key, '^(std|core|alloc|test|proc_macro)/') \
	AND md5_number_lower(regexp_extract(source_key, '[^/]*(/index[.]html)?$$')) % 64 = 0
DOMAIN = source = 'rust' AND source_key NOT LIKE 'book/%' AND NOT ($(PAGES))
RAW = SELECT doc_id, text_read AS text FROM texts JOIN documents USING (doc_id) WHERE $(DOMAIN)
CURATED = SELECT doc_id FROM documents WHERE kept AND $(DOMAIN)
BOOK = SELECT doc_id FROM documents WHERE source = 'rust' AND regexp_matches(source_key, '^book/ch[0-9]') AND md5_number_lower(source_key) % 2 = 0
ADDRESSES = SELECT doc_id FROM documents WHERE source = 'addresses' AND md5_number_lower(source_key) % 8 = 0
CONTROL = SELECT doc_id, text_read AS text FROM texts JOIN documents USING (doc_id) WHERE $(PAGES)

ablation: $(VENV)/tests-installed
	$(BIN)/python benchmarks/rust_docs.py $(ABLATION)
	CURATOR_ABLATION=$(ABLATION) $(BIN)/curator run benchmarks/recipes/ablation.yaml
	$(BIN)/python benchmarks/ablation.py --corpus $(ABLATION)/corpus --work $(ABLATION)/work -o $(ABLATION)/results.json \
		--raw "$(RAW)" --curated "$(CURATED)" --holdout "book=$(BOOK)" --holdout "addresses=$(ADDRESSES)" \
		--control "pages=$(CONTROL)" $(ABLATION_OPTIONS)

clean:
	rm -rf $(VENV) examples/corpus .mypy_cache .ruff_cache .pytest_cache
