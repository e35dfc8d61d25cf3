# The phases of one resize, a row for each rank; warm colours are those for which forwards stood still.
# Expects `picture`, the name of the tables that `eep plot` writes.
load data.'/'.picture.'.gp'
unset object
set termoption noenhanced
left = 0.16
right = 0.79
set lmargin at screen left
set rmargin at screen right
set tmargin at screen 0.88
set bmargin at screen 0.11
set xrange [0:t_end * 1.02]
set yrange [n_rows + 0.6:0.4]
set xlabel 'time since the resize was accepted [s]'
unset ytics
do for [i = 1:n_rows] {
    set label 100 + i row_name[i] at graph -0.01, first i right noenhanced font ',10'
    set arrow 100 + i from graph 0, first i + 0.5 to graph 1, first i + 0.5 nohead back linecolor rgb '#eeeeee'
}
set key at screen right + 0.01, screen 0.88 left top vertical Left reverse samplen 1.5 spacing 1.1 noenhanced font ',10'
set grid xtics linecolor rgb '#dddddd' linewidth 1
set label 1 resize_title at screen 0.03, screen 0.965 left noenhanced font ',13'
# Lines at t1 (of one that was given up: the end of its preparation) and t2, between which the commit
# lies; their names lean away from each other, since it may take no time to speak of.
if (t_commit == t_commit) {
    set arrow 1 from first t_commit, graph 0 to first t_commit, graph 1 nohead front linecolor rgb grey dashtype 2
    set label 2 commit_label at first t_commit, graph 1.02 right font ',10' textcolor rgb grey
}
if (t_serving == t_serving) {
    set arrow 2 from first t_serving, graph 0 to first t_serving, graph 1 nohead front linecolor rgb grey dashtype 2
    set label 3 'serving' at first t_serving, graph 1.02 left offset character 0.4, 0 font ',10' textcolor rgb grey
}
array beside[8] = ['#56B4E9', '#009E73', '#9AD0F5', '#0072B2', '#7FCDB0', '#A9B7E8', '#5AB0A6', '#C9DDEB']
array still[7] = ['#E69F00', '#D55E00', '#F0E442', '#CC79A7', '#F2B48C', '#B5651D', '#F4A6A6']
colour(k) = k <= n_beside ? beside[int(k - 1) % 8 + 1] : still[int(k - n_beside - 1) % 7 + 1]
# A phase is at least two pixels wide, and has its name in it where that fits.
pixels(s) = s / (t_end * 1.02) * (right - left) * 1200.0
width(from, to) = pixels(to - from) < 2 ? from + t_end * 1.02 * 2 / ((right - left) * 1200.0) : to
fits(from, to, height, name) = pixels(to - from) > strlen(name) * 7.5 + 6 && height / n_rows * 0.77 * 700 > 13
phase_time(s) = sprintf(s < 0.0995 ? ' %.0f ms' : ' %.1f s', s < 0.0995 ? s * 1000 : s)
# gnuplot looks at the first of none, too.
entry(k) = k > n_phases ? '' : phase_name[k].phase_time(phase_length[k])
table = data.'/'.picture.'.dat'
set style fill solid 1.0 border rgb 'white'
plot NaN with dots linecolor rgb 'white' title (n_beside > 0 ? 'beside serving:' : ' '), \
     for [k = 1:n_beside] table using ($5 == k ? $3 : NaN):1:3:(width($3, $4)):1:2 with boxxyerror linecolor rgb colour(k) title entry(k), \
     NaN with dots linecolor rgb 'white' title (n_phases > n_beside ? 'forwards stand still:' : ' '), \
     for [k = n_beside + 1:n_phases] table using ($5 == k ? $3 : NaN):1:3:(width($3, $4)):1:2 with boxxyerror linecolor rgb colour(k) title entry(k), \
     table using (($3 + $4) / 2):(($1 + $2) / 2):(fits($3, $4, $2 - $1, phase_name[int($5)]) ? phase_name[int($5)] : '') with labels noenhanced font ',9' notitle
# What is drawn next begins with the usual axes.
do for [i = 1:n_rows] { unset label 100 + i; unset arrow 100 + i }
