# Development tasks. `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PKG       ?= ./...
ARGS      ?=
BENCH     ?= .
FUZZTIME  ?= 20s
SEEDS     ?= 100000
SEED      ?= 1
D         ?= 10m
COUNT     ?= 50
PIECE     ?= 10
BASE      ?= HEAD

# What `make bench` measures; bench/README.md says how a shape is written.
SHAPES    ?= 64x1,64x100,64x1000,64x10000,1Kx100,16Kx100,64Kx100,64x100/pipeline=16,64x10000/active=100,connect:64x100,fanout:64x1000,64x1000/loops=2,idle:64x10000

# The linter is built from source at this version, into a folder of this
# repository: its hundreds of dependencies stay out of go.mod. A linter built by an
# older Go refuses newer code, so the Go version is part of the folder's name.
LINT_VERSION := v2.15.0
LINT = bin/golangci-lint-$(LINT_VERSION)-$(shell go env GOVERSION)/golangci-lint

CROSS       := linux/arm64 darwin/amd64 darwin/arm64 freebsd/amd64
# Only the load generator, which has nothing of the framework in it.
WINDOWS     := ./loadtest/... ./cmd/loadtest
COVERED     := internal/reactor internal/engine buffers conn framing server

.PHONY: help run test race lint lint-bench lint-fix sim mutants soak fuzz bench bench-quick bench-docs bench-go bench-stat pgo peers cross browser cover flake ci clean

help: ## list the targets
	@echo 'Usage: make TARGET [NAME=VALUE ...]'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## run the echo daemon (ARGS='--help')
	go run ./cmd/echod $(ARGS)

test: ## run the tests (PKG=./conn)
	go test $(PKG)

race: ## run the tests under the race detector (PKG=./conn)
	go test -race $(PKG)

lint: $(LINT) ## run the pinned linter: formatting, vet and the list in .golangci.yml (PKG=./conn)
	$(LINT) run $(PKG)

lint-bench: $(LINT) ## the same for the module in bench/
	cd bench && ../$(LINT) run

lint-fix: $(LINT) ## the same, and repair what can be repaired
	$(LINT) run --fix $(PKG)

$(LINT):
	GOBIN='$(CURDIR)/$(@D)' GOFLAGS= GOOS= GOARCH= \
		go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

sim: ## run seeds on the simulated machine (SEEDS=100000 SEED=1)
	go test ./internal/sim -run 'TestSeeds$$' -timeout 1h -args -seeds $(SEEDS) -seed $(SEED)

mutants: ## put known bugs in, one at a time, and see which test finds each (ARGS='-run EMFILE')
	go run ./internal/mutants $(ARGS)

soak: ## run fresh seeds and real-socket churn side by side (D=10m)
	DURATION='$(D)' scripts/soak.sh

fuzz: ## run every fuzz target in turn (PKG=./framing FUZZTIME=20s)
	FUZZTIME='$(FUZZTIME)' scripts/fuzz.sh $(PKG)

bench: ## compare the servers, a quarter of an hour, into bench/bench.json (SHAPES=64x100,idle:64x15000 ARGS='--help')
	cd bench && go run ./cmd/echobench -shapes '$(SHAPES)' -json bench.json $(ARGS)

bench-quick: ## compare Sluice, gnet and C in a minute, and print the ratios
	cd bench && go run ./cmd/echobench -servers gnet,sluice,c -shapes 64x100,64x1000,16Kx100,16Kx1000 \
		-reps 5 -warmup 100ms -duration 300ms -quiet $(ARGS)

bench-docs: ## put what make bench has measured into docs/benchmarks.md and docs/images
	mkdir -p docs/images
	cd bench && go run ./cmd/echobench -from bench.json -markdown ../docs/benchmarks.md -svg ../docs/images/bench $(ARGS) >/dev/null

bench-go: ## run the Go benchmarks (PKG=./buffers BENCH=Get ARGS='-count=10')
	go test -run '^$$' -bench '$(BENCH)' -benchmem $(ARGS) $(PKG)

bench-stat: ## compare the Go benchmarks with a commit's, in turns, by benchstat (PKG=./conn BASE=HEAD~1 BENCH=Read COUNT=10)
	PKG='$(PKG)' BENCH='$(BENCH)' BASE='$(BASE)' scripts/benchstat.sh

pgo: ## measure echod under load, into the profile that its build optimises by (two minutes)
	scripts/pgo.sh

peers: ## ask every server for the peers' defects, and put the table into docs/peers.md (ARGS='--help')
	cd bench && go run ./cmd/peers -markdown ../docs/peers.md $(ARGS)

cross: ## build and vet, tests included, for other systems and processors (PKG=./conn)
	@for target in $(CROSS); do \
		export GOOS=$${target%/*} GOARCH=$${target#*/} CGO_ENABLED=0; \
		echo "$$target"; \
		go build -pgo=off -o /dev/null $(PKG); \
		go vet -pgo=off $(PKG); \
	done
	@echo windows/amd64
	@export GOOS=windows GOARCH=amd64 CGO_ENABLED=0; \
	go build -o /dev/null $(WINDOWS); \
	go vet $(WINDOWS)

browser: ## draw the report of a real run in Chromium, and see that its charts have points
	go test -tags browser -run InBrowser -count=1 ./cmd/loadtest

cover: ## cover the core packages: by their own tests, and by each other's
	scripts/cover.sh $(COVERED)

flake: ## repeat the race tests, package by package (PKG=./conn COUNT=50 PIECE=10)
	COUNT='$(COUNT)' PIECE='$(PIECE)' scripts/flake.sh $(PKG)

ci: ## what the build server runs, on Debian; installs the packages that are missing
	.ci/run

clean: ## remove the linter and the profiles of cover
	rm -rf bin cover
