# Shared by the tests of this folder; sourced with the test's own arguments: ROOT EEP JSON_FLAT SIZE, where SIZE is quick
# or deep. A case is a shell function that runs beside others, in a subshell with a folder of its own; what it expects
# and does not find it tells with `fail`.

root=$1 program=$2 json_flat=$3 size=$4
here=$(cd "$(dirname "$0")" && pwd)
scenario=$here/faults.yaml
scratch=$(mktemp -d "${TMPDIR:-/tmp}/eepf.XXXXXX") || exit 2
trap 'end_all; rm -rf "$scratch"' EXIT
cd "$scratch" || exit 2
unset EEP_DATA_DIR EEP_WORKER EEP_TOKEN
export LC_ALL=C
jobs=${EEP_TEST_JOBS:-4}
limit=40    # seconds that a run may take, whatever happens in it
n_cases=0

fail() { printf '%s: %s\n' "$name" "$*" >>failed; }

# The processes of a case, by a mark in their environment.
processes() { grep -lzx "EEP_TEST_MARK=$1" /proc/[0-9]*/environ 2>/dev/null | cut -d / -f 3; }

end_all() {
    grep -lz "^EEP_TEST_MARK=$scratch/" /proc/[0-9]*/environ 2>/dev/null | cut -d / -f 3 | xargs -r kill -9 2>/dev/null
}

# run_case NAME FUNCTION ARGUMENT...
run_case() {
    local name=$1
    shift
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    n_cases=$((n_cases + 1))
    mkdir "$scratch/$name"
    (cd "$scratch/$name" && "$@") &
}

# When the first event of the run in this folder could be read, in ns; at most 0.2 s after it was.
note_first() {
    until [ -s run/.events.jsonl.partial ] || [ -e ended ]; do sleep 0.1; done
    date +%s%N >first
}

# hw [VARIABLE=VALUE]... -- ARGUMENT...: a run with the environment and options; sets status, seconds, and startup, what of
# them passed before the run began (all in ms); flat has its summary.
hw() {
    local environment=() begin watcher at
    while [ "$1" != -- ]; do environment+=("$1") && shift; done
    shift
    mkdir tmp
    note_first &
    watcher=$!
    begin=$(date +%s%N)
    env "${environment[@]}" TMPDIR="$PWD/tmp" EEP_TEST_MARK="$PWD" timeout -k 2 $limit "$program" run "$scenario" \
        --backend cuda --device emulated --out run --set "gpu.listen=unix:$PWD/door" "$@" >out 2>err </dev/null
    status=$?
    seconds=$((($(date +%s%N) - begin) / 1000000))
    : >ended
    wait $watcher
    at=$(sed -n '1s/^{"t_ns":\([0-9]*\),.*/\1/p' run/events.jsonl 2>/dev/null)
    startup=$((at > 0 ? ($(<first) - begin - at) / 1000000 : 0))
    : >flat
    [ ! -s run/summary.json ] || "$json_flat" <run/summary.json >flat || fail 'summary.json is no JSON'
}

# serves N: returns once the run in this folder, which tells of its requests (output.events), has completed N of them, or
# after the time that a run may take.
serves() {
    local end=$((SECONDS + limit)) n
    while [ $SECONDS -lt $end ]; do
        n=$(cat run/events.jsonl run/.events.jsonl.partial 2>/dev/null | grep -c '"fate":"completed"')
        [ "$n" -lt "$1" ] || return 0
        sleep 0.05
    done
    fail "it has not completed $1 requests"
}

# figure PATH: of the summary.
figure() { sed -n "s/^$1=//p" flat | head -n 1; }

# What has to hold of every run, whatever was broken in it.
sound() {
    local left
    [ $status -ne 124 ] && [ $status -ne 137 ] || fail "it did not end within $limit s"
    case $status in
    0 | 1) ;;
    2) grep -qE 'the workers did not come up|not all workers were ready' err || fail "exit 2: $(tail -n 1 err)" ;;
    *) fail "exit $status" ;;
    esac
    ! grep -q 'a result is wrong' err || fail "$(grep 'a result is wrong' err)"
    ! grep -qE 'Sanitizer|runtime error|CRITICAL|assertion' err || fail "$(grep -E 'Sanitizer|runtime error|CRITICAL|assertion' err | head -n 3)"
    if [ -s flat ]; then
        [ "$(figure submitted)" -eq $(($(figure completed) + $(figure rejected.total) + $(figure aborted.total) + $(figure unfinished))) ] ||
            fail 'some requests have no fate'
        [ "$(figure unfinished)" -eq 0 ] || fail "$(figure unfinished) requests are unfinished"
    elif [ $status -eq 0 ]; then
        fail 'exit 0 without a summary'
    fi
    left=$(processes "$PWD")
    [ -z "$left" ] || fail "processes are left: $(ps -o pid,args -p "${left//$'\n'/,}")"
    [ ! -e door ] || fail 'the socket is left'
    [ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
}

# For whoever looks at what was done and how long it took.
tell() {
    printf '%-44s exit %d %6.2f s  %s\n' "$name" $status "$((seconds / 1000)).$(printf %03d $((seconds % 1000)))" "$*" | tee told
}

shared_memory() { ls -A /dev/shm 2>/dev/null | grep -E '^(eep|nccl|cuda)'; }
memory_before=$(shared_memory)

finish() {
    local file n=0
    wait
    [ "$(shared_memory)" = "$memory_before" ] || { echo "shared memory is left: $(shared_memory)" >"$scratch/failed" && n=1; }
    for file in "$scratch"/*/failed "$scratch"/failed; do
        [ -e "$file" ] || continue
        n=$((n + 1))
        cat "$file"
        sed 's/^/    err: /' "${file%failed}err" 2>/dev/null | tail -n 25
    done
    echo "$n of $n_cases cases failed"
    [ $n -eq 0 ] || exit 1
}
