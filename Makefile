# make help says what there is. Everything real is in test/: these are its names.

GO ?= go
# Stamping the commit into the binary fails where the checkout belongs to someone else (CI, chroots).
export GOFLAGS ?= -buildvcs=false

build: ## build ./meshrouter, a static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o meshrouter ./cmd/meshrouter

lab: ## three sites in namespaces: build, run every step, print the proof (Debian, root)
	test/install lab
	$(MAKE) build
	./meshrouter lab

check: ## format, vet, lint, race tests, generated files, cross-builds (any OS, no root)
	test/check

test: ## check + lab + sabotage + real peers + fuzz smoke; installs what it needs (Debian, root)
	test/all

bench: build ## measure beside wireguard-go, strongSwan, OpenSSL and Intel's library, and write docs/performance.md (Debian, root)
	test/install bench
	./meshrouter bench --json >bench/results/new && mv bench/results/new bench/results/latest.json
	$(GO) generate ./bench

profile: build ## where the router's time goes under TCP: flame graphs and stages in docs/performance.md (Debian, root)
	test/install lab
	./meshrouter bench profile --json >bench/results/new && mv bench/results/new bench/results/profile.json
	$(GO) generate ./bench

fuzz: ## every fuzz target for FUZZTIME (default 1m) each
	test/fuzz $(or $(FUZZTIME),1m)

clean: ## remove what was built, and what killed test runs left behind
	rm -rf meshrouter bin dist
	test/peers/sweep

help: ## print this
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

.PHONY: build lab check test bench profile fuzz clean help
