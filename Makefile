# make run: open the lab.  make test: check everything.  Both make their environment first.
PYTHON ?= python3
PORT ?= 8501
ADDRESS ?= 127.0.0.1
PROCESSES ?= 2
BIN := .venv/bin

.PHONY: run test bench

run: .venv/installed
	mkdir -p static
	$(BIN)/python -m streamlit run pages/server/serve.py --server.port $(PORT) --server.address $(ADDRESS)

test: .venv/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder

bench: .venv/installed-for-tests
	$(BIN)/python -m tests.bench

.venv/installed: requirements.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Distill Lab needs Python 3.11 or later; name one: make run PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	touch $@

.venv/installed-for-tests: .venv/installed tests/requirements.txt
	$(BIN)/python -m pip install --quiet --requirement tests/requirements.txt
	touch $@
