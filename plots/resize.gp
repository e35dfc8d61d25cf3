# The phases of one resize, by who did them; those for which forwards stood still are marked. Expects
# `picture`, the name of the tables that `eep plot` writes.
load data.'/'.picture.'.gp'
unset object
set lmargin at screen 0.24
set rmargin at screen 0.96
set tmargin at screen 0.85
set bmargin at screen 0.11
set xrange [0:t_end * 1.08]
set yrange [n_rows + 0.7:0.3]
set xlabel 'time since the resize was accepted [s]'
unset ytics
do for [i = 1:n_rows] {
    set label 100 + i row_name[i] at graph -0.01, first i right noenhanced font ',10'
}
set key at screen 0.96, screen 0.925 right top horizontal Left reverse samplen 2 noenhanced
set grid xtics linecolor rgb '#dddddd' linewidth 1
set label 1 resize_title at screen 0.03, screen 0.965 left noenhanced font ',13'
# Lines at t1 (of one that was given up: the end of its preparation) and t2, between which the commit
# lies; their names lean away from each other, since it may take no time to speak of.
if (t_commit == t_commit) {
    set arrow 1 from first t_commit, graph 0 to first t_commit, graph 1 nohead back linecolor rgb grey dashtype 2
    set label 2 commit_label at first t_commit, graph 1.02 right font ',10' textcolor rgb grey
}
if (t_serving == t_serving) {
    set arrow 2 from first t_serving, graph 0 to first t_serving, graph 1 nohead back linecolor rgb grey dashtype 2
    set label 3 'serving' at first t_serving, graph 1.02 left offset character 0.4, 0 font ',10' textcolor rgb grey
}
# A phase is at least two pixels wide.
width(from, to) = to > from + t_end / 400.0 ? to : from + t_end / 400.0
phase_length(from, to) = sprintf(to - from < 0.095 ? '%.0f ms' : '%.1f s', to - from < 0.095 ? (to - from) * 1000 : to - from)
set style fill solid 0.9 noborder
# A length stands in a box of its own, so that no line crosses it.
set style textbox opaque noborder fillcolor rgb 'white' margins 0.3, 0.3
plot data.'/'.picture.'.dat' using ($4 == 0 ? $2 : NaN):1:2:(width($2, $3)):($1 - 0.36):($1 + 0.36) with boxxyerror linecolor rgb sky title 'beside serving', \
     '' using ($4 == 1 ? $2 : NaN):1:2:(width($2, $3)):($1 - 0.36):($1 + 0.36) with boxxyerror linecolor rgb vermillion title 'forwards stand still', \
     '' using (width($2, $3)):1:(phase_length($2, $3)) with labels boxed left offset character 0.8, 0 font ',9' textcolor rgb grey notitle
# What is drawn next begins with the usual axes.
do for [i = 1:n_rows] { unset label 100 + i }
