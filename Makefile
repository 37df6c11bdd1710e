# The verbs of this project; `make help` lists them.
GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)
SEEDS    ?= 1..3000
SOAK     ?= 30m
FUZZTIME ?= 10s

.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/quorumkv and bin/quorumctl
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/quorumkv ./cmd/quorumctl

run: build ## a three-node cluster on this machine, ready to use
	bin/quorumkv cluster

image: build ## container image quorumkv:latest
	docker build -t quorumkv -f deploy/Dockerfile bin

test: check unit race-quick fuzz-quick sim e2e ## everything that has to pass: about 15 minutes on 2 cores

check: ## formatter, vet, linter, determinism
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	cd test && $(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) run ./internal/vet/cmd/vet ./...

unit: ## tests of every package
	$(GO) test ./...

sim: ## the simulator: seeds that ever failed, then SEEDS (1..3000), and that they came across enough
	$(GO) run ./internal/sim/cmd/sim -corpus -seeds $(SEEDS) -quiet -floor

soak: build ## the simulator on new seeds, then the comparison with etcd, each for SOAK (30m), with totals and coverage
	$(GO) run ./internal/sim/cmd/sim -for $(SOAK) -seeds $$(date +%s).. -quiet -coverage
	cd test && QUORUMKV_SOAK=$(SOAK) $(GO) test -count=1 -timeout 0 -v -run TestDifferential ./differential

zoo: ## planted bugs, which must be found: by the simulator within 2,000 seeds or 5 minutes each, by the test named, by drills
	$(GO) run ./internal/sim/cmd/zoo
	$(GO) run ./internal/drill/cmd/planted

# The longest first, for two packages run at a time.
e2e: build ## real processes, driven by etcd's own client and etcdctl
	cd test && $(GO) test -count=1 -timeout 20m ./e2e ./drills ./differential ./...

drills: build ## every drill at full length, three nodes and five, reports in drills/: about 15 minutes
	mkdir -p drills
	cd test && QUORUMKV_DRILLS=$(CURDIR)/drills/$$(date +%Y%m%d-%H%M%S) $(GO) test -count=1 -timeout 60m -v -run 'TestScenarios|TestFiveMembers' ./drills

drills-docker: build ## split brain in containers, cut by Docker: 45 s; skipped where no engine runs
	test/drills/docker.sh

race: ## unit tests under the race detector
	$(GO) test -race ./...

RACING := ./server ./transport ./internal/env ./internal/fault ./internal/local ./internal/drill ./internal/drill/load \
	./internal/drill/localcluster ./cmd/quorumctl/live

race-quick: ## those of the packages that run goroutines, under the race detector
	@cc=$$($(GO) env CC); if command -v $${cc%% *} >/dev/null; then \
	  $(GO) test -race -count=1 $(RACING) && \
	  $(GO) test -race -count=1 -run '^TestReadersBesideTheWriter$$' ./storage/mvcc; \
	else echo "race-quick: skipped: the race detector needs a C compiler, and there is no $$cc"; fi

fuzz: CORPUS = $$($(GO) env GOCACHE)/fuzz/quorumkv
fuzz: ## every fuzz target for FUZZTIME (10s), from what earlier runs found
fuzz-quick: CORPUS = $$tmp/corpus
fuzz-quick: FUZZTIME = 3s
fuzz-quick: ## every fuzz target for 3 seconds, from its seeds
# Go reports the end of the time as a failure now and then, on a busy machine: only what it calls a failing input is one.
fuzz fuzz-quick:
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && export tmp && \
	grep -rlE '^func Fuzz' --include='*_test.go' --exclude-dir=test . | xargs -n 1 dirname | sort -u | \
	xargs -P 2 -n 1 sh -c 'bin=$$tmp/$$(echo $$0 | tr / -).test; \
	  $(GO) test -c -fuzz=. -o $$bin $$0 && cd $$0 || exit 1; \
	  for f in $$($$bin -test.list "^Fuzz"); do \
	    out=$$($$bin -test.run "^$$" -test.fuzz "^$$f\$$" -test.fuzztime $(FUZZTIME) -test.fuzzminimizetime 10x \
	      -test.parallel 1 -test.fuzzcachedir $(CORPUS)/$$0 2>&1) || \
	      { echo "$$out" | grep -q "^ *context deadline exceeded" && ! echo "$$out" | grep -q "Failing input"; } || \
	      { echo "FAIL $$0 $$f"; echo "$$out"; exit 1; }; \
	    echo "ok   $$0 $$f $$(echo "$$out" | grep -Eo "execs: [0-9]+" | tail -n 1 | grep . || echo "seeds only")"; \
	  done'

bench: build ## every row beside a real etcd, into docs/benchmarks.md: about 40 minutes; BENCH='-rows put-1000', BENCH=-resume
	cd test && $(GO) run ./bench -results ../bench-results -document ../docs/benchmarks.md $(BENCH)

bench-quick: build ## the first rows beside a real etcd: two minutes
	cd test && $(GO) run ./bench -quick $(BENCH)

bench-growth: build ## cost by keys, nodes, size of values and clients, as pictures in docs/: ten minutes
	cd test && $(GO) run ./bench -growth -results ../bench-results -document ../docs/benchmarks.md $(BENCH)

bench-paths: ## Go's benchmarks of the hot paths
	$(GO) test -run '^$$' -bench . -benchtime 1s ./storage/... ./raftnode/... ./internal/env/... ./transport/...

clean: ## remove what make made
	rm -rf bin

.PHONY: help build run image test check unit sim soak zoo e2e drills drills-docker race race-quick fuzz fuzz-quick bench bench-quick bench-growth bench-paths clean
