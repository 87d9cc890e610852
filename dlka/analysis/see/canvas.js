// The picture: follows pointer, finger and keys, moves samples from the grid to where they were learned, and draws every
// canvas at most once a frame.
// gr.HTML gives: element (this component), props (its value), watch (called when the server sends another value).

const part = (name) => element.querySelector(`.${name}`);
const state = {
  ...{ data: null, offsets: null, gates: null, image: null, point: null, pinned: false, chosen: 0, object: null },
  ...{ frame: 0, turn: 0, amount: 1, begun: null, zoom: 1, corner: [-0.5, -0.5], room: 320, said: 0, made: new Map() },
  // What is computed once for a comparison.
  kept(name, make) {
    if (!this.made.has(name)) this.made.set(name, make());
    return this.made.get(name);
  },
};
const still = matchMedia("(prefers-reduced-motion: reduce)");
const WAIT = 500, LASTS = 1200; // ms on the grid, and from there to the samples
const SAID = 150; // ms
const LEAST = 96, WIDEST = 4000; // px of the picture's shorter side on the page, and of the longer side of a strip
const KINDS = { both: "both", class_changed: "both, as different classes", only_first: "only D-LKA", only_second: "only baseline" };
// What the model's card says of its offsets -> what that means for what is drawn here.
const USES = {
  unused: "This model does not need its offsets: its AP hardly changes without them.",
  small: "This model needs its offsets only a little.",
};

// Every deform stage is a view; so is the pair of a block, composed.
function viewsOf(data) {
  return data.stages.flatMap((stage, i) => {
    const before = data.stages[i - 1];
    const composed = before && before.block === stage.block ? [{ stage, inner: before, label: `${stage.place} composed` }] : [];
    return [{ stage, inner: null, label: stage.label }, ...composed];
  });
}

async function load(data) {
  const turn = ++state.turn;
  for (const name of ["see-side", "see-field", "see-sum", "see-taps", "see-replay"]) part(name).hidden = !data.stages.length;
  for (const label of element.querySelectorAll(".see-of-stage")) label.hidden = !data.stages.length;
  part("see-none").hidden = data.stages.length > 0;
  if (!data.stages.length && part("see-layers").querySelector(".see-of-stage :checked")) part("see-plain").checked = true;
  const image = new Image();
  image.src = data.picture;
  const found = await Promise.all([fetchOffsets(data.offsets), image.decode()]).catch(() => null);
  if (turn !== state.turn) return; // a newer comparison came in between
  if (!found) {
    state.data = null; // what is drawn still is of another question
    part("see-told").textContent = "The offsets did not arrive: press Compare, or reload the page.";
    return;
  }
  const [offsets] = found, before = state.data?.source === data.source ? state.object : undefined;
  Object.assign(state, { data, image, offsets, gates: null, told_layer: undefined, made: new Map() });
  // Another picture is looked at from the start; of the same one, what was looked at before still is.
  if (before === undefined) Object.assign(state, { point: data.point, zoom: 1, corner: [-0.5, -0.5], pinned: false });
  state.object = null;
  state.tables ??= Object.fromEntries(Object.entries(data.tables).map(([name, table]) => [name, readTable(table)]));
  state.wheel ??= { stops: data.wheel.map((colour) => entry(colour.slice(1), 0)), zero: entry(data.wheel_zero.slice(1), 0) };
  const label = state.views?.[state.chosen]?.label;
  state.views = viewsOf(data);
  state.chosen = before === undefined ? 0 : Math.max(0, state.views.findIndex((view) => view.label === label));
  const again = before && data.objects.find((object) => overlap(object, before) >= 0.5);
  if (again) lookAt(again);
  else if (before === undefined && data.chosen !== null) lookAt(data.objects[data.chosen]);
  readAddress();
  if (state.pinned) tellAddress(); // a new comparison of the same picture has taken the cell out of it
  buildPanels();
  for (const dot of element.querySelectorAll(".see-kind")) dot.style.background = data.kind_colours[dot.dataset.kind];
  part("see-dlka").style.borderTopColor = data.accents.DLKA;
  part("see-baseline").style.borderTopColor = data.accents.BASELINE;
  part("see-bar").style.background = `linear-gradient(to right, ${data.colours.join(", ")})`;
  part("see-gate").replaceChildren(...data.gates.map(({ label }, i) => new Option(label, i)));
  if (!data.stages.length) part("see-told").textContent = "";
  say("");
  buildOnly();
  chooseLayer();
  replay();
  if (before === undefined) requestAnimationFrame(() => state.data === data && centre(state.point)); // once it is drawn
  askCards();
}

// An object is chosen: the cell that found it, in a view of the level that it was found on.
function lookAt(object) {
  Object.assign(state, { object, point: object.point });
  if (!object.level || state.views[state.chosen]?.stage.level === object.level) return;
  const view = state.views.findIndex(({ stage }) => stage.level === object.level);
  if (view >= 0) state.chosen = view;
}

// From the grid to the samples, once; at once for who does not want motion.
function replay() {
  Object.assign(state, { amount: still.matches ? 1 : 0, begun: still.matches ? null : 0 });
  redraw();
}

// How far the animation is; state.begun: ms of its first frame that is seen, 0 before that, null when it has ended.
function advance(now) {
  if (state.begun === null) return;
  state.begun ||= now;
  const share = Math.min(Math.max((now - state.begun - WAIT) / LASTS, 0), 1);
  state.amount = share * share * (3 - 2 * share);
  if (share === 1) state.begun = null;
  else redraw();
}

// What offsets are multiplied by in the drawing.
const gain = () => state.amount * (part("see-exaggerate").checked ? 4 : 1);

// The address names the view and the cell that were chosen last: also those that the page was opened with.
function readAddress() {
  const asked = new URLSearchParams(location.search), view = state.views.findIndex((v) => v.label === asked.get("stage"));
  if (view < 0) return;
  state.chosen = view;
  const { stage } = state.views[view], cell = (asked.get("cell") ?? "").match(/^(\d+),(\d+)$/)?.slice(1).map(Number);
  if (!cell || cell.some((c, axis) => c >= stage.size[axis])) return;
  const own = state.object && cellAt(state.data.letterbox, stage, state.object.point).every((c, axis) => c === cell[axis]);
  Object.assign(state, { point: cellCentre(state.data.letterbox, stage, cell), pinned: true, object: own ? state.object : null });
}

// A cell that is not held moves with the pointer and is not in the address.
function tellAddress() {
  if (!state.views.length) return;
  const { stage, label } = state.views[state.chosen];
  const cell = state.pinned ? cellAt(state.data.letterbox, stage, state.point).join(",") : "";
  document.dispatchEvent(new CustomEvent("dlka-address", { detail: new URLSearchParams({ stage: label, cell }) }));
}

function buildPanels() {
  const columns = Math.max(...state.views.map((view) => state.views.filter((v) => v.stage.block === view.stage.block).length));
  part("see-panels").style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
  part("see-panels").replaceChildren(
    ...state.views.map((view, i) => {
      const panel = document.createElement("button");
      panel.type = "button";
      panel.append(document.createElement("canvas"), document.createElement("span"));
      panel.lastChild.textContent = view.label;
      panel.title = `Show ${view.label} on the picture`;
      panel.addEventListener("click", () => choose(i));
      return panel;
    })
  );
  part("see-rows").replaceChildren(
    ...state.views.map(() => {
      const row = document.createElement("tr");
      row.append(document.createElement("th"), ...Array.from({ length: 5 }, () => document.createElement("td")));
      return row;
    })
  );
}

function choose(view) {
  state.chosen = view;
  redraw();
  tellAddress();
  askCards();
}

function redraw() {
  state.frame = state.frame || requestAnimationFrame(draw);
}

function readsAt(amount) {
  return state.views.map((view) => {
    const cell = cellAt(state.data.letterbox, view.stage, state.point);
    const reads = view.inner
      ? composedReads(view.inner, view.stage, state.offsets, cell, amount)
      : readsOf(view.stage, state.offsets, cell, amount);
    return { cell, reads };
  });
}

function draw(now) {
  state.frame = 0;
  if (!state.data || !element.offsetParent) return; // another tab is shown
  advance(now);
  const amount = gain(), found = readsAt(amount);
  part("see-amount").value = state.amount;
  drawMain(found[state.chosen]);
  if (!found.length) return; // no stages: boxes and gates alone
  drawPanel(part("see-close"), state.views[state.chosen], found[state.chosen], state.object, 0.62);
  [...part("see-panels").children].forEach((panel, i) => {
    panel.setAttribute("aria-pressed", i === state.chosen);
    drawPanel(panel.querySelector("canvas"), state.views[i], found[i]);
  });
  tellObjects();
  // Words and table now and then while something moves, and once it has come to rest: nobody reads them at every frame.
  const { data } = state, tellAll = () => tell(amount === 1 ? found : readsAt(1));
  if (now - state.said > SAID) {
    state.said = now;
    tellAll();
  } else requestAnimationFrame(() => state.frame || data !== state.data || tellAll());
}

// Reads as points on the screen; what is drawn stays on the canvas, for tests and for those who want the numbers.
function onScreen(view, kind, { cell, reads }) {
  const pairs = (flat) =>
    Array.from({ length: flat.length / 2 }, (_, i) =>
      view.at(toPicture(state.data.letterbox, kind.stage.stride, flat[2 * i], flat[2 * i + 1]))
    );
  const weights = kind.inner ? null : kind.stage.weights;
  const points = { regular: pairs(reads.regular), samples: pairs(reads.samples), zero: reads.zero, weights };
  view.canvas.drawn = { key: state.data.key, label: kind.label, cell, amount: gain(), ...points, left: view.left, top: view.top, scale: view.scale };
  return points;
}

function radiusOf(view, kind) {
  const cell = kind.stage.per_cell * view.scale;
  return kind.inner ? Math.min(Math.max(0.25 * cell, 1.5), 3) : Math.min(Math.max(0.32 * cell * kind.stage.dilation[0], 1.8), 5.5);
}

function drawMain(found) {
  const canvas = part("see-picture"), [height, width] = state.data.size;
  const fits = Math.min(part("see-fact").clientWidth / width, state.room / height);
  // A strip is not made a line: it is drawn this wide, and its frame scrolls.
  const scale = Math.max(fits, Math.min(LEAST / Math.min(width, height), WIDEST / Math.max(width, height)));
  const strip = part("see-scroll");
  strip.classList.toggle("see-strip", scale > fits);
  strip.style.maxHeight = scale > fits ? `${state.room}px` : "";
  const view = currentView(canvas, scale), kind = state.views[state.chosen], layer = currentLayer();
  const pen = prepare(canvas, width * scale, height * scale);
  drawPicture(pen, view, layer?.cells ? greyPicture() : state.image, state.data.size, layer?.arrows ? 0.5 : 0);
  tellLayer(layer);
  if (layer) paintLayer(pen, view, layer, Number(part("see-opacity").value), state.data.size);
  canvas.layer = layer; // for tests, as `drawn`
  drawBoxes(pen, view, shownObjects(), state.object, state.data.accents);
  if (found && !state.object) drawCross(pen, view, state.point, width * scale, height * scale);
  if (found) drawReads(pen, onScreen(view, kind, found), radiusOf(view, kind), state.data);
  else canvas.drawn = { key: state.data.key, left: view.left, top: view.top, scale: view.scale };
  if (state.object) drawName(pen, view, state.object, width * scale, state.data.alone ? { both: "found" } : KINDS);
  drawOverview(pen, height * scale);
  if (found && part("see-exaggerate").checked) drawText(pen, "Samples drawn 4 times as far from the grid", 6, height * scale - 22);
}

// Under the colours of a map the picture itself has none.
function greyPicture() {
  return state.kept("grey", () => {
    const { width, height } = state.image, grey = Object.assign(document.createElement("canvas"), { width, height });
    const pen = grey.getContext("2d");
    pen.drawImage(state.image, 0, 0);
    pen.globalCompositeOperation = "saturation";
    pen.fillStyle = "grey";
    pen.fillRect(0, 0, width, height);
    return grey;
  });
}

const layerName = () => part("see-layers").querySelector(":checked").value;

// The chosen layer of the view that is on the picture, or null where samples stand alone.
function currentLayer() {
  const name = layerName(), { make } = LAYERS[name];
  if (!make) return null;
  const view = state.views[state.chosen], { opacity, gate, ...options } = chosenOptions();
  const asked = ["layer", name, view?.label, gate?.label, String(state.gates && 1), ...Object.values(options)].join();
  return state.kept(asked, () => make(view, { gate, ...options }));
}

// The options as they stand; a number that there is not becomes the nearest that there is.
function chosenOptions() {
  const view = state.views[state.chosen], { gates } = state.data;
  const gate = gates.find(({ block }) => block === view?.stage.block) ?? gates[Number(part("see-gate").value)];
  const whole = (name, most) => {
    const field = part(name), number = Math.min(Math.max(Math.trunc(Number(field.value)) || 0, 0), most);
    if (Number(field.value) !== number) field.value = number;
    return number;
  };
  return {
    ...{ tap: view ? whole("see-tap-shown", view.stage.kernel[0] * view.stage.kernel[1]) : 0, scale: part("see-scale").value },
    ...{ reduction: part("see-reduction").value, channel: gate ? whole("see-channel-shown", gate.channels - 1) : 0 },
    ...{ opacity: Number(part("see-opacity").value), gate },
  };
}

// Another layer, or another option of it: what belongs to it is seen, and gates are fetched when they are first asked for.
async function chooseLayer() {
  const { options } = LAYERS[layerName()], { data } = state;
  for (const label of element.querySelectorAll("[data-option]")) label.hidden = !options.includes(label.dataset.option);
  if (state.views.length || data.gates.length < 2) part("see-gate").parentElement.hidden = true; // it is that of the stage
  part("see-channel-shown").disabled = part("see-reduction").value !== "channel";
  taken.refresh();
  redraw();
  if (layerName() !== "attention" || state.gates) return;
  const got = await inflated(data.gate_values).catch(() => null);
  if (data !== state.data) return;
  state.gates = got && new Int8Array(got.buffer);
  if (got) redraw();
  else part("see-legend-title").textContent = "The gates did not arrive: choose the layer again.";
}

// Objects whose boxes are drawn; the chosen one last, on top.
function shownObjects() {
  const which = part("see-boxes").value, { objects } = state.data;
  const shown = objects.filter((o) => o !== state.object && (which === "all" || (which === "one" && o.kind.startsWith("only"))));
  return state.object ? [...shown, state.object] : shown;
}

// A window around a cell: wide enough for the kernel, and in the close-up for the object, too.
function drawPanel(canvas, kind, found, object = null, shape = 1) {
  const wide = canvas.parentElement.clientWidth, high = Math.round(wide * shape);
  const reach = (k) => (k.dilation[0] * (k.kernel[0] - 1)) / 2;
  const cells = reach(kind.stage) + (kind.inner ? reach(kind.inner) : 0) + 2.5;
  const centre = cellCentre(state.data.letterbox, kind.stage, found.cell), half = Math.max(cells * kind.stage.per_cell, object ? 0.65 * object.size : 0);
  const scale = high / (2 * half);
  const view = viewOf(canvas, centre[0] - wide / 2 / scale, centre[1] - half, scale), pen = prepare(canvas, wide, high);
  drawPicture(pen, view, state.image, state.data.size, 0.35);
  if (object) drawBoxes(pen, view, [object], object, state.data.accents);
  else drawCross(pen, view, state.point, wide, high);
  const points = onScreen(view, kind, found);
  drawReads(pen, points, radiusOf(view, kind), state.data);
}

// The same as a table and a sentence.
function tell(found) {
  const rows = found.map(({ cell, reads }, i) => {
    const { stage, inner, label } = state.views[i], outside = reads.lost + reads.zero.reduce((a, b) => a + b, 0);
    const name = `${cell[0]}, ${cell[1]}`;
    if (inner) return [label, name, `${reads.zero.length + reads.lost} paths`, "", "", outside];
    const moved = Array.from(reads.zero, (_, t) =>
      Math.hypot(reads.samples[2 * t] - reads.regular[2 * t], reads.samples[2 * t + 1] - reads.regular[2 * t + 1])
    ).filter(Number.isFinite);
    const mean = moved.reduce((a, b) => a + b, 0) / Math.max(moved.length, 1);
    const figures = [mean, mean * stage.per_cell, Math.max(0, ...moved)];
    return [label, name, ...figures.map((value) => value.toFixed(2)), outside];
  });
  [...part("see-rows").children].forEach((row, i) => {
    [...row.children].forEach((cell, j) => (cell.textContent = rows[i][j]));
  });
  tellTaps(found[state.chosen].reads, state.views[state.chosen]);
  const [label, cell, mean, pixels] = rows[state.chosen];
  const moved = state.views[state.chosen].inner ? mean : `taps moved by ${mean} cells (${pixels} px) on average`;
  const held = state.pinned ? "pinned" : "follows the pointer";
  part("see-told").textContent = `${label}, cell (row, column) ${cell}: ${moved}; ${held}.`;
}

// Every tap of the cell, in pixels of the picture and in cells, while its table is open.
function tellTaps({ regular, samples, zero }, { stage, inner }) {
  if (!part("see-taps").open) return;
  const at = (flat, tap) => toPicture(state.data.letterbox, stage.stride, flat[2 * tap], flat[2 * tap + 1]).map((v) => v.toFixed(1));
  const signed = (cells) => `${cells < 0 ? "" : "+"}${cells.toFixed(2)}`;
  const row = (_, tap) => [
    ...[`${tap + 1} (${Math.floor(tap / stage.kernel[1]) + 1}, ${(tap % stage.kernel[1]) + 1})`, at(regular, tap).join(", "), at(samples, tap).join(", ")],
    ...[[0, 1].map((axis) => signed(samples[2 * tap + axis] - regular[2 * tap + axis])).join(", "), zero[tap] ? "yes" : ""],
    stage.weights[tap].toFixed(2),
  ];
  const rows = inner ? [["Paths have no taps of their own: choose a single stage."]] : Array.from(zero, row);
  part("see-taps").querySelector("tbody").replaceChildren(
    ...rows.map((texts) => {
      const line = document.createElement("tr");
      line.append(...texts.map((textContent) => Object.assign(document.createElement("td"), { textContent })));
      return line;
    })
  );
}

// The sentence on the chosen object and the largest one, and the dots of all, for the stage that is on the picture.
function tellObjects() {
  const { stage } = state.views[state.chosen], { data, object } = state;
  const asked = [data, stage, object, window.innerWidth, document.body.classList.contains("dark")];
  if (state.told?.every((value, i) => value === asked[i])) return; // not at every frame under the pointer
  state.told = asked;
  if (state.zooms?.stage !== stage || state.zooms.data !== data) {
    const dots = data.objects.filter((o) => o.dlka).map((o) => ({ object: o, size: o.size, zoom: zoomAt(data.letterbox, stage, state.offsets, o) }));
    state.zooms = { stage, data, dots: dots.filter((dot) => dot.zoom !== null) };
  }
  const { dots } = state.zooms;
  part("see-scatter").hidden = !dots.length;
  if (dots.length) {
    const ink = getComputedStyle(element).color;
    state.places = drawScatter(part("see-dots"), dots, object, data.kind_colours, ink);
    part("see-stage").textContent = stage.label;
  }
  const verb = (zoom) => (zoom < 0.9 ? "draws together to" : zoom > 1.1 ? "spreads to" : "stays at");
  const of = ({ object, size, zoom }) => `${verb(zoom)} ${zoom.toFixed(2)} times its grid on the ${object.name} of ${Math.round(size)} px`;
  const own = dots.find((dot) => dot.object === (object ?? data.objects[data.chosen])) ?? (object ? null : dots[0]), last = dots.at(-1);
  const facts = own ? [of(own), ...(last !== own ? [of(last)] : [])] : [];
  const missed = object && !object.dlka ? `The D-LKA model did not find this ${object.name} of ${Math.round(object.size)} px.` : "";
  say(facts.length ? `${stage.label} ${facts.join(", and ")}.` : missed);
}

// The first sentence is what matters most: how wide the kernel samples, where the model needs that; else the boxes.
function say(fact) {
  const { data } = state, found = counts(data.objects), needed = data.uses === "in use" && !data.unfit && fact;
  const second = needed ? found : [data.unfit && found, USES[data.uses], fact].filter(Boolean).join(" ");
  part("see-fact").textContent = needed ? fact : data.unfit || found;
  part("see-counts").textContent = second;
}

function move(point, pinned) {
  const held = pinned || state.pinned;
  Object.assign(state, { point, pinned, object: null });
  redraw();
  if (held) tellAddress();
  if (pinned) askCards();
}

function step(rows, columns) {
  if (!state.views.length) return;
  const { stage } = state.views[state.chosen];
  const cell = cellAt(state.data.letterbox, stage, state.point);
  const next = [cell[0] + rows, cell[1] + columns].map((c, axis) => Math.min(Math.max(c, 0), stage.size[axis] - 1));
  const point = cellCentre(state.data.letterbox, stage, next);
  const out = point.some((v, axis) => v < state.corner[axis] || v > state.corner[axis] + state.data.size[1 - axis] / state.zoom);
  if (out) centre(point);
  move(point, true);
}

// The object whose dot is under the pointer, if any.
function dotAt(event) {
  const far = state.places.map(([x, y]) => Math.hypot(event.offsetX - x, event.offsetY - y));
  const nearest = Math.min(...far);
  return nearest < 14 ? state.zooms.dots[far.indexOf(nearest)].object : null;
}

// An object is chosen for good: until another cell is.
function hold(object) {
  lookAt(object);
  state.pinned = true;
  centre(object.point);
  replay();
  tellAddress();
  askCards();
}

// A picture that is larger than its frame moves until a point is in the middle.
function centre(point) {
  const { clientWidth, clientHeight } = part("see-scroll"), scale = part("see-picture").clientWidth / state.data.size[1];
  part("see-scroll").scrollTo(point[0] * scale - clientWidth / 2, point[1] * scale - clientHeight / 2);
  if (state.zoom > 1) panTo(state.zoom, [0, 1].map((axis) => point[axis] - state.data.size[1 - axis] / state.zoom / 2));
}

part("see-replay").addEventListener("click", replay);
part("see-amount").addEventListener("input", () => {
  Object.assign(state, { amount: Number(part("see-amount").value), begun: null });
  redraw();
});
for (const name of ["see-exaggerate", "see-boxes"]) part(name).addEventListener("change", redraw);
for (const name of ["see-layers", "see-options"]) part(name).addEventListener("input", chooseLayer);
part("see-zoom-in").addEventListener("click", () => zoomBy(1.5, anchor()));
part("see-zoom-out").addEventListener("click", () => zoomBy(1 / 1.5, anchor()));
part("see-full").hidden = !document.fullscreenEnabled;
part("see-full").addEventListener("click", () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else part("see").requestFullscreen();
  part("see-picture").focus(); // so that keys go to the picture
});

part("see-taps").addEventListener("toggle", redraw);
// The picture is as high as the window leaves room for, with what moves the samples below it.
function fit() {
  const above = document.fullscreenElement ? 100 : part("see-frame").getBoundingClientRect().top + window.scrollY;
  state.room = Math.max(320, window.innerHeight - above - 100);
  redraw();
}

fit();
new ResizeObserver(fit).observe(element); // also when the tab is opened
addEventListener("resize", fit);
