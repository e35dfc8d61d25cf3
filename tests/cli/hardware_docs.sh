#!/usr/bin/env bash
# The Kubernetes example of docs/hardware.md is YAML, and its parts name each other.
# Usage: hardware_docs.sh ROOT EEP
. "$(dirname "$0")/kit.sh"

awk '/^```yaml$/ { on = 1; n++; next } /^```$/ { on = 0 } on && /^---$/ { n++; next }
    on { print >("part" n ".yaml") }' "$root/docs/hardware.md"
[ "$(cat part*.yaml | sed -n 's/^kind: //p' | tr '\n' ' ')" = 'Service Job Job ' ] || fail 'not a Service and two Jobs'
# What is no YAML, or says a thing twice, is told before what is no scenario.
for part in part*.yaml; do
    refused 'unknown key "apiVersion"' check "$part"
done
sed 's/{app: eep-coordinator}/{app: eep-coordinator/' part1.yaml >planted.yaml
refused 'YAML' check planted.yaml

value() { sed -n "s/$1/\1/p" "${@:2}" | sort -u; } # value EXPRESSION FILE...
service=$(value '^metadata: {name: \(.*\)}' part1.yaml)
port=$(value '.*ports: \[{port: \([0-9]*\)}\]' part1.yaml)
[ "$(value '.*MASTER_ADDR, value: \(.*\)}' part3.yaml)" = "$service" ] || fail 'workers look for another Service'
[ "$(value '.*MASTER_PORT, value: "\(.*\)"}' part3.yaml)" = "$port" ] || fail 'workers look for another port'
[ "$(value '.*gpu.listen=0.0.0.0:\([0-9]*\)".*' part2.yaml)" = "$port" ] || fail 'the coordinator listens on another port'
[ "$(value '.*selector: {\(.*\)}' part1.yaml)" = "$(value '.*labels: {\([^}]*\)}.*' part2.yaml)" ] ||
    fail 'the Service selects no coordinator'
[ "$(grep -h EEP_TOKEN part*.yaml | sort -u | wc -l)" = 1 ] || fail 'two tokens'
# Its settings are ones.
sets=()
for set in $(grep -oE '(gpu|deployment)\.[a-z_.]+=[^],"]+' part2.yaml); do sets+=(--set "$set"); done
[ ${#sets[@]} = 4 ] || fail "settings are ${sets[*]}"
eep check hw-smoke "${sets[@]}"
exits 0
finish
