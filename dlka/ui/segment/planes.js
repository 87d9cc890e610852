// Planes of a volume, or the one of a picture, and what is drawn on them. Places are [z, y, x] in cells of the picture or
// volume, from 0 at the middle of the first one; a plane shows two of these axes, `across` to the right and `up` upwards.
// Of a picture rows run downwards.

const NAMES = { 0: "Axial", 1: "Coronal", 2: "Sagittal" }; // by the axis that a plane is cut across
const ENDS = [["I", "S"], ["P", "A"], ["L", "R"]]; // of an axis, from its first cell to its last
const RIM = "rgba(20, 23, 26, 0.85)";

// The planes of a scan by the axis that they are cut across.
const planesOf = (kind) =>
  kind === "picture"
    ? [{ cut: 0, across: 2, up: 1, down: true }]
    : [
        { cut: 0, across: 2, up: 1 },
        { cut: 1, across: 2, up: 0 },
        { cut: 2, across: 1, up: 0 },
      ];

// Cells of a stage's map <-> cells of the scan, whose map has a cell for every `stride` of them.
const toScan = (stage, cell) => cell.map((c, a) => (c + 0.5) * stage.stride[a] - 0.5);
const toCell = (stage, place) =>
  place.map((p, a) => Math.min(Math.max(Math.floor((p + 0.5) / stage.stride[a]), 0), stage.size[a] - 1));

// Where the kernel of a stage reads for a cell, in cells of its map: taps in rows, the last axis fastest. amount: what
// offsets are multiplied by. zero: the read lies outside the map,
// which goes on beyond the scan where that was filled up.
function readsOf(stage, levels, cell, amount) {
  const regular = [], samples = [], zero = [];
  const [kd, kh, kw] = stage.kernel, taps = kd * kh * kw;
  const at = ((cell[0] * stage.size[1] + cell[1]) * stage.size[2] + cell[2]) * taps * 3;
  for (let tap = 0; tap < taps; tap++) {
    const on = [Math.floor(tap / (kh * kw)), Math.floor(tap / kw) % kh, tap % kw];
    const grid = cell.map((c, a) => c + (on[a] - (stage.kernel[a] - 1) / 2) * stage.dilation[a]);
    const read = grid.map((g, a) => g + amount * levels[at + 3 * tap + a] * stage.unit);
    regular.push(grid);
    samples.push(read);
    zero.push(read.some((r, a) => !(r > -1 && r < stage.reach[a])));
  }
  return { regular, samples, zero };
}

// Mean length of the offsets of every cell, in millimetres or pixels.
function lengthsOf(stage, levels, spacing) {
  const taps = stage.kernel.reduce((a, b) => a * b), cells = stage.size.reduce((a, b) => a * b);
  const side = stage.stride.map((s, a) => s * spacing[a] * stage.unit), lengths = new Float32Array(cells);
  for (let cell = 0; cell < cells; cell++) {
    let sum = 0;
    for (let tap = 0, i = cell * taps * 3; tap < taps; tap++, i += 3)
      sum += Math.hypot(levels[i] * side[0], levels[i + 1] * side[1], levels[i + 2] * side[2]);
    lengths[cell] = sum / taps;
  }
  return lengths;
}

// A slice as a canvas with one pixel a cell. colour: index of a cell of the scan -> [r, g, b].
function sliceOf(scan, plane, at, colour) {
  const [, height, width] = scan.size, across = scan.size[plane.across], up = scan.size[plane.up];
  const paper = new OffscreenCanvas(across, up), pen = paper.getContext("2d"), image = pen.createImageData(across, up);
  const place = [0, 0, 0];
  place[plane.cut] = at;
  for (let row = 0; row < up; row++)
    for (let column = 0; column < across; column++) {
      place[plane.up] = plane.down ? row : up - 1 - row;
      place[plane.across] = column;
      const [r, g, b] = colour((place[0] * height + place[1]) * width + place[2]);
      image.data.set([r, g, b, 255], 4 * (row * across + column));
    }
  pen.putImageData(image, 0, 0);
  return paper;
}

// A plane's places as CSS pixels of its canvas, and back. scale: CSS pixels a millimetre or pixel.
function viewOf(scan, plane, scale) {
  const side = [plane.across, plane.up].map((a) => scan.spacing[a] * scale);
  const width = scan.size[plane.across] * side[0], height = scan.size[plane.up] * side[1];
  return {
    width,
    height,
    side,
    at: (place) => {
      const y = (place[plane.up] + 0.5) * side[1];
      return [(place[plane.across] + 0.5) * side[0], plane.down ? y : height - y];
    },
    place: ([x, y]) => [x / side[0] - 0.5, (plane.down ? y : height - y) / side[1] - 0.5],
  };
}

function dot(pen, [x, y], radius, fill, rim, line = 0.8) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fillStyle = fill;
  if (fill) pen.fill();
  pen.lineWidth = line;
  pen.strokeStyle = rim;
  pen.stroke();
}

// Samples of a kernel seen along an axis. reads: as readsOf gives them, in cells of the scan; far: of each how many cells
// of its map it lies behind the plane (negative: before it); what is farther is smaller and paler.
function drawReads(pen, at, reads, weights, colours, far) {
  const order = weights.map((_, i) => i).sort((a, b) => far[b] - far[a]);
  for (const [ink, line] of [["rgba(20, 23, 26, 0.4)", 2.2], ["rgba(255, 255, 255, 0.75)", 1]])
    for (const i of order) {
      Object.assign(pen, { strokeStyle: ink, lineWidth: line, globalAlpha: 0.8 / (1 + 0.6 * Math.abs(far[i])) });
      pen.beginPath();
      pen.moveTo(...at(reads.regular[i]));
      pen.lineTo(...at(reads.samples[i]));
      pen.stroke();
    }
  for (const i of order) {
    const near = 1 / (1 + 0.35 * Math.abs(far[i]));
    pen.globalAlpha = 0.35 + 0.65 * near;
    dot(pen, at(reads.regular[i]), 2.2 * near, null, RIM, 3);
    dot(pen, at(reads.regular[i]), 2.2 * near, null, "white", 1.6);
    if (reads.zero[i]) {
      const [x, y] = at(reads.samples[i]);
      for (const [ink, line] of [[RIM, 3], ["white", 1.4]]) {
        Object.assign(pen, { strokeStyle: ink, lineWidth: line });
        pen.beginPath();
        pen.moveTo(x - 3, y - 3);
        pen.lineTo(x + 3, y + 3);
        pen.moveTo(x - 3, y + 3);
        pen.lineTo(x + 3, y - 3);
        pen.stroke();
      }
    } else dot(pen, at(reads.samples[i]), 4.2 * near, colours[Math.round(weights[i] * (colours.length - 1))], RIM);
  }
  pen.globalAlpha = 1;
}

// What a file of the page holds, unpacked.
async function bytesOf(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${answer.status}`);
  return new Response(answer.body.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
}

// "#rrggbb" or "rrggbb" as three numbers.
const channels = (hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i + (hex[0] === "#"), i + 2 + (hex[0] === "#")), 16));

// Millimetres or pixels along the sides of a stage's cell.
const sidesOf = (stage, data) => stage.stride.map((s, a) => s * data.spacing[a]);

const inScan = (stage, reads) => ({
  regular: reads.regular.map((c) => toScan(stage, c)),
  samples: reads.samples.map((c) => toScan(stage, c)),
  zero: reads.zero,
});

// The cell that reads, and what it reads, over a slice. reads: as inScan gives them.
function drawCell(pen, view, plane, data, stage, cell, reads) {
  const corner = toScan(stage, cell.map((c) => c - 0.5)), end = toScan(stage, cell.map((c) => c + 0.5));
  const [x0, y0] = view.at(corner), [x1, y1] = view.at(end);
  Object.assign(pen, { strokeStyle: data.accent, lineWidth: 2 });
  pen.strokeRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
  const middle = toScan(stage, cell)[plane.cut];
  const far = reads.samples.map((p) => (plane.cut === 1 ? 1 : -1) * (p[plane.cut] - middle) / stage.stride[plane.cut]);
  drawReads(pen, view.at, reads, stage.weights, data.weight_colours, far);
}

// The samples of a cell from any side, in a square canvas of `side` CSS pixels: no perspective, axes through the cell.
// full: millimetres from the middle to near the edge; angle: turn and tilt. Returns what says where a place of the map lies.
function drawSolid(canvas, side, full, angle, data, stage, cell, amount) {
  const ratio = window.devicePixelRatio || 1, [turn, tilt] = angle, mm = sidesOf(stage, data), scale = (0.46 * side) / full;
  [canvas.width, canvas.height] = [Math.round(side * ratio), Math.round(side * ratio)];
  Object.assign(canvas.style, { width: `${side}px`, height: `${side}px` });
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = "#14171a";
  pen.fillRect(0, 0, side, side);
  const seen = ([z, y, x]) => {
    const right = Math.cos(turn) * x + Math.sin(turn) * y, back = -Math.sin(turn) * x + Math.cos(turn) * y;
    return { right, up: Math.cos(tilt) * z + Math.sin(tilt) * back, back: Math.cos(tilt) * back - Math.sin(tilt) * z };
  };
  const at = (place) => {
    const { right, up } = seen(place);
    return [side / 2 + right * scale, side / 2 - up * scale];
  };
  for (const [axis, letters] of ENDS.entries())
    for (const [sign, letter] of [[-1, letters[0]], [1, letters[1]]]) {
      const end = [0, 0, 0];
      end[axis] = sign * full * 0.9;
      Object.assign(pen, { strokeStyle: "rgba(255, 255, 255, 0.25)", lineWidth: 1, fillStyle: "rgba(255, 255, 255, 0.7)", font: "11px system-ui, sans-serif", textAlign: "center", textBaseline: "middle" });
      pen.beginPath();
      pen.moveTo(side / 2, side / 2);
      pen.lineTo(...at(end));
      pen.stroke();
      if (data.in_file.length > 1) pen.fillText(letter, ...at(end.map((v) => v * 1.06)));
    }
  const around = (places) => places.map((p) => p.map((v, a) => (v - cell[a]) * mm[a]));
  const reads = readsOf(stage, stage.levels, cell, amount);
  const moved = { regular: around(reads.regular), samples: around(reads.samples), zero: reads.zero };
  const far = moved.samples.map((p) => seen(p).back / Math.max(...mm));
  drawReads(pen, at, moved, stage.weights, data.weight_colours, far);
  canvas.drawn = { samples: moved.samples.map(at), far, side };
  return (place) => at(around([place])[0]);
}

// Turning by dragging and by arrow keys, what is in front goes with the pointer; angle: turn and tilt, which change in place.
function turnBy(canvas, angle, redraw) {
  let held = null; // where the pointer was
  const turn = (by, tilt) => {
    angle[0] -= by;
    angle[1] = Math.min(Math.max(angle[1] + tilt, -Math.PI / 2), Math.PI / 2);
    redraw();
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held = [event.clientX, event.clientY];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!event.buttons || !held) return;
    turn((event.clientX - held[0]) / 80, (event.clientY - held[1]) / 80);
    held = [event.clientX, event.clientY];
  });
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
    if (!by) return;
    event.preventDefault();
    turn(...by);
  });
}
