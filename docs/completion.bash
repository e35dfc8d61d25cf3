# bash completion for eep(1). Installed as share/bash-completion/completions/eep; to try it from the
# source tree: source docs/completion.bash

# Names come from the program, so that the two cannot disagree.
_eep_names() { # _eep_names EEP THING
    "$1" list "$2" --json 2>/dev/null | grep -o '"name": *"[^"]*"' | cut -d'"' -f4
}

# Keys of a scenario; those inside a list of events and the like cannot be given with --set.
_eep_keys() { # _eep_keys EEP
    "$1" explain 2>/dev/null | awk '/^  [a-z]/ && $1 !~ /\[/ { print $1 }'
}

_eep() {
    local eep=$1 current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local commands="run init check explain list show plot compare eplb explore generations worker calibrate"
    local things="models hardware generations recoveries policies all2all-backends scenarios"
    local command='' thing='' arguments=0 i words='' files='' folders=''
    COMPREPLY=()

    # The command is the first word that is no option; arguments counts the plain words after it.
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -*) ;;
        *)
            if [ -z "$command" ]; then
                command=${COMP_WORDS[i]}
            else
                arguments=$((arguments + 1)) thing=${COMP_WORDS[i]}
            fi
            ;;
        esac
    done

    case $previous in
    --out)
        folders=1
        [ "$command" != eplb ] || files=1
        [ "$command" != explore ] || files=1
        ;;
    --plot) folders=1 ;;
    --generation)
        words=$(_eep_names "$eep" generations)
        [ "$command" != explore ] || words+=" all"
        ;;
    --steps) words="4-5 5-4 4-8 8-4 16-24 24-16" ;;
    --traffic) words="no light heavy" ;;
    --backend)
        words="sim cuda"
        [ "$command" != generations ] || words="nixl_ep allgather_reducescatter"
        ;;
    --device) [ "$command" = worker ] || words="gpu emulated" ;;
    --workers) words="spawn wait" ;;
    --reduction) words="full none" ;;
    --recovery) words="none restart retry shrink mask_only" ;;
    --plant) words=$("$eep" explore --list-plants 2>/dev/null | awk '{ print $1 }') ;;
    --model) words=$(_eep_names "$eep" models) ;;
    --hardware | --base) words=$(_eep_names "$eep" hardware) ;;
    --policy | --policies) words=$("$eep" list policies 2>/dev/null | awk '$2 == "eplb" { print $1 }') ;;
    --trigger) words="interval imbalance cost_benefit" ;;
    --format) words="auto json csv routes" ;;
    --set)
        mapfile -t COMPREPLY < <(compgen -S = -W "$(_eep_keys "$eep")" -- "$current")
        compopt -o nospace 2>/dev/null
        return
        ;;
    --journal | --replay | --load | --from | --csv | --against)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --seed | --replicas | --groups | --nodes | --gpus | --layers | --top-k | --window-tokens | --expert-bytes | \
        --budget | --active-ranks | --train | --tokens-per-step | --steps-per-window | --interval | --threshold | \
        --low-windows | --stall | --window-time | --engines | --faults | --threads | --ranks) return ;;
    *)
        case $command in
        '') words="$commands --version --help" ;;
        run) words="--set --out --seed --backend --device --workers --journal --replay --twin --json --quiet" files=1 ;;
        check) words="--set --json" files=1 ;;
        init) if [ $arguments -eq 0 ]; then words=$(_eep_names "$eep" scenarios); else words="--json"; fi ;;
        list) if [ $arguments -eq 0 ]; then words=$things; else words="--json"; fi ;;
        show)
            case $arguments in
            0) words=$things ;;
            1) words=$(_eep_names "$eep" "$thing") ;;
            *) words="--json" ;;
            esac
            ;;
        explain)
            words="--json --markdown"
            [[ $current == -* ]] || words=$(_eep_keys "$eep")
            ;;
        plot) words="--json" folders=1 ;;
        compare) words="--force --plot --json" folders=1 ;;
        explore)
            words="--generation --engines --faults --deep --recovery --reduction --plant --list-plants --out --replay"
            words+=" --threads --json"
            ;;
        worker) words="--connect --token --rank --device --wait --emulated --version" ;;
        calibrate) words="--device --ranks --workers --listen --model --base --out --quick --json" ;;
        generations) words="--steps --traffic --backend --generation --sensitivity --brief --json" ;;
        eplb)
            local load="--load --format --layers --top-k --window-tokens --model --json"
            local sizes="--replicas --groups --nodes --gpus --expert-bytes --budget --from --plot"
            case $thing in
            '') words="place compare replay fit" ;;
            place) words="$load $sizes --policy --active-ranks --out --csv" ;;
            compare) words="$load $sizes --policies --train" ;;
            replay)
                words="$load $sizes --hardware --policy --trigger --tokens-per-step --steps-per-window --train"
                words+=" --interval --threshold --low-windows --stall"
                ;;
            fit) words="$load --against --window-time" ;;
            esac
            ;;
        esac
        ;;
    esac
    # Options are offered where one was begun or nothing else fits, paths otherwise.
    if [ -z "$files$folders" ] || [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
        return
    fi
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(
        [ -z "$files" ] || compgen -f -X '!*.yaml' -- "$current"
        [ -z "$files" ] || [ $arguments -gt 0 ] || [ -z "$current" ] ||
            compgen -W "$(_eep_names "$eep" scenarios)" -- "$current"
        compgen -d -- "$current"
    )
}

complete -F _eep eep ./eep
