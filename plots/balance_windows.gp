# Balancedness over windows of recorded load, a line a policy; a mark where experts were moved. Later
# lines are thinner, so that equal ones can be told.
set lmargin at screen 0.075
set rmargin at screen 0.80
set tmargin at screen 0.90
set bmargin at screen 0.11
set xrange [-0.5:n_windows - 0.5]
# From the next lower tenth, so that lines that lie close together can be told apart.
set yrange [floor(lowest * 10.0 - 1e-9) / 10.0:1]
set xlabel 'window'
set ylabel 'balancedness (mean / hottest rank, mean over layers)'
set label 1 title at screen 0.075, screen 0.965 left noenhanced font ',14'
set label 3 'a mark: experts were moved before this window' at screen 0.985, screen 0.965 right font ',10' textcolor rgb grey
plot for [i = 1:n_lines] data.'/windows_'.i.'.dat' using 1:2 with lines linecolor rgb colour_of(i) linewidth 1.5 + 1.2 * (n_lines - i) title line_name[i], \
     for [i = 1:n_lines] data.'/windows_'.i.'.dat' using 1:3 with points pointtype 7 pointsize 1.3 linecolor rgb colour_of(i) notitle
