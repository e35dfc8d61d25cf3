# Distributions over the completed requests that are measured (those of the warm-up are not): which share was at most so slow. The axis of shares is
# stretched towards 1, where service levels are decided: 0.9, 0.99 and 0.999 are equally far apart.
unset object
set multiplot
set label 1 title at screen 0.07, screen 0.965 left noenhanced font ',14'
set tmargin at screen 0.87
set bmargin at screen 0.13
set logscale x
set format x '%g'
unset key
stretched(share) = -log10(1.0 - (share < 0.9999 ? share : 0.9999))
set yrange [0:4]
set ytics ('0' 0, '0.5' stretched(0.5), '0.9' 1, '0.99' 2, '0.999' 3, '0.9999' 4)
set grid xtics ytics linecolor rgb '#dddddd' linewidth 1
set ylabel 'share of measured, completed requests' offset 1

array name[3] = ['ttft', 'tpot', 'e2el']
array heading[3] = ['TTFT', 'TPOT', 'E2EL']
array n_values[3] = [n_ttft, n_tpot, n_e2el]
array in_unit[3] = [1.0, 1.0, 1000.0]
array unit_name[3] = ['ms', 'ms', 's']
array limit[3] = [ttft_limit_ms, tpot_limit_ms, 0]
array colour[3] = [blue, green, purple]
do for [i = 1:3] {
    set lmargin at screen 0.07 + 0.315 * (i - 1)
    set rmargin at screen 0.07 + 0.315 * (i - 1) + 0.265
    set title sprintf('%s, n = %d', heading[i], n_values[i]) offset 0, -0.4
    set xlabel heading[i] . ' [' . unit_name[i] . ']'
    unset arrow
    unset label 2
    unset label 1000
    if (n_values[i] == 0) {
        set xrange [1:1000]
        eval note(i == 2 ? 'none of two tokens' : 'no completed request')
        plot NaN
    } else {
        file = data.'/'.name[i].'_cdf.dat'
        set xrange [*:*]
        set yrange [*:*]
        stats file using 1 nooutput
        set yrange [0:4]
        low = STATS_min / in_unit[i]
        high = larger(STATS_max, limit[i]) / in_unit[i]
        eval log_tics('x', low, high)
        set xrange [0.8 * low:1.25 * high]
        if (limit[i] > 0) {
            set arrow from first limit[i], graph 0 to first limit[i], graph 1 nohead dashtype 2 linewidth 1.5 linecolor rgb black
            set label 2 ' SLO' at first limit[i], graph 0.03 left font ',10'
        }
        plot file using ($1 / in_unit[i]):(stretched($2)) with lines linecolor rgb colour[i] linewidth 2.5
    }
    unset label 1
    unset ylabel
    set ytics ('' 0, '' stretched(0.5), '' 1, '' 2, '' 3, '' 4)
}
unset multiplot
