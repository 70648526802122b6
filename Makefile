# Locket. Sources are found by folder: a new .c file needs no edit here.
#   make            the programs, in $(BUILD)/bin
#   make deps       installs what is missing of packages.txt
#   make test       unit, service, contract and system suites
#   make help       everything else
BUILD  ?= build
# Below this folder by a relative name, however it was given: make compares names, and would take an
# object of the other spelling for up to date.
override BUILD := $(patsubst $(CURDIR)/%,%,$(BUILD))
FLAVOR ?= release
CC     ?= gcc
ifeq ($(origin CC),default)
CC = gcc
endif

VERSION := $(shell cat VERSION 2>/dev/null || echo 0.0.0)
PROGRAMS := locket-driver locket-provider locket-agent locketctl

WARN := -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wformat=2 -Wvla -Walloca -Wwrite-strings -Wundef -Wnull-dereference -Wimplicit-fallthrough
HARDEN := -fstack-protector-strong -fPIE
CPPFLAGS := -I. -isystem $(BUILD)/gen -D_GNU_SOURCE -DLOCKET_VERSION='"$(VERSION)"'
CFLAGS = -std=gnu11 -g $(OPT) $(WARN) $(HARDEN) -ffunction-sections -fdata-sections -pthread $(FLAVOR_FLAGS)
LDFLAGS = -pie -pthread -Wl,-z,relro,-z,now -Wl,--gc-sections -Wl,--as-needed $(FLAVOR_FLAGS)
OPT := -O2 -D_FORTIFY_SOURCE=2
WIPE := 1

# Flavours: each with a BUILD folder of its own, e.g. make BUILD=build/asan FLAVOR=asan.
ifeq ($(FLAVOR),faults)
FLAVOR_FLAGS := -DLOCKET_FAULTS
else ifeq ($(FLAVOR),asan)
OPT := -O1
FLAVOR_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
WIPE :=
else ifeq ($(FLAVOR),tsan)
OPT := -O1
FLAVOR_FLAGS := -fsanitize=thread -fno-omit-frame-pointer
WIPE :=
else ifeq ($(FLAVOR),nowipe)
WIPE :=
else ifeq ($(FLAVOR),fuzz)
CC := clang
OPT := -O1
FLAVOR_FLAGS := -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all $(PLANT)
WIPE :=
else ifeq ($(FLAVOR),coverage)
CC := clang
OPT := -O0
FLAVOR_FLAGS := -fprofile-instr-generate -fcoverage-mapping
WIPE :=
endif
ifneq ($(WIPE),)
CPPFLAGS += -DLOCKET_WIPE
endif

# --- sources -------------------------------------------------------------------------------------
protos   := $(sort $(wildcard proto/*/*.proto))
gen_c    := $(patsubst proto/%.proto,$(BUILD)/gen/%.pb-c.c,$(protos)) $(BUILD)/gen/google/protobuf/wrappers.pb-c.c
objects   = $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(1)))
sources   = $(foreach d,$(1),$(wildcard $(d)/*.c))
wipe_c   := lib/base/wipe_malloc.c
base_c   := $(filter-out $(if $(WIPE),,$(wipe_c)),$(call sources,lib/base))
net_c    := $(call sources,lib/net)
model_c  := $(call sources,lib/model)
driver_c := $(filter-out %/main.c,$(call sources,driver/cluster driver/volume driver/serve driver/main))
prov_c   := $(filter-out %/main.c,$(call sources,providers $(patsubst %/,%,$(wildcard providers/*/))))
agent_c  := $(filter-out %/main.c,$(call sources,agent))
ctl_c    := $(filter-out %/main.c,$(call sources,ctl))
# Test doubles that are C: linked into tests only.
fakes_c  := $(call sources,tests/fakes)

layer    = $(BUILD)/lib/lib$(1).a
LIB_BASE := $(call layer,base)
LIB_PROTO := $(call layer,proto)
LIB_NET  := $(call layer,net)
LIB_MODEL := $(call layer,model)
COMMON   := $(LIB_MODEL) $(LIB_NET) $(LIB_PROTO) $(LIB_BASE)
SYSLIBS_driver   := -lgrpc_unsecure -lgpr -lprotobuf-c -lmount -lyaml -lcjson
SYSLIBS_provider := -lgrpc_unsecure -lgpr -lprotobuf-c -lcurl -lmicrohttpd -lyaml -lcjson -lcrypto
SYSLIBS_agent    := -lgrpc_unsecure -lgpr -lprotobuf-c -lcurl -lmicrohttpd -lyaml -lcjson -lcrypto
SYSLIBS_ctl      := -lgrpc_unsecure -lgpr -lprotobuf-c -lyaml -lcjson -lcrypto
SYSLIBS_all      := $(SYSLIBS_driver) -lcurl -lmicrohttpd -lcrypto -lcmocka

.PHONY: all
all: $(PROGRAMS:%=$(BUILD)/bin/%)

# --- generated code ------------------------------------------------------------------------------
$(BUILD)/gen/google/protobuf/%.pb-c.c: /usr/include/google/protobuf/%.proto
	@mkdir -p $(BUILD)/gen
	@cd /usr/include && protoc-c --c_out=$(abspath $(BUILD)/gen) google/protobuf/$*.proto
$(BUILD)/gen/%.pb-c.c: proto/%.proto
	@mkdir -p $(BUILD)/gen
	@protoc-c -I proto -I /usr/include --c_out=$(BUILD)/gen $<
$(BUILD)/obj/gen/%.o: $(BUILD)/gen/%.c | $(gen_c)
	@mkdir -p $(@D)
	@$(CC) -I. -I$(BUILD)/gen -std=gnu11 -g -O2 -w -fPIE -ffunction-sections -fdata-sections -fmacro-prefix-map=$(BUILD)/= $(FLAVOR_FLAGS) -c -o $@ $<
$(LIB_PROTO): $(patsubst $(BUILD)/gen/%.c,$(BUILD)/obj/gen/%.o,$(gen_c))

# --- our code ------------------------------------------------------------------------------------
$(BUILD)/obj/%.o: %.c | $(gen_c)
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MD -MP -c -o $@ $<

$(LIB_BASE): $(call objects,$(base_c))
$(LIB_NET): $(call objects,$(net_c))
$(LIB_MODEL): $(call objects,$(model_c))
$(call layer,driver): $(call objects,$(driver_c))
$(call layer,provider): $(call objects,$(prov_c))
$(call layer,agent): $(call objects,$(agent_c))
$(call layer,ctl): $(call objects,$(ctl_c))
$(call layer,fakes): $(call objects,$(fakes_c))
$(BUILD)/lib/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	@ar rcsD $@ $^

$(BUILD)/bin/locket-driver: $(BUILD)/obj/driver/main/main.o $(call layer,driver) $(COMMON)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(SYSLIBS_driver)
$(BUILD)/bin/locket-provider: $(BUILD)/obj/providers/main.o $(call layer,provider) $(COMMON)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(SYSLIBS_provider)
$(BUILD)/bin/locket-agent: $(BUILD)/obj/agent/main.o $(call layer,agent) $(COMMON)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(SYSLIBS_agent)
$(BUILD)/bin/locketctl: $(BUILD)/obj/ctl/main.o $(call layer,ctl) $(COMMON)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(SYSLIBS_ctl)

# --- C tests: one binary per file, linked with every layer ---------------------------------------
test_c    := $(sort $(wildcard tests/unit/*/test_*.c tests/service/test_*.c tests/contract/test_*.c))
TESTS     := $(patsubst %.c,$(BUILD)/%,$(test_c))
# A suite links what its folder may know, so that a layer's tests need nothing above it.
needs_base    := $(LIB_BASE)
needs_proto   := $(LIB_PROTO) $(LIB_BASE)
needs_net     := $(LIB_NET) $(LIB_PROTO) $(LIB_BASE)
needs_model   := $(COMMON)
needs_driver  := $(call layer,fakes) $(call layer,driver) $(COMMON)
needs_cluster := $(needs_driver)
needs_volume  := $(needs_driver)
needs_serve   := $(needs_driver)
needs_main    := $(needs_driver)
needs_providers := $(call layer,provider) $(COMMON)
needs_agent   := $(call layer,agent) $(COMMON)
needs_ctl     := $(call layer,ctl) $(COMMON)
needs_all     := $(call layer,fakes) $(call layer,driver) $(call layer,provider) $(call layer,agent) $(call layer,ctl) $(COMMON)
# A suite that interposes functions says so in a line of its own: /* WRAP: open rename */
wraps_of   = $(shell sed -n 's,^/\* WRAP: \(.*\) \*/$$,\1,p' $(1))
define suite_rule
$(BUILD)/tests/$(1)/test_%: $(BUILD)/obj/tests/$(1)/test_%.o $$(needs_$(2))
	@mkdir -p $$(@D)
	@echo "  LD $$@"
	@$$(CC) $$(LDFLAGS) $$(addprefix -Wl$$(comma)--wrap=,$$(call wraps_of,tests/$(1)/test_$$*.c)) -o $$@ $$< -Wl,--start-group $$(needs_$(2)) -Wl,--end-group $$(SYSLIBS_all)
endef
$(foreach d,base proto net model cluster volume serve main providers agent ctl,$(eval $(call suite_rule,unit/$(d),$(d))))
$(eval $(call suite_rule,service,all))
$(eval $(call suite_rule,contract,all))
comma := ,
# With the fuzz targets, compiled alone: what no longer fits them is seen before they run.
.PHONY: tests
tests: $(TESTS) $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard tests/fuzz/fuzz_*.c)))

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
.SECONDARY:

# --- fuzz targets: one binary per tests/fuzz/fuzz_<parser>.c, FLAVOR=fuzz -------------------------
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(COMMON) $(call layer,driver) $(call layer,provider) $(call layer,agent) $(call layer,ctl)
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $< -Wl,--start-group $(call layer,driver) $(call layer,provider) $(call layer,agent) $(call layer,ctl) $(COMMON) -Wl,--end-group $(SYSLIBS_all)
.PHONY: fuzzers
fuzzers: $(FUZZERS)

# --- the bench's client, and the least programs that memory is measured against -------------------
.PHONY: bench-programs
bench-programs: all $(BUILD)/bench/client $(BUILD)/bench/floor_driver $(BUILD)/bench/floor_provider
$(BUILD)/bench/client: $(BUILD)/obj/tests/bench/client.o $(call layer,driver) $(COMMON)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^ $(SYSLIBS_driver)
$(BUILD)/bench/floor_%: $(BUILD)/obj/tests/bench/floor_server.o $(COMMON)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -Wl,--no-as-needed -o $@ $^ $(SYSLIBS_$*)

# --- what people type -----------------------------------------------------------------------------
.PHONY: deps demo test check conformance e2e e2e-cluster e2e-node bench soak fuzz sanitize install clean help
# make again, once what the step before installed is there; on all cores unless -j says otherwise.
again = +$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
deps:          ## install what is missing of packages.txt
	@tests/check/deps.sh
demo:          ## a volume, a rotation, an unpublish, on this machine
	@tests/check/deps.sh build demo
	@$(again) all
	@BUILD=$(BUILD) tests/demo/demo.sh
test:          ## unit, service, contract and system suites
	@tests/check/deps.sh build demo test
	@$(again) all tests faults nowipe
	@BUILD=$(BUILD) tests/run.sh
.PHONY: faults nowipe
nowipe: # the positive control of the search for secrets
	@+$(MAKE) --no-print-directory BUILD=$(BUILD)/nowipe FLAVOR=nowipe all
faults:
	@+$(MAKE) --no-print-directory BUILD=$(BUILD)/faults FLAVOR=faults all $(BUILD)/faults/tests/unit/base/test_fault
check: $(gen_c) ## format, layers, bans, limits, clang-tidy, cppcheck, shellcheck
	@BUILD=$(BUILD) tests/check/check.sh $(RULES)
conformance: all ## csi-sanity against the shipped driver
	@BUILD=$(BUILD) tests/conformance/run.sh
e2e: all       ## against servers that somebody else wrote (needs Go)
	@BUILD=$(BUILD) tests/e2e/run.sh
e2e-cluster: all faults ## agent and driver against a real API server, etcd and controller manager (needs Go)
	@BUILD=$(BUILD) tests/cluster/run.sh
e2e-node:      ## the DaemonSet on a real kubelet with containerd and runc (needs Go, root)
	@tests/check/deps.sh build image test node
	@+$(MAKE) --no-print-directory image ARCHES=$(native)
	@+IMAGE=localhost/locket-faults $(MAKE) --no-print-directory BUILD=$(BUILD)/faults FLAVOR=faults image ARCHES=$(native)
	@BUILD=$(BUILD) tests/node/run.sh
bench: all     ## the tables of speed, memory and API requests, build/bench.json
	@+[ "$(ONLY)" = node ] || $(MAKE) --no-print-directory image ARCHES=$(native)
	@BUILD=$(BUILD) tests/bench/run.sh
soak: tests faults ## 10,000 rotations under readers, each fault point ROUNDS (100) times, 1,000 races
	@TORN_ROTATIONS=$${ROTATIONS:-10000} TORN_HOLD_S=60 $(BUILD)/tests/unit/volume/test_atomic_writer_readers
	@BUILD=$(BUILD) ROUNDS=$${ROUNDS:-100} RACES=$${RACES:-1000} tests/system/run_faults.py
fuzz:          ## every fuzz target for SECONDS (15)
	@+$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz FLAVOR=fuzz fuzzers
	@BUILD=$(BUILD)/fuzz FUZZ_SECONDS=$(or $(SECONDS),15) tests/fuzz/run.sh
.PHONY: fuzz-planted fuzz-coverage
fuzz-planted:  ## the fuzzers' positive control: a planted bug is found
	@+$(MAKE) --no-print-directory -s BUILD=$(BUILD)/planted FLAVOR=fuzz PLANT=-DPLANTED $(BUILD)/planted/fuzz/fuzz_encode
	@BUILD=$(BUILD)/planted FUZZ_SECONDS=$(or $(SECONDS),15) tests/fuzz/planted.sh
fuzz-coverage: ## line coverage of every parser by corpus and unit tests
	@+$(MAKE) --no-print-directory BUILD=$(BUILD)/coverage FLAVOR=coverage fuzzers
	@+BUILD=$(BUILD)/coverage MAKE=$(MAKE) tests/fuzz/coverage.sh
sanitize:      ## all C suites under ASan and UBSan, and under TSan
	@BUILD=$(BUILD) tests/check/sanitize.sh
.PHONY: image image-test
ARCHES ?= amd64 arm64
native = $(shell dpkg --print-architecture)
foreign = $(filter-out $(native),$(ARCHES))
binaries = $(foreach a,$(ARCHES),$(a)=$(BUILD)/$(if $(filter $(a),$(foreign)),$(a)/)bin)
image:         ## an OCI image of the programs for ARCHES, in $(BUILD)/image
	@tests/check/deps.sh build image $(foreign:%=cross-%)
	@$(again) all $(foreign:%=cross-%)
	@deploy/image/build.py $(BUILD)/image "$(PROGRAMS)" $(binaries)
cross-%:
	@cc=$$(deploy/image/sysroot.py $(BUILD)/image $*) && \
		$(MAKE) --no-print-directory BUILD=$(BUILD)/$* CC="$$cc" all
image-test: image ## each program of the image in a container; two builds, one digest
	@BUILD=$(BUILD) PROGRAMS="$(PROGRAMS)" BINARIES="$(binaries)" tests/system/image.py
PREFIX  ?= /usr/local
install: all   ## programs and manuals below $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 755 $(BUILD)/bin/locket-driver $(BUILD)/bin/locket-provider $(BUILD)/bin/locket-agent $(DESTDIR)$(PREFIX)/sbin
	install -m 755 $(BUILD)/bin/locketctl $(DESTDIR)$(PREFIX)/bin
	install -m 644 docs/man/locketctl.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 docs/man/locket-driver.8 docs/man/locket-provider.8 docs/man/locket-agent.8 $(DESTDIR)$(PREFIX)/share/man/man8
clean:         ## remove $(BUILD)
	rm -rf $(BUILD)
help:          ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name does; do \
		printf '  make %-14s %s\n' "$$name" "$$does"; done
