# Set-up, tests and the demo. `make help` lists what there is.
export PATH := $(CURDIR)/.node/node_modules/.bin:$(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: help install test ansible-test lint docs demo faults bench build pack sea deb clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

install: ## bring Node where it is too old, the npm packages, and the commands in bin/
	@scripts/install.sh

lint: install ## check format, style and types
	@biome ci --colors=off .
	@tsc

test: install ## run every check and test, with real servers of their own; wants some Debian packages
	@scripts/test-packages.sh
	@biome ci --colors=off .
	@tsc
	@scripts/as-root.sh vitest run

ansible-test: deb ## play the roles of ansible/ on hosts of their own in containers; takes some minutes, wants ansible
	@scripts/test-packages.sh ansible ansible-lint cron logrotate sudo iproute2 acl python3-apt python3-pymysql python3-psycopg2
	@scripts/as-root.sh unshare --net sh -c 'ip link set lo up && exec vitest run --config test/ansible/vitest.config.ts'

faults: install ## break things, row by row, and write docs/faults.md; ROW=F18 for one, SEED=N for the same again, QUICK=1 for samples
	@scripts/test-packages.sh
	@scripts/as-root.sh node scripts/faults.ts $(foreach row,$(ROW),--row $(row)) $(if $(SEED),--seed $(SEED)) $(if $(QUICK),--quick)

bench: install ## measure beside restic, borg, rsync, scp, and write docs/benchmarks.md; takes some minutes, on a quiet machine
	@scripts/test-packages.sh borgbackup rsync time
	@node bench/bench.ts $(ARGS)

docs: install ## write the pages of docs/ that are made from the code
	@node scripts/generate-docs.ts

demo: install ## back up, pull, verify, prune and restore a small wiki; no root, no server
	@node scripts/demo.ts

build: install ## build all that can be installed into dist/, with checksums and a bill of materials
	@node scripts/build.ts

pack: install ## build the npm package
	@node scripts/build.ts npm

sea: install ## build the single executable, with Node in it
	@node scripts/build.ts executable

deb: install ## build the Debian package
	@node scripts/build.ts debian

clean: ## remove what set-up, the demo and builds have made
	@rm -rf bin node_modules .node .compiled .demo coverage dist
