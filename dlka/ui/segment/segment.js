// Linked planes: a crosshair that pointer, wheel, keys and fingers move, and what the kernel reads for the cell under the
// pointer, in every plane and in a view that is turned by dragging.
// gr.HTML gives: element (this component), props (its value), watch (called when the server sends another value).

const part = (name) => element.querySelector(`.${name}`);
const state = { data: null, turn: 0, cross: [0, 0, 0], under: null, amount: 1, begun: null, frame: 0, angle: [0.6, 0.45], wheel: 0, made: new Map() };
const still = matchMedia("(prefers-reduced-motion: reduce)");
const WAIT = 400, LASTS = 1200; // ms on the grid, and from there to the samples
const SOLID = [110, 320]; // CSS pixels, least and greatest side of the view that is turned
const TALL = 600, NARROW = 620; // height of all planes; width of a page below which what they say stands below them
const GAP = 8, NOTCH = 30; // CSS pixels between planes, and of a wheel for one slice

const solid = part("seg-solid").querySelector("canvas");

const kept = (name, make) => {
  if (!state.made.has(name)) state.made.set(name, make());
  return state.made.get(name);
};

async function load(data) {
  const turn = ++state.turn;
  const files = [data.shown, data.found, ...(data.true ? [data.true] : [])].map(bytesOf);
  const found = await Promise.all(files).catch(() => null);
  if (turn !== state.turn) return;
  if (!found) return void (part("seg-told").textContent = "The volume did not arrive: press Segment, or reload the page.");
  const [shown, labels, truth] = found.map((bytes) => new Uint8Array(bytes));
  const same = state.data?.name === data.name && String(state.data.size) === String(data.size);
  Object.assign(state, { data, shown, labels, truth, under: null, made: new Map() });
  if (!same) state.cross = [...data.start];
  buildPlanes();
  part("seg-stage").replaceChildren(...data.stages.map(({ label }, i) => new Option(label, i)));
  part("seg-stage").value = data.chosen;
  for (const name of ["seg-of-stage", "seg-solid"]) for (const one of element.querySelectorAll(`.${name}`)) one.hidden = !data.stages.length;
  part("seg-of-volume").hidden = data.kind === "picture";
  part("seg-sides").hidden = data.kind === "picture" || data.in_file.length > 1;
  part("seg-over").querySelector('[value="true"]').disabled = !data.true;
  part("seg-over").querySelector('[value="length"]').disabled = !data.stages.length;
  part("seg-over").querySelector('[value="gate"]').disabled = !data.stages.length;
  if (part("seg-over").selectedOptions[0].disabled) part("seg-over").value = "found";
  tellScores();
  await chooseStage();
}

function buildPlanes() {
  const { data } = state;
  part("seg-planes").dataset.kind = data.kind;
  state.planes = planesOf(data.kind).map((plane) => {
    const figure = document.createElement("figure"), canvas = document.createElement("canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    const title = data.kind === "picture" ? "Picture" : NAMES[plane.cut];
    canvas.setAttribute("aria-label", `${title}: arrow keys move the cross${data.kind === "picture" ? "" : ", page up and down go through slices"}`);
    canvas.setAttribute("aria-describedby", "seg-told");
    figure.append(document.createElement("figcaption"), canvas);
    const own = { ...plane, title, canvas, caption: figure.firstChild };
    follow(own);
    return own;
  });
  const [first, ...others] = state.planes.map((plane) => plane.canvas.parentNode);
  part("seg-planes").replaceChildren(first, part("seg-solid"), ...others);
}

// The offsets and gate of the chosen stage, asked for once.
async function chooseStage() {
  const { data, turn } = state;
  state.chosen = Number(part("seg-stage").value || 0);
  const stage = data.stages[state.chosen];
  if (stage && !stage.levels) {
    const found = await Promise.all([bytesOf(stage.offsets), bytesOf(stage.gate.values)]).catch(() => null);
    if (turn !== state.turn) return;
    if (!found) return void (part("seg-told").textContent = "The offsets did not arrive: press Segment, or reload the page.");
    Object.assign(stage, { levels: new Int16Array(found[0]), gates: new Uint8Array(found[1]) });
  }
  Object.assign(state, { amount: still.matches || !stage ? 1 : 0, begun: still.matches || !stage ? null : 0 });
  redraw();
}

const stageNow = () => {
  const stage = state.data.stages[state.chosen];
  return stage?.levels ? stage : null;
};

// One number a cell of the stage's map, from 0 to 1 of its scale, that lies over the planes; null for labels.
function overlay() {
  const over = part("seg-over").value, stage = stageNow(), { data } = state;
  if (!stage || (over !== "length" && over !== "gate")) return null;
  return kept(`${over} ${state.chosen}`, () => {
    if (over === "gate") return { stage, map: Float32Array.from(stage.gates, (v) => v / 255), ends: [stage.gate.low, stage.gate.high], table: data.tables.gate };
    const lengths = lengthsOf(stage, stage.levels, data.spacing), most = lengths.reduce((a, b) => Math.max(a, b), 1e-9);
    return { stage, map: lengths.map((v) => v / most), ends: [0, most], table: data.tables.length };
  });
}

// What a cell of the scan looks like under the chosen overlay.
function colouring() {
  const { data, shown, labels, truth } = state, opacity = Number(part("seg-opacity").value), over = part("seg-over").value;
  const colours = kept("colours", () => data.colours.map(channels)), map = overlay();
  const grey = data.kind === "picture" ? (i) => shown.subarray(3 * i, 3 * i + 3) : (i) => [shown[i], shown[i], shown[i]];
  const mix = (under, top) => under.length && [0, 1, 2].map((c) => under[c] + opacity * (top[c] - under[c]));
  if (map) {
    const table = kept(`table ${over}`, () => Array.from({ length: 256 }, (_, i) => channels(map.table.slice(6 * i, 6 * i + 6))));
    const [, height, width] = data.size, { size, stride } = map.stage;
    return (i) => {
      const place = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width];
      const [z, y, x] = place.map((p, a) => Math.min(Math.floor(p / stride[a]), size[a] - 1));
      return mix(grey(i), table[Math.round(255 * map.map[(z * size[1] + y) * size[2] + x])]);
    };
  }
  if (over === "none") return grey;
  const values = over === "true" ? truth : labels;
  return (i) => (values[i] ? mix(grey(i), colours[values[i]]) : grey(i));
}

function redraw() {
  if (!state.frame) state.frame = requestAnimationFrame(draw);
}

function draw(now) {
  state.frame = 0;
  const { data } = state;
  if (!data) return;
  if (state.begun !== null) {
    state.begun ||= now;
    const share = Math.min(Math.max((now - state.begun - WAIT) / LASTS, 0), 1);
    state.amount = share * share * (3 - 2 * share);
    if (share === 1) state.begun = null;
    else redraw();
  }
  const stage = stageNow(), place = state.under ?? state.cross;
  const cell = stage && toCell(stage, place), reads = stage && inScan(stage, readsOf(stage, stage.levels, cell, state.amount));
  const scale = scaleOf();
  for (const plane of state.planes) drawPlane(plane, scale, colouring, stage, cell, reads);
  const { name, strength } = data;
  Object.assign(part("seg-planes"), { data, drawn: { name, strength, label: stage?.label, place, cross: [...state.cross], cell, reads } });
  if (stage && data.kind === "volume") {
    const full = kept(`reach ${state.chosen}`, () => reachOf(stage, sidesOf(stage, data)));
    drawSolid(solid, solidSide(), full, state.angle, data, stage, cell, state.amount);
  }
  tell(stage, place, cell);
  legend();
}

// CSS pixels a millimetre, the same in all planes, which fill the room there is in two rows and two columns.
function scaleOf() {
  const { size, spacing, kind } = state.data, room = part("seg").clientWidth, share = room < NARROW ? room : 0.65 * room;
  const [deep, high, wide] = size.map((n, a) => n * spacing[a]);
  if (kind === "picture") return Math.min(share / wide, TALL / high);
  return Math.min((share - GAP) / (wide + high), TALL / (high + deep));
}

// CSS pixels, side of the view that is turned: as high as the axial plane, whose row it shares.
function solidSide() {
  const [axial, , sagittal] = state.planes, room = part("seg").clientWidth - axial.view.width - GAP;
  return Math.max(Math.min(sagittal.view.width, axial.view.height, room, SOLID[1]), SOLID[0]);
}

function drawPlane(plane, scale, colour, stage, cell, reads) {
  const { data, cross } = state, view = viewOf(data, plane, scale), { canvas } = plane;
  plane.view = view;
  const ratio = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.round(view.width * ratio), Math.round(view.height * ratio)];
  Object.assign(canvas.style, { width: `${view.width}px`, height: `${view.height}px` });
  const pen = canvas.getContext("2d"), at = Math.round(cross[plane.cut]);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.imageSmoothingEnabled = false;
  const over = `${at} ${part("seg-over").value} ${part("seg-opacity").value} ${state.chosen} ${state.turn} ${Boolean(stage)}`;
  if (plane.over !== over) Object.assign(plane, { over, paper: sliceOf(data, plane, at, colour()) });
  pen.drawImage(plane.paper, 0, 0, view.width, view.height);
  const [x, y] = view.at(cross);
  for (const [ink, line] of [["rgba(20, 23, 26, 0.5)", 2], ["rgba(255, 255, 255, 0.8)", 1]]) {
    Object.assign(pen, { strokeStyle: ink, lineWidth: line });
    pen.beginPath();
    pen.moveTo(0, y);
    pen.lineTo(view.width, y);
    pen.moveTo(x, 0);
    pen.lineTo(x, view.height);
    pen.stroke();
  }
  if (data.in_file.length > 1) {
    Object.assign(pen, { font: "600 12px system-ui, sans-serif", fillStyle: "white", strokeStyle: RIM, lineWidth: 3, textAlign: "center", textBaseline: "middle" });
    const [left, right] = ENDS[plane.across], [bottom, top] = ENDS[plane.up];
    for (const [letter, lx, ly] of [[left, 9, view.height / 2], [right, view.width - 9, view.height / 2], [top, view.width / 2, 9], [bottom, view.width / 2, view.height - 9]]) {
      pen.strokeText(letter, lx, ly);
      pen.fillText(letter, lx, ly);
    }
  }
  if (reads) drawCell(pen, view, plane, data, stage, cell, reads);
  canvas.drawn = { slice: at, cross: [x, y], samples: reads?.samples.map(view.at) };
  if (plane.cut === 0) drawBar(pen, view, scale, data.unit);
  const row = data.in_file[0]?.find((one) => one[2 - plane.cut]); // of the file's own axis, which may run the other way
  plane.caption.textContent = `${plane.title}, ${row ? Math.round(row[2 - plane.cut] * at + row[3]) : at} (0 to ${data.size[plane.cut] - 1})`;
}

// How long a round number of millimetres or pixels is.
function drawBar(pen, view, scale, unit) {
  const length = [200, 100, 50, 20, 10, 5, 2].find((n) => n * scale < 0.3 * view.width) ?? 1, y = view.height - 8;
  for (const [ink, line] of [[RIM, 4], ["white", 2]]) {
    Object.assign(pen, { strokeStyle: ink, lineWidth: line });
    pen.beginPath();
    pen.moveTo(8, y);
    pen.lineTo(8 + length * scale, y);
    pen.stroke();
  }
  Object.assign(pen, { font: "11px system-ui, sans-serif", fillStyle: "white", strokeStyle: RIM, lineWidth: 3, textAlign: "left", textBaseline: "bottom" });
  pen.strokeText(`${length} ${unit}`, 8, y - 3);
  pen.fillText(`${length} ${unit}`, 8, y - 3);
}

// Millimetres from a cell within which nine in ten samples of the stage lie, and at least its grid.
function reachOf(stage, mm) {
  const grid = Math.hypot(...stage.kernel.map((k, a) => ((k - 1) / 2) * stage.dilation[a] * mm[a])), lengths = [];
  const taps = stage.kernel.reduce((a, b) => a * b);
  for (let i = 0; i < stage.levels.length; i += 3 * taps) lengths.push(Math.hypot(...mm.map((m, a) => stage.levels[i + a] * stage.unit * m)));
  lengths.sort((a, b) => a - b);
  return grid + (lengths[Math.floor(0.9 * lengths.length)] || 0);
}

function tell(stage, place, cell) {
  const { data, labels, truth } = state, at = place.map(Math.round);
  const index = (at[0] * data.size[1] + at[1]) * data.size[2] + at[2];
  const [z, y, x] = at, through = (rows) => rows.map((row) => row[0] * x + row[1] * y + row[2] * z + row[3]);
  const [voxel, mm] = data.in_file.map(through);
  const there = mm ? `, at ${mm.map(millimetres).join(", ")}` : "";
  const where = voxel ? `Voxel ${voxel.map(Math.round).join(", ")} of the file${there}` : `Pixel ${x}, ${y}`;
  let said = `${where}: ${data.names[labels[index]]}`;
  let reading = "";
  if (truth) said += truth[index] === labels[index] ? ", as labelled" : `, labelled ${data.names[truth[index]]}`;
  if (stage) {
    const reads = readsOf(stage, stage.levels, cell, 1), taps = reads.samples.length;
    const moved = reads.samples.map((s, i) => Math.hypot(...s.map((v, a) => (v - reads.regular[i][a]) * stage.stride[a] * data.spacing[a])));
    const mean = moved.reduce((a, b) => a + b) / taps, outside = reads.zero.filter(Boolean).length;
    const side = stage.stride.map((s, a) => s * data.spacing[a]).reverse().slice(0, data.kind === "picture" ? 2 : 3);
    const gate = stage.gate.low + (stage.gate.high - stage.gate.low) * (stage.gates[(cell[0] * stage.size[1] + cell[1]) * stage.size[2] + cell[2]] / 255);
    reading = `${taps} taps of ${stage.label}, moved by ${mean.toFixed(2)} ${data.unit} on average`;
    if (outside) reading += `, ${outside} of them out of the map`;
    reading += `. A cell of its map is ${side.map((s) => +s.toFixed(1)).join(" x ")} ${data.unit}; its gate here: ${gate.toFixed(2)}.`;
  }
  part("seg-told").textContent = `${said}.`;
  part("seg-reads").textContent = reading;
}

// A coordinate of the header, by the letter of its side.
const millimetres = (value, axis) => `${Math.abs(value).toFixed(1)} mm ${ENDS[2 - axis][value < 0 ? 0 : 1]}`;

function legend() {
  const map = overlay(), { data } = state, box = part("seg-legend");
  box.replaceChildren();
  if (map) {
    const bar = document.createElement("i"), stops = Array.from({ length: 9 }, (_, i) => `#${map.table.slice(6 * Math.round(i * 31.875), 6 * Math.round(i * 31.875) + 6)}`);
    bar.className = "seg-bar";
    bar.style.background = `linear-gradient(to right, ${stops})`;
    const what = part("seg-over").value === "gate" ? "gate, mean over channels" : `mean length of the offsets, ${data.unit}`;
    box.append(`${what}: ${map.ends[0].toFixed(2)} `, bar, ` ${map.ends[1].toFixed(2)}`);
    return;
  }
  if (part("seg-over").value !== "none")
    data.names.slice(1).forEach((name, i) => {
      const chip = document.createElement("span"), square = document.createElement("i");
      square.style.background = data.colours[i + 1];
      chip.className = "seg-chip";
      chip.append(square, ` ${name}`);
      box.append(chip);
    });
}

function tellScores() {
  const { data } = state, rows = data.scores ?? [];
  part("seg-scores").hidden = !rows.length;
  part("seg-unit").textContent = `HD95, ${data.unit}`;
  part("seg-at-zero").hidden = rows[0]?.length !== 4;
  part("seg-weights").style.background = `linear-gradient(to right, ${data.weight_colours})`;
  part("seg-rows").replaceChildren(
    ...rows.map((row) => {
      const line = document.createElement("tr");
      line.append(...row.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
      return line;
    })
  );
}

function moveCross(plane, point) {
  const [across, up] = plane.view.place(point), { size } = state.data;
  const kept = (value, axis) => Math.min(Math.max(Math.round(value), 0), size[axis] - 1);
  const cross = [...state.cross];
  cross[plane.across] = kept(across, plane.across);
  cross[plane.up] = kept(up, plane.up);
  return cross;
}

const step = (axis, by) => {
  state.cross[axis] = Math.min(Math.max(state.cross[axis] + by, 0), state.data.size[axis] - 1);
  state.under = null;
  redraw();
};

// What pointer, wheel and keys do in a plane.
function follow(plane) {
  const { canvas } = plane, point = (event) => [event.offsetX, event.offsetY];
  const hold = (event) => {
    state.cross = moveCross(plane, point(event));
    state.under = null;
    redraw();
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    hold(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons) return hold(event);
    state.under = moveCross(plane, point(event));
    redraw();
  });
  canvas.addEventListener("pointerleave", () => {
    state.under = null;
    redraw();
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      if (event.ctrlKey || state.data.size[plane.cut] === 1) return; // the browser's own zoom; a picture has one slice
      event.preventDefault();
      state.wheel -= Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY) * (event.deltaMode ? NOTCH : 1), NOTCH);
      if (Math.abs(state.wheel) < NOTCH) return; // of a pad, many small ones
      step(plane.cut, Math.sign(state.wheel));
      state.wheel = 0;
    },
    { passive: false }
  );
  const down = plane.down ? 1 : -1;
  const keys = { ArrowLeft: [plane.across, -1], ArrowRight: [plane.across, 1], ArrowDown: [plane.up, down], ArrowUp: [plane.up, -down], PageUp: [plane.cut, 1], PageDown: [plane.cut, -1] };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    event.preventDefault();
    step(...keys[event.key]);
  });
}

turnBy(solid, state.angle, redraw);
part("seg-stage").addEventListener("change", chooseStage);
part("seg-over").addEventListener("change", redraw);
part("seg-opacity").addEventListener("input", redraw);
part("seg-replay").addEventListener("click", () => {
  Object.assign(state, { amount: still.matches ? 1 : 0, begun: still.matches ? null : 0 });
  redraw();
});
new ResizeObserver(redraw).observe(part("seg"));
const show = () => props.value && load(JSON.parse(props.value));
watch("value", show);
show();
