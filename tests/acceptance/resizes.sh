#!/usr/bin/env bash
# Resizes: what each option changes, and what requests see.
. "$(dirname "$0")/acceptance_kit.sh"

runs "$keys/resize.yaml" --journal journal
is grow "$(resize grow outcome)" '"complete"'
is shrink "$(resize shrink outcome)" '"complete"'
# Eight new engines get everything but experts, 18,969,985,024 bytes each; a shrink needs none.
is 'bytes of a growth' "$(resize grow non_expert)" $((8 * 18969985024))
is 'bytes of a shrink' "$(resize shrink non_expert)" 0
holds 'served while preparing' "$(resize grow prepare_s) > 20 && $(resize grow stall_s) < 10"
holds 'aborted with their engines' "$(resize shrink aborted) > 0 && $(resize grow aborted) == 0"
# Up: experts move after the new size serves. Down: before.
is 'phases up' "$(phases grow)" 'launch standby_groups weights_from_peer kv_sync kernel_warm_up pause map_broadcast switch warm_up graph_capture retire_groups reshuffle '
is 'phases down' "$(phases shrink)" 'standby_groups pause reshuffle switch destroy warm_up graph_capture retire_groups '
holds 'conservation' "$(figure submitted) == $(figure completed) + $(awk '/"rejected": {/,/total/' run/summary.json | sed -n 's/.*total": \([0-9]*\),/\1/p' | head -n 1) + $(awk '/"aborted": {/,/total/' run/summary.json | sed -n 's/.*total": \([0-9]*\),/\1/p' | head -n 1)"
cp -r run once
runs "$keys/resize.yaml" --replay journal
cmp -s once/events.jsonl run/events.jsonl || fail 'a replay differs'
eep run "$keys/resize.yaml" --seed 4 --replay journal --out run --quiet
exits 2
runs "$keys/resize.yaml"
for file in once/*; do
    [ "${file##*/}" = wallclock.json ] || cmp -s "$file" "run/${file##*/}" || fail "${file##*/} differs between two runs"
done
runs once/scenario.yaml
cmp -s once/requests.csv run/requests.csv || fail 'scenario.yaml of a run gives another run'

runs "$keys/resize.yaml" --set deployment.resize.weights_from=disk
case $(phases grow) in *weights_from_disk*) ;; *) fail "weights_from: disk: $(phases grow)" ;; esac
is 'nothing from peers' "$(resize grow non_expert)" $((8 * 18969985024))

runs "$keys/resize.yaml" --set deployment.resize.generation=restart
is 'restart prepares nothing' "$(resize grow prepare_s)" 0
holds 'restart stops all' "$(resize grow downtime_s) > 60 && $(resize grow aborted) > 0"
is 'all engines anew' "$(resize grow non_expert)" $((24 * 18969985024))

# Drained: nobody is aborted, and 503s last longer; not in time: the size stays.
runs "$keys/resize.yaml" --set deployment.resize.drain_requests=true
is 'nobody aborted' "$(resize shrink aborted)" 0
case $(phases grow) in *' drain pause '*) ;; *) fail "drain: $(phases grow)" ;; esac
runs "$keys/resize.yaml" --set deployment.resize.drain_requests=true --set deployment.resize.drain_timeout=1s
is 'not drained in time' "$(resize grow outcome)" '"failed"'
is 'refused for so long' "$(resize grow reject_s)" 1
is 'size as before' "$(tail -n 1 run/timeline.csv | cut -d, -f7)" 16

runs "$keys/busy.yaml"
is 'queued from' "$(resize second from)" 24
is 'queued' "$(resize second outcome)" '"complete"'
holds 'begins after the first' "$(resize second accepted_s) > 15"
runs "$keys/busy.yaml" --set deployment.resize.on_busy=refuse
is 'refused' "$(resize second outcome)" '"refused"'
is 'size of the first' "$(tail -n 1 run/timeline.csv | cut -d, -f7)" 24
refused 'generation g2.1 has no way back' check "$keys/busy.yaml" --set deployment.resize.on_busy=supersede

# Every submission counts, however often a client tries: 300 of each that was refused for good.
runs "$keys/resize.yaml" --set deployment.resize.generation=restart --set traffic.retry.attempts=300 --set traffic.retry.backoff=0ns
is 'attempts' "$(figure attempts)" "$(awk -F, 'NR > 1 { n += $9 } END { print n }' run/requests.csv)"
holds 'tried to the end' "$(figure attempts) > 300 * $(awk -F, '$12 == "scaling_503"' run/requests.csv | wc -l)"
finish
