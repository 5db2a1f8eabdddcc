# Everything is done by infra/local, which needs nothing but a Python 3.12 or 3.13.
.DEFAULT_GOAL := help
.PHONY: help run up down restart status logs mysql redis deploy destroy install test faults simulate bench check clean

STACK ?= local
STAGE ?= $(STACK)
SEEDS ?= 10000
JOBS ?= 2
LOCAL = @python="$$(sh infra/local/find_python.sh)" || exit 1; exec "$$python" -m infra.local

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

run: ## start everything, print the address and a key; Ctrl-C stops it
	$(LOCAL) run --stack '$(STACK)'

up: ## the same in the background
	$(LOCAL) up --stack '$(STACK)'

down: ## stop it
	$(LOCAL) down --stack '$(STACK)'

restart: ## stop it and start it again, with its data
	$(LOCAL) restart --stack '$(STACK)'

status: ## how each part is
	$(LOCAL) status --stack '$(STACK)'

logs: ## follow all logs, the functions' own included
	$(LOCAL) logs --stack '$(STACK)'

mysql: ## a command line on the database
	$(LOCAL) mysql --stack '$(STACK)'

redis: ## a command line on Valkey
	$(LOCAL) redis --stack '$(STACK)'

deploy: ## put changed code onto the running stack; STAGE=prod deploys to AWS
	$(LOCAL) deploy --stage '$(STAGE)'

destroy: ## take a stage away, its data only with DATA=too
	$(LOCAL) destroy --stage '$(STAGE)' $(if $(filter too,$(DATA)),--with-data)

install: ## get everything that is needed, start nothing
	$(LOCAL) install --stack '$(STACK)'

test: ## all checks and all tests, on a stack of their own
	$(LOCAL) test

faults: ## faults under load, on a stack of their own; ONLY=<name>, or MIX=<minutes>
	$(LOCAL) faults $(if $(ONLY),--only '$(ONLY)') $(if $(MIX),--mix '$(MIX)')

bench: ## measure the product against its floors, on a stack of its own; ONLY=<name>
	$(LOCAL) bench $(if $(ONLY),--only '$(ONLY)')

check: ## the static checks only
	$(LOCAL) check

simulate: ## play the protocol through SEEDS random runs, faults included
	$(LOCAL) simulate --seeds '$(SEEDS)' --jobs '$(JOBS)'

clean: ## stop everything and remove var/ and .venv/
	$(LOCAL) clean
