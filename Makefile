# SPDX-License-Identifier: Apache-2.0
# The short way in; meson does the work. `make` builds build/insula from installed dependencies.
BUILD = build
PREFIX = /usr/local
DESTDIR =
SECONDS = 60
ARGS =
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: all check demo demo-clean install fuzz bench clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

$(BUILD)/build.ninja:
	@meson setup $(BUILD) --buildtype=release --prefix=$(PREFIX) >$(BUILD).log 2>&1 || { cat $(BUILD).log >&2; exit 1; }
	@mv $(BUILD).log $(BUILD)/setup.log

check:
	@scripts/run-tests $(ARGS)

demo: all
	@$(SUDO) scripts/demo up

demo-clean: all
	@$(SUDO) scripts/demo down

install: all
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild

fuzz:
	@scripts/run-fuzz $(SECONDS) $(ARGS)

bench: all
	@for bench in bench/*.sh; do [ ! -x "$$bench" ] || $(SUDO) "$$bench" || exit 1; done

clean:
	rm -rf $(BUILD) build-check build-check-threads build-fuzz
