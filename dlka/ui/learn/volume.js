// Step 9: the 27 taps of a cell of a real volume, as a cube that is turned and over a slice. Places, marks and files are
// those of the page Segment.

const scene = { data: null, stage: null, place: null, angle: [0.5, 0.4], frame: 0, turn: 0 };
const cube = part("volume-cube"), slice = part("volume-slice"), strength = part("volume-strength"), tap = part("volume-tap");
const plane = planesOf("volume")[0], NEAR = "#56b4e9", TINT = 0.35, LARGEST = 340; // CSS pixels
const EDGES = [0, 2, 6, 8, 18, 20, 24, 26].flatMap((a) => [1, 3, 9].map((step) => [a, a + 2 * step, Math.floor(a / step) % 3]));

async function openVolume() {
  part("volume-told").textContent = say("waiting");
  const data = await ask(server.see_volume({}), part("volume-told"));
  if (!data) return;
  if (!data.stages) return void (part("volume-told").textContent = say("none"));
  const found = await Promise.all([data.shown, data.found].map(bytesOf)).catch(() => null);
  if (!found) return void (part("volume-told").textContent = say("failed"));
  const [shown, labels] = found.map((bytes) => new Uint8Array(bytes)), colours = data.colours.map(channels);
  // What a voxel looks like: grey, tinted where the network found a part.
  const colour = (i) => [0, 1, 2].map((c) => shown[i] + (labels[i] ? TINT * (colours[labels[i]][c] - shown[i]) : 0));
  Object.assign(scene, { data, colour, place: data.start });
  const named = ({ label, stride }) => {
    const [, kind, n] = label.match(/^(\w+) (\d+)/);
    return say("stage_name", { kind: say(kind), n, side: stride[0] * data.spacing[0] });
  };
  part("volume-stage").replaceChildren(...data.stages.map((stage, i) => new Option(named(stage), i)));
  part("volume-stage").value = data.chosen;
  part("volume-bar").style.background = `linear-gradient(to right, ${data.weight_colours.join(", ")})`;
  part("volume-credit").textContent = words.volume.credit.replace("{credit}", () => data.credit); // a licence has no comma
  part("volume-cost").hidden = false;
  tellParts(data.parts);
  if (data.measured) tellMeasured(data.measured);
  chooseStage();
}

async function chooseStage() {
  const turn = ++scene.turn, stage = scene.data.stages[part("volume-stage").value];
  if (!stage.levels) {
    const bytes = await bytesOf(stage.offsets).catch(() => null);
    if (bytes) stage.levels = new Int16Array(bytes);
    if (turn !== scene.turn) return; // another one was chosen in between
    if (!bytes) return void (part("volume-told").textContent = say("failed"));
  }
  scene.stage = stage;
  redraw();
}

function redraw() {
  scene.frame = scene.frame || requestAnimationFrame(drawVolume);
}

function drawVolume() {
  scene.frame = 0;
  const { data, stage, place } = scene;
  if (!stage || !element.offsetParent) return;
  const cell = toCell(stage, place), amount = Number(strength.value), k = Number(tap.value);
  const reads = readsOf(stage, stage.levels, cell, amount), near = nearOf(stage, reads.samples[k]);
  const side = Math.min(cube.parentElement.clientWidth, LARGEST);
  drawCube(side, cell, amount, reads, k, near);
  drawSlice(side, cell, reads);
  tellVolume(cell, amount, reads, k, near);
}

// The 8 cells around a place between them, with their shares of what is read there: z, y, x, the last fastest.
function nearOf(stage, place) {
  return Array.from({ length: 8 }, (_, corner) => {
    const up = [corner >> 2, (corner >> 1) & 1, corner & 1], first = place.map(Math.floor);
    const share = up.reduce((all, u, a) => all * (u ? place[a] - first[a] : 1 - place[a] + first[a]), 1);
    const cell = first.map((f, a) => f + up[a]);
    return { cell, share, inside: cell.every((c, a) => c >= 0 && c < stage.reach[a]) };
  });
}

function drawCube(side, cell, amount, reads, k, near) {
  const { data, stage } = scene, sides = sidesOf(stage, data);
  // Every sample of the cell has room, whatever the slider says: what moves then are the samples, not the scale.
  const ends = [...reads.regular, ...readsOf(stage, stage.levels, cell, 1).samples];
  const full = Math.max(...ends.map((end) => Math.hypot(...end.map((v, a) => (v - cell[a]) * sides[a]))));
  const at = drawSolid(cube, side, full, scene.angle, data, stage, cell, amount), pen = cube.getContext("2d");
  const line = (from, to, colour, width) => {
    Object.assign(pen, { strokeStyle: colour, lineWidth: width });
    pen.beginPath();
    pen.moveTo(...at(from));
    pen.lineTo(...at(to));
    pen.stroke();
  };
  for (const [from, to, far] of EDGES) if (!far) line(reads.regular[from], reads.regular[to], "rgba(255, 255, 255, 0.35)", 1);
  for (const { cell: corner, share, inside } of reads.zero[k] ? [] : near) {
    if (!share) continue;
    line(reads.samples[k], corner, NEAR, 0.5 + 3.5 * share);
    const [x, y] = at(corner);
    dot(pen, [x, y], 1.5 + 2.5 * share, inside ? NEAR : null, inside ? RIM : NEAR);
  }
}

function drawSlice(side, cell, reads) {
  const { data, stage, place } = scene, [, high, wide] = data.size.map((n, a) => n * data.spacing[a]);
  const view = viewOf(data, plane, Math.min(slice.parentElement.clientWidth / wide, side / high)), ratio = window.devicePixelRatio || 1;
  [slice.width, slice.height] = [view.width * ratio, view.height * ratio].map(Math.round);
  Object.assign(slice.style, { width: `${view.width}px`, height: `${view.height}px` });
  scene.view = view;
  const pen = slice.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.imageSmoothingEnabled = false; // voxels as they are
  pen.drawImage(sliceOf(data, plane, place[0], scene.colour), 0, 0, view.width, view.height);
  drawCell(pen, view, plane, data, stage, cell, inScan(stage, reads));
}

const shown = (value, digits = 2) => local(value.toFixed(digits));
const triple = (place, digits = 2) => `(${place.map((v) => shown(v, digits)).join(words.page.decimal === "," ? "; " : ", ")})`;

function tellVolume(cell, amount, reads, k, near) {
  const { data, stage } = scene, sides = sidesOf(stage, data), own = reads.samples.map((read, i) => read.map((v, a) => v - reads.regular[i][a]));
  const cells = own.map((away) => Math.hypot(...away)), mm = own.map((away) => Math.hypot(...away.map((v, a) => v * sides[a])));
  const mean = (values) => values.reduce((a, b) => a + b) / values.length;
  cube.told = { stage: stage.label, cell, amount, samples: reads.samples, near, angle: [...scene.angle] }; // for tests
  part("volume-times").textContent = shown(amount);
  part("volume-k").textContent = k;
  const zero = reads.zero.filter(Boolean).length, moved = { mean: shown(mean(cells)), most: shown(Math.max(...cells)), mm: shown(mean(mm)) };
  part("volume-told").textContent = say("told", { cell: triple(cell, 0), strength: amount.toFixed(2), ...moved, zero });
  const learned = readsOf(stage, stage.levels, cell, 1).samples[k].map((v, a) => v - reads.regular[k][a]);
  const numbers = { k, first: 3 * k, second: 3 * k + 1, third: 3 * k + 2 }, places = [reads.regular[k], learned, reads.samples[k]].map((p) => triple(p));
  part("volume-one").textContent = say("one_tap", { ...numbers, strength: amount.toFixed(2), grid: places[0], offset: places[1], place: places[2] });
  const shares = near.filter(({ share }) => share > 0.0005).map(({ share }) => shown(share, 3));
  part("volume-reads").textContent = reads.zero[k] ? say("reads_zero") : say("reads", { count: shares.length, shares: shares.join(" + ") });
}

function tellParts(parts) {
  const most = Math.max(...Object.values(parts)), all = Object.values(parts).reduce((a, b) => a + b);
  part("volume-costs").replaceChildren(
    ...Object.entries(parts).map(([name, count]) => {
      const bar = make("i", name === "nets" ? { class: "nets" } : {}), size = count.toLocaleString("en").replaceAll(",", words.page.decimal === "," ? "\u202f" : ",");
      bar.style.width = `${(100 * count) / most}%`;
      const figure = say("cost_share", { size, share: ((100 * count) / all).toFixed(1) });
      return make("p", {}, make("span", {}, say(`cost_${name}`)), make("div", {}, bar), make("b", {}, figure));
    })
  );
}

function tellMeasured({ cases, parts }) {
  part("volume-measured").hidden = false;
  part("volume-measured").textContent = say("measured", { cases });
  const bar = (kind, value, after) => {
    const made = make("i");
    made.style.width = `${value}%`;
    return make("p", { class: kind }, make("span", {}, say(`dice_${kind}`)), make("div", {}, made), make("b", {}, shown(value, 1)), make("small", {}, after));
  };
  part("volume-dice").replaceChildren(
    ...parts.map(({ part: name, own, zero, change, between }) =>
      make("section", {}, make("h3", {}, words.volume[name] ?? name), bar("own", own, ""), bar("zero", zero, say("change", { change: withInterval(change, between) })))
    )
  );
}

// The voxel under a pointer, or one further with an arrow key; page up and down go through the slices.
function moveTo(place) {
  scene.place = place.map((v, a) => clamp(Math.round(v), 0, scene.data.size[a] - 1));
  redraw();
}

function pointAt(event) {
  if (!scene.view || (event.type === "pointermove" && !event.buttons)) return;
  const box = slice.getBoundingClientRect(), zoom = box.width / scene.view.width;
  const [x, y] = scene.view.place([(event.clientX - box.left) / zoom, (event.clientY - box.top) / zoom]);
  moveTo([scene.place[0], y, x]);
}

slice.addEventListener("pointerdown", pointAt);
slice.addEventListener("pointermove", pointAt);
slice.addEventListener("keydown", (event) => {
  if (!scene.stage) return;
  const by = { PageUp: 1, PageDown: -1 }[event.key] ?? 0, step = by ? [0, 0] : arrow(event);
  if (!step) return;
  if (by) event.preventDefault();
  const [z, y, x] = scene.stage.stride, [dz, dy, dx] = [by, -step[0], step[1]];
  moveTo(scene.place.map((v, a) => v + [dz, dy, dx][a] * [z, y, x][a]));
});
turnBy(cube, scene.angle, redraw);
for (const range of [strength, tap]) range.addEventListener("input", redraw);
part("volume-stage").addEventListener("change", chooseStage);
new ResizeObserver(redraw).observe(element);

part("volume-link").hidden = !given.segment;
openVolume();
