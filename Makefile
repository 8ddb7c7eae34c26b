# The commands of this repository. Each is a few words here and a script elsewhere.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } \
	    /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ The local cluster

.PHONY: cluster
cluster: ## bring up the local cluster (kind where Docker answers, else natively, as root)
	@hack/cluster/up.sh

.PHONY: down
down: ## take away everything that was brought up
	@hack/cluster/down.sh

.PHONY: tools
tools: ## build the third-party tools that are missing (cached by version)
	@hack/tools/build.sh

##@ The product

.PHONY: images
images: ## build the product's images and bring them into the local cluster
	@hack/images/build.sh

.PHONY: deploy
deploy: ## install or upgrade the chart on the local cluster
	@hack/deploy/deploy.sh

.PHONY: demo
demo: ## from nothing to a finished build: cluster, images, chart, examples/, a table, a pod that runs the image
	@hack/demo/demo.sh

##@ Work on it

.PHONY: test
test: ## everything: formatting, lints, unit, property and golden tests, chart checks, black-box tests on the cluster
	@hack/test/run.sh

.PHONY: soak
soak: ## what `make test` only samples, in full; its last result is in docs/soak.md
	@hack/test/soak.sh

.PHONY: bench
bench: ## figures of the operator beside a contender that decides nothing (BENCH_SCALE=small: a smoke run)
	@hack/bench/run.sh

.PHONY: generate
generate: ## write the generated files: CRDs in the chart
	@cargo run --quiet --package imagefactory-crds --bin crdgen charts/image-factory/files/crds
