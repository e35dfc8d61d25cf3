#!/usr/bin/env bash
# explain, and the two documents that are made from the same tables.
. "$(dirname "$0")/kit.sh"

eep explain --markdown
exits 0
out_is <"$root/docs/scenario.md"
eep explain --json
exits 0
out_is_json
out_is <"$root/docs/schema/scenario.schema.json"

eep explain
exits 0
for key in deployment.data_parallel_size traffic.trace.path slo.ttft 'events[].at' measure.warmup; do
    out_has "  $key "
done
eep explain deployment.eplb_config.window_size
exits 0
out_has 'default 1000'
out_has '--eplb-config.window_size'
eep explain window_size --json
exits 0
out_is_json
out_has '"key": "deployment.eplb_config.window_size"'
eep explain deployment.pools.decode.data_parallel_size --json
out_is_json
out_has '"key": "deployment.data_parallel_size"'
eep explain slo --json
out_is_json
out_has '"key": "slo.tpot"'

eep explain eplb_config
exits 0
out_has 'deployment.eplb_config.trigger'
out_lacks 'deployment.resize'
eep explain drift --json
out_is_json
out_has '"key": "skew.drift.at"'
out_lacks 'skew.law'

refused 'there is no key "windo_size"' explain windo_size
err_has 'try window_size'
refused 'there is no key "windo_size"' explain windo_size --json
refused '--markdown prints all keys' explain slo --markdown
refused 'too many arguments' explain a b
finish
