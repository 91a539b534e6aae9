# fenflow: everything a contributor runs. Bare `make` lists the targets.
SHELL := /bin/bash
GO ?= go
LINT := $(GO) tool -modfile=tools/go.mod golangci-lint
PROVISION := CGO_ENABLED=0 $(GO) run ./pkg/testkit/provision/provision

.DEFAULT_GOAL := help
.PHONY: help demo up test check format vet lint layering generate generated build fuzz bench provision

help: ## print this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## take 1,000 payments end to end on this machine, under duplicates and forgeries
	$(GO) run ./cmd/devstack demo --orders 1000 --duplicates 2 --forged 100

up: ## start everything (PostgreSQL, Redis, NATS, stand-in WeChat Pay, the roles) and stay
	$(GO) run ./cmd/devstack up

test: provision ## run all tests with the race detector; installs what they need
	CGO_ENABLED=1 $(GO) test -race -timeout 15m -artifacts ./...

provision: ## find or install PostgreSQL, Redis, Chromium and a C compiler
	$(PROVISION) postgres redis cc chromium

check: format vet lint generated test ## what CI runs: format, vet, lint, layering, generated files, tests

format: ## fail when a file is not gofmt-ed
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not gofmt-ed (run: gofmt -w FILE):"; echo "$$unformatted"; exit 1; fi

vet: ## go vet
	$(GO) vet ./...

lint: ## golangci-lint, built from the version pinned in tools/go.mod
	$(LINT) run ./...

layering: ## fail when a package imports what its room may not
	$(GO) test -count=1 -run '^TestLayering' .

generate: ## make the generated pages anew
	$(GO) generate ./...

generated: ## fail when a generated page differs from the code
	@before=$$(git status --porcelain | sort | md5sum; git diff | md5sum); \
	$(GO) generate ./...; \
	after=$$(git status --porcelain | sort | md5sum; git diff | md5sum); \
	if [ "$$before" != "$$after" ]; then echo "generated files were out of date; they are now made anew: review and commit them"; git status --short; exit 1; fi

build: ## build the programs into bin/
	$(GO) build -o bin/ ./cmd/...

fuzz: ## fuzz each parser of outside bytes for FUZZTIME (default 30s)
	./tools/fuzz.sh $(or $(FUZZTIME),30s)

bench: ## run the Go benchmarks once
	$(GO) test -run '^$$' -bench . -benchtime 2s ./pkg/...
