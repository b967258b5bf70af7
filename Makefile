# mxgate - `make help` lists the targets.
#
# One set of rules serves every variant; a variant is the same Makefile with other variables:
#   build/           normal build, the distribution's libraries through pkg-config
#   build/asan/      BUILD=build/asan SAN=address,undefined
#   build/tsan/      SAN=thread
#   build/fuzz/      the same with clang and libFuzzer; pure modules only
#   build/static/    tools/build-static.sh: DEPS=folder of musl and libraries, CC=its compiler
#
# Pure modules (PURE) may use libc and inih only. Unit and fuzz binaries link nothing else of ours, and
# build/purecheck links all of PURE alone: a call from a pure module to an impure one does not link.

VERSION = 0.1.0
BUILD   = build

ifeq ($(origin CC),default)
CC = gcc
endif

# Use every core unless the caller said otherwise.
ifeq ($(filter -j% --jobserver%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

# --- what is built from what ----------------------------------------------------------------------

SRC        = $(sort $(wildcard src/*.c src/*/*.c))
HEALTH_SRC = $(sort $(wildcard healthcheck/*.c))
PURE       = $(sort $(wildcard src/base/*.c src/smtp/*.c src/config/*.c src/observe/log.c src/observe/log_line.c src/observe/log_json.c \
               src/observe/log_mask.c src/observe/log_delivery.c \
               src/message/envelope.c src/message/trace.c src/message/header_complete.c src/message/bounce.c src/message/bounce_*.c \
               src/queue/spool_format*.c src/queue/due_heap.c src/queue/queue_order.c \
               src/relay/client.c src/relay/client_*.c \
               src/server/session.c src/server/session_*.c src/server/policy*.c src/server/limits.c src/server/sasl_login.c src/server/sasl_dovecot.c src/server/proxy_protocol.c src/net/dns_cache.c src/net/mx_list.c \
               src/control/control_format.c src/control/control_format_*.c src/control/control_recipient.c \
               src/message/address_list.c src/message/local_mail.c src/message/local_header.c \
               src/message/trace_local.c src/message/resent.c \
               src/tls/der.c src/tls/pem.c src/tls/public_key.c src/tls/private_key.c src/tls/x509.c src/tls/x509_names.c))
# Other names for the one program, as people and scripts call it.
LINKS      = postqueue postcat postconf postfix postsuper mailq newaliases sendmail

# In tests/unit, tests/io and tests/fuzz each test_*.c (fuzz_*.c) is a program; any other .c there is linked to all of them.
UNIT_TESTS = $(sort $(wildcard tests/unit/test_*.c))
UNIT_HELP  = $(filter-out $(UNIT_TESTS),$(sort $(wildcard tests/unit/*.c)))
IO_TESTS   = $(sort $(wildcard tests/io/test_*.c))
IO_HELP    = $(filter-out $(IO_TESTS),$(sort $(wildcard tests/io/*.c)))
FUZZERS    = $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_HELP  = $(filter-out $(FUZZERS),$(sort $(wildcard tests/fuzz/*.c)))

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

# --- flags ----------------------------------------------------------------------------------------

WARN = -std=c11 -Wall -Wextra -Wno-unused-parameter -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2 \
       -Wundef -Wshadow -Wwrite-strings -Wcast-qual -Wvla -Wswitch-enum -Wnull-dereference -Wconversion -Wno-sign-conversion
ifeq ($(findstring clang,$(CC)),)
WARN += -Wduplicated-cond -Wlogical-op
endif
HARD    = -fno-common -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fPIE
HARD_LD = -pie -Wl,-z,relro,-z,now,-z,noexecstack
OPT     = -O2 -g
WERROR  = -Werror

ifdef SAN
# Sanitizers add code that some warnings then take for ours; the normal build has -Werror.
OPT     = -O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
HARD    = -fno-common -U_FORTIFY_SOURCE -fPIE
# gcc's two shared run-times each have their own options, and UBSan's then ignores log_path (tools/test.sh).
HARD_LD = -pie $(if $(findstring clang,$(CC)),,-static-libasan -static-libubsan)
WERROR  = -Wno-null-dereference -Wno-maybe-uninitialized -Wno-unknown-warning-option
endif

PKGS = libuv inih libcares
ifdef DEPS
# A newer compiler or library must not stop a user's build by a new warning; no _FORTIFY_SOURCE in musl.
WERROR     =
# Small: a message costs system calls, not instructions, and what does cost (BearSSL) has its own flags.
OPT        = -Os -g
HARD       = -fno-common -fstack-protector-strong -ffunction-sections -fdata-sections \
             -fno-unwind-tables -fno-asynchronous-unwind-tables
# Packed relocations: musl can, and another 4 % are gone.
HARD_LD    = -Wl,--gc-sections,-z,text,-z,relro,-z,now,-z,noexecstack,--pack-dyn-relocs=relr
AR         = $(CROSS)ar
# Stripped, with the symbols kept beside it for a debugger.
define strip_program
	@$(CROSS)objcopy --only-keep-debug $@ $@.debug
	@$(CROSS)strip $@
endef
LIB_CFLAGS = -isystem $(DEPS)/include
LIB_PATH   = -L$(DEPS)/lib
INIH       = -linih
LIBS       = -luv -linih -lcares
else
LIB_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
INIH       := $(shell pkg-config --libs inih 2>/dev/null)
LIBS       := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
endif
HAVE_LIBS := $(LIBS)
# BearSSL comes without a .pc file; it is linked once there is something that uses it.
LIBS += $(if $(wildcard src/tls/*.c),-lbearssl) -pthread

# CARES_NO_DEPRECATED: the release build's c-ares is newer and marks calls that the distribution's cannot replace.
ALL_CPPFLAGS = -Isrc -D_GNU_SOURCE -DCARES_NO_DEPRECATED -DMXGATE_VERSION='"$(VERSION)"' $(LIB_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS   = $(WARN) $(WERROR) $(OPT) $(HARD) -pthread $(CFLAGS)
ALL_LDFLAGS  = $(OPT) $(HARD_LD) $(LIB_PATH) $(LDFLAGS)

V = 0
say = $(if $(filter 0,$(V)),@echo '  $(1) $@';)

# --- programs -------------------------------------------------------------------------------------

.PHONY: all asan static run test unit io tsan e2e crash load smoke arm64 container lint analyze coverage mutation format fuzz bench clean help
.PHONY: programs unit-programs io-programs fuzz-programs crash-programs libs print-PURE print-LINKS FORCE

all: programs
programs: $(BUILD)/mxgate $(BUILD)/healthcheck $(addprefix $(BUILD)/,$(LINKS))
unit-programs: $(BUILD)/purecheck $(patsubst %.c,$(BUILD)/%,$(UNIT_TESTS))
io-programs: $(patsubst %.c,$(BUILD)/%,$(IO_TESTS))
fuzz-programs: $(patsubst tests/fuzz/%.c,$(BUILD)/%,$(FUZZERS))
crash-programs: $(BUILD)/trace_files.so $(BUILD)/read_spool $(BUILD)/crash/mxgate

$(BUILD)/mxgate: $(call objects,$(SRC)) $(BUILD)/sources
	$(call say,LD) $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(LIBS)
	$(strip_program)

$(BUILD)/healthcheck: $(call objects,$(HEALTH_SRC)) $(BUILD)/sources
	$(call say,LD) $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^)
	$(strip_program)

$(addprefix $(BUILD)/,$(LINKS)): | $(BUILD)/mxgate
	@ln -sf mxgate $@

$(BUILD)/purecheck: $(BUILD)/obj/purecheck.c $(BUILD)/libpure.a
	$(call say,LD) $(CC) $(ALL_LDFLAGS) -o $@ $< -Wl,--whole-archive $(BUILD)/libpure.a -Wl,--no-whole-archive $(INIH)

$(BUILD)/obj/purecheck.c:
	@mkdir -p $(@D) && echo 'int main(void) { return 0; }' > $@

$(BUILD)/libpure.a: $(call objects,$(PURE)) $(BUILD)/sources
$(BUILD)/liball.a: $(call objects,$(filter-out src/main.c,$(SRC))) $(BUILD)/sources
# The tests' helpers are an archive: a test that brings its own of something is not given a second one.
$(BUILD)/libiohelp.a: $(call objects,$(IO_HELP)) $(BUILD)/sources
$(BUILD)/libpure.a $(BUILD)/liball.a $(BUILD)/libiohelp.a:
	$(call say,AR) rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(call objects,$(UNIT_HELP)) $(BUILD)/libpure.a
	@mkdir -p $(@D)
	$(call say,LD) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(INIH) -lcmocka

# tsan_close.c stands before the C library, so it may not be left to the archive.
$(BUILD)/tests/io/%: $(BUILD)/obj/tests/io/%.o $(if $(findstring thread,$(SAN)),$(call objects,tests/io/tsan_close.c)) $(BUILD)/libiohelp.a $(BUILD)/liball.a
	@mkdir -p $(@D)
	$(call say,LD) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

# Loaded into the normal build (tests/crash/powerloss.py).
$(BUILD)/trace_files.so: tests/crash/trace_files.c Makefile
	@mkdir -p $(@D)
	$(call say,CC) $(CC) -D_GNU_SOURCE $(filter-out -fPIE,$(ALL_CFLAGS)) -fPIC -shared -o $@ $< -ldl

# The program with numbered crash points (src/base/crash_point.h): those sources anew, the rest as it is.
CRASH_SRC := $(shell grep -l 'CRASH_POINT."' $(SRC))
$(BUILD)/crash/mxgate: $(patsubst %.c,$(BUILD)/crash/obj/%.o,$(CRASH_SRC)) $(call objects,$(filter-out $(CRASH_SRC),$(SRC))) $(BUILD)/sources
	$(call say,LD) $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(LIBS)

$(BUILD)/crash/obj/%.o: %.c Makefile | libs
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(ALL_CPPFLAGS) -DMXGATE_CRASH_POINTS $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/read_spool: $(BUILD)/obj/tests/crash/read_spool.o $(BUILD)/liball.a
	$(call say,LD) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(call objects,$(FUZZ_HELP)) $(BUILD)/libpure.a
	$(call say,LD) $(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(INIH)

# Those of TLS need BearSSL, and so all of ours.
$(BUILD)/fuzz_tls_%: $(BUILD)/obj/tests/fuzz/fuzz_tls_%.o $(call objects,$(FUZZ_HELP)) $(BUILD)/liball.a
	$(call say,LD) $(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS)

$(BUILD)/obj/%.o: %.c Makefile $(if $(DEPS),$(DEPS)/stamp) | libs
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# A test that runs out of memory may crash.
$(BUILD)/obj/tests/%.o: WARN += -Wno-null-dereference

# Changes when a source comes or goes, so that nothing keeps an object whose source is gone.
$(BUILD)/sources: FORCE
	@mkdir -p $(@D)
	@echo '$(SRC) $(HEALTH_SRC) $(IO_HELP)' | cmp -s - $@ || echo '$(SRC) $(HEALTH_SRC) $(IO_HELP)' > $@

libs:
	@$(if $(HAVE_LIBS),:,echo 'Libraries are missing: run tools/setup.sh build' >&2; exit 1)

.SECONDARY: # keep the tests' objects
-include $(shell find $(BUILD)/obj $(BUILD)/crash -name '*.d' 2>/dev/null)

asan:
	@$(MAKE) --no-print-directory BUILD=build/asan SAN=address,undefined programs

static:
	@tools/setup.sh static
	@tools/build-static.sh

# --- running and checking -------------------------------------------------------------------------

run:
	@tools/run.sh

test:
	@tools/setup.sh build test static
	@tools/test.sh

load:
	@tools/setup.sh build test
	@LOAD_SCALE=$${LOAD_SCALE:-100} tools/test.sh load

unit io tsan e2e smoke crash fuzz arm64 container:
	@tools/setup.sh build test
	@tools/test.sh $@

lint:
	@tools/setup.sh build test
	@tools/lint.sh

analyze:
	@tools/setup.sh build test
	@tools/lint.sh tidy cppcheck analyzer

format:
	clang-format -i $$(find src healthcheck tests -name '*.[ch]')

bench:
	@if [ -x tests/bench/run.sh ]; then tests/bench/run.sh; else echo 'no tests/bench/run.sh'; fi

coverage:
	@tools/setup.sh build test
	@tools/coverage.sh

mutation:
	@tools/setup.sh build test
	@tests/mutation/run.py

clean:
	rm -rf build

print-PURE:
	@echo $(PURE)

print-LINKS:
	@echo $(LINKS)

help:
	@echo 'make            build/mxgate and build/healthcheck, with the distribution'\''s libraries'
	@echo 'make run        start it on 127.0.0.1:2525, delivering into ./var/maildir; installs what is missing'
	@echo 'make test       every test; installs what is missing; ends with "N passed, N failed"'
	@echo 'make unit | io | tsan | e2e | smoke | crash   one suite of them (smoke: e2e under valgrind and with the static binary)'
	@echo 'make arm64      the build for arm64, in an emulator: unit tests and the smoke tests'
	@echo 'make container  the images and the compose files, in a Docker engine of their own (root)'
	@echo 'make fuzz       FUZZ_SECONDS=60 of each fuzz target'
	@echo 'make lint       format, clang-tidy, cppcheck, gcc -fanalyzer, shellcheck, headers, floors, purity'
	@echo 'make analyze    of these clang-tidy, cppcheck and gcc -fanalyzer'
	@echo 'make coverage   lines and branches that unit, io, e2e and the fuzz corpus run, by file (twenty minutes)'
	@echo 'make mutation   small faults put into custody code, one after the other: do the tests notice? (an hour or two)'
	@echo 'make format     apply clang-format'
	@echo 'make asan       build/asan/mxgate, with address and undefined-behaviour sanitizers'
	@echo 'make static     build/static/mxgate: one static PIE with musl; TARGET=arm64 or amd64 for the other machine'
	@echo 'make bench      measurements'
	@echo 'make clean      remove build/ (the static libraries in it too)'
	@echo 'Variables: V=1 (show commands), FUZZ_SECONDS, CRASH_ROUNDS, CFLAGS, LDFLAGS'
