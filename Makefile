# Every target calls infra/local, which needs only Python 3.12 or 3.13.
.DEFAULT_GOAL := help
.PHONY: help run up down restart status logs mysql redis deploy destroy install test faults simulate bench check clean

STACK ?= local
STAGE ?= $(STACK)
SEEDS ?= 10000
JOBS ?= 2
LOCAL = @python="$$(sh infra/local/find_python.sh)" || exit 1; exec "$$python" -m infra.local

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

run: ## start the stack, print its address and key; Ctrl-C stops it
	$(LOCAL) run --stack '$(STACK)'

up: ## start the stack in the background
	$(LOCAL) up --stack '$(STACK)'

down: ## stop the stack, keep its data
	$(LOCAL) down --stack '$(STACK)'

restart: ## stop the stack and start it again, with its data
	$(LOCAL) restart --stack '$(STACK)'

status: ## print the state of each service
	$(LOCAL) status --stack '$(STACK)'

logs: ## follow all logs, those of the functions too
	$(LOCAL) logs --stack '$(STACK)'

mysql: ## open a command line on the database
	$(LOCAL) mysql --stack '$(STACK)'

redis: ## open a command line on Valkey
	$(LOCAL) redis --stack '$(STACK)'

deploy: ## deploy changed code to the running stack; STAGE=prod deploys to AWS
	$(LOCAL) deploy --stage '$(STAGE)'

destroy: ## remove a stage; DATA=too removes its data as well
	$(LOCAL) destroy --stage '$(STAGE)' $(if $(filter too,$(DATA)),--with-data)

install: ## install everything, start nothing
	$(LOCAL) install --stack '$(STACK)'

test: ## run all checks and all tests, on a stack of their own
	$(LOCAL) test

faults: ## break a stack of its own under load; ONLY=<names>, or MIX=<minutes>
	$(LOCAL) faults $(if $(ONLY),--only '$(ONLY)') $(if $(MIX),--mix '$(MIX)')

bench: ## measure the product on a stack of its own; ONLY=<names>
	$(LOCAL) bench $(if $(ONLY),--only '$(ONLY)')

check: ## run the static checks
	$(LOCAL) check

simulate: ## run the protocol with SEEDS random seeds, JOBS at once
	$(LOCAL) simulate --seeds '$(SEEDS)' --jobs '$(JOBS)'

clean: ## stop everything and remove var/ and .venv/
	$(LOCAL) clean
