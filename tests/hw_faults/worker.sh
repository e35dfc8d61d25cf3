#!/usr/bin/env bash
# Starts the worker program; what is in EEP_TEST_ONLY ("VARIABLE=VALUE") only for the worker EEP_TEST_VICTIM.
[[ " $* " != *" --worker $EEP_TEST_VICTIM "* ]] || export "${EEP_TEST_ONLY?}"
exec "$EEP_TEST_WORKER" "$@"
