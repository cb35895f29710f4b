# Two commands matter: `make demo` runs the main job on real recordings, `make test` passes the tests.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: demo test check tests faults fuzz bench soak wheel wheel-test audit peers schemas rows standin lock clean

demo: $(INSTALLED)
	$(BIN)/python samples/demo.py

test: check tests

check: $(INSTALLED)
	$(BIN)/ruff format --check -q .
	$(BIN)/ruff check -q .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-cache > .venv/lint-imports.txt || { cat .venv/lint-imports.txt; exit 1; }

tests: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist worksteal

# Everything that can go wrong, at its full length, in one table; docs/CONTRIBUTING.md says what it takes.
faults: $(INSTALLED)
	$(BIN)/python -m tests.faults

# The properties of all borders with fresh examples, for FUZZ_SECONDS.
FUZZ_SECONDS ?= 300
fuzz: $(INSTALLED)
	$(BIN)/python -m tests.faults.fuzz $(FUZZ_SECONDS)

bench: $(INSTALLED)
	$(BIN)/python -m tests.benchmarks

# Does a process that stays grow or slow down? `make soak JOBS=2000 RUNS=4` for a try.
JOBS ?= 20000
RUNS ?= 10
soak: $(INSTALLED)
	$(BIN)/python -m tests.benchmarks.soak --jobs $(JOBS) --runs $(RUNS)

# dist/mediaspool-<version>-py3-none-any.whl; docs/installing.md says how to install it.
wheel: $(INSTALLED)
	$(BIN)/python -m hatchling build -t wheel -d dist

# The built wheel in fresh environments, without this source tree. Needs a network until its wheels are there.
wheel-test: $(INSTALLED) .venv-wheel/complete
	$(BIN)/python -m pytest -m wheel tests/wheel

.venv-wheel/complete: requirements.lock
	rm -rf .venv-wheel
	$(BIN)/python -m pip wheel --quiet --require-hashes --no-deps -r requirements.lock -w .venv-wheel/house
	touch $@

# What is known against the packages of the lock file; says so where the advisories cannot be had.
audit: $(INSTALLED) .venv-audit/installed
	$(BIN)/python -m tests.audit

.venv-audit/installed:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet pip-audit==2.10.1
	touch $@

# Writes docs/schema anew from the code; a test says when it is due.
schemas: $(INSTALLED)
	$(BIN)/python -m tests.schemas

# Writes docs/required-rows.md anew from the tests; a test says when it is due.
rows: $(INSTALLED)
	$(BIN)/python -m tests.required

# A server that behaves like the real ones and costs nothing; docs/standin.md says how to try every remote kind on it.
standin: $(INSTALLED)
	$(BIN)/python -m tests.standin --port 8765

# The lock file is hashed, so pip installs exactly these bytes; afterwards nothing here needs a network.
$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

# Other tools to measure against by hand; never part of the product.
peers: .venv-bench/installed

.venv-bench/installed: tests/benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet -r tests/benchmarks/requirements.txt
	touch $@

# Needs uv; writes versions and hashes only, no addresses.
lock:
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements.lock

clean:
	rm -rf dist .venv .venv-audit .venv-bench .venv-wheel .mypy_cache .ruff_cache .pytest_cache .hypothesis samples/out
