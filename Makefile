# Run "make" for the list of targets. Variables:
#   PYTHON       interpreter for a new environment   make test PYTHON=python3.12 VENV=build/venv-3.12
#   VENV         where the environment lives         default .venv
#   PIP_FLAGS    more flags for pip install          e.g. an index that holds the CPU build of torch
#   PYTEST_ARGS  more arguments for pytest           make test PYTEST_ARGS="tests/laws -x"
#   JOBS         tests that run at once              default: one for each core

PYTHON ?= python3
VENV ?= .venv
PIP_FLAGS ?=
PYTEST_ARGS ?=
JOBS ?= auto
DATA ?=

comma := ,
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --quiet --no-input --disable-pip-version-check
SOURCES := stn_deploy tests $(wildcard docs/*.py) $(if $(wildcard benchmarks/*.py),benchmarks)

# Tesseract's Python side is installed only where Tesseract is, so that quickstart can show what it reads.
QUICKSTART_EXTRAS := runtime$(if $(shell command -v tesseract 2>/dev/null),$(comma)ocr)
TEST_EXTRAS := runtime,train,export,ocr,dev

# One stamp per set of extras: quickstart never installs torch, and a change of pins reinstalls.
QUICKSTART_STAMP := $(VENV)/.installed-$(subst $(comma),-,$(QUICKSTART_EXTRAS))
TEST_STAMP := $(VENV)/.installed-test

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help quickstart test check format train bench gpu picture kernels wheel clean environment engines

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

quickstart: $(QUICKSTART_STAMP)  ## straighten the rendered samples with the rectifier that ships (no GPU, no torch)
	@$(BIN)/stn-deploy rectify samples -o quickstart --sheet --read auto
	@echo
	@echo "Before and after, side by side:  quickstart/sheet.png"
	@echo "Your own files:                  $(BIN)/stn-deploy rectify PHOTO.jpg FOLDER 'crops/*.png' -o straight --sheet"
	@echo "In Python:                       from stn_deploy import Rectifier; crop = Rectifier()(image).image"

test: $(TEST_STAMP) engines  ## all tests
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

engines: $(TEST_STAMP)  ## the engines that the tests drive, into build/engines: TensorRT-RTX, an old ONNX Runtime
	@$(BIN)/python tests/engines/install.py $(PIP_FLAGS)

check: $(TEST_STAMP)  ## formatter, linter and type checker; changes nothing
	@echo "Formatter"; $(BIN)/ruff format --check $(SOURCES)
	@echo "Linter"; $(BIN)/ruff check $(SOURCES)
	@echo "Type checker"; $(BIN)/mypy $(SOURCES)

format: $(TEST_STAMP)  ## format the code and mend what the linter can mend
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

train: $(TEST_STAMP)  ## train the default rectifier into runs/default; DATA=set.zip adds real words with quads
	@$(BIN)/stn-deploy train -o runs/default $(addprefix --data ,$(DATA))

# A script that ends with 77 has said why it cannot measure here.
bench: $(TEST_STAMP)  ## run every script in benchmarks/, one after the other
	@$(PIP) install $(PIP_FLAGS) -c constraints.txt -e '.[bench]'
	@set -e; for script in benchmarks/[!_]*.py; do echo "== $$script"; \
	  $(BIN)/python "$$script" || [ $$? -eq 77 ]; done

gpu: $(TEST_STAMP)  ## tests on a GPU, then figures; needs torch for CUDA, onnxruntime-gpu, and CuPy for some
	@$(BIN)/python -m pytest tests/gpu $(PYTEST_ARGS)
	@$(BIN)/python benchmarks/plugins.py
	@$(BIN)/python benchmarks/gpu_runtime.py

picture: $(TEST_STAMP)  ## redraw the pictures of the README and of docs/
	@$(BIN)/stn-deploy rectify $(addprefix samples/,arch.jpg smile.jpg flag.jpg perspective.jpg tilted.jpg straight_1.jpg) \
	  -o build/picture --sheet --read tesseract
	@mkdir -p docs/images && $(BIN)/python -c 'import cv2; cv2.imwrite("docs/images/before_after.jpg", \
	  cv2.imread("build/picture/sheet.png"), [cv2.IMWRITE_JPEG_QUALITY, 88])'
	@$(BIN)/stn-deploy read docs/pages/cafe.jpg --pages --second-opinion --picture build/picture/page.png
	@$(BIN)/python -c 'import cv2; cv2.imwrite("docs/images/page.jpg", \
	  cv2.imread("build/picture/page.png"), [cv2.IMWRITE_JPEG_QUALITY, 82])'
	@$(BIN)/python docs/draw.py docs/spatial_transformer.md

kernels: engines  ## after a change of the CUDA kernels: their PTX, and the table of the registers that they need
	@$(BIN)/python -m stn_deploy.plugins.kernels.generate_ptx build/engines/cuda-13.0/nvidia/cu13/bin/nvcc
	@$(BIN)/python tests/kernel_resources.py

wheel: $(TEST_STAMP)  ## sdist, and the wheel built from it, into dist/
	@$(BIN)/python -m build

clean:  ## remove what was built; keeps the environment and runs/
	@rm -rf build dist quickstart *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find stn_deploy tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +

$(QUICKSTART_STAMP): pyproject.toml constraints.txt | environment
	@echo "Installing stn-deploy[$(QUICKSTART_EXTRAS)] into $(VENV): about a minute"
	@$(PIP) install $(PIP_FLAGS) -c constraints.txt -e '.[$(QUICKSTART_EXTRAS)]'
	@$(call check_opencv)
	@touch $@

$(TEST_STAMP): pyproject.toml constraints.txt | environment
	@echo "Installing stn-deploy[$(TEST_EXTRAS)] into $(VENV): some minutes, torch is large"
	@$(PIP) install $(PIP_FLAGS) -c constraints.txt -e '.[$(TEST_EXTRAS)]'
	@$(call check_opencv)
	@touch $@ $(QUICKSTART_STAMP)

# opencv-python loads two system libraries that a server may lack; say so here rather than in a traceback.
define check_opencv
$(BIN)/python -c 'import cv2' 2>/dev/null || { $(BIN)/python -c 'import cv2' 2>&1 | tail -1; \
	echo "OpenCV cannot start. On Debian and Ubuntu: apt install libgl1 libglib2.0-0"; exit 1; }
endef

# Runs before every install: a usable environment exists afterwards, or the reason why not has been printed.
environment:
	@if [ -e "$(VENV)" ]; then \
	  "$(BIN)/python" -c 'import pip' 2>/dev/null || { \
	    echo "$(VENV) exists but its Python does not run. Remove it (rm -r $(VENV)) and run make again."; exit 1; }; \
	else \
	  command -v "$(PYTHON)" >/dev/null || { \
	    echo "$(PYTHON) was not found. Name a Python 3.10 to 3.13: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }; \
	  "$(PYTHON)" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	    echo "$(PYTHON) is $$("$(PYTHON)" --version 2>&1); the pinned versions need Python 3.10 to 3.13." \
	      "Name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }; \
	  "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$(PYTHON) lacks the venv module. On Debian and Ubuntu: apt install python3-venv"; exit 1; }; \
	  echo "Creating $(VENV) with $$("$(PYTHON)" --version)"; \
	  "$(PYTHON)" -m venv "$(VENV)" || { rm -rf "$(VENV)"; exit 1; }; \
	fi
	@$(if $(filter undefined default file,$(origin PYTHON)),:,\
	  asked=$$("$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])' || echo unknown); \
	  has=$$("$(BIN)/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  [ "$$asked" = "$$has" ] || { \
	    echo "$(VENV) holds Python $$has, not the $$asked of PYTHON=$(PYTHON)." \
	      "Name another place: make $(MAKECMDGOALS) PYTHON=$(PYTHON) VENV=build/venv-$$asked"; exit 1; })
