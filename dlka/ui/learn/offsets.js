// Step 3: the offsets of a real cell, multiplied. Positions and marks are those of See.

const scene = { data: null, stage: 0, point: null, frame: 0 };
const main = part("offsets-picture"), close = part("offsets-close"), strength = part("offsets-strength");

async function open() {
  part("offsets-told").textContent = say("waiting");
  const data = await ask(server.see_field({}), part("offsets-told"));
  if (!data) return;
  const image = new Image();
  image.src = data.picture;
  const found = await Promise.all([fetchOffsets(data.offsets), image.decode()]).catch(() => null);
  if (!found) {
    part("offsets-told").textContent = say("failed");
    return;
  }
  Object.assign(scene, { data, image, offsets: found[0], point: data.point });
  part("offsets-stage").replaceChildren(...data.stages.map((stage, i) => new Option(stage.label, i)));
  part("offsets-bar").style.background = `linear-gradient(to right, ${data.colours.join(", ")})`;
  redraw();
}

function redraw() {
  scene.frame = scene.frame || requestAnimationFrame(drawScene);
}

// The reads of a cell with its offsets multiplied.
function stronger(stage, reads, factor) {
  const samples = reads.samples.map((v, i) => reads.regular[i] + factor * (v - reads.regular[i]));
  return { ...reads, samples, zero: reads.zero.map((_, tap) => readsZero(stage, samples[2 * tap], samples[2 * tap + 1])) };
}

function drawScene() {
  scene.frame = 0;
  if (!scene.data || !element.offsetParent) return;
  const { data } = scene, stage = data.stages[scene.stage], factor = Number(strength.value);
  const cell = cellAt(data.letterbox, stage, scene.point), learned = readsOf(stage, scene.offsets, cell);
  const reads = stronger(stage, learned, factor);
  const [height, width] = data.size, centre = cellCentre(data.letterbox, stage, cell);
  const room = main.parentElement.clientWidth;
  drawView(main, viewOf(main, -0.5, -0.5, Math.min(room / width, 460 / height)), width, height, 0, reads, stage, centre);
  const half = ((stage.dilation[0] * (stage.kernel[0] - 1)) / 2 + 3) * stage.per_cell;
  const side = Math.min(close.parentElement.clientWidth, 460);
  const view = viewOf(close, centre[0] - half, centre[1] - half, side / (2 * half));
  drawView(close, view, 2 * half, 2 * half, 0.35, reads, stage, centre);
  tellScene(stage, cell, learned, reads, factor);
}

function drawView(canvas, view, width, height, veil, reads, stage, centre) {
  const [w, h] = [width * view.scale, height * view.scale], { letterbox, colours } = scene.data;
  const pen = prepare(canvas, w, h);
  drawPicture(pen, view, scene.image, scene.data.size, veil);
  drawCross(pen, view, centre, w, h);
  const pairs = (flat) =>
    Array.from(reads.zero, (_, i) => view.at(toPicture(letterbox, stage.stride, flat[2 * i], flat[2 * i + 1])));
  const points = { regular: pairs(reads.regular), samples: pairs(reads.samples), zero: reads.zero, weights: stage.weights };
  drawReads(pen, points, clamp(0.25 * stage.per_cell * view.scale * stage.dilation[0], 1.8, 6), { colours });
}

function tellScene(stage, cell, learned, reads, factor) {
  const moved = Array.from(reads.zero, (_, t) =>
    Math.hypot(reads.samples[2 * t] - reads.regular[2 * t], reads.samples[2 * t + 1] - reads.regular[2 * t + 1])
  );
  const mean = moved.reduce((a, b) => a + b, 0) / moved.length, zero = reads.zero.reduce((a, b) => a + b, 0);
  main.told = { cell: [...cell], stage: stage.label, factor, samples: [...reads.samples], mean }; // for tests
  part("offsets-times").textContent = factor.toFixed(2);
  part("offsets-told").textContent = say("told", {
    label: stage.label,
    row: cell[0],
    column: cell[1],
    strength: factor.toFixed(2),
    mean: mean.toFixed(2),
    pixels: (mean * stage.per_cell).toFixed(1),
    most: Math.max(...moved).toFixed(2),
    zero,
    taps: moved.length,
  });
  const [gy, gx, y, x] = [...learned.regular.slice(0, 2), ...reads.samples.slice(0, 2)].map((v) => v.toFixed(2));
  const [dy, dx] = [0, 1].map((axis) => (learned.samples[axis] - learned.regular[axis]).toFixed(2));
  part("offsets-tap").textContent = say("tap", { gy, gx, dy, dx, y, x, strength: factor.toFixed(2) });
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
  const { letterbox, stages } = scene.data, stage = stages[scene.stage];
  const cell = cellAt(letterbox, stage, scene.point).map((v, axis) => clamp(v + step[axis], 0, stage.size[axis] - 1));
  scene.point = cellCentre(letterbox, stage, cell);
  redraw();
});
part("offsets-stage").addEventListener("change", (event) => {
  scene.stage = Number(event.target.value);
  redraw();
});
strength.addEventListener("input", redraw);
new ResizeObserver(redraw).observe(element);
open();
