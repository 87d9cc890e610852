// The picture: follows pointer, finger and arrow keys, moves samples from the grid to where they were learned, and draws
// every canvas at most once a frame.
// gr.HTML gives: element (this component), props (its value), watch (called when the server sends another value).

const part = (name) => element.querySelector(`.${name}`);
const state = { data: null, offsets: null, image: null, point: null, pinned: false, chosen: 0, frame: 0, turn: 0, object: null, amount: 1, begun: null };
const still = matchMedia("(prefers-reduced-motion: reduce)");
const WAIT = 500, LASTS = 1200; // ms on the grid, and from there to the samples
const KINDS = { both: "both", class_changed: "both, as different classes", only_first: "only D-LKA", only_second: "only baseline" };

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
  for (const name of ["probe-main", "probe-side", "probe-more"]) part(name).hidden = !data.stages.length;
  part("probe-none").hidden = data.stages.length > 0;
  if (!data.stages.length) return;
  const image = new Image();
  image.src = data.picture;
  const asked = fetch(data.offsets).then((answer) => (answer.ok ? answer.arrayBuffer() : Promise.reject(answer.status)));
  const found = await Promise.all([asked, image.decode()]).catch(() => null);
  if (turn !== state.turn) return; // a newer comparison came in between
  if (!found) {
    part("probe-told").textContent = "The offsets did not arrive: press Compare, or reload the page.";
    return;
  }
  const [offsets] = found;
  Object.assign(state, { data, image, offsets: new Int16Array(offsets), point: data.point, pinned: false, object: null });
  state.views = viewsOf(data);
  state.chosen = Math.min(state.chosen, state.views.length - 1);
  if (data.chosen !== null) lookAt(data.objects[data.chosen]);
  readAddress();
  buildPanels();
  for (const dot of element.querySelectorAll(".see-kind")) dot.style.background = data.kind_colours[dot.dataset.kind];
  part("see-dlka").style.borderTopColor = data.accents.DLKA;
  part("see-baseline").style.borderTopColor = data.accents.BASELINE;
  part("probe-bar").style.background = `linear-gradient(to right, ${data.colours.join(", ")})`;
  replay();
  askCards();
}

// An object is chosen: the cell that found it, in a view of the level that it was found on.
function lookAt(object) {
  Object.assign(state, { object, point: object.point });
  if (!object.level || state.views[state.chosen].stage.level === object.level) return;
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
const gain = () => state.amount * (part("see-more").checked ? 4 : 1);

// The address names the view and the cell that were chosen last: also those that the page was opened with.
function readAddress() {
  const asked = new URLSearchParams(location.search), view = state.views.findIndex((v) => v.label === asked.get("stage"));
  if (view < 0) return;
  state.chosen = view;
  const { stage } = state.views[view], cell = (asked.get("cell") ?? "").match(/^(\d+),(\d+)$/)?.slice(1).map(Number);
  if (!cell || cell.some((c, axis) => c >= stage.size[axis])) return;
  Object.assign(state, { point: cellCentre(state.data.letterbox, stage, cell), pinned: true });
}

// A cell that is not held moves with the pointer and is not in the address.
function tellAddress() {
  const { stage, label } = state.views[state.chosen];
  const cell = state.pinned ? cellAt(state.data.letterbox, stage, state.point).join(",") : "";
  document.dispatchEvent(new CustomEvent("dlka-address", { detail: new URLSearchParams({ stage: label, cell }) }));
}

function buildPanels() {
  const columns = Math.max(...state.views.map((view) => state.views.filter((v) => v.stage.block === view.stage.block).length));
  part("probe-panels").style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
  part("probe-panels").replaceChildren(
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
  part("probe-rows").replaceChildren(
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
  drawPanel(part("see-close"), state.views[state.chosen], found[state.chosen], state.object, 0.62);
  [...part("probe-panels").children].forEach((panel, i) => {
    panel.setAttribute("aria-pressed", i === state.chosen);
    drawPanel(panel.querySelector("canvas"), state.views[i], found[i]);
  });
  tell(amount === 1 ? found : readsAt(1));
  tellObjects();
}

// Reads as points on the screen; what is drawn stays on the canvas, for tests and for those who want the numbers.
function onScreen(view, kind, { cell, reads }) {
  const pairs = (flat) =>
    Array.from({ length: flat.length / 2 }, (_, i) =>
      view.at(toPicture(state.data.letterbox, kind.stage.stride, flat[2 * i], flat[2 * i + 1]))
    );
  const weights = kind.inner ? null : kind.stage.weights;
  const points = { regular: pairs(reads.regular), samples: pairs(reads.samples), zero: reads.zero, weights };
  view.canvas.drawn = { label: kind.label, cell, amount: gain(), ...points, left: view.left, top: view.top, scale: view.scale };
  return points;
}

function radiusOf(view, kind) {
  const cell = kind.stage.per_cell * view.scale;
  return kind.inner ? Math.min(Math.max(0.25 * cell, 1.5), 3) : Math.min(Math.max(0.32 * cell * kind.stage.dilation[0], 1.8), 5.5);
}

function drawMain(found) {
  const canvas = part("probe-picture"), [height, width] = state.data.size;
  const room = canvas.parentElement.clientWidth;
  const scale = Math.min(room / width, Math.max(320, 0.7 * window.innerHeight) / height);
  const view = viewOf(canvas, -0.5, -0.5, scale), kind = state.views[state.chosen];
  const pen = prepare(canvas, width * scale, height * scale);
  drawPicture(pen, view, state.image, state.data.size, 0);
  drawBoxes(pen, view, shownObjects(), state.object, state.data.accents);
  if (!state.object) drawCross(pen, view, state.point, width * scale, height * scale);
  const points = onScreen(view, kind, found);
  drawReads(pen, points, radiusOf(view, kind), state.data);
  if (state.object) drawName(pen, view, state.object, width * scale, KINDS);
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
  [...part("probe-rows").children].forEach((row, i) => {
    [...row.children].forEach((cell, j) => (cell.textContent = rows[i][j]));
  });
  const [label, cell, mean, pixels] = rows[state.chosen];
  const moved = state.views[state.chosen].inner ? mean : `taps moved by ${mean} cells (${pixels} px) on average`;
  const held = state.pinned ? "pinned" : "follows the pointer";
  part("probe-told").textContent = `${label}, cell (row, column) ${cell}: ${moved}; ${held}.`;
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
  const of = ({ object, size, zoom }, wide) => `${zoom.toFixed(2)} times ${wide}on the ${object.name} of ${Math.round(size)} px`;
  const own = dots.find((dot) => dot.object === (object ?? data.objects[data.chosen])) ?? dots[0], last = dots.at(-1);
  const facts = own ? [of(own, "as wide as its grid "), ...(last !== own ? [of(last, "")] : [])] : [];
  part("see-fact").textContent = facts.length ? `${stage.label} samples ${facts.join(", and ")}.` : "";
}

function pointOf(event) {
  const box = part("probe-picture").getBoundingClientRect(), scale = box.width / state.data.size[1];
  return [(event.clientX - box.left) / scale - 0.5, (event.clientY - box.top) / scale - 0.5];
}

function move(point, pinned) {
  const held = pinned || state.pinned;
  Object.assign(state, { point, pinned, object: null });
  redraw();
  if (held) tellAddress();
  if (pinned) askCards();
}

function step(rows, columns) {
  const { stage } = state.views[state.chosen];
  const cell = cellAt(state.data.letterbox, stage, state.point);
  const next = [cell[0] + rows, cell[1] + columns].map((c, axis) => Math.min(Math.max(c, 0), stage.size[axis] - 1));
  move(cellCentre(state.data.letterbox, stage, next), true);
}

// The object whose dot is under the pointer, if any.
function dotAt(event) {
  const far = state.places.map(([x, y]) => Math.hypot(event.offsetX - x, event.offsetY - y));
  const nearest = Math.min(...far);
  return nearest < 14 ? state.zooms.dots[far.indexOf(nearest)].object : null;
}

const scatter = part("see-dots");
scatter.addEventListener("pointermove", (event) => {
  const object = dotAt(event);
  scatter.style.cursor = object ? "pointer" : "";
  if (!object || object === state.object || state.pinned) return;
  lookAt(object);
  redraw();
});
scatter.addEventListener("click", (event) => {
  const object = dotAt(event);
  if (!object) return;
  lookAt(object);
  state.pinned = true;
  replay();
  tellAddress();
  askCards();
});
part("see-replay").addEventListener("click", replay);
part("see-amount").addEventListener("input", () => {
  Object.assign(state, { amount: Number(part("see-amount").value), begun: null });
  redraw();
});
for (const name of ["see-more", "see-boxes"]) part(name).addEventListener("change", redraw);

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const picture = part("probe-picture");
picture.addEventListener("pointermove", (event) => {
  if (!state.data || (state.pinned && event.pointerType === "mouse")) return;
  move(pointOf(event), state.pinned); // a finger that is dragged moves a pinned cell, too
});
picture.addEventListener("pointerdown", (event) => {
  if (state.data) move(pointOf(event), event.pointerType === "mouse" ? !state.pinned : true);
});
picture.addEventListener("keydown", (event) => {
  if (!state.data || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key in STEPS) step(...STEPS[event.key]);
  else if (event.key === "Escape") move(state.point, false);
  else if (event.key === "Enter" || event.key === " ") move(state.point, !state.pinned);
  else return;
  event.preventDefault();
});
new ResizeObserver(redraw).observe(element); // also when the tab is opened
