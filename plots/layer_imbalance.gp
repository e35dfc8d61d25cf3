# How much more the hottest rank of each layer has to do than the mean rank: before, after, and the
# least that any map could reach.
set lmargin at screen 0.075
set rmargin at screen 0.80
set tmargin at screen 0.90
set bmargin at screen 0.11
set xrange [-0.5:n_layers - 0.5]
set yrange [1:1.05<*]
set xlabel 'MoE layer'
set ylabel 'load of the hottest rank / mean rank'
set label 1 title at screen 0.075, screen 0.965 left noenhanced font ',14'
set label 3 '1 is perfect balance' at screen 0.985, screen 0.965 right font ',10' textcolor rgb grey
plot data.'/layers.dat' using 1:2 with linespoints linecolor rgb vermillion linewidth 2 pointtype 7 pointsize 0.6 title 'before: ' . before_name, \
     '' using 1:3 with linespoints linecolor rgb blue linewidth 2 pointtype 7 pointsize 0.6 title 'after', \
     '' using 1:4 with lines linecolor rgb grey linewidth 2 dashtype 2 title 'lower bound'
