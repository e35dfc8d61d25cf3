#!/usr/bin/env bash
# compare, and --twin, as a user types them.
. "$(dirname "$0")/kit.sh"

small=(--set deployment.data_parallel_size=16 --set traffic.synthetic.duration=100s --quiet)
eep run resize-g2.1 "${small[@]}" --out a
exits 0
eep run resize-g2.1 "${small[@]}" --set deployment.resize.generation=restart --out b
exits 0
eep run resize-g2.1 "${small[@]}" --seed 9 --out seed
exits 0
eep run resize-g2.1 "${small[@]}" --set traffic.synthetic.rate=13/s --out rate
exits 0

eep compare a b
exits 0
out_has 'resize grow                     g2.1     restart'
out_lacks 'NOT THE SAME'
eep compare a b --json
exits 0
out_is_json

# Refused with what differs, unless forced.
refused "a and seed cannot be compared: their seeds differ" compare a seed
refused "a and rate cannot be compared: their traffic differs" compare a rate
eep compare a rate --force
exits 0
out_has 'NOT THE SAME TRAFFIC OR SEED'
eep compare a seed --force --json
exits 0
out_is_json
grep -q '"same_traffic": false' "$scratch/out" || fail "same_traffic is not false"
# Clients that try again are other traffic; how long they would wait, if they did, is not.
eep run resize-g2.1 "${small[@]}" --set 'traffic.retry={attempts: 1}' --out once
eep run resize-g2.1 "${small[@]}" --set 'traffic.retry={attempts: 1, backoff: 9s}' --out idle
eep run resize-g2.1 "${small[@]}" --set traffic.retry.backoff=9s --out patient
exits 0
refused "a and once cannot be compared: their traffic differs" compare a once
refused "a and patient cannot be compared: their traffic differs" compare a patient
eep compare once idle
exits 0

# Two runs beside the first fit on a screen, further ones stand below it.
eep compare a b a b a
exits 0
[ "$(grep -c '^SLO attainment' "$scratch/out")" -eq 2 ] || fail "not in two tables"
! grep -E '^.{101}' "$scratch/out" >"$scratch/diff" || fail "wider than 100 columns: $(cat "$scratch/diff")"

# Long names are cut, and stand apart.
long=a-folder-whose-name-is-longer-than-its-column
cp -r b $long
eep compare $long $long $long
exits 0
out_has ' a-folder-whose-name-is-longer-t a-folder-whose-name-is-longer-t'

refused 'nowhere: is no run folder' compare a nowhere
finish
