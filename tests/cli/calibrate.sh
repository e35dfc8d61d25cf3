#!/usr/bin/env bash
# eep calibrate on emulated devices: every measurement is made, medians are those of the samples,
# the profile is read by a run, and what cannot work is refused.
. "$(dirname "$0")/kit.sh"

[ -x "$(dirname "$program")/gpu/eep-worker-emulated" ] || {
    echo "no eep-worker-emulated beside $program"
    exit 77
}

eep calibrate --device emulated --ranks 2 --quick --out two --json
exits 0
out_is_json
err_is_empty
cp "$scratch/out" two.json
[ "$(ls -A two | tr '\n' ' ')" = "emulated-host.yaml samples.csv " ] || fail "two holds $(ls -A two)"
[ "$(head -n 1 two/samples.csv)" = measurement,ranks,size,repetition,ns,device ] || fail "no head in samples.csv"
for name in kernel launch memory_read host_copy gemm grouped_gemm all_to_all all_gather peer_copy \
    comm_init comm_shrink comm_destroy graph_capture; do
    grep -q "^$name,2,[0-9x]*,0,[1-9][0-9]*,emulated$" two/samples.csv || fail "samples.csv lacks $name"
done
awk -F, 'NR > 1 && (NF != 6 || $5 !~ /^[0-9]+$/ || $6 != "emulated") { exit 1 }' two/samples.csv || fail "samples.csv is no table"

# The median that --json tells is that of the samples: repetitions are odd in number.
median=$(awk -F, '$1 == "kernel" { print $5 }' two/samples.csv | sort -n | awk '{ s[NR] = $1 } END { print s[(NR + 1) / 2] }')
told=$(grep -A4 '"measurement": "kernel"' two.json | sed -n 's/.*"median_s": \([0-9.e-]*\).*/\1/p')
awk -v m="$median" -v t="$told" 'BEGIN { exit !(m > 0 && (t * 1e9 - m) ^ 2 <= (m * 1e-3 + 1) ^ 2) }' ||
    fail "median of kernel is $median ns, told $told s"
# One point, one unknown: the profile gives it back.
grep -q "^kernel_latency: {value: .*, basis: measured, source: \"eep calibrate, emulated GPU.*: kernel, " \
    two/emulated-host.yaml || fail "kernel_latency is not as measured"
predicted=$(grep -A8 '"measurement": "kernel"' two.json | sed -n 's/.*"predicted_s": \([0-9.e-]*\).*/\1/p' | head -n 1)
awk -v p="$predicted" -v t="$told" 'BEGIN { exit !((p / t - 1) ^ 2 < 1e-4) }' || fail "predicted $predicted, seen $told"

# Nothing is said to cost nothing: what noise hides is named as such.
! grep -E '^[a-z_]*(latency|split|base|per_rank|destroy|size): \{value: 0[a-z]*, .*eep calibrate' two/emulated-host.yaml ||
    fail 'a figure is 0'
grep 'not told from noise' two/emulated-host.yaml | grep -v 'basis: assumed' && fail 'noise is called measured'

# docs/calibrate.md has every measurement and every figure.
for name in $(sed -n 's/.*"\(key\|measurement\)": "\([a-z0-9_]*\)".*/\2/p' two.json | sort -u); do
    grep -q "^| .*\`$name\`" "$root/docs/calibrate.md" || fail "docs/calibrate.md lacks $name"
done

# What it is says so; what nobody measured keeps its basis.
grep -q '^name: emulated-host$' two/emulated-host.yaml || fail "the name does not say emulated"
grep -q '^description: "emulated: times of the host, of no GPU' two/emulated-host.yaml || fail "the description does not either"
grep -q '^nic_bandwidth: {value: 50GB/s, basis: measured, source: "aiconfigurator' two/emulated-host.yaml ||
    fail "nic_bandwidth is not the base's"
grep -q '^process_launch: {value: 10s, basis: assumed' two/emulated-host.yaml || fail "process_launch is not the base's"

# A run takes the profile by its path and says what it rests on.
eep run hw-smoke --set hardware.profile=two/emulated-host.yaml --out run
exits 0
err_is_empty
out_has 'emulated-host 1x8'
out_has "Basis     measured: an EMULATED device's times, of no GPU"
grep -q "an EMULATED device's times" run/summary.json || fail "summary.json does not say so"
eep run hw-smoke --set "hardware.profile=$PWD/two/emulated-host.yaml" --quiet --out again
exits 0
cmp -s run/requests.csv again/requests.csv || fail "the path changes the run"

# It is shown as a bundled one is.
eep show hardware two/emulated-host.yaml
exits 0
out_has 'emulated-host - emulated: times of the host, of no GPU'
grep -qE '^kernel_latency +[0-9.a-z]+ +measured +eep calibrate, emulated GPU' "$scratch/out" || fail 'kernel_latency is not shown as measured'

# One rank alone, another base, the table on the screen.
mkdir empty
eep calibrate --device emulated --quick --base a100-sxm --model deepseek-v3 --out empty
exits 0
out_has 'EMULATED: these are times of the host, of no GPU'
out_has 'Base      a100-sxm'
out_has 'eep run SCENARIO --set hardware.profile=empty/emulated-host.yaml'
for name in all_to_all comm_init nvlink_latency communicator_base; do out_lacks $name; done
for key in nvlink_bandwidth communicator_per_rank; do
    grep -q "^$key: {.*eep calibrate" empty/emulated-host.yaml && fail "one rank has measured $key"
done
grep -q '^graph_capture,1,1830,' empty/samples.csv || fail "the capture is not of 61 layers"

# Workers that come by themselves measure the same.
last='calibrate --workers wait'
EEP_TOKEN=$(printf '0123456789abcdef%.0s' 1 2 3 4)
pids=()
for device in 0 1; do
    EEP_TOKEN=$EEP_TOKEN timeout 60 "$program" worker --emulated --device $device --connect "unix:$scratch/door" \
        >"$scratch/said-$device" 2>&1 </dev/null &
    pids+=($!)
done
EEP_TOKEN=$EEP_TOKEN timeout 60 "$program" calibrate --device emulated --ranks 2 --quick --out waited --workers wait \
    --listen "unix:$scratch/door" >"$scratch/out" 2>"$scratch/err" </dev/null
status=$?
exits 0
err_has "eep worker --emulated --connect unix:$scratch/door"
[ "$(cut -d , -f 1-4 waited/samples.csv)" = "$(cut -d , -f 1-4 two/samples.csv)" ] || fail 'other things were measured'
for pid in "${pids[@]}"; do
    wait "$pid" || fail "a worker ended with $?: $(cat "$scratch"/said-*)"
done

# A worker that fails is told, and leaves no profile.
EEP_EMULATED_FAIL=400 eep calibrate --device emulated --quick --out failed
exits 1
err_has 'calibrate: '
[ ! -e failed ] || fail "a failed calibration leaves $(ls -d failed/*)"

refused 'calibrate: unknown option --rank: ' calibrate --rank 2
refused 'calibrate: --ranks 0: from 1 to 64' calibrate --ranks 0
refused 'calibrate: --ranks 65: from 1 to 64' calibrate --device emulated --ranks 65
refused 'calibrate: --device cpu: gpu or emulated' calibrate --device cpu
refused 'calibrate: --out /proc/nowhere cannot be made' calibrate --device emulated --out /proc/nowhere
refused 'calibrate: --workers come: spawn or wait' calibrate --device emulated --workers come
refused '--listen 192.0.2.1:0: gpu.listen 192.0.2.1:0: Cannot assign requested address; this machine has no such address' calibrate --device emulated \
    --workers wait --listen 192.0.2.1:0
refused 'calibrate: --listen is for workers that come: --workers wait' calibrate --device emulated --listen 0.0.0.0:1
refused 'calibrate: --out two is not empty' calibrate --device emulated --out two
refused 'calibrate: --out two/samples.csv is no folder' calibrate --device emulated --out two/samples.csv
refused 'unknown model "deepseek-v9"' calibrate --device emulated --model deepseek-v9
refused 'unknown hardware "h9000"' calibrate --device emulated --base h9000
refused 'is a law of time' calibrate --device emulated --base constant-step
refused 'calibrate' calibrate emulated

# More ranks than there are devices.
EEP_EMULATED_DEVICES=1 eep calibrate --device emulated --ranks 2 --out many
exits 2
err_has 'EEP_EMULATED_DEVICES'

# Without a GPU, or without the program for one: what to do.
eep calibrate --out gpu
if [ "$status" -ne 0 ]; then
    exits 2
    out_is_empty
    err_has '--device emulated'
fi
finish
