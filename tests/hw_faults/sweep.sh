#!/usr/bin/env bash
# The n-th call fails, the n-th operation hangs or kills the device, in one worker or in all: the run ends in bounded
# time with a right result, or says what broke and what was done about it. N goes over every call until the first step
# (they are few) and in growing strides over the rest of a short run.
. "$(dirname "$0")/kit.sh"

limit=30
short=(--set traffic.synthetic.duration=1s --set events.0.at=200ms --set events.1.at=600ms --set gpu.wait_timeout=200ms
    --set gpu.start_timeout=3s --set gpu.grace=500ms)

# swept SWITCH N VICTIM MODE DETECT: VICTIM 0 is everybody.
swept() {
    local only="EEP_EMULATED_$1=$2" environment=(EEP_EMULATED_NCCL_DETECT=$5)
    if [ $3 -eq 0 ]; then
        environment+=("$only")
    else
        environment+=(EEP_WORKER="$here/worker.sh" EEP_TEST_WORKER="$worker" EEP_TEST_VICTIM=$3 EEP_TEST_ONLY="$only")
    fi
    hw "${environment[@]}" -- "${short[@]}" --set deployment.fault_tolerance.recovery=$4
    sound
    # What was said of it: the emulation that it broke something, and if so, whoever noticed.
    if grep -qE 'EEP_EMULATED_(FAIL|DIE|HANG):|as it was told to' err; then
        touch ../hit-$1
        [ $status -eq 0 ] || [ -n "$(grep -E '^eep: ' err | grep -vE 'the run is over|the group goes on')" ] || fail 'exit 1 without a word'
    fi
    if [ $status -eq 0 ]; then
        [ "$(figure completed)" -eq 0 ] || grep -q 'Workers .* right: [1-9][0-9,]* probes' out || fail 'exit 0, and no probe was compared'
        [ "$(figure incidents.0.id)" != '' ] || ! grep -q 'is lost' err || fail 'a worker was lost without an incident'
    fi
    tell "$(figure incidents.0.id) $(figure incidents.0.fault) $(figure incidents.0.outcome)"
}

worker=$(dirname "$program")/gpu/eep-worker-emulated
[ -x "$worker" ] || { echo "no $worker" && exit 77; }

# Up to where it is worth to go: rises until a run does not come that far.
declare -A most=([FAIL]=12000 [DIE]=9000 [HANG]=9000 [NCCL_FAIL]=2500)
declare -A dense=([FAIL]=130 [DIE]=12 [HANG]=4 [NCCL_FAIL]=24)
i=0
for switch in FAIL DIE HANG NCCL_FAIL; do
    n=1
    while [ $n -le ${most[$switch]} ]; do
        victim=$((i % 4)) modes=(restart shrink none) i=$((i + 1))
        mode=${modes[i % 3]}
        # Who takes a lost worker's place would break as well, again and again.
        [ $victim -ne 0 ] || mode=none
        run_case $switch-$n swept $switch $n $victim $mode $((i / 2 % 2))
        if [ $n -lt ${dense[$switch]} ] && [ $size = deep ]; then
            n=$((n + 1))
        elif [ $size = deep ]; then
            n=$((n + n / 8 + 1))
        else
            n=$((n * 5 + 2))
        fi
    done
    wait
    [ -e "$scratch/hit-$switch" ] || { mkdir -p "$scratch/$switch" && echo "$switch: nothing was broken" >"$scratch/$switch/failed"; }
done
finish
