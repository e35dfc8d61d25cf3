# What was measured over what was predicted, both in milliseconds: a point a phase of a resize and a
# class of steps. On the diagonal the two are equal, on the thin lines one is ten times the other.
set lmargin at screen 0.09
set rmargin at screen 0.80
set tmargin at screen 0.90
set bmargin at screen 0.11
unset key
set key at screen 0.815, graph 1.0 left top vertical Left reverse samplen 1 spacing 1.2 noenhanced
set logscale xy
from = low / 2.0
to = high * 2.0
set xrange [from:to]
set yrange [from:to]
set format '%g'
set xlabel 'predicted [ms]'
set ylabel 'measured [ms]'
set grid xtics ytics linecolor rgb '#dddddd' linewidth 1
set label 1 title at screen 0.09, screen 0.965 left noenhanced font ',14'
if (measured_label eq 'EMULATED') {
    set label 3 'emulated: says nothing about a GPU' at screen 0.985, screen 0.965 right font ',10' textcolor rgb grey
}
if (n_phases + n_steps == 0) {
    eval note('nothing that both have')
    plot NaN notitle
} else {
    plot x with lines linecolor rgb black linewidth 1.5 title 'equal', \
         10 * x with lines linecolor rgb grey dashtype 2 title 'tenfold, a tenth', \
         x / 10 with lines linecolor rgb grey dashtype 2 notitle, \
         data.'/phases.dat' using 1:2 with points pointtype 7 pointsize 1.2 linecolor rgb vermillion title n_phases > 0 ? 'phases of resizes' : ' ', \
         data.'/steps.dat' using 1:2 with points pointtype 5 pointsize 1.0 linecolor rgb blue title n_steps > 0 ? 'steps, by tokens' : ' '
}
