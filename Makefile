# Every target makes `.venv` from requirements.lock when it is missing or old.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
RAY_VENV := build/ray

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-all ray-test check format docs bench claims \
  claims-report bazel-test lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(STAMP): requirements.lock setup.py
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check \
	  --require-hashes -r requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check \
	  --no-deps --no-build-isolation -e .
	touch $@

quickstart: $(STAMP) ## pre-train a tiny T5 with SpacTor on this machine
	$(PY) -m examples.quickstart

test: $(STAMP) ## the fast tests (minutes)
	$(PY) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test-all: $(STAMP) ## every test, the slow ones too
	$(PY) -m pytest -q -m "slow or not slow"

# Ray beside the packages of .venv: its own would be other versions.
$(RAY_VENV)/.installed: requirements-ray.txt $(STAMP)
	$(PY) -m venv $(RAY_VENV)
	$(RAY_VENV)/bin/python -m pip install --quiet \
	  --disable-pip-version-check --no-deps --require-hashes \
	  -r requirements-ray.txt
	$(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > $(RAY_VENV)/project.pth
	mv $(RAY_VENV)/project.pth $(RAY_VENV)/lib/python3.*/site-packages/
	touch $@

ray-test: $(RAY_VENV)/.installed ## two Ray nodes on this machine, a small pool
	RAY_PYTHON=$(abspath $(RAY_VENV)/bin/python) \
	  $(PY) -m pytest -q -m slow tests/al_tf/distributed/ray_test.py

check: $(STAMP) ## lint, format and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(STAMP) ## rewrite the code in the project's format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs: $(STAMP) ## build the documentation site into build/docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

bench: $(STAMP) ## run the benchmarks and rewrite benchmarks/results.md
	$(MAKE) -C benchmarks all PY=../$(PY)

claims: $(STAMP) ## run what the papers' claims rest on (days; resumes)
	$(PY) -m experiments.run

claims-report: $(STAMP) ## docs/*results.md from the logs of experiments/
	$(PY) -m experiments.report
	$(PY) -m experiments.selection.report

bazel-test: $(STAMP) ## the same tests as Bazel targets
	PATH="$(abspath $(VENV))/bin:$$PATH" PYTHON_BIN_PATH=$(abspath $(PY)) \
	  bazel test $(BAZEL_FLAGS) //...

# Not gpu and tpu: CUDA's libraries would come to every machine, and
# tensorflow-tpu holds the same files as tensorflow. Not labeling: crowd-kit
# brings transformers. Not the clouds' file systems: a user has one of them.
LOCKED_EXTRAS := active-learning dev docs scann serving tasks

lock: ## resolve setup.py again into requirements.lock (needs uv)
	uv pip compile setup.py $(addprefix --extra ,$(LOCKED_EXTRAS)) \
	  --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links -o requirements.lock

clean: ## remove everything that is not in git
	rm -rf $(VENV) build dist *.egg-info runs cache
	rm -f bazel-*
