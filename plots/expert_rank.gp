# Which rank has how much of which expert's load, in one layer: before and after. A white cell: the
# rank holds no replica of the expert.
set multiplot
unset key
unset grid
set label 1 title at screen 0.06, screen 0.965 left noenhanced font ',14'
set label 3 'layer ' . sprintf('%d', layer) . ', the least balanced before' at screen 0.985, screen 0.965 right font ',10' textcolor rgb grey
set xrange [-0.5:n_ranks - 0.5]
set yrange [n_experts - 0.5:-0.5]
set cbrange [0:highest]
set palette defined (0 '#fff7d6', 0.12 '#E69F00', 0.4 '#D55E00', 1 '#5a1a00')
set xlabel 'rank'
set tmargin at screen 0.86
set bmargin at screen 0.12

set lmargin at screen 0.06
set rmargin at screen 0.455
set ylabel 'expert' offset 1
set label 2 before_name at graph 0.5, graph 1.03 center noenhanced
unset colorbox
plot data.'/before.dat' matrix with image notitle
unset label 1
unset label 3

set lmargin at screen 0.505
set rmargin at screen 0.90
unset ylabel
set label 2 'after' at graph 0.5, graph 1.03 center
set colorbox user origin screen 0.915, screen 0.12 size screen 0.015, screen 0.74
set cblabel 'load of the cell / mean load of a rank'
plot data.'/after.dat' matrix with image notitle
unset multiplot
