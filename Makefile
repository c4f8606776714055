# Every target makes .venv by itself, and installs only when pyproject.toml or requirements.txt is newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

CONTENT ?= images/content/pagoda.jpg
STYLE ?= images/style/starry_night.jpg
DEMO_SIZE := 400
SIZE ?= $(DEMO_SIZE)
PORT ?= 8000
OLDEST := tensorflow==2.16.1 numpy==1.26.0 scipy==1.10.1 pillow==10.0.0 matplotlib==3.7.0

.DEFAULT_GOAL := help
.PHONY: help demo slim test test-all test-oldest test-browser test-faults test-lab test-cluster page lab lab-release lab-grade lab-class lint format notebooks bench bench-scale published links colab-zip strip layer-pictures gallery clean

# A misspelled variable would be taken without a word, and the demo would repaint another picture than was asked for.
VARIABLES := PYTHON VENV CONTENT STYLE SIZE PORT OLDEST PARTS PICTURES REPO SUBMISSIONS NAMES
SPACE := $(subst ,, )
$(foreach given,$(subst \$(SPACE),_,$(MAKEOVERRIDES)),$(if $(filter $(VARIABLES) SHELL,$(firstword $(subst =, ,$(subst :=,=,$(given))))),, \
	$(error There is no variable $(firstword $(subst =, ,$(given))); there are $(VARIABLES). See `make help`)))

help:  ## list the targets
	@awk -F ':.*##' '/^[a-z-]+:.*##/ { printf "%-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.core: pyproject.toml
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		echo "Making $(VENV) ..."; rm -rf $(VENV); $(PYTHON) -m venv $(VENV) || { \
		echo "Python's venv is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }; }
	@echo "Installing nst_tf and what it needs; the first time takes a minute or two ..."
	@# The pip of a new environment may be too old for a project without a setup.py.
	@$(PIP) --upgrade pip
	@$(PIP) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.core requirements.txt
	@echo "Installing what the tests need ..."
	@$(PIP) -r requirements.txt -e '.[test]'
	@touch $@

$(VENV)/.lab: $(VENV)/.core requirements.txt
	@echo "Installing what the notebooks need ..."
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.lint: $(VENV)/.core
	@$(PIP) -e '.[lint]'
	@touch $@

demo: $(VENV)/.core  ## repaint a bundled picture, or CONTENT=… STYLE=… [SIZE=…], without a download; results in outputs/
	@echo "Repainting $(CONTENT) in the style of $(STYLE) ..."
	@stem() { basename "$${1%.*}"; }; name="outputs/$$(stem "$(CONTENT)")__$$(stem "$(STYLE)")$(if $(filter-out $(DEMO_SIZE),$(SIZE)),_$(SIZE))"; \
	$(BIN)/python -m nst_tf stylize "$(CONTENT)" "$(STYLE)" --features slim --size $(SIZE) \
		-o "$$name.png" --plot "$${name}_loss.png" --timelapse "$$name.gif" && \
	echo "The picture is $$name.png; beside it lie how it came to be, as a .gif, and its loss at each step, as _loss.png."
	@$(if $(filter-out images/%,$(CONTENT)),:,echo "Next, with your own pictures: make demo CONTENT=photo.jpg STYLE=painting.jpg SIZE=512")

WEIGHTS_FIRST = $(BIN)/python -m nst_tf weights || echo "Without VGG19's weights, the tests that need them are skipped."

test: $(VENV)/.test  ## run the tests (minutes)
	@$(WEIGHTS_FIRST)
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal

test-all: $(VENV)/.test  ## run the slow ones too: notebooks, kills, memory, VGG19's own weights (25 minutes)
	@$(WEIGHTS_FIRST)
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not browser and not lab and not cluster"

test-oldest:  ## run the tests with the oldest versions that pyproject.toml allows, in a .venv of their own
	@test -d .venv-oldest || $(PYTHON) -m venv .venv-oldest
	@.venv-oldest/bin/pip install --quiet --disable-pip-version-check --upgrade pip
	@.venv-oldest/bin/pip install --quiet --disable-pip-version-check $(OLDEST) -e '.[test]'
	@.venv-oldest/bin/python -m pytest -q -n 2 --dist worksteal

$(VENV)/.browser: $(VENV)/.test
	@$(PIP) -e '.[browser]'
	@touch $@

test-browser: $(VENV)/.browser  ## run two notebooks in JupyterLab, and the page, in a real Chromium; screenshots in outputs/browser/
	@$(BIN)/python -m pytest -q -m browser tests/test_browser.py tests/test_page.py

page:  ## assemble the page that paints in the browser, and serve it on 127.0.0.1 (PORT=8000); needs Node.js
	@command -v npm >/dev/null || { \
		echo "make page needs Node.js 18 or newer, with npm (nodejs.org); nothing else in the project does."; exit 1; }
	@$(PYTHON) docs/try/page.py outputs/page $(PORT)

test-faults: $(VENV)/.core  ## kill, damage and fill up, hundreds of times; prints what was survived (minutes)
	@$(BIN)/python tests/faults/run_faults.py

lab: $(VENV)/.lab  ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=.

$(VENV)/.grading: $(VENV)/.test
	@echo "Installing nbgrader ..."
	@$(PIP) -e '.[lab]'
	@touch $@

lab-release: $(VENV)/.grading  ## make the course lab's student version and a zip to hand out
	@$(BIN)/python notebooks/course_lab/course.py outputs/lab

lab-grade: $(VENV)/.grading  ## grade a class: SUBMISSIONS=folder; marks.csv and feedback in outputs/lab/
	@test -n "$(SUBMISSIONS)" || { echo "Say where they are: make lab-grade SUBMISSIONS=folder"; exit 2; }
	@$(BIN)/python notebooks/course_lab/grade.py "$(SUBMISSIONS)"

lab-class: $(VENV)/.grading  ## make a class of 50 submissions, grade it, and compare the grades (a quarter of an hour)
	@$(BIN)/python tests/lab/made_class.py outputs/lab_class

test-lab: $(VENV)/.grading  ## try the course lab: wrong answers, student version, marking (minutes)
	@$(BIN)/python tests/lab/catalogue.py
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m lab tests/test_lab.py

$(VENV)/.cluster: $(VENV)/.test
	@echo "Installing Dask ..."
	@$(PIP) -e '.[cluster]'
	@touch $@

test-cluster: $(VENV)/.cluster  ## make pictures on a Dask cluster of two workers, one of which is killed (minutes)
	@$(BIN)/python -m pytest -q -m cluster tests/test_cluster.py

lint: $(VENV)/.lint  ## check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.lint  ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

notebooks: $(VENV)/.lab  ## run every notebook from top to bottom, in place (half an hour on two CPU cores)
	@for notebook in notebooks/[0-9]*.ipynb notebooks/course_lab/source/*/*.ipynb; do \
		echo "$$notebook"; \
		$(BIN)/jupyter nbconvert --to notebook --execute --inplace --log-level=WARN \
			--ExecutePreprocessor.record_timing=False --ExecutePreprocessor.timeout=3600 "$$notebook" || exit 1; \
	done

bench: $(VENV)/.core  ## measure speed and memory (half an hour and more); PARTS="floor step" for some of it
	@$(WEIGHTS_FIRST)
	@$(BIN)/python tests/benchmarks/bench.py $(if $(PARTS),--parts $(PARTS))

bench-scale: $(VENV)/.cluster  ## measure many pictures on one and two workers, and estimate a million (half an hour)
	@$(BIN)/python tests/benchmarks/scale.py

published: $(VENV)/.core  ## run the published optimizers to their last step, for notebook 09 and `make bench` (hours)
	@$(WEIGHTS_FIRST)
	@$(BIN)/python tests/benchmarks/bench.py --published

links:  ## point badges and setup cells at git's remote on GitHub, or at REPO=owner/name
	@$(PYTHON) notebooks/set_links.py "$(REPO)"

colab-zip:  ## write outputs/nst_tf_colab.zip, to be uploaded to Colab where the repository is not public
	@mkdir -p outputs && $(PYTHON) -m zipfile -c outputs/nst_tf_colab.zip nst_tf images && echo outputs/nst_tf_colab.zip

slim: $(VENV)/.core  ## make the slim network's file again (an hour, 12 GB): PICTURES=folder
	@test -n "$(PICTURES)" || { echo "Say where they are: make slim PICTURES=folder"; exit 2; }
	@# Large arrays that glibc gives back and asks for again would take most of the time.
	@MALLOC_MMAP_THRESHOLD_=8000000000 MALLOC_TRIM_THRESHOLD_=8000000000 MALLOC_TOP_PAD_=500000000 \
		TF_ENABLE_ONEDNN_OPTS=1 $(BIN)/python research/slim/distil.py "$(PICTURES)" nst_tf/networks/slim.npz

strip: $(VENV)/.core  ## make the README's pictures again
	@$(BIN)/python images/make_strip.py

layer-pictures: $(VENV)/.core  ## paint the pictures of notebook 03 again (about ten minutes); NAMES="style_block3" for some
	@$(BIN)/python images/make_layers.py $(NAMES)

gallery: $(VENV)/.core  ## make the gallery of controls in docs/ again (minutes)
	@$(BIN)/python images/make_gallery.py

clean:  ## remove .venv and outputs
	rm -rf $(VENV) outputs
