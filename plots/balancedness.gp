# Balancedness of the expert load over time, and when experts were rearranged.
set lmargin at screen 0.075
set rmargin at screen 0.80
set tmargin at screen 0.90
set bmargin at screen 0.11
set xrange [0:span]
set yrange [0:1]
set xlabel time_label
set ylabel 'balancedness (expert tokens of the mean rank / busiest rank)'
set label 1 title at screen 0.075, screen 0.965 left noenhanced font ',14'
set label 3 'means of ' . length_of(window_s) . '; 1 is perfect balance' at screen 0.985, screen 0.965 right font ',10' textcolor rgb grey
if (n_imbalance == 0) {
    eval note('no expert work')
    plot NaN notitle
} else {
    # Marks stand on the axis; a table without lines is no plot.
    if (n_reshuffles > 0) {
        plot for [i = 1:n_pools] data.'/imbalance_'.i.'.dat' using ($1 / per_unit):(1.0 / $2) with lines linecolor rgb colour_of(i) linewidth 2 title 'mean / max' . (n_pools > 1 ? ', ' . pool_name[i] : ''), \
             data.'/reshuffles.dat' using ($1 / per_unit):(1.0) with impulses linecolor rgb black linewidth 1.5 dashtype 3 title 'experts rearranged', \
             keyentry with points pointtype 5 pointsize 1.6 linecolor rgb swatch(prepare_colour) title swatch_name('prepare'), \
             keyentry with points pointtype 5 pointsize 1.6 linecolor rgb swatch(commit_colour) title swatch_name('commit'), \
             keyentry with points pointtype 5 pointsize 1.6 linecolor rgb swatch(settle_colour) title swatch_name('settle')
    } else {
        plot for [i = 1:n_pools] data.'/imbalance_'.i.'.dat' using ($1 / per_unit):(1.0 / $2) with lines linecolor rgb colour_of(i) linewidth 2 title 'mean / max' . (n_pools > 1 ? ', ' . pool_name[i] : ''), \
             keyentry with points pointtype 5 pointsize 1.6 linecolor rgb swatch(prepare_colour) title swatch_name('prepare'), \
             keyentry with points pointtype 5 pointsize 1.6 linecolor rgb swatch(commit_colour) title swatch_name('commit'), \
             keyentry with points pointtype 5 pointsize 1.6 linecolor rgb swatch(settle_colour) title swatch_name('settle')
    }
}
