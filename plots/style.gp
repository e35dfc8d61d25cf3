# Shared by every picture: terminal, colours, axes, and how resizes are shown. Expects `format`
# ("png" or "svg") and the variables of run.gp, which `eep plot` writes.
#
# Colours are Okabe and Ito's, told apart with any colour vision ("Color Universal Design", 2008).
reset
if (format eq 'svg') {
    set terminal svg size 1200,700 font 'DejaVu Sans,14' background '#ffffff' enhanced
} else { if (strstrt(GPVAL_TERMINALS, 'pngcairo') == 0) {
    set terminal png size 1200,700 enhanced background '#ffffff'
} else {
    set terminal pngcairo size 1200,700 font 'DejaVu Sans,11' background '#ffffff' enhanced
} }
black = '#000000'
orange = '#E69F00'
sky = '#56B4E9'
green = '#009E73'
blue = '#0072B2'
vermillion = '#D55E00'
purple = '#CC79A7'
grey = '#666666'
array pool_colour[6] = [blue, vermillion, green, purple, orange, black]
colour_of(i) = pool_colour[(i - 1) % 6 + 1]

set encoding utf8
set border 3 linecolor rgb grey
set tics nomirror out textcolor rgb black
set grid ytics linecolor rgb '#dddddd' linewidth 1
set key at screen 0.815, graph 1.0 left top vertical Left reverse samplen 2 spacing 1.2 noenhanced
set style fill solid 1.0 noborder
set datafile missing 'nan'

# The time axis in the unit that a reader would choose.
per_unit = end_s < 300 ? 1.0 : end_s < 10800 ? 60.0 : 3600.0
unit = end_s < 300 ? 's' : end_s < 10800 ? 'min' : 'h'
span = end_s / per_unit
time_label = 'time since start [' . unit . ']'
length_of(s) = s < 1 ? sprintf('%g ms', s * 1000) : s < 60 || s % 60 > 0 ? sprintf('%g s', s) : sprintf('%g min', s / 60)

# A resize's parts as shaded bands behind the curves: prepare (old size serves), commit (forwards
# stand still or requests are refused), settle. A commit is at least two pixels wide.
prepare_colour = '#cfe8f7'
commit_colour = '#f2a07b'
settle_colour = '#fbe8bd'
band(i, from, to, colour) = sprintf('set object %d rectangle from first %.9g, graph 0 to first %.9g, graph 1 behind fillcolor rgb "%s" fillstyle solid 1.0 noborder', i, from / per_unit, to / per_unit, colour)
least = end_s / 500.0
do for [i = 1:n_resizes] {
    if (resize_commit[i] > resize_at[i]) { eval band(3 * i, resize_at[i], resize_commit[i], prepare_colour) }
    if (resize_end[i] > resize_serving[i]) { eval band(3 * i + 1, resize_serving[i], resize_end[i], settle_colour) }
    if (resize_serving[i] > resize_commit[i]) {
        eval band(3 * i + 2, resize_commit[i], resize_serving[i] > resize_commit[i] + least ? resize_serving[i] : resize_commit[i] + least, commit_colour)
    }
}

# A note in the middle of a picture that has nothing to show.
note(text) = sprintf('set label 1000 "%s" at graph 0.5, graph 0.5 center textcolor rgb "%s"', text, grey)

# The bands' entries in the key, for the end of a plot command; blank where there is no resize.
swatch(colour) = n_resizes > 0 ? colour : '#ffffff'
swatch_name(part) = n_resizes > 0 ? 'resize: ' . part : ' '

# Labels of a logarithmic axis from `low` to `high`: the shorter it is, the more of each decade.
# A horizontal axis has room for fewer.
marks(axis, ratio) = ratio < (axis eq 'x' ? 10 : 30) ? '1 1.5 2 3 4 5 7' : ratio < (axis eq 'x' ? 100 : 3000) ? '1 2 5' : '1'
log_tics(axis, low, high) = 'set ' . axis . 'tics (1); do for [k = -3:7] { do for [m in "' . marks(axis, high / low) . '"] { set ' . axis . 'tics add (sprintf("%g", m * 10.0**k) m * 10.0**k) } }'
larger(a, b) = a > b ? a : b
smaller(a, b) = a < b ? a : b
