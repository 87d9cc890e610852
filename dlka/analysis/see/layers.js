// What can lie over the picture: the offset field of the chosen stage, the gate of its block, where samples land. A layer
// is computed when it is first shown, and painted from then on as a picture of one pixel a cell.

const ARROWS = 34; // at most about this many along the longer side
const number = (value) => String(Number(value.toPrecision(3)));
// Layer -> its options, and what makes it of a view { stage, inner } and the chosen options.
const LAYERS = {
  samples: { options: [] },
  length: { options: ["tap", "scale", "opacity"], make: lengthLayer },
  direction: { options: ["tap", "scale", "opacity"], make: directionLayer },
  arrows: { options: ["tap", "scale", "opacity"], make: arrowLayer },
  attention: { options: ["gate", "reduction", "channel", "opacity"], make: gateLayer },
  density: { options: ["opacity"], make: densityLayer },
};

// The field of a stage, and the scale that it is drawn on. pick: of a field, what the scale is of.
function fieldAndScale(stage, { tap, scale }, pick) {
  const of = (each) => state.kept(`field ${each.label} ${tap}`, () => fieldOf(each, state.offsets, tap));
  const shown = scale === "all" ? state.data.stages.filter((each) => tap <= each.kernel[0] * each.kernel[1]) : [stage];
  return [of(stage), fieldScale(shown.map((each) => pick(of(each))))];
}

const lengths = ({ dy, dx }) => Float32Array.from(dy, (y, i) => Math.hypot(y, dx[i]));
const ofTaps = (tap, stage, mean) => (tap ? `tap ${tap}` : `${mean} over ${stage.kernel[0] * stage.kernel[1]} taps`);

function lengthLayer({ stage }, options) {
  const [{ length }, scale] = fieldAndScale(stage, options, (field) => field.length);
  const colour = (share) => sequential(state.tables.magnitude, share);
  return {
    ...cellsOf(stage, (i) => colour(length[i] / scale)),
    ...{ scale, title: `${stage.label}: offset length, ${ofTaps(options.tap, stage, "mean")}`, bar: colour, ticks: inCells(stage, scale) },
  };
}

function directionLayer({ stage }, options) {
  const [{ dy, dx }, scale] = fieldAndScale(stage, options, lengths);
  return {
    ...cellsOf(stage, (i) => wheelColour(state.wheel, dy[i], dx[i], scale)),
    ...{ scale, title: `${stage.label}: offset direction, ${ofTaps(options.tap, stage, "mean offset")}`, wheel: true },
    note: `A colour's place on the wheel is where the sample moves. Rim: ${inCells(stage, scale)[2]} or more.`,
  };
}

function arrowLayer({ stage }, options) {
  const [{ dy, dx }, scale] = fieldAndScale(stage, options, lengths), [height, width] = stage.size;
  const every = Math.max(1, Math.ceil(Math.max(height, width) / ARROWS));
  const factor = Math.max(1, friendly((0.8 * every * Math.max(...stage.step)) / scale)), arrows = [];
  for (let row = Math.floor(every / 2); row < height; row += every)
    for (let column = Math.floor(every / 2); column < width; column += every) {
      const i = row * width + column, from = cellCentre(state.data.letterbox, stage, [row, column]);
      const [x, y] = [dx[i], dy[i]].map((v, axis) => from[axis] + (v * stage.stride * factor) / state.data.letterbox.scale[axis]);
      if (Number.isFinite(x + y)) arrows.push({ from, to: [x, y], colour: sequential(state.tables.magnitude, Math.hypot(dy[i], dx[i]) / scale) });
    }
  const drawn = factor === 1 ? "their true length" : `${number(factor)} times their true length`;
  return {
    ...{ arrows, scale, title: `${stage.label}: offset arrows, ${ofTaps(options.tap, stage, "mean offset")}` },
    ...{ bar: (share) => sequential(state.tables.magnitude, share), ticks: inCells(stage, scale) },
    note: `Drawn at ${drawn}, ${every === 1 ? "every cell" : `one of ${every} cells each way`}.`,
  };
}

function gateLayer(_, { gate, reduction, channel }) {
  const { gates } = state.data;
  if (!gate) return { title: "This model has no attention gate." };
  if (!state.gates) return { title: "The gates are on their way." };
  const of = (each) => state.kept(`gate ${each.label} ${reduction} ${channel}`, () => gateMap(each, state.gates, reduction, channel));
  const map = of(gate), scale = gateScale(reduction === "channel" ? [map] : gates.map(of)), [low, high] = scale;
  const what = reduction === "channel" ? `channel ${channel}` : `${reduction} over ${gate.channels} channels`;
  const one = reduction === "channel", zero = one ? "nothing passes" : "zero on average";
  const centred = low < 0 && high > 0 ? ` White: ${zero}.` : "", does = one ? "It multiplies this channel, here by" : "The map runs from";
  const ends = map.reduce(([least, most], v) => [Math.min(least, v), Math.max(most, v)], [Infinity, -Infinity]);
  return {
    ...cellsOf({ ...gate, step: [1, 1], padding: [0, 0], dilation: [1, 1], kernel: [1, 1] }, (i) => gateColour(state.tables, map[i], scale)),
    ...{ scale, title: `${gate.label}: attention gate, ${what}`, bar: (share) => gateColour(state.tables, low + share * (high - low), scale) },
    ticks: [low, (low + high) / 2, high].map((v) => v.toFixed(2)),
    note: `${does} ${number(ends[0])} to ${number(ends[1])}.${centred}`,
  };
}

function densityLayer(view) {
  const map = state.kept(`density ${view.label}`, () => densityOf(view, state.offsets)), sampled = view.inner ?? view.stage;
  const grid = { ...sampled, size: sampled.sampled, step: [1, 1], padding: [0, 0], dilation: [1, 1], kernel: [1, 1] };
  return {
    ...cellsOf(grid, (i) => diverging(state.tables.density, map[i])),
    ...{ scale: 1, title: `${view.label}: where all samples land, against the regular grid`, bar: (share) => diverging(state.tables.density, 2 * share - 1) },
    ticks: ["half the grid's reads", "as many", "twice as many"],
  };
}

const inCells = (stage, scale) => ["0", number(scale / 2), `${number(scale)} ${number(scale) === "1" ? "cell" : "cells"} = ${number(scale * stage.per_cell)} px`];

// A canvas with one pixel a cell, and the corners of the map in pixels of the picture.
function cellsOf(stage, colour) {
  const [height, width] = stage.size, cells = Object.assign(document.createElement("canvas"), { width, height });
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) pixels.data.set([...colour(i), 255], 4 * i);
  cells.getContext("2d").putImageData(pixels, 0, 0);
  const corner = (row, column) =>
    toPicture(state.data.letterbox, stage.stride, ...[row, column].map((cell, axis) => cellPosition(stage, axis, cell - 0.5)));
  return { cells, from: corner(0, 0), to: corner(height, width) };
}

function paintLayer(pen, view, layer, opacity, size) {
  pen.save();
  pen.beginPath();
  const [left, top] = view.at([-0.5, -0.5]), [right, bottom] = view.at([size[1] - 0.5, size[0] - 0.5]);
  pen.rect(left, top, right - left, bottom - top); // a map may reach beyond the picture
  pen.clip();
  pen.globalAlpha = opacity;
  if (layer.cells) {
    const [x, y] = view.at(layer.from), [x2, y2] = view.at(layer.to);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(layer.cells, x, y, x2 - x, y2 - y);
  }
  for (const { from, to, colour } of layer.arrows ?? []) drawArrow(pen, view.at(from), view.at(to), `rgb(${colour})`);
  pen.restore();
}

function drawArrow(pen, [x, y], [x2, y2], colour) {
  const long = Math.hypot(x2 - x, y2 - y), head = Math.min(5, 0.5 * long), [ux, uy] = [(x2 - x) / long, (y2 - y) / long];
  if (!(long > 0.5)) return dot(pen, x, y, 0.8, colour, RIM, 0.4);
  for (const [style, line] of [[RIM, 2.6], [colour, 1.5]]) {
    pen.strokeStyle = pen.fillStyle = style;
    pen.lineWidth = line;
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(x2, y2);
    pen.moveTo(x2 - head * (ux - 0.6 * uy), y2 - head * (uy + 0.6 * ux));
    pen.lineTo(x2, y2);
    pen.lineTo(x2 - head * (ux + 0.6 * uy), y2 - head * (uy - 0.6 * ux));
    pen.stroke();
  }
}

// Title, colours and their values, below the picture.
function tellLayer(layer) {
  if (state.told_layer === layer) return; // not at every frame
  state.told_layer = layer;
  part("see-legend").hidden = !layer;
  if (!layer) return;
  part("see-legend-title").textContent = layer.title;
  const second = LAYERS[layerName()].options.includes("scale") && state.views[state.chosen]?.inner ? "Composed paths have no offsets of their own: these are those of the last stage." : "";
  part("see-legend-note").textContent = [layer.note, second].filter(Boolean).join(" ");
  part("see-legend-bar").hidden = part("see-legend-ticks").hidden = !layer.bar;
  part("see-legend-wheel").hidden = !layer.wheel;
  if (layer.bar) {
    const stops = Array.from({ length: 33 }, (_, i) => `rgb(${layer.bar(i / 32)})`);
    part("see-legend-bar").style.background = `linear-gradient(to right, ${stops})`;
    part("see-legend-ticks").replaceChildren(
      ...layer.ticks.map((text) => Object.assign(document.createElement("span"), { textContent: text }))
    );
  }
  if (layer.wheel) drawWheel(part("see-legend-wheel"));
}

function drawWheel(canvas) {
  const side = 96, pixels = new ImageData(side, side), middle = (side - 1) / 2;
  Object.assign(canvas, { width: side, height: side });
  for (let i = 0; i < side * side; i++) {
    const dy = (Math.floor(i / side) - middle) / middle, dx = ((i % side) - middle) / middle;
    if (Math.hypot(dy, dx) <= 1) pixels.data.set([...wheelColour(state.wheel, dy, dx, 1), 255], 4 * i);
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}
