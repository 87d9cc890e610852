# ruff: noqa: RUF001 (× and − are meant, in formulas)
"""Every word of the page "Learn" and of its worksheet. Another language is another dictionary with the same keys.

One dictionary per piece. HTML is allowed; {name} is filled in where the sentence is used. A line here is a line of the
source only. Answers are sent to a browser only when somebody asks for one.
"""

from __future__ import annotations

PAGE = {
    "title": "How a deformable kernel learns where to look",
    "lead": (
        "Seven steps from one letter to a detector of small objects, for those who know what a convolution is. Every "
        "picture can be touched; numbers come from real code and from models that ship with this project."
    ),
    "lesson": "Lesson",
    "playground": "Playground",
    "next": "Next: {title}",
    "back": "Back: {title}",
    "to_playground": "That was the lesson. Next: the tab *Playground*. Draw something, and move the taps by hand.",
    "teacher": "Teacher's mode: no answers on this page",
    "worksheet": "Printable worksheet",
    "making": "The worksheet is being made ...",
    "made": "The worksheet has been downloaded: open it and print it.",
    "failed": "The server did not answer: try again, or reload the page.",
    "question": "Question",
    "answer": "Show the answer",
    "waiting": "The model looks ...",
}

LETTER = {
    "title": "One letter, five sizes",
    "text": """<p>A small network has to name the letter in the middle, from what <b>one</b> cell reads through
<b>one</b> 5×5 kernel: 25 places of the picture, no more. With a fixed grid these places are always the same. On a
letter of 8 px nearly all of them lie beside it; on one of 40 px they miss its ends. No single spacing fits both.</p>
<p>The kernel here is <b>deformable</b>: from the picture itself, a second small convolution computes where each of
the 25 taps shall sample. Nobody told it how large the letter is; it learned that from naming letters. On a small
letter the samples draw together, on a large one they spread.</p>
<p>Press <em>Off</em>: the same network on the fixed grid. Press <em>Another picture's</em>: as much movement, but
made for another letter of another size.</p>
<p class="quiet">What this does not show: the kernel hardly turns with a turned letter. And that the network fails
without its offsets says that it leans on them, not that a network without any must fail: the bars below are of
networks that learned with fixed grids, and one that may use the offsets' numbers but moves nothing.</p>""",
    "caption": "Letters as the shipped network sees them (48×48 px), and the 25 places that it samples.",
    "letters": "Letter",
    "offsets": "Offsets",
    "own": "Its own offsets",
    "off": "Off",
    "another": "Another picture's",
    "ring": "regular grid",
    "dot": "sample",
    "sheet": "{size} px: <b>{name}</b> {share} %<br>{zoom}× the grid",
    "alt": "{letter} of {size} px is named {name}; its samples lie {zoom} times as wide as the grid",
    "told": "{way}: {named} of {of} named {letter}. Width against the grid: {first} at 8 px, {last} at 40 px.",
    "right": "Letters named right: {pictures} test pictures, mean of {seeds} trainings",
    "bar_deformable": "deformable",
    "bar_features": "same numbers, nothing moves",
    "bar_rigid_1": "fixed, dilation 1",
    "bar_rigid_2": "fixed, dilation 2",
    "bar_rigid_3": "fixed, dilation 3",
    "bar_off": "deformable, offsets off",
    "bar_another": "deformable, another picture's",
    "question": """The grid of this kernel has 5 taps each way, 8 px apart. How many of its 25 taps can lie on the ink
of an upright L of 8 px, how much of an L of 40 px does it cover? And which bar tells you that <em>moving</em> helps,
and not just what the offset net has computed?""",
    "answer": """<p>From the first tap to the last it is 32 px. The letter of 8 px is as wide as the gap between two
taps: one tap or two can touch its ink, all others read background. Of the letter of 40 px it covers the middle four
fifths; the ends lie outside.</p>
<p>The bar “same numbers, nothing moves”: that network has the same offset net, of the same size, and may use its
numbers, but its taps stay on the grid. What the deformable one is better by comes from the moving. The lowest bars say
something else: this network <em>uses</em> its offsets. Both are needed for a claim.</p>""",
}

TAPS = {
    "title": "Taps and dilation",
    "text": """<p>A convolution makes each number of its output from a few places of its input map. These places are
its <b>taps</b>. A k×k kernel has k² of them; in a depthwise convolution, the kind used here, every channel has one
weight for each tap.</p>
<p><b>Dilation</b> d sets neighbouring taps d cells apart. The reach grows, the number of weights does not:</p>
<p class="learn-formula">reach = (k − 1) · d + 1</p>
<p>What lies between the taps is not read at all. Move both sliders and watch how much is skipped.</p>""",
    "caption": "Which cells of the input map one output cell (in the middle) reads.",
    "kernel": "Kernel size k",
    "dilation": "Dilation d",
    "told": (
        "{k}×{k}, dilation {d}: {taps} taps, so {taps} weights per channel; reach ({k} − 1) · {d} + 1 = {reach} cells "
        "each way; {skipped} of the {area} cells in that square are not read."
    ),
    "question": """Two 3×3 convolutions, each with dilation 2, follow one another. How wide is the square that one
output cell sees, and how many cells in it does it really see? Which of them does its right-hand neighbour see, too?""",
    "answer": """<p>Each reaches 5 cells, both together 5 + (3 − 1) · 2 = 9. But steps of 0 or ±2, taken twice,
always end an even number of cells away: 5×5 = 25 of the 81 cells are seen. The neighbour's 25 cells lie one column
further, between those: the two have <b>none</b> in common. Cells side by side are made from different inputs, an
effect called gridding. So dilation alone does not make a good large kernel: something has to fill the gaps.</p>""",
}

STACK = {
    "title": "Two kernels, one large",
    "text": """<p>Large kernel attention (LKA) takes three convolutions: 5×5 depthwise, then 7×7 depthwise with
dilation 3, then 1×1 across channels. Each tap of the 7×7 reads one cell of the first one's output, and that cell
has already read 5×5 cells:</p>
<p class="learn-formula">reach = 5 + (7 − 1) · 3 = 23</p>
<p>The windows start 3 cells apart and are 5 wide, so they overlap by two: <b>no gap</b>. A plain 23×23 kernel has
529 weights per channel; this pair has 25 + 49 = <b>74</b>. Its 49 · 25 = 1225 paths lead to 529 cells, to some of
them more than once: that is the colour.</p>
<p class="quiet">The LKA paper counts the other way round: for a K×K kernel it takes (2d − 1)×(2d − 1), then
⌈K/d⌉×⌈K/d⌉ with dilation d, then 1×1. K = 21 and d = 3 give 5×5 and 7×7; the two reach 23.</p>""",
    "caption": "Number of paths from one output cell to each input cell. The outlined window is the chosen tap's.",
    "grid": "Paths to each input cell; arrow keys choose a tap of the second kernel",
    "first": "First kernel",
    "dilation": "Dilation of the 7×7",
    "told": (
        "{a}×{a}, then 7×7 with dilation {d}: reach {a} + (7 − 1) · {d} = {reach} cells; {weights} weights per channel "
        "instead of {area}; {paths} paths; {gaps}."
    ),
    "no_gap": "no cell is left out",
    "gap": "{gaps} of {area} cells are never read, as dilation {d} is more than the first kernel's {a}",
    "tap": (
        "Tap in row {row}, column {column} of the 7×7 reads {dy} rows and {dx} columns from the middle; through it the "
        "{a}×{a} cells in the outline are read."
    ),
    "paths": "paths to a cell",
    "cells": "cells",
    "question": """Set the dilation to 6: where are the gaps, and which is the largest dilation without any? Back at
3: can this pair make <em>every</em> 23×23 kernel, if only its 74 weights are chosen well?""",
    "answer": """<p>Without gaps as long as the dilation is not larger than the first kernel is wide: 5 at most.
Then windows touch; at 3 they overlap.</p>
<p>No. All 49 windows carry the <b>same</b> 5×5 pattern, each multiplied by one number: the composed kernel is the
sum of 49 shifted copies. 74 numbers (73 that count: a factor can move from one kernel to the other) can only
describe a thin slice of a space of 529 dimensions: wide, smooth or periodic kernels, but no unrelated detail in
every corner. What it reads is far more flexible than how it weighs.</p>""",
}

OFFSETS = {
    "title": "Offsets",
    "text": """<p>D-LKA keeps taps and weights, and lets every tap <b>move</b>. A small convolution, the offset net,
looks at the same map and gives each cell two numbers per tap, (dy, dx) in cells: 50 channels for 25 taps, 98 for
49. Tap k of cell p then reads at</p>
<p class="learn-formula">p + g<sub>k</sub> + (dy, dx)<sub>k</sub></p>
<p>where g<sub>k</sub> is its place in the regular grid. All channels share these places. The weights are the same
for every picture; <em>where</em> they are applied is computed anew for each picture and each cell.</p>
<p>The picture shows the model <code>scenes</code>, which learned from nothing to find drawn letters and curves, and
cannot do without its offsets. Click a small letter, then a large one: its 5×5 kernel draws together on the one and
stays as wide as its grid on the other. Then choose another stage.</p>
<p class="quiet">The slider multiplies the offsets of the stage shown, and nothing else. The slider
<em>Deformation</em> of the first page runs the whole network again.</p>""",
    "caption": (
        "Regular grid (rings), samples (dots) and the way from one to the other. The whole picture, then a close-up."
    ),
    "picture": "The picture; arrow keys move the chosen cell",
    "close": "Close-up of the chosen cell's taps",
    "stage": "Stage",
    "strength": "Offsets times",
    "told": (
        "{label}, cell (row {row}, column {column}), offsets × {strength}: taps are moved by {mean} cells on average "
        "({pixels} px of this picture), at most by {most}; {zero} of {taps} samples lie outside the map and read zero."
    ),
    "tap": "First tap: regular ({gy}, {gx}) + {strength} × ({dy}, {dx}) = ({y}, {x}), row and column in cells.",
    "ring": "regular grid",
    "dot": "sample, coloured by tap weight: 0",
    "one": "1",
    "cross": "outside the map, reads zero",
    "question": """Suppose all 25 taps of a cell have the same offset, (0, +2). What does the kernel read now? And
if that were so at <em>every</em> cell of <em>every</em> picture, would a deformable convolution be needed?""",
    "answer": """<p>The same 5×5 window, two cells further right: moved, but not deformed. If it is so everywhere, a
plain convolution with its taps moved by two columns does exactly the same. Offsets that differ from <b>tap to
tap</b> change the kernel's shape; only offsets that differ from <b>cell to cell</b> and picture to picture adapt to
what is seen. So a long arrow proves nothing: on the first page the tab <em>Numbers</em> tells how much offsets
<em>vary</em>.</p>""",
}

CORNERS = {
    "title": "Bilinear reading",
    "text": """<p>A moved tap lies between cells. It reads a mixture of the four around it. With y = y₀ +
f<sub>y</sub> and x = x₀ + f<sub>x</sub>, y₀ and x₀ whole numbers:</p>
<p class="learn-formula">(1 − f<sub>y</sub>)(1 − f<sub>x</sub>) · v(y₀, x₀) + (1 − f<sub>y</sub>) f<sub>x</sub> ·
v(y₀, x₀ + 1)<br> + f<sub>y</sub> (1 − f<sub>x</sub>) · v(y₀ + 1, x₀) + f<sub>y</sub> f<sub>x</sub> · v(y₀ + 1, x₀ +
1)</p>
<p>The four shares add up to 1. The value follows the point without a jump, so there is a slope to learn from: this
is how training moves offsets.</p>
<p><b>Border.</b> Cells outside the map count as 0. Within one cell beyond the outermost centres the value fades; at
or beyond −1, and at or beyond H or W, it is 0.</p>""",
    "caption": (
        "A map of 4×4 cells (values made up, easy to add). Drag the point. Dashed cells are outside and count 0. The "
        "curve: what is read along the point's row."
    ),
    "point": "The point that reads; arrow keys move it by 0.1 cell, with Shift by 1",
    "profile": "What is read along the point's row, from column −1.6 to 4.6",
    "slope": "Slope there, per cell: {down} downwards, {right} to the right.",
    "neighbour": "cell (row, column)",
    "value": "value",
    "share": "share",
    "product": "share × value",
    "outside": "0 (outside)",
    "sum": "what is read",
    "told": "At row {y}, column {x}: {read}.",
    "far": "At row {y}, column {x}: 0, as the point is at or beyond −1 or 4.",
    "question": """A tap lies where its four neighbours have the same value, in every channel. In which direction
does training push its offset? And what does a tap know of an object that is three cells away?""",
    "answer": """<p>In none. The slope along y is (1 − f<sub>x</sub>)(v₁₀ − v₀₀) + f<sub>x</sub>(v₁₁ − v₀₁), and
that along x likewise; an offset gets the sum over channels. Where neighbours are equal it is zero, whatever the
loss wants. A tap feels only the four cells around it. It does not see what is three cells away, unless the map
itself has carried a trace of it there: feature maps have, as every cell has looked at its surroundings in the
layers before. (At the place of a cell itself the slope is not even unique: it differs to the left and to the
right.)</p>""",
}

GATE = {
    "title": "The gate",
    "text": """<p>What the two stages and the 1×1 make is not the block's output. It is a <b>gate</b> that
multiplies the very map that the first stage has read, u:</p>
<p class="learn-formula">u = GELU(proj₁(x))<br>gate = conv₁ₓ₁(7×7 d3(5×5(u)))<br>output = x + proj₂(gate · u)</p>
<p>It is called attention, but there is no softmax and no sigmoid: one number per channel and cell, of <b>any sign
and size</b>. 1 lets pass, 0 stops, a negative gate turns the sign. Then proj₂, a 1×1, mixes the channels, and the
input x is <b>added</b>.</p>
<p>The maps belong to the block of the model <code>scenes</code>, on a drawn scene. Go over them.</p>""",
    "caption": (
        "The picture, what is multiplied (u), the gate, and their product, in one channel or as means. A bar ends "
        "at the 99th percentile of absolute values; what is beyond has the end colour. The channel shown at first has "
        "large products of both signs."
    ),
    "show": "Show",
    "channel": "channel",
    "mean": "mean over all {channels} channels",
    "number": "Channel (0 to {last})",
    "picture": "picture",
    "gated": "u, what is multiplied",
    "gate": "gate",
    "product": "gate · u",
    "maps": "Maps of the block; arrow keys move the chosen cell",
    "scale": "from −{top}, blue, to +{top}, red",
    "told": "Cell (row {row}, column {column}), channel {channel}: {gated} × {gate} = {product}.",
    "told_mean": (
        "Cell (row {row}, column {column}), means over channels: u {gated}, gate {gate}, gate · u {product}. A mean of "
        "products is not the product of the means: {gated} × {gate} would be {wrong}."
    ),
    "residual": "proj₂ of all channels' products adds {added} to the input {input}: {output}.",
    "residual_mean": "On average over channels, proj₂ adds {added} to the input {input}: {output}.",
    "question": """At a cell the gate is 0 in every channel. Is the cell lost to the layers behind? And if u = 0.5
meets a gate of −0.8 in one channel, does the block's output go down by 0.4 in that channel?""",
    "answer": """<p>Nothing is lost: the block is residual. Where all products are 0 it adds only the bias of proj₂,
and x goes through. (Blocks that are added to a finished network start in training as the identity: with proj₂ at
zero.)</p>
<p>No. The product is −0.4, but then proj₂ mixes all channels: each output channel gets a weighted sum of
<em>all</em> products. Which way an output goes cannot be told from one channel's gate.</p>""",
}

LEVELS = {
    "title": "Small objects in YOLO",
    "text": """<p>YOLOv8 finds objects on three levels: P3, P4 and P5, where one cell is 8, 16 and 32 input pixels.
A kernel is equally large <em>in cells</em> on all of them. An object is not:</p>
<p class="learn-formula">n px = n/8 cells on P3 = n/16 on P4 = n/32 on P5</p>
<p>So most regular taps fall beside a small object and read its surroundings. Offsets <em>can</em> bring taps onto
it, or away from it. Under the sliders stands what the shipped model <code>head</code> really does in a picture with
small copies of a street.</p>
<p><b>Does it find more?</b> Not here. A network that grew up with its offsets, from nothing and without the other two
levels, needs them: the model of the steps before. But on photographs, in trainings that a CPU can afford, with several
seeds and intervals over pictures, D-LKA did not raise AP over stock YOLOv8n trained alike, for small objects neither,
where both began as a finished stock model. On drone pictures a
gain of 0.8 AP, which is often claimed, lies outside the measured intervals of the two placements that start as
stock YOLOv8n (residual and head). “Does it help?” in the project's README has the figures.</p>""",
    "caption": "An object of n px (orange) under the taps of one cell, on the three levels. Windows of 21×21 cells.",
    "size": "Object, n px",
    "kernel": "Kernel",
    "level": "level",
    "stride": "cell",
    "wide": "object's side, cells",
    "whole": "cells wholly on it",
    "small": "taps of 5×5 on it",
    "large": "taps of 7×7 d3 on it",
    "panel": "{level}: {n} px = {cells} cells",
    "alt": (
        "{level}, one cell is {stride} px: the object is {cells} cells wide; {hits} of {taps} taps of the {kernel} lie "
        "on it"
    ),
    "told": "An object of {n} px, a cell's centre in its middle: {list} regular taps of the {kernel} lie on it.",
    "real": "The same in the model head",
    "real_text": (
        "The smallest object that was found: {name}, {width} x {height} px of the picture, {inner} px of the input. "
        "For the cell nearest to its middle, how many taps lie in its box; in brackets the mean over all {count} small "
        "and medium objects (under 96² px) that were found. On average, fewer samples than regular taps lie on an "
        "object in {fewer} of {stages} stages."
    ),
    "none": "The model found no small or medium object in this picture.",
    "stage": "stage",
    "regular": "regular taps",
    "learned": "learned samples",
    "see": "Show {stage} on the picture",
    "question": """An object is 12 px wide. How many taps of the two stages on P3 can lie on it when a cell's centre
is in its middle? What would have to happen for more of them to come, and would that be enough to detect it better?""",
    "answer": """<p>12/8 = 1.5 cells: from −0.75 to +0.75 around the middle. One tap of 25 and one of 49; all others
read surroundings (which may help, too: context tells what a small blob is).</p>
<p>Taps right beside it could be pulled in: they feel its edge through their four neighbours. Taps further off have
no slope towards it (step 5), unless the layers before have spread its trace. And more samples on an object are not
more detections: what counts is what weights and gate make of them. Here the measurements say: no gain. If you think
it is otherwise on your pictures, measure it with a control that was trained alike, and with more than one seed.</p>""",
}

SHEET = {
    "title": "Worksheet: how a deformable kernel learns where to look",
    "name": "Name",
    "date": "Date",
    "answers": "Answers",
    "foot": "Made by dlka. Pictures and numbers come from its code and its shipped models.",
    "figure_letter": "An E of 8, 12, 17, 26, 40 px: regular grid (rings), and samples of the shipped network (dots).",
    "figure_taps": "7×7, dilation 3: the 49 cells that one output cell reads, in a square of 19×19.",
    "figure_stack": "5×5, then 7×7 with dilation 3: paths from one output cell to each of the 23×23 cells (1, 2 or 4).",
    "figure_offsets": "Where one cell of the stage {stage} of the shipped model scenes reads on a drawn scene.",
    "figure_corners": (
        "Read the map at row 1.25, column 2.5. Which four cells count, with which shares, and what is the sum?"
    ),
    "figure_gate": "The gate of the same model's block, mean over channels: red positive, blue negative.",
    "figure_levels": "An object of 24 px (orange) under the regular taps of the 7×7 d3, on P3, P4 and P5.",
    "sum_corners": "The sum of the picture: {sum}",
}

STEPS = {
    "letter": LETTER,
    "taps": TAPS,
    "stack": STACK,
    "offsets": OFFSETS,
    "corners": CORNERS,
    "gate": GATE,
    "levels": LEVELS,
}
