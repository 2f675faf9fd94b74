# Everything that a newcomer, a developer and CI run. Needs Python 3.11 and make, nothing else.
PYTHON ?= python3
BIN := .venv/bin
export UV_NO_PROGRESS := 1

.PHONY: demo install dev test types suite format lock clean

demo: install ## Start the shop, Watchkeeper and a fault, and show the loop
	$(BIN)/watchkeeper demo

install: .venv/installed ## Make .venv and install what the lock file pins

test: dev ## Everything: style, types, import contract and all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(MAKE) --no-print-directory -j 2 types suite

types: dev
	$(BIN)/mypy

# A third worker for two cores: much of what is tested takes time, not work. What fails beside the others runs once
# more alone, under the same seed; if it fails there, the suite fails. Both results are printed.
SEED := $(shell date +%s)
suite: dev
	$(BIN)/python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder --randomly-seed=$(SEED) || \
	  { [ $$? -eq 1 ] && echo "Once more, alone: what failed beside the others" && \
	    $(BIN)/python -m pytest -n 0 --last-failed --last-failed-no-failures none --randomly-seed=$(SEED); }

dev: .venv/installed-dev

.venv/bin/uv: requirements-build.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-build.lock

# dash-cytoscape comes as source: it is built with the pinned tools, not with whatever is newest.
.venv/installed: .venv/bin/uv requirements.lock pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-build-isolation -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps -e .
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-build-isolation -r requirements-dev.lock
	touch $@

format: dev ## Apply the formatter and the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

COMPILE := $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header pyproject.toml
lock: .venv/bin/uv ## Pin again, with hashes
	$(COMPILE) --extra build --extra dev -o requirements-dev.lock
	$(COMPILE) --extra build -c requirements-dev.lock -o requirements.lock
	$(COMPILE) --extra peers -c requirements-dev.lock -o requirements-peers.lock
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["build"], sep="\n")' \
	  | $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -c requirements-dev.lock -o requirements-build.lock -

clean: ## Remove what the demo and the tools left behind
	rm -rf watchkeeper-data .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
