// Step 4: the offsets of a real cell, multiplied. Positions and marks are those of See.

const scene = { data: null, view: 0, views: [], point: null, frame: 0, turn: 0 };
const main = part("offsets-picture"), close = part("offsets-close"), strength = part("offsets-strength");

async function open(picture) {
  const turn = ++scene.turn;
  part("offsets-told").textContent = say("waiting");
  const data = await ask(server.see_field({ picture }), part("offsets-told"));
  if (!data) return;
  const image = new Image();
  image.src = data.picture;
  const found = await Promise.all([fetchOffsets(data.offsets), image.decode()]).catch(() => null);
  if (turn !== scene.turn) return; // another picture was chosen in between
  if (!found) {
    part("offsets-told").textContent = say("failed");
    return;
  }
  Object.assign(scene, { data, image, offsets: found[0], point: data.point, view: 0 });
  scene.views = data.stages.flatMap((stage, i) => {
    const before = data.stages[i - 1], pair = before && before.block === stage.block;
    const both = pair ? [{ stage, inner: before, label: say("both", { stage: stage.level }) }] : [];
    return [{ stage, inner: null, label: stage.label }, ...both];
  });
  part("offsets-stage").replaceChildren(...scene.views.map(({ label }, i) => new Option(label, i)));
  part("offsets-bar").style.background = `linear-gradient(to right, ${data.colours.join(", ")})`;
  redraw();
}

function redraw() {
  scene.frame = scene.frame || requestAnimationFrame(drawScene);
}

function drawScene() {
  scene.frame = 0;
  if (!scene.data || !element.offsetParent) return;
  const { data } = scene, { stage, inner } = scene.views[scene.view], factor = Number(strength.value);
  const cell = cellAt(data.letterbox, stage, scene.point), learned = readsOf(stage, scene.offsets, cell);
  const readAt = (amount) => (inner ? composedReads(inner, stage, scene.offsets, cell, amount) : readsOf(stage, scene.offsets, cell, amount));
  const reads = readAt(factor);
  const [height, width] = data.size, centre = cellCentre(data.letterbox, stage, cell);
  const room = main.parentElement.clientWidth;
  drawView(main, viewOf(main, -0.5, -0.5, Math.min(room / width, 460 / height)), width, height, 0, reads, stage, centre);
  const half = ((stage.dilation[0] * (stage.kernel[0] - 1)) / 2 + (inner ? 6 : 3)) * stage.per_cell;
  const side = Math.min(close.parentElement.clientWidth, 460);
  const view = viewOf(close, centre[0] - half, centre[1] - half, side / (2 * half));
  drawView(close, view, 2 * half, 2 * half, 0.35, reads, stage, centre);
  tellScene(cell, learned, reads, factor);
}

function drawView(canvas, view, width, height, veil, reads, stage, centre) {
  const [w, h] = [width * view.scale, height * view.scale], { letterbox } = scene.data;
  const pen = prepare(canvas, w, h);
  drawPicture(pen, view, scene.image, scene.data.size, veil);
  drawCross(pen, view, centre, w, h);
  const { inner } = scene.views[scene.view];
  const pairs = (flat) =>
    Array.from({ length: flat.length / 2 }, (_, i) => view.at(toPicture(letterbox, stage.stride, flat[2 * i], flat[2 * i + 1])));
  const weights = inner ? null : stage.weights;
  const points = { regular: pairs(reads.regular), samples: pairs(reads.samples), zero: reads.zero, weights };
  const cell = stage.per_cell * view.scale;
  const radius = inner ? clamp(0.25 * cell, 1.5, 3) : clamp(0.25 * cell * stage.dilation[0], 1.8, 6);
  drawReads(pen, points, radius, scene.data);
}

function tellScene(cell, learned, reads, factor) {
  const { stage, inner, label } = scene.views[scene.view], [row, column] = cell;
  part("offsets-times").textContent = local(factor.toFixed(2));
  const shared = { label, row, column, strength: factor.toFixed(2) };
  main.told = { cell: [...cell], stage: label, factor, samples: [...reads.samples] }; // for tests
  part("offsets-told").textContent = inner ? say("told_both", { ...shared, ...reachOf(reads) }) : say("told", { ...shared, ...moves(stage, reads) });
  const [gy, gx] = learned.regular.slice(0, 2), [dy, dx] = [learned.samples[0] - gy, learned.samples[1] - gx];
  const first = { gy, gx, dy, dx, y: gy + factor * dy, x: gx + factor * dx, strength: factor };
  const shown = Object.fromEntries(Object.entries(first).map(([name, v]) => [name, v.toFixed(2)]));
  part("offsets-tap").textContent = inner ? "" : say("tap", shown);
  tellPixel(stage, row);
}

// How far the taps of one stage are moved.
function moves(stage, { regular, samples, zero }) {
  const moved = Array.from(zero, (_, t) => Math.hypot(samples[2 * t] - regular[2 * t], samples[2 * t + 1] - regular[2 * t + 1]));
  const mean = moved.reduce((a, b) => a + b, 0) / moved.length, taps = moved.length;
  const [pixels, most] = [(mean * stage.per_cell).toFixed(1), Math.max(...moved).toFixed(2)];
  return { mean: mean.toFixed(2), pixels, most, zero: zero.reduce((a, b) => a + b, 0), taps };
}

// How many cells the samples of both kernels span, and how many the grid.
function reachOf({ regular, samples }) {
  const span = (places, axis) => {
    const along = Array.from({ length: places.length / 2 }, (_, i) => places[2 * i + axis]);
    return Number((along.reduce((a, b) => Math.max(a, b)) - along.reduce((a, b) => Math.min(a, b)) + 1).toFixed(1));
  };
  return { high: span(samples, 0), wide: span(samples, 1), grid_high: span(regular, 0), grid_wide: span(regular, 1) };
}

function tellPixel(stage, row) {
  const { letterbox } = scene.data, { stride } = stage, short = (v) => `${Number(v.toFixed(2))}`;
  const input = (row + 0.5) * stride - 0.5, picture = (input + 0.5 - letterbox.top) / letterbox.scale[1] - 0.5;
  const shown = { input: short(input), top: letterbox.top, scale: short(letterbox.scale[1]), picture: short(picture) };
  part("offsets-pixel").textContent = say("pixel", { row, stride, ...shown });
}

function pointAt(event) {
  if (!scene.data || (event.type === "pointermove" && !event.buttons)) return;
  const box = main.getBoundingClientRect(), scale = box.width / scene.data.size[1];
  scene.point = [(event.clientX - box.left) / scale - 0.5, (event.clientY - box.top) / scale - 0.5];
  redraw();
}

main.addEventListener("pointerdown", pointAt);
main.addEventListener("pointermove", pointAt);
main.addEventListener("keydown", (event) => {
  const step = scene.data && arrow(event);
  if (!step) return;
  const { letterbox } = scene.data, { stage } = scene.views[scene.view];
  const cell = cellAt(letterbox, stage, scene.point).map((v, axis) => clamp(v + step[axis], 0, stage.size[axis] - 1));
  scene.point = cellCentre(letterbox, stage, cell);
  redraw();
});
part("offsets-stage").addEventListener("change", (event) => {
  scene.view = Number(event.target.value);
  redraw();
});
strength.addEventListener("input", redraw);
new ResizeObserver(redraw).observe(element);

// What offset nets cost.
const most = given.costs.dense.all;
part("offsets-costs").append(
  ...Object.entries(given.costs).map(([kind, { all, nets }]) => {
    const bars = [make("i"), make("i", { class: "nets" })];
    [all - nets, nets].forEach((size, i) => (bars[i].style.width = `${(100 * size) / most}%`));
    const values = { all: all.toLocaleString("en").replaceAll(",", words.page.decimal === "," ? "\u202f" : ","), share: ((100 * nets) / all).toFixed(1) };
    const figure = nets ? say("cost_share", values) : values.all;
    return make("p", {}, make("span", {}, say(`cost_${kind}`)), make("div", {}, ...bars), make("b", {}, figure));
  })
);
open(addExamples(part("offsets-example"), given.examples, open));
