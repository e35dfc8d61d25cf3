# TTFT and TPOT of completed requests over time: median, 99th percentile, slowest.
# A value stands where its first (TTFT) or last token (TPOT) was delivered.
subtitle = 'windows of ' . length_of(latency_window_s) . '; p99 where a window has 100 requests'
set multiplot
set lmargin at screen 0.08
set rmargin at screen 0.80
set xrange [0:span]
set logscale y
set format y '%g'
set autoscale yfix
set offsets graph 0, graph 0, graph 0.06, graph 0.06

set label 1 title at screen 0.08, screen 0.965 left noenhanced font ',14'
set tmargin at screen 0.93
set bmargin at screen 0.55
set format x ''
set ylabel 'TTFT [ms]'
set label 3 subtitle at screen 0.985, screen 0.965 right font ',10' textcolor rgb grey
set yrange [*:*]
if (n_ttft == 0) {
    set yrange [1:1000]
    eval note('no completed request')
    plot NaN notitle
} else {
    stats data.'/ttft.dat' using 2 nooutput
    low = STATS_min
    stats data.'/ttft.dat' using 4 nooutput
    eval log_tics('y', ttft_limit_ms > 0 ? smaller(low, ttft_limit_ms) : low, larger(STATS_max, ttft_limit_ms))
    plot data.'/ttft.dat' using ($1 / per_unit):4 with points pointtype 7 pointsize 0.5 linecolor rgb '#999999' title 'slowest', \
         '' using ($1 / per_unit):3 with linespoints pointtype 7 pointsize 0.4 linecolor rgb vermillion linewidth 2 title 'p99', \
         '' using ($1 / per_unit):2 with linespoints pointtype 7 pointsize 0.4 linecolor rgb blue linewidth 2 title 'p50', \
         (ttft_limit_ms > 0 ? ttft_limit_ms : NaN) with lines dashtype 2 linecolor rgb black linewidth 1.5 title (ttft_limit_ms > 0 ? 'SLO' : ' '), \
         keyentry with points pointtype 5 pointsize 1.6 linecolor rgb swatch(prepare_colour) title swatch_name('prepare'), \
         keyentry with points pointtype 5 pointsize 1.6 linecolor rgb swatch(commit_colour) title swatch_name('commit'), \
         keyentry with points pointtype 5 pointsize 1.6 linecolor rgb swatch(settle_colour) title swatch_name('settle')
}
unset label 1
unset label 1000
unset label 3

set tmargin at screen 0.50
set bmargin at screen 0.10
set format x '%g'
set xlabel time_label
set ylabel 'TPOT [ms]'
set yrange [*:*]
if (n_tpot == 0) {
    set yrange [1:1000]
    eval note('no completed request of two tokens')
    plot NaN notitle
} else {
    stats data.'/tpot.dat' using 2 nooutput
    low = STATS_min
    stats data.'/tpot.dat' using 4 nooutput
    eval log_tics('y', tpot_limit_ms > 0 ? smaller(low, tpot_limit_ms) : low, larger(STATS_max, tpot_limit_ms))
    plot data.'/tpot.dat' using ($1 / per_unit):4 with points pointtype 7 pointsize 0.5 linecolor rgb '#999999' title 'slowest', \
         '' using ($1 / per_unit):3 with linespoints pointtype 7 pointsize 0.4 linecolor rgb vermillion linewidth 2 title 'p99', \
         '' using ($1 / per_unit):2 with linespoints pointtype 7 pointsize 0.4 linecolor rgb blue linewidth 2 title 'p50', \
         (tpot_limit_ms > 0 ? tpot_limit_ms : NaN) with lines dashtype 2 linecolor rgb black linewidth 1.5 title (tpot_limit_ms > 0 ? 'SLO' : ' ')
}
unset multiplot
