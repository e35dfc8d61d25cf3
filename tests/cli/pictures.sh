#!/usr/bin/env bash
# plot: pictures of run folders, full, empty and broken.
. "$(dirname "$0")/kit.sh"

# Its own, for the check at the end that nothing stays there: other programs draw at the same time.
export TMPDIR=$scratch/tmp
mkdir "$TMPDIR"

requests_header=id,arrival_ns,first_token_ns,finish_ns,fate,ttft_ms,tpot_ms,e2el_ms
timeline_header=time_s,pool,engines,running,waiting,imbalance,stalled_share

# run_folder NAME RESIZES: a folder without requests and time line.
run_folder() {
    mkdir -p "$1"
    printf '{"name": "it'"'"'s %s", "label": "SIMULATED", "slo": {"ttft_ms": 2000, "tpot_ms": null}, "resizes": [%s]}\n' \
        "$1" "${2-}" >"$1/summary.json"
    echo $requests_header >"$1/requests.csv"
    echo $timeline_header >"$1/timeline.csv"
}

refused 'nope: there is no such run folder' plot nope
mkdir not_a_run
refused 'not_a_run/summary.json: there is no such file' plot not_a_run
run_folder torn
rm torn/timeline.csv
refused 'torn/timeline.csv: cannot be read' plot torn
run_folder short
echo '0,main' >>short/timeline.csv
refused 'short/timeline.csv:2:1: 2 fields: 7, as in the header' plot short
run_folder other
echo 'a,b' >other/requests.csv
refused 'other/requests.csv:1:1: there is no column arrival_ns' plot other
run_folder bad
echo '{' >bad/summary.json
refused 'bad/summary.json:' plot bad

# Without gnuplot the message says what to do.
run_folder empty
PATH=$scratch/work "$program" plot empty >"$scratch/out" 2>"$scratch/err"
status=$? last='plot empty, without gnuplot'
exits 1
err_has 'gnuplot cannot be started'

if ! command -v gnuplot >/dev/null; then
    [ $failures -eq 0 ] || exit 1
    echo "SKIP: gnuplot is not installed"
    exit 77
fi

pictures_of() { # every picture is there and is what its name says
    local name
    exits 0
    err_is_empty
    for name in deployment latency latency_cdf rank_imbalance balancedness; do
        [ "$(head -c 8 "$1/plots/$name.png" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ] || fail "$name.png is no PNG"
        grep -q '</svg>' "$1/plots/$name.svg" || fail "$name.svg is not whole"
        out_has "$1/plots/$name.png"
    done
}

eep plot empty
pictures_of empty
grep -q 'no completed request' empty/plots/latency.svg || fail "no note in an empty picture"
grep -q 'no expert work' empty/plots/rank_imbalance.svg || fail "no note in an empty picture"

run_folder full '{"at_s": 20, "prepare_s": 10, "settle_s": 2, "total_s": 15}, {"at_s": 50, "total_s": null}'
awk 'BEGIN { for (i = 0; i < 600; i++) {
    a = i * 1e8; t = (i % 17 + 1) * 10
    printf "%d,%d,%d,%d,completed,%.6f,%.6f,%.6f\n", i, a, a + t * 1e6, a + t * 1e6 + 2e9, t, 40 + i % 7, t + 2000 }
    print "600,60000000000,,60100000000,rejected,,," }' >>full/requests.csv
awk 'BEGIN { for (s = 0; s < 63; s++) for (p = 0; p < 2; p++)
    printf "%d,%s,%d,%.3f,0,%s,0\n", s, p ? "decode" : "prefill", s < 33 ? 8 : 16, 20, s == 5 ? "" : "1.25" }' >>full/timeline.csv
printf '%s\n' '{"t_ns":1000000000,"event":"other"}' '{"t_ns":20000000000,"event":"eplb_rearranged","experts_moved":7}' \
    '{"t_ns":30000000000,"event":"eplb_rearranged","experts_moved":0}' 'torn "eplb_rearranged" {' >full/events.jsonl
mkdir runs && mv full runs/ && ln -s full runs/latest
eep plot runs/latest --json
out_is_json
exits 0
eep plot runs/latest
pictures_of runs/latest
grep -q 'resize: commit' runs/full/plots/deployment.svg || fail "resizes are not in the key"
grep -q 'experts rearranged' runs/full/plots/balancedness.svg || fail "a reshuffle is not marked"
grep -q 'experts rearranged' empty/plots/balancedness.svg && fail "marks without reshuffles"
grep -q 'n = 600' runs/full/plots/latency_cdf.svg || fail "not all completed requests are in the distribution"
grep -q "it's full | SIMULATED" runs/full/plots/latency.svg || fail "the title is not the run's"
grep -q 'DP size, decode' runs/full/plots/deployment.svg || fail "a pool is missing"

# A picture of each resize that began: what each rank did when, and what forwards stood still for.
grown='{"role": "existing", "first": 0, "count": 2}, {"role": "new", "first": 2, "count": 1}'
run_folder resized '{"id": "it'"'"'s `big`", "from": 2, "to": 3, "generation": "eep", "outcome": "complete",
    "at_s": 10, "accepted_s": 10, "prepare_s": 5, "commit_s": 2, "settle_s": 1, "total_s": 8, "ranks": ['"$grown"'], "phases": [
    {"name": "launch", "who": "new", "start_s": 10, "end_s": 15, "blocks": false,
        "ranks": [{"role": "new", "first": 2, "count": 1, "end_s": 15}]},
    {"name": "switch", "who": "all", "start_s": 15, "end_s": 17, "blocks": true,
        "ranks": [{"role": "existing", "first": 0, "count": 2, "end_s": 16}, {"role": "new", "first": 2, "count": 1, "end_s": 17}]},
    {"name": "drain", "who": "coordinator", "start_s": 17, "end_s": null, "blocks": false, "ranks": []},
    {"name": "never", "who": "new", "start_s": null, "end_s": null, "blocks": false, "ranks": []}]},
    {"at_s": 20, "accepted_s": null, "outcome": "refused", "phases": [], "ranks": []},
    {"from": 24, "to": 16, "generation": "g2", "outcome": "failed", "at_s": 30, "accepted_s": 30, "prepare_s": null,
    "commit_s": null, "total_s": null, "phases": [{"name": "pause", "who": "existing", "start_s": 30, "end_s": 30, "blocks": true}]},
    {"from": 3, "to": 2, "generation": "eep", "outcome": "complete", "accepted_s": 40, "total_s": 3,
    "ranks": [{"role": "remaining", "first": 0, "count": 1}, {"role": "removing", "first": 1, "count": 1}, {"role": "remaining", "first": 2, "count": 1}],
    "phases": [{"name": "destroy", "who": "removing", "start_s": 40, "end_s": 42, "blocks": false,
        "ranks": [{"role": "removing", "first": 1, "count": 1, "end_s": 42}]}]},
    {"from": 8, "to": 24, "generation": "g2.1", "outcome": "complete", "accepted_s": 50, "total_s": 3,
    "ranks": [{"role": "existing", "first": 0, "count": 8}, {"role": "new", "first": 8, "count": 16}],
    "phases": [{"name": "launch", "who": "new", "start_s": 50, "end_s": 52, "blocks": false,
        "ranks": [{"role": "new", "first": 8, "count": 15, "end_s": 51}, {"role": "new", "first": 23, "count": 1, "end_s": 52}]},
        {"name": "receive", "who": "existing", "start_s": 50, "end_s": 52, "blocks": false,
        "ranks": [{"role": "existing", "first": 0, "count": 1, "end_s": 52}, {"role": "existing", "first": 4, "count": 2, "end_s": 52}]}]}'
echo '0,main,1,1.000,0,,0' >>resized/timeline.csv
eep plot resized
pictures_of resized
for n in 1 3 4 5; do
    out_has "resized/plots/resize_$n.png"
    [ -s resized/plots/resize_$n.png ] || fail "resize_$n.png is empty"
done
[ -e resized/plots/resize_2.svg ] && fail "a picture of a resize that was refused"
texts_of() { # FILE TEXT...: the picture has these texts
    local file=$1 text
    shift
    for text in "$@"; do
        grep -qF -- "$text" "$file" || fail "$file lacks $text"
    done
}
svg=resized/plots/resize_1.svg
texts_of $svg "resize 1, it's \`big\`: 2 -> 3, eep (design study), complete" '>rank 0<' '>rank 1<' '>rank 2 (new)<' \
    '>coordinator<' '>launch<' 'launch 5.0 s' 'switch 2.0 s' 'drain 1.0 s' 'beside serving:' 'forwards stand still:' \
    '>commit<' '>serving<'
[ "$(grep -cF '>switch<' $svg)" -eq 3 ] || fail "not every rank has its bar of the switch"
[ "$(grep -cF '>launch<' $svg)" -eq 1 ] || fail "a rank that was there is launched"
grep -q 'never' $svg && fail "a phase that did not begin is drawn"
grep -q '>commit<' resized/plots/resize_3.svg && fail "a commit that did not come is drawn"
texts_of resized/plots/resize_3.svg '>existing<' 'pause 0 ms'
texts_of resized/plots/resize_4.svg '>rank 0<' '>rank 1 (removing)<' '>rank 2, then 1<'
# Of more than 16 ranks those that do the same are one row.
texts_of resized/plots/resize_5.svg '>ranks 1-3, 6-7<' '>ranks 0, 4-5<' '>ranks 8-23 (new)<' 'launch 2.0 s'
eep plot runs/latest
out_has 'runs/latest/plots/deployment.png'
out_lacks 'resize_'

# Only rejections, one request, one interval: nothing that gnuplot could stumble over.
run_folder rejected
echo '0,1000000000,,1000000000,rejected,,,' >>rejected/requests.csv
eep plot rejected
pictures_of rejected
run_folder single
echo '0,0,1000000,1000000,completed,1.000000,,1.000000' >>single/requests.csv
echo '0,main,1,1.000,0,,0' >>single/timeline.csv
eep plot single
pictures_of single
[ -z "$(ls -A "$TMPDIR")" ] || fail "scratch folders stay behind"
finish
