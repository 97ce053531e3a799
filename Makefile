# Two commands do everything: `make demo` and `make test`. Each makes its own .venv; the second run starts in seconds.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Made again only when what it depends on has changed.
READY := $(VENV)/.ready

.PHONY: demo test check format clean

demo: $(READY)
	$(BIN)/lookalike demo --to demo

test: check
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format src tests benchmarks docs
	$(BIN)/ruff check --fix src tests benchmarks docs

clean:
	rm -rf $(VENV) demo

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "lookalike needs Python 3.11 or later: make PYTHON=python3.12 ..." && exit 1)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (the first time takes minutes: PyTorch is large) ..."
	$(BIN)/python -m pip install --quiet --progress-bar off --disable-pip-version-check -c constraints.txt -e '.[text,dev]'
	@touch $@
