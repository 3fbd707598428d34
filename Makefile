# teiten: `make help` lists what there is. Everything works on a machine with Go, git and make; the rest is
# Debian packages, which `run`, `test` and `check` install when they may (root or sudo).

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Go may be installed without being in PATH, and HOME may be missing or not ours.
export PATH := $(PATH):/usr/local/go/bin
ifneq ($(shell [ -n "$$HOME" ] && [ -d "$$HOME" ] && [ -w "$$HOME" ] && echo usable),usable)
  $(shell mkdir -p "$(CURDIR)/var/.home")
  export HOME := $(CURDIR)/var/.home
endif
# The version is git's; where git tells nothing (no clone, another user's folder), go build must not ask it.
export GOFLAGS := -buildvcs=$(if $(shell git rev-parse HEAD 2>/dev/null),auto,false)
# Only the race detector needs a C compiler.
export CGO_ENABLED := 0

INSTALL     := internal/localpg/install-debian.sh
PARALLEL    ?= 2
TESTTIMEOUT ?= 25m
TESTFLAGS   ?=
FUZZTIME    ?= 20s
PACKAGES    ?= ./...
# The packages whose golden files -update rewrites.
GOLDEN       = $(sort $(dir $(shell grep -rlE --include='*_test.go' 'flag[.]Bool."update"' --exclude-dir=var .)))

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/teiten
	go build -trimpath -pgo=$(PROFILE) -o bin/teiten ./cmd/teiten

# A tag v1.2 is version 1.2; what comes after it, or before the first one, sorts by date.
DEBVERSION ?= $(shell git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null | sed 's/^v//' | grep . || \
  git log -1 --date=format:%Y%m%d --format='0~%cd.%h' 2>/dev/null || echo 0)
.PHONY: deb
deb: ## Build the Debian package dist/teiten_VERSION_ARCHITECTURE.deb
	go build -trimpath -ldflags='-s -w' -pgo=$(PROFILE) -o bin/teiten ./cmd/teiten
	packaging/build-deb "$(DEBVERSION)"

# The profile is not named default.pgo: go test and go vet would compile every package twice. See docs/decisions.
PROFILE := cmd/teiten/release.pgo

.PHONY: pgo
pgo: ## Make the profile anew that build optimises for
	go test -run '^$$' -bench '^BenchmarkCaptures$$' -benchtime 5x -cpuprofile profile.prof -o bin/commands.test ./cmd/teiten
	mv profile.prof $(PROFILE)
	rm bin/commands.test

.PHONY: run
run: postgresql build ## Start teiten with the sample capture, or CAPTURE=file.pcap
	@exec bin/teiten serve $(if $(CAPTURE),--capture "$(CAPTURE)",--sample) $(ARGS)

# Tests that wait for mail servers, browsers and PostgreSQL leave the processors to others: four of a package at a
# time. The time is printed, and go test's exit status kept.
GOTEST = bin/withpg go test -vet=off -p $(PARALLEL) -parallel 4 -timeout $(TESTTIMEOUT)
timed  = begin=$$(date +%s); $(1); status=$$?; echo "make $@: $$(($$(date +%s) - begin)) s"; exit $$status

.PHONY: test
test: postgresql testers bin/withpg ## Run the tests on one throw-away PostgreSQL
	@$(call timed,RAPID_CHECKS=20 $(GOTEST) $(TESTFLAGS) $(PACKAGES))

.PHONY: race
race: postgresql testers compiler bin/withpg ## Run the tests with the race detector, in random order
	@$(call timed,RAPID_CHECKS=20 CGO_ENABLED=1 $(GOTEST) -race -shuffle=on $(TESTFLAGS) $(PACKAGES))

# The packages with long tests.
SOAKED = $(sort $(dir $(shell grep -rlE --include='*_test.go' '^func TestSoak' --exclude-dir=var .)))
.PHONY: soak
soak: TESTTIMEOUT = $(if $(SHORT),25m,4h)
soak: postgresql testers bin/withpg ## Run the long tests, or small ones of each with SHORT=1
	@$(call timed,TEITEN_SOAK=$(if $(SHORT),short,full) RAPID_CHECKS=$(if $(SHORT),100,2000) $(GOTEST) -run '^TestSoak' $(TESTFLAGS) $(SOAKED))

.PHONY: check
check: format vet lint build race ## All that must hold before a push; what CI runs

.PHONY: format
format:
	@unformatted=$$(gofmt -l $$(go list -f '{{.Dir}}' $(PACKAGES))) && \
	if [ -n "$$unformatted" ]; then echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi

.PHONY: vet
vet:
	go vet $(PACKAGES)

.PHONY: lint
lint: bin/.tools ## Run staticcheck, errcheck, errorlint and deadcode
	@failed=; for lint in "staticcheck" "errcheck -ignoretests -exclude tools/errcheck.txt" "go-errorlint -test=false"; do \
	  echo "bin/$$lint $(PACKAGES)"; bin/$$lint $(PACKAGES) || failed=yes; \
	done; echo "bin/deadcode -test $(PACKAGES)"; dead=$$(bin/deadcode -test $(PACKAGES)) || failed=yes; \
	[ -z "$$dead" ] || { echo "$$dead"; failed=yes; }; [ -z "$$failed" ]

.PHONY: bench
bench: postgresql testers build ## Measure against the goals, relative to other programs on this machine
	go run ./internal/benchratio $(ARGS)

.PHONY: corpus
corpus: ## Write the made-up corpus of the tests to var/corpus
	go run ./internal/corpus/cmd/writecorpus var/corpus

# The corpus of real captures is no part of the repository; without it the made-up one is judged.
TEITEN_CORPUS ?= ../shared/data
.PHONY: evaluate
ifneq ($(wildcard $(TEITEN_CORPUS)/pcaps),)
evaluate: build ## Compare verdicts with what the captures in TEITEN_CORPUS hold
	bin/teiten evaluate "$(TEITEN_CORPUS)/pcaps" --expect docs/evaluation/pcaps.tsv
	@echo
	bin/teiten evaluate "$(TEITEN_CORPUS)/pcaps" --expect docs/evaluation/acknowledged.tsv --at 2023-06-20 \
	  --allowlist "$(TEITEN_CORPUS)/scanners/nict-survey-scanner/surveyscanner_2023.json" \
	  --allowlist "$(TEITEN_CORPUS)/scanners/misp-warninglists/censys-scanning.json"
else
evaluate: build corpus
	bin/teiten evaluate var/corpus/pcaps --expect var/corpus/pcaps/expect.tsv
endif

.PHONY: fuzz
fuzz: ## Fuzz every parser for FUZZTIME (20s) each
	@set -e; for package in $$(go list $(PACKAGES)); do \
	  for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$$package $$target"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
	  done; \
	done

.PHONY: golden
golden: postgresql bin/withpg ## Rewrite the golden files; review the difference like code
	$(if $(GOLDEN),bin/withpg go test -p $(PARALLEL) $(GOLDEN) -update,@echo "no package has golden files")

.PHONY: picture
picture: postgresql testers build ## Take the picture of the desk in the README
	go run ./internal/deskpicture bin/teiten docs/desk.png

.PHONY: clean
clean: ## Remove what was built
	go clean -testcache
	rm -rf bin dist

# Not files: what a fresh machine lacks.
.PHONY: postgresql testers compiler
postgresql:
	@$(INSTALL) postgresql
testers:
	@$(INSTALL) --optional chromium fonts-noto-cjk tcpdump iproute2 zmap masscan nmap postfix gpg
compiler:
	@$(INSTALL) gcc libc6-dev

.PHONY: bin/withpg
bin/withpg:
	@go build -o $@ ./internal/pgtest/cmd/withpg

bin/.tools: tools/go.mod tools/go.sum
	@mkdir -p bin
	cd tools && GOBIN="$(CURDIR)/bin" go install tool
	@touch $@
