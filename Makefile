# make demo      install into .venv and do the main job on the built-in toy tyres (about 5 minutes)
# make test      install with test extras and run the fast suite; make test-all runs everything
PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
BUDGET ?= 120s
BIN := $(VENV)/bin
EPURE := $(abspath $(BIN))/epure

.PHONY: demo test test-all bench cuda sanitize lint clean

# Each step is an ordinary command, printed before it runs: the demo is also the tutorial.
demo: $(VENV)/.installed
	rm -rf $(DEMO) && mkdir $(DEMO)
	cd $(DEMO) && $(EPURE) data make-toy tyres --count 4000
	cd $(DEMO) && $(EPURE) train vae --data tyres --budget $(BUDGET)
	cd $(DEMO) && $(EPURE) sample vae --mode unconditional --out samples/unconditional
	cd $(DEMO) && $(EPURE) sample vae --mode conditional --grid width_px=50:64:4,height_px=46:58:4 --out samples/conditional
	cd $(DEMO) && $(EPURE) sample vae --mode inpainting --mask group_nc --mask bt --out samples/inpainting
	cd $(DEMO) && $(EPURE) export vae --onnx
	cd $(DEMO) && $(EPURE) sample vae --backend onnx --mode unconditional --out samples/onnx
	@echo
	@echo "The demo is done. Look at the contact sheets:"
	@for mode in unconditional conditional inpainting onnx; do echo "  $(DEMO)/samples/$$mode/contact_sheet.png"; done
	@echo "The run, with its loss curves: $$(ls -d $(DEMO)/outputs/vae/*)"
	@echo "The model without torch, in ONNX: $$(ls -d $(DEMO)/onnx/vae/*)"
	@echo "Try next, in $(DEMO)/ with $(BIN)/epure:"
	@echo "  epure sample vae --mode conditional --set-condition width_px=58"
	@echo "  epure sample vae --mode cross-modal --source-component fpu --keep-draws"
	@echo "  epure train vae --data YOUR_FOLDER"

test: $(VENV)/.installed-test lint
	$(BIN)/python -m pytest -n auto -m "not slow"

test-all: $(VENV)/.installed-test lint sanitize
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.installed-test
	$(BIN)/python -m ruff check . && $(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "epure needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Stamps: a second `make` installs again only where the dependencies or the native sources have changed.
SOURCES := setup.py pyproject.toml constraints.txt $(wildcard csrc/*.* csrc/*/*)

$(VENV)/.installed: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	@touch $@ $(VENV)/.installed

# Timings, as ratios side by side in one process: what data, training, the Gaussian operations and ONNX cost.
bench: $(VENV)/.installed-test
	$(BIN)/python tests/bench/bench_data.py
	$(BIN)/python tests/bench/bench_train.py
	$(BIN)/python tests/bench/bench_gmrf.py
	$(BIN)/python tests/bench/bench_onnx.py

# Builds the extension with its CUDA kernels (needs nvcc).
cuda: $(VENV)/.installed-test
	EPURE_NATIVE=cuda $(BIN)/python setup.py build_ext --inplace
	EPURE_BACKEND=native $(BIN)/python -c "from epurecli.gmrf import backend; print(*backend.active('cuda'))"

# The native kernels under the address, undefined-behaviour and thread sanitizers (minutes).
sanitize:
	sh csrc/sanitize.sh

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info
