#!/usr/bin/env bash
# The shell completion offers what the command line has, asked as bash asks it.
# Usage: completion.sh ROOT [EEP]
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
eep=${2:-eep}
. "$1/docs/completion.bash" || exit 1

# offers "WORDS" EXPECTED: completing the last of WORDS gives EXPECTED (order aside).
offers() {
    local got
    read -ra COMP_WORDS <<<"$1"
    [ "${1% }" = "$1" ] || COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _eep "$eep"
    got=$(printf '%s\n' "${COMPREPLY[@]}" | sort | tr '\n' ' ')
    [ "${got% }" = "$2" ] && return
    echo "completion of \"$1\": expected \"$2\", got \"${got% }\""
    exit 1
}

cd "$scratch" && mkdir runs runs/one "runs/with space" && touch a.yaml b.txt || exit 2
offers "eep " "--help --version calibrate check compare eplb explain explore generations init list plot run show worker"
offers "eep c" "calibrate check compare"
offers "eep list g" "generations"
offers "eep show m" "models"
offers "eep list models -" "--json"
offers "eep run " "a.yaml runs"
offers "eep run a.yaml --s" "--seed --set"
offers "eep run a.yaml --seed " ""
offers "eep run a.yaml --out " "runs"
offers "eep --json check a." "a.yaml"
offers "eep eplb " "compare fit place replay"
offers "eep eplb place --po" "--policy"
offers "eep eplb replay --trigger c" "cost_benefit"
offers "eep eplb place --load b" "b.txt"
offers "eep eplb compare --plot r" "runs"
offers "eep generations --traffic h" "heavy"
offers "eep plot runs/" "runs/one runs/with space"
offers "eep compare runs/one runs/w" "runs/with space"
if [ $# -ge 2 ]; then
    offers "eep init quick" "quickstart"
    offers "eep eplb place --policy n" "naive"
    offers "eep eplb place --model deepseek-v2" "deepseek-v2-lite"
    # Every option of the commands is offered.
    for command in place compare replay fit; do
        offers "eep eplb $command -" "$("$eep" eplb $command --help | awk '/^  --/ && $1 != "--help" { print $1 }' | sort | tr '\n' ' ' | sed 's/ $//')"
    done
    offers "eep explore -" "$("$eep" explore --help | awk '/^  --/ && $1 != "--help" { print $1 }' | sort | tr '\n' ' ' | sed 's/ $//')"
    offers "eep calibrate -" "$("$eep" calibrate --help | awk '/^  --/ && $1 != "--help" { print $1 }' | sort | tr '\n' ' ' | sed 's/ $//')"
    offers "eep calibrate --base h100" "h100-sxm"
    offers "eep generations -" "$("$eep" generations --help | awk '/^  --/ && $1 != "--help" { print $1 }' | sort | tr '\n' ' ' | sed 's/ $//')"
    offers "eep generations --generation g2" "g2 g2.1"
    offers "eep explore --plant sk" "skipped_barrier skipped_boundary"
    offers "eep explore --generation g2" "g2 g2.1"
    offers "eep show models deepseek-v3" "deepseek-v3"
    offers "eep run quick" "quickstart"
    offers "eep explain slo.tt" "slo.ttft"
    offers "eep run a.yaml --set slo.tp" "slo.tpot="
fi
echo "completion: offers what the command line has"
