#!/usr/bin/env bash
# What core/ and sim/ must not call, read from their static libraries: libm beyond the functions that
# are exact everywhere (the others differ in their last bits between processors), and everything that
# lets a clock, the environment, a file, a thread or foreign randomness into a run.
# Usage: symbols.sh COMPILER LIBRARY... | symbols.sh --self-test COMPILER
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

exact="sqrt floor ceil fabs fmin fmax"
foreign="getenv secure_getenv setenv|clock_gettime gettimeofday time clock localtime localtime_r
nanosleep usleep sleep|fopen fopen64 fdopen freopen open open64 openat openat64 creat creat64 opendir
mmap read write|rand rand_r srand random srandom drand48 lrand48 mrand48 getrandom arc4random
getpid gethostname|pthread_create thrd_create fork
g_getenv g_get_environ|g_get_monotonic_time g_get_real_time g_get_current_time g_usleep
g_date_time_new_now g_date_time_new_now_utc g_date_time_new_now_local
g_timeout_add g_idle_add|g_fopen g_open g_file_get_contents g_file_set_contents g_mapped_file_new
g_dir_open g_io_channel_new_file|g_rand_new g_rand_new_with_seed g_random_int g_random_int_range
g_random_double g_random_double_range g_uuid_string_random|g_thread_new g_thread_try_new
g_thread_pool_new g_get_host_name g_get_user_name"

check() {
    local compiler=$1 libm
    shift
    libm=$($compiler -print-file-name=libm.so.6)
    [ -e "$libm" ] || libm=$($compiler -print-file-name=libm.so)
    nm -D --defined-only "$libm" 2>/dev/null | awk '{ sub(/@.*/, "", $3); print $3 }' >"$scratch/libm"
    [ -s "$scratch/libm" ] || skip "cannot read the names that $libm defines"
    grep -qx exp "$scratch/libm" || skip "$libm does not define exp"

    nm -A "$@" 2>"$scratch/error" >"$scratch/symbols" || {
        cat "$scratch/error"
        return 2
    }
    [ -s "$scratch/symbols" ] || {
        echo "no symbols in $*"
        return 2
    }
    # nm -A prints "library:object:[address] type name", and empty lines between libraries.
    awk -v exact="$exact" -v foreign="${foreign//|/ }" '
        BEGIN {
            n = split(exact, words); for (i = 1; i <= n; i++) allowed[words[i]] = 1
            n = split(foreign, words); for (i = 1; i <= n; i++) why[words[i]] = "lets the outside world into a run"
        }
        FILENAME ~ /\/libm$/ {
            if (!($1 in allowed)) why[$1] = "is libm, whose bits differ between machines"
            next
        }
        NF == 3 {
            name = $3
            sub(/@.*/, "", name)
            object = $1
            sub(/:[0-9a-fA-F]*$/, "", object)
            sub(/.*\//, "", object)
            if ($2 ~ /^[A-TV-Z]$/) defined[name] = 1
            else if ($2 ~ /^[Uvw]$/ && name in why) uses[object " " name] = name
        }
        END {
            for (use in uses) {
                if (uses[use] in defined) continue
                split(use, part, " ")
                printf "%s: %s() %s\n", part[1], part[2], why[part[2]]
                failed = 1
            }
            exit failed
        }' "$scratch/libm" "$scratch/symbols" | sort
    return "${PIPESTATUS[0]}"
}

self_test() {
    local compiler=$1
    archive() { # archive: standard input becomes the C of a library
        cat >"$scratch/planted.c"
        $compiler -O2 -c "$scratch/planted.c" -o "$scratch/planted.o" || exit 2
        rm -f "$scratch/libplanted.a"
        ar rcs "$scratch/libplanted.a" "$scratch/planted.o" || exit 2
    }
    archive <<<'#include <math.h>
double eep_planted(double x) { return sqrt(x) + floor(x) + ceil(x) + fabs(x) + fmin(x, 2) + fmax(x, 3); }'
    expect_silent planted.o "$0" "$compiler" "$scratch/libplanted.a"
    archive <<<'#include <math.h>
double eep_planted(double x) { return exp(x); }'
    expect_found 'planted.o: exp() is libm' "$0" "$compiler" "$scratch/libplanted.a"
    archive <<<'#include <math.h>
double (*eep_planted)(double) = lgamma;'
    expect_found 'planted.o: lgamma() is libm' "$0" "$compiler" "$scratch/libplanted.a"
    local name
    for name in getenv fopen clock_gettime time rand g_random_int; do
        archive <<<"int $name(); int eep_planted(void) { return $name(0, 0); }"
        expect_found "planted.o: $name() lets" "$0" "$compiler" "$scratch/libplanted.a"
    done
}

case ${1-} in
--self-test) self_test "$2" ;;
*)
    check "$@" || exit $?
    shift
    echo "symbols: nothing foreign in ${*##*/}"
    ;;
esac
