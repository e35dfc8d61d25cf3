# What came in, how large the deployment was, and what was running and waiting, over time.
set multiplot
set lmargin at screen 0.075
set rmargin at screen 0.80
set xrange [0:span]
set label 1 title at screen 0.075, screen 0.965 left noenhanced font ',14'

# Request rates, averaged over windows.
set tmargin at screen 0.93
set bmargin at screen 0.67
set format x ''
set ylabel 'requests/s'
set yrange [0:1<*]
if (n_requests == 0) { eval note('no requests') }
set label 3 'rates: means of ' . length_of(window_s) at screen 0.985, screen 0.965 right font ',10' textcolor rgb grey
plot data.'/windows.dat' using ($1 / per_unit):2 with lines linecolor rgb blue linewidth 2 title 'arrived', \
     '' using ($1 / per_unit):3 with lines linecolor rgb green linewidth 2 title 'completed', \
     '' using ($1 / per_unit):($4 > 0 ? $4 : NaN) with points pointtype 7 pointsize 0.7 linecolor rgb 'black' title 'rejected or aborted', \
     keyentry with points pointtype 5 pointsize 1.6 linecolor rgb swatch(prepare_colour) title swatch_name('prepare'), \
     keyentry with points pointtype 5 pointsize 1.6 linecolor rgb swatch(commit_colour) title swatch_name('commit'), \
     keyentry with points pointtype 5 pointsize 1.6 linecolor rgb swatch(settle_colour) title swatch_name('settle')
unset label 1
unset label 1000
unset label 3

# Size: steps, as it is one number between two changes.
set tmargin at screen 0.63
set bmargin at screen 0.43
set ylabel 'engines (DP)'
if (n_pools == 0) {
    set yrange [0:1]
    eval note('no time line')
    plot NaN notitle
} else {
    set yrange [0:largest_size * 1.15]
    plot for [i = 1:n_pools] data.'/size_'.i.'.dat' using ($1 / per_unit):2 with steps linecolor rgb colour_of(i) linewidth 2.5 title 'DP size' . (n_pools > 1 ? ', ' . pool_name[i] : '')
}

# Requests in the engines.
set tmargin at screen 0.39
set bmargin at screen 0.10
set format x '%g'
set xlabel time_label
set ylabel 'requests'
if (n_pools == 0) {
    set yrange [0:1]
    plot NaN notitle
} else {
    set yrange [0:1<*]
    plot data.'/windows.dat' using ($1 / per_unit):5 with lines linecolor rgb sky linewidth 2 title 'running', \
         '' using ($1 / per_unit):6 with lines linecolor rgb orange linewidth 2 title 'waiting'
}
unset multiplot
