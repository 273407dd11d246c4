# The menu. `make help` prints it from the lines marked ##.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

CARGO ?= cargo
PYTHON ?= python3
RUN := target/release

# The crates that need no libtorch; the worker is the other one.
LIGHT := -p sumac-common -p sumac-data -p sumac-proto -p sumac
# To look at all of it without libtorch. In the profile of the build, which shares what it compiles with this.
EVERYTHING := --release --locked --workspace --features sumac-worker/doc-only,sumac-tests/torch,sumac-tests-s3/torch

.PHONY: help prerequisites setup build formats nccl demo test chaos sim mutants fuzz test-light check deny clean

help:  ## What can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-18s %s\n", $$1, $$2 }'

prerequisites:
	@missing=0
	need() { command -v "$$1" >/dev/null || { echo "$$1 not found: $$2" >&2; missing=1; }; }
	need $(CARGO) "install Rust with rustup, see https://rustup.rs"
	need "$${CXX:-g++}" "apt install g++"
	if [ -z "$${LIBTORCH:-}" ]; then
	  need $(PYTHON) "apt install python3 python3-pip, or set LIBTORCH to a libtorch of your own"
	  if command -v $(PYTHON) >/dev/null && ! $(PYTHON) -m pip --version >/dev/null 2>&1; then
	    echo "$(PYTHON) has no pip: apt install python3-pip, or set LIBTORCH to a libtorch of your own" >&2; missing=1
	  fi
	fi
	exit $$missing

setup: prerequisites  ## Put libtorch where cargo finds it (0.55 GB to download, once)
	@if [ -n "$${LIBTORCH:-}" ]; then echo "libtorch: using LIBTORCH=$$LIBTORCH"; else $(PYTHON) deploy/libtorch/fetch.py; fi

build: setup  ## Build sumac and sumac-worker
	$(CARGO) build --release --locked -p sumac -p sumac-worker

formats: setup  ## Build both with every format: HDF5, parquet, S3 buckets
	$(CARGO) build --release --locked -p sumac -p sumac-worker --features sumac/formats,sumac-worker/formats

# Headers of CUDA and NCCL; of the libraries for matrices that libtorch's headers name there are stubs.
CARDS := $(CURDIR)/target/nccl
NCCL := worker/src/native/nccl
TORCH_HEADERS := $(or $(LIBTORCH),$(CURDIR)/third_party/libtorch/torch)/include

$(CARDS)/made: deploy/nccl/headers.txt
	$(PYTHON) -m pip install --quiet --no-deps --only-binary=:all: --target $(CARDS) --upgrade --requirement $<
	rm -f $(CARDS)/nvidia/nccl/lib/*
	touch $@

nccl: setup $(CARDS)/made  ## Build what connects cards, libsumac_nccl.so, to lie beside sumac-worker (0.2 GB to download, once)
	mkdir -p $(RUN)
	$${CXX:-g++} -std=c++17 -O1 -fPIC -shared -w -D_GLIBCXX_USE_CXX11_ABI=1 -o $(RUN)/libsumac_nccl.so $(NCCL)/plugin.cc \
	  -isystem $(TORCH_HEADERS) -isystem $(TORCH_HEADERS)/torch/csrc/api/include -isystem $(NCCL)/stubs \
	  -isystem $(CARDS)/nvidia/cu13/include -isystem $(CARDS)/nvidia/nccl/include

demo: build  ## Train on two small drawn data sets, on this machine
	$(RUN)/sumac up --demo

# One profile and one choice of features for all of them, so that torch-sys is compiled once and nothing else twice. The
# suites start the programs that `build` made.
# Formats that are built in by choice are tested afterwards, so that all else is tested as most people have it.
test: build  ## Every test, real workers that are killed among them
	$(CARGO) test --release --locked --no-fail-fast --workspace --exclude sumac-tests-s3 --features sumac-tests/torch
	$(CARGO) test --release --locked --no-fail-fast -p sumac-data -p sumac-tests-s3 --features sumac-data/formats,sumac-tests-s3/torch

chaos: build  ## Kill every victim at every point, then play each fault often and print what it cost (half an hour, wants quiet)
	SUMAC_FULL=1 $(CARGO) test --release --locked -p sumac-tests --features torch --test kills
	$(CARGO) run --release --locked -p sumac-tests --features torch --example chaos -- $(CHAOS)

SEEDS ?= 5000

sim:  ## Simulate membership under SEEDS=5000 seeds of faults, in virtual time (the default tests take 200)
	SUMAC_SEEDS=$(SEEDS) $(CARGO) test --release --locked -p sumac-common --test simulation

mutants:  ## Break one rule of membership at a time: the tests must notice each (about 10 minutes)
	$(PYTHON) tests/mutations/mutate.py

TARGET ?= image
SECONDS ?= 60

fuzz:  ## Feed a reader what may break it: TARGET=image (stack, tar, table, tub, hdf5, parquet, refined) for SECONDS=60
	@missing=0
	need() { $(CARGO) $$1 >/dev/null 2>&1 || { echo "$$2" >&2; missing=1; }; }
	need "+nightly --version" "nightly Rust not found: rustup toolchain install nightly"
	need "fuzz --version" "cargo-fuzz not found: cargo install --locked cargo-fuzz"
	[ $$missing = 0 ]
	mkdir -p fuzz/corpus/$(TARGET)
	$(CARGO) +nightly fuzz run $(TARGET) fuzz/corpus/$(TARGET) common/data/tests/files -- -max_total_time=$(SECONDS) -rss_limit_mb=3072

test-light:  ## The tests that need no libtorch: rules, images, wire, coordinator
	$(CARGO) test --release --locked $(LIGHT)

check:  ## Formatting, lints and documentation, warnings are errors; needs no libtorch
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(EVERYTHING) --all-targets -- -D warnings
	$(CARGO) clippy --release --locked -p sumac-data --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(EVERYTHING) --no-deps

PROMETHEUS := target/prometheus

.PHONY: lint-metrics

lint-metrics:  ## Hold metrics, alerts and the example of a scrape against promtool (19 MB to download, once); needs no libtorch
	@promtool=$(CURDIR)/$(PROMETHEUS)/usr/bin/promtool
	if [ ! -x "$$promtool" ]; then
	  mkdir -p $(PROMETHEUS)
	  if ! (cd $(PROMETHEUS) && apt-get download prometheus && dpkg -x prometheus_*.deb .) >/dev/null 2>&1; then
	    echo "skipped: apt cannot download the package prometheus, which has promtool"; exit 0
	  fi
	fi
	"$$promtool" check config deploy/prometheus/prometheus.yml
	"$$promtool" check rules deploy/prometheus/alerts.yml
	"$$promtool" test rules deploy/prometheus/alerts.test.yml
	PROMTOOL=$$promtool $(CARGO) test --release --locked -p sumac --test suite -- --ignored promtool

deny:  ## Licences, advisories and duplicates of what is depended on
	@$(CARGO) deny --version >/dev/null 2>&1 || { echo "cargo-deny not found: cargo install --locked cargo-deny" >&2; exit 1; }
	$(CARGO) deny --locked check

clean:  ## Remove what was built; libtorch stays in the user's cache
	$(CARGO) clean

# Image packs to learn from; they are not part of Sumac.
PACKS := $(or $(SUMAC_DATA_PACKS),../shared/data)
LEARNED := target/learning

.PHONY: learning evaluate

learning: $(if $(wildcard $(PACKS)/traffic-signs),build)  ## Train on the image packs, if there are any, and judge what was learned
	@if [ ! -d "$(PACKS)/traffic-signs" ] || [ ! -d "$(PACKS)/digits" ]; then
	  echo "skipped: no image packs in $(PACKS); set SUMAC_DATA_PACKS to where they are"; exit 0
	fi
	$(CARGO) build --release --locked -p sumac-worker --example learning
	learn() {
	  job=$$1 synthetic=$$2 real=$$3; shift 3
	  rm -rf "$(LEARNED)/$$job" "$(LEARNED)/state" &&
	  $(RUN)/sumac up "examples/$$job.toml" --workers 2 --state "$(LEARNED)/state" --set "output.dir=$(LEARNED)/$$job" \
	    --set "data.synthetic=$$synthetic" --set "data.real=$$real" &&
	  $(RUN)/examples/learning --run "$(LEARNED)/$$job" "$$@"
	}
	status=0
	learn signs "$(PACKS)/traffic-signs/synthetic" "$(PACKS)/traffic-signs/real-unlabelled" || status=1
	learn digits "$(PACKS)/digits/synthetic-fonts" "$(PACKS)/digits/real-mnist/train-images-idx3-ubyte.gz" --mechanics || status=1
	exit $$status

EVALUATED := target/evaluated
# Refiners of one kind differ by their seeds; the model that learns from their images has five of its own.
SEEDS_OF_REFINERS := 7 8 9
# The variants of examples/ablation.toml.
ABLATION := as-it-is no-history global lambda-half lambda-double psi-pixels psi-coarse

evaluate: $(if $(wildcard $(PACKS)/traffic-signs),build)  ## Does it help? Train refiners on the image packs, and models on what they make (under 3 hours)
	@if [ ! -d "$(PACKS)/traffic-signs" ] || [ ! -d "$(PACKS)/digits" ] || [ ! -d "$(PACKS)/driving" ]; then
	  echo "skipped: no image packs in $(PACKS); set SUMAC_DATA_PACKS to where they are"; exit 0
	fi
	train() {
	  example=$$1 seed=$$2 synthetic=$$3 real=$$4; dir="$(EVALUATED)/$$example-$$seed"
	  if [ -e "$$dir/summary.json" ]; then return; fi
	  $(RUN)/sumac up "examples/$$example.toml" --workers 2 --state "$(EVALUATED)/state" --set "output.dir=$$dir" --set "train.seed=$$seed" \
	    --set "data.synthetic=$$synthetic" --set "data.real=$$real"
	}
	signs="$(PACKS)/traffic-signs" fonts="$(PACKS)/digits/synthetic-fonts" digits="$(PACKS)/digits/real-mnist" roads="$(PACKS)/driving"
	for seed in $(SEEDS_OF_REFINERS); do
	  train signs $$seed "$$signs/synthetic" "$$signs/real-unlabelled"
	  train signs-matched $$seed "$$signs/synthetic" "$$signs/real-unlabelled"
	done
	train digits 7 "$$fonts" "$$digits/train-images-idx3-ubyte.gz"
	train roads 7 "$$roads/synthetic-roads" "$$roads/real-unlabelled"
	helps() { into=$$1; shift; $(RUN)/sumac evaluate "$$@" --into "$(EVALUATED)/$$into"; }
	helps signs-help $(foreach seed,$(SEEDS_OF_REFINERS),"$(EVALUATED)/signs-$(seed)" "$(EVALUATED)/signs-matched-$(seed)") \
	  --synthetic "$$signs/synthetic" --real "$$signs/real-unlabelled" \
	  --real-test "$$signs/real-test" --test-labels "$$signs/real-test-labels.csv" \
	  --real-labelled "$$signs/real-unlabelled" --real-labels "$$signs/real-unlabelled-oracle-labels.csv"
	$(RUN)/sumac sweep examples/ablation.toml --workers 2 --state "$(EVALUATED)/state" --into "$(EVALUATED)" \
	  --set "data.synthetic=$$signs/synthetic" --set "data.real=$$signs/real-unlabelled"
	helps ablation $(foreach variant,$(ABLATION),"$(EVALUATED)/signs-$(variant)") --apart \
	  --synthetic "$$signs/synthetic" --real "$$signs/real-unlabelled" \
	  --real-test "$$signs/real-test" --test-labels "$$signs/real-test-labels.csv"
	helps digits-help "$(EVALUATED)/digits-7" \
	  --synthetic "$$fonts" --real "$$digits/train-images-idx3-ubyte.gz" \
	  --real-test "$$digits/t10k-images-idx3-ubyte.gz" --real-labelled "$$digits/train-images-idx3-ubyte.gz"
	helps roads-help "$(EVALUATED)/roads-7" --balanced --label class_left0_straight1_right2 \
	  --synthetic "$$roads/synthetic-roads" --synthetic-labels "$$roads/synthetic-roads-labels.csv" --real "$$roads/real-unlabelled" \
	  --real-test "$$roads/real-test" --test-labels "$$roads/real-test-labels.csv" \
	  --real-labelled "$$roads/real-unlabelled" --real-labels "$$roads/real-unlabelled-oracle-labels.csv"

# What is held against other programs, and timed beside them: it has a Python of its own, below target.
READERS := target/compat-venv
REFINING := SUMAC=$(CURDIR)/$(RUN)/sumac SUMAC_WORKER_BIN=$(CURDIR)/$(RUN)/sumac-worker $(READERS)/bin/python

.PHONY: compat bench bench-full bench-scale bench-refine memory-refine memory-train bench-leases bench-coordinator

$(READERS)/made: tests/compat/requirements.txt
	$(PYTHON) -m venv $(READERS)
	$(READERS)/bin/pip install --quiet --requirement $<
	touch $@

compat: formats $(READERS)/made  ## Read refined data sets with torch, torchvision, webdataset, numpy, pyarrow (3 GB to download, once)
	$(REFINING) tests/compat/compat.py --room target/compat --packs "$(PACKS)"

bench: build $(READERS)/made  ## Images per second on this machine, beside PyTorch and a plain convolution (20 minutes, wants quiet)
	$(CARGO) build --release --locked -p sumac-worker --example bench
	$(RUN)/examples/bench --python $(READERS)/bin/python --into docs

bench-full: build $(READERS)/made  ## The same with a batch of 256, and with colour images of 64x64 (an hour, wants quiet)
	$(CARGO) build --release --locked -p sumac-worker --example bench
	$(RUN)/examples/bench --python $(READERS)/bin/python --scenes large-batch,colour --called bench-full --into docs

bench-scale: build $(READERS)/made  ## What workers need for each other: the figures that `sumac predict` reckons with (3 minutes, wants quiet)
	$(CARGO) build --release --locked -p sumac-worker --example bench
	$(RUN)/examples/bench --parts --python $(READERS)/bin/python --into docs

bench-refine: build $(READERS)/made  ## Images per second of refining, beside PyTorch (15 minutes, wants quiet)
	$(REFINING) benches/refine.py --room target/bench-refine --into docs

memory-refine: build  ## Memory that refining takes, of 1,000 images and of 100,000
	SUMAC=$(CURDIR)/$(RUN)/sumac SUMAC_WORKER_BIN=$(CURDIR)/$(RUN)/sumac-worker $(PYTHON) benches/memory.py --room target/memory-refine

memory-train: build  ## Memory that training takes, through 10,000 steps (2 minutes)
	SUMAC=$(CURDIR)/$(RUN)/sumac SUMAC_WORKER_BIN=$(CURDIR)/$(RUN)/sumac-worker $(PYTHON) benches/memory_train.py --room target/memory-train

bench-leases:  ## How soon a coordinator serves a large refinement, how many shards a second it commits; needs no libtorch
	$(CARGO) test --release --locked -p sumac --test suite -- --ignored --nocapture --test-threads 1 load::

bench-coordinator:  ## How a coordinator on one core bears 2,000 workers: heartbeats, memory, its readers (2 minutes); needs no libtorch
	$(CARGO) test --release --locked -p sumac --test suite -- --ignored --nocapture --test-threads 1 crowd::
