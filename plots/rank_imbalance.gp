# How much more the busiest rank has to do than the mean rank, and with it every step waits for.
set lmargin at screen 0.075
set rmargin at screen 0.80
set tmargin at screen 0.90
set bmargin at screen 0.11
set xrange [0:span]
set yrange [1:1.1<*]
set xlabel time_label
set ylabel 'expert tokens of the busiest rank / mean rank'
set label 1 title at screen 0.075, screen 0.965 left noenhanced font ',14'
set label 3 'means of ' . length_of(window_s) . '; 1 is perfect balance' at screen 0.985, screen 0.965 right font ',10' textcolor rgb grey
if (n_imbalance == 0) {
    set yrange [1:2]
    eval note('no expert work')
    plot NaN notitle
} else {
    plot for [i = 1:n_pools] data.'/imbalance_'.i.'.dat' using ($1 / per_unit):2 with lines linecolor rgb colour_of(i) linewidth 2 title 'max / mean' . (n_pools > 1 ? ', ' . pool_name[i] : ''), \
         keyentry with points pointtype 5 pointsize 1.6 linecolor rgb swatch(prepare_colour) title swatch_name('prepare'), \
         keyentry with points pointtype 5 pointsize 1.6 linecolor rgb swatch(commit_colour) title swatch_name('commit'), \
         keyentry with points pointtype 5 pointsize 1.6 linecolor rgb swatch(settle_colour) title swatch_name('settle')
}
