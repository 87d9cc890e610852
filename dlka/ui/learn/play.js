// The playground: sheet, kernel and readings belong together.

const play = { map: null, cell: [20, 20], hand: GRID.map(() => [0, 0]), field: null, chosen: -1, frame: 0 };
const style = getComputedStyle(element);
const MARK = { trained: style.getPropertyValue("--trained"), hand: style.getPropertyValue("--hand") };
let asking = false, again = false;

// The trained stage's offsets of the chosen cell, or null.
function trainedOffsets() {
  if (!play.field) return null;
  const first = (play.cell[0] * CELLS + play.cell[1]) * 2 * TAPS;
  return GRID.map((_, tap) => [0, 1].map((axis) => play.field.levels[first + 2 * tap + axis] * play.field.unit));
}

function redraw() {
  play.frame = play.frame || requestAnimationFrame(draw);
}

function draw() {
  play.frame = 0;
  const trained = trainedOffsets(), none = GRID.map(() => [0, 0]);
  const places = { regular: placesOf(play.cell, none), hand: placesOf(play.cell, play.hand) };
  if (trained) places.trained = placesOf(play.cell, trained);
  const reads = Object.fromEntries(
    Object.entries(places).map(([which, all]) => [which, all.map(([y, x]) => readBilinear(play.map, y, x).read)])
  );
  const learned = part("play-weights").value === "mean_abs" && play.field;
  const weights = learned ? play.field.weights : GRID.map(() => 1 / TAPS);
  drawSheet([["#5b616b", [play.cell], 3.5], [MARK.trained, places.trained ?? [], 2], [MARK.hand, places.hand, 2]]);
  drawWindow(play.map, play.cell);
  drawTaps(play.hand, trained);
  const sums = Object.fromEntries(Object.keys(tiles).map((which) => [which, drawTile(which, reads[which], weights)]));
  tellTaps(places.hand, reads.hand);
  const away = (offsets) => (offsets.reduce((sum, [dy, dx]) => sum + Math.hypot(dy, dx), 0) / TAPS).toFixed(2);
  const [row, column] = play.cell;
  const moved = { moved: trained ? away(trained) : "?", own: away(play.hand) };
  part("play-told").textContent = say("told", { row, column, ...sums, ...moved });
  part("play-px").textContent = widthOf();
  kernel.told = { cell: play.cell, places, reads, weights, map: [...play.map.values] }; // for tests
}

function tellTaps(places, reads) {
  taps.forEach((tap, i) => {
    const [y, x] = places[i].map((v) => v.toFixed(1));
    tap.setAttribute("aria-label", say("tap", { tap: i + 1, y, x, read: reads[i].toFixed(3) }));
  });
}

// What is drawn is read anew, and the model is asked, one question at a time.
async function changed() {
  play.map = inkMap();
  play.field = null;
  redraw();
  again = true;
  if (asking) return;
  asking = true;
  while (again) {
    again = false;
    const answer = await ask(server.see_drawing({ drawing: await pictureOf(paper) }), part("play-pen"));
    if (again || !answer) continue;
    const bytes = Uint8Array.from(atob(answer.offsets), (letter) => letter.charCodeAt(0));
    play.field = { ...answer, levels: new Int16Array(bytes.buffer) };
    redraw();
  }
  asking = false;
}

async function pictureOf(canvas) {
  const blob = await canvas.convertToBlob({ type: "image/png" });
  return new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(blob);
  });
}

function chooseTool(tool) {
  pen.tool = tool;
  if (pen.from) penUp();
  for (const button of element.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", button.dataset.tool === tool);
  }
  redraw();
}

function chooseCell(row, column) {
  play.cell = [row, column].map((v) => clamp(v, 0, CELLS - 1));
  redraw();
}

function preset(name) {
  clear();
  PRESETS[name]();
  changed();
}

// The sheet by pointer.
function onSheet(event) {
  const box = sheet.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top].map((v) => (v / box.width) * SHEET);
}
sheet.addEventListener("pointerdown", (event) => {
  sheet.setPointerCapture(event.pointerId);
  const [x, y] = onSheet(event);
  if (pen.tool === "cell") return chooseCell(Math.floor(y / CELL), Math.floor(x / CELL));
  penDown(x, y);
  followPen(x, y);
});
sheet.addEventListener("pointermove", (event) => {
  if (!sheet.hasPointerCapture(event.pointerId)) return;
  const [x, y] = onSheet(event);
  if (pen.tool === "cell") chooseCell(Math.floor(y / CELL), Math.floor(x / CELL));
  else if (pen.from) {
    penMove(x, y);
    followPen(x, y);
  }
});
for (const type of ["pointerup", "pointercancel"]) {
  sheet.addEventListener(type, () => {
    if (!pen.from) return;
    penUp();
    changed();
  });
}

function followPen(x, y) {
  [pen.x, pen.y] = [x, y];
  if (pen.from) play.field = null; // it belongs to what was drawn before
  play.map = inkMap();
  redraw();
}

// The sheet by keys.
sheet.addEventListener("keydown", (event) => {
  const step = arrow(event);
  if (step && pen.tool === "cell") chooseCell(play.cell[0] + step[0], play.cell[1] + step[1]);
  else if (step) {
    const size = event.shiftKey ? 16 : 4;
    const [x, y] = [pen.x + size * step[1], pen.y + size * step[0]].map((v) => clamp(v, 0, SHEET));
    if (pen.from) penMove(x, y);
    followPen(x, y);
  } else if ((event.key === "Enter" || event.key === " ") && pen.tool !== "cell") {
    event.preventDefault();
    if (!pen.from) penDown(pen.x, pen.y);
    if (pen.tool === "dot" || pen.put) penUp();
    pen.put = Boolean(pen.from);
    if (!pen.from) changed();
    else followPen(pen.x, pen.y);
  } else return;
  const state = say(pen.from ? "down" : "up");
  if (pen.tool !== "cell") part("play-pen").textContent = say("pen", { x: Math.round(pen.x), y: Math.round(pen.y), state });
});
for (const type of ["focus", "blur"]) sheet.addEventListener(type, redraw);

// The taps by pointer and by keys.
function moveTap(tap, dy, dx) {
  const within = (v, place) => clamp(Math.round(1000 * v) / 1000, -WINDOW - place, WINDOW - place);
  play.hand[tap] = [within(dy, GRID[tap][0]), within(dx, GRID[tap][1])];
  redraw();
}
kernel.addEventListener("pointerdown", (event) => {
  const [x, y] = placeIn(kernel, event);
  const far = GRID.map(([dy, dx], tap) => Math.hypot(dy + play.hand[tap][0] - y, dx + play.hand[tap][1] - x));
  const nearest = far.indexOf(Math.min(...far));
  if (far[nearest] > 0.8) return;
  play.chosen = nearest;
  kernel.setPointerCapture(event.pointerId);
  taps[nearest].focus({ preventScroll: true });
  event.preventDefault();
});
kernel.addEventListener("pointermove", (event) => {
  if (play.chosen < 0 || !kernel.hasPointerCapture(event.pointerId)) return;
  const [x, y] = placeIn(kernel, event), [dy, dx] = GRID[play.chosen];
  moveTap(play.chosen, y - dy, x - dx);
});
for (const type of ["pointerup", "pointercancel"]) kernel.addEventListener(type, () => (play.chosen = -1));
taps.forEach((tap, i) =>
  tap.addEventListener("keydown", (event) => {
    const step = arrow(event), size = event.shiftKey ? 1 : 0.1;
    if (step) moveTap(i, play.hand[i][0] + size * step[0], play.hand[i][1] + size * step[1]);
  })
);

function takeOver(offsets) {
  if (offsets) offsets.forEach(([dy, dx], tap) => moveTap(tap, dy, dx));
}
part("play-regular").addEventListener("click", () => takeOver(GRID.map(() => [0, 0])));
part("play-trained").addEventListener("click", () => takeOver(trainedOffsets()));
for (const button of element.querySelectorAll("[data-tool]")) button.addEventListener("click", () => chooseTool(button.dataset.tool));
for (const button of element.querySelectorAll("[data-preset]")) button.addEventListener("click", () => preset(button.dataset.preset));
part("play-width").addEventListener("input", redraw);
part("play-weights").addEventListener("change", redraw);

chooseTool("curve");
preset("curve");
