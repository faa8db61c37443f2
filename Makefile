# Two commands: `make demo` and `make test`. Everything they need is installed into .venv.
PY       ?= $(shell command -v python3.11 || command -v python3)
VENV     ?= .venv
BIN      := $(VENV)/bin
PIP_ARGS ?=
KERAS_VENV ?= .venv-keras
TENSORFLOW ?= tensorflow-cpu==2.21.0  # elsewhere than on Linux: TENSORFLOW=tensorflow==2.21.0
JOBS     ?= 3  # test processes of one thread each; one more than two cores have, since some wait for browsers and signals

# Compiled modules are kept even where the environment says otherwise: tests start Python a few hundred times.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo studio test test-slow test-reach test-keras lint lint-pages types check clean

$(VENV)/.ok: pyproject.toml constraints.txt
	$(PY) -m venv $(VENV)
	@echo "Installing into $(VENV) (a minute or so the first time) ..."
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt $(PIP_ARGS) -e .
	@touch $@

$(VENV)/.ok-dev: $(VENV)/.ok
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt $(PIP_ARGS) -e '.[dev]'
	@touch $@

demo: $(VENV)/.ok  ## train a DCGAN on handwritten digits, restore a photograph
	$(BIN)/ganvas demo

studio: $(VENV)/.ok  ## the pages in the browser
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt $(PIP_ARGS) -e '.[studio]'
	$(BIN)/ganvas studio --runs .

test: $(VENV)/.ok-dev  ## the default suite
	$(BIN)/python -m pytest -q -m "not slow" -n $(JOBS) --dist worksteal

test-slow: $(VENV)/.ok-dev  ## what takes minutes
	$(BIN)/python -m pytest -q -m slow --timeout 3600

test-reach: $(VENV)/.ok-dev  ## other formats and frameworks, every recipe of the catalogue
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt $(PIP_ARGS) -e '.[dev,ray]'
	$(BIN)/python -m pytest -q tests/test_export_*.py tests/test_mirror.py tests/test_data_remote.py tests/test_data_parquet.py -n $(JOBS) --timeout 900
	$(BIN)/python -m pytest -q tests/test_ray*.py --timeout 900

$(KERAS_VENV)/.ok: $(VENV)/.ok-dev
	$(PY) -m venv $(KERAS_VENV)
	$(KERAS_VENV)/bin/python -m pip install -qq --disable-pip-version-check $(PIP_ARGS) $(TENSORFLOW)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > "$$($(KERAS_VENV)/bin/python -c \
	    "import sysconfig; print(sysconfig.get_path('purelib'))")/ganvas-and-torch.pth"
	@touch $@

test-keras: $(KERAS_VENV)/.ok  ## Keras on TensorFlow itself, in an environment of 1.6 GB of its own
	PYTHONPATH=src $(KERAS_VENV)/bin/python -m pytest -q -s tests/tensorflow_keras.py --timeout 900

lint: $(VENV)/.ok-dev  ## Python; and the pages, where npm is
	$(BIN)/ruff check .
	@if command -v npm >/dev/null; then $(MAKE) -s lint-pages; \
	else echo "The studio's JavaScript and CSS are not linted: that needs npm."; fi

node_modules/.package-lock.json: package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

lint-pages: node_modules/.package-lock.json  ## JavaScript and CSS
	npm run --silent lint

types: $(VENV)/.ok-dev
	$(BIN)/mypy

check: lint types test

clean:
	rm -rf $(VENV) $(KERAS_VENV) node_modules build .mypy_cache .ruff_cache .pytest_cache
