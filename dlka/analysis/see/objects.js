// Objects: the boxes of both models, how wide a kernel samples on each object, and one dot for each of them.

// How wide the samples of a stage lie at an object against its grid: the root mean square distance from their mean, as a
// ratio (axis_spreads of dlka/inference/kernel_shape.py). null where an offset is no number.
function zoomAt(letterbox, stage, offsets, object) {
  const reads = readsOf(stage, offsets, cellAt(letterbox, stage, object.point));
  const zoom = spread(reads.samples) / spread(reads.regular);
  return Number.isFinite(zoom) ? zoom : null;
}

function spread(flat) {
  const count = flat.length / 2, mean = [0, 0];
  flat.forEach((value, i) => (mean[i % 2] += value / count));
  return Math.sqrt(flat.reduce((sum, value, i) => sum + (value - mean[i % 2]) ** 2, 0) / count);
}

// Intersection over union of the boxes that stand for two objects of one class, else 0.
function overlap(one, other) {
  if (one.name !== other.name) return 0;
  const [a, b] = [one.dlka ?? one.baseline, other.dlka ?? other.baseline];
  const area = ([x1, y1, x2, y2]) => Math.max(x2 - x1, 0) * Math.max(y2 - y1, 0);
  const common = Math.max(Math.min(a[2], b[2]) - Math.max(a[0], b[0]), 0) * Math.max(Math.min(a[3], b[3]) - Math.max(a[1], b[1]), 0);
  return common / (area(a) + area(b) - common);
}

// The boxes of objects in a view: D-LKA's solid, the baseline's dashed; the chosen one has a halo and a name.
function drawBoxes(pen, view, objects, chosen, { DLKA, BASELINE }) {
  // Where both boxes lie on each other, dashes of the one over the line of the other show both.
  const lines = [["dlka", RIM, [], 3], ["baseline", RIM, [], 3], ["dlka", DLKA, [], 1.6], ["baseline", BASELINE, [5, 5], 1.6]];
  for (const object of objects) {
    for (const [side, colour, dash, wide] of lines) {
      if (!object[side]) continue;
      const [left, top] = view.at([object[side][0] - 0.5, object[side][1] - 0.5]);
      const [right, bottom] = view.at([object[side][2] - 0.5, object[side][3] - 0.5]);
      pen.setLineDash(dash);
      pen.strokeStyle = colour;
      pen.lineWidth = object === chosen ? wide + 1.7 : wide;
      pen.strokeRect(left, top, right - left, bottom - top);
    }
  }
  pen.setLineDash([]);
}

function drawName(pen, view, object, width, names) {
  const box = object.dlka ?? object.baseline, [left, top] = view.at([box[0] - 0.5, box[1] - 0.5]);
  const text = `${object.name}, ${Math.round(object.size)} px: ${names[object.kind]}${judged(object)}`;
  drawText(pen, text, left, top > 20 ? top - 20 : view.at([box[0], box[3] - 0.5])[1] + 3, width);
}

function drawText(pen, text, left, top, width = Infinity) {
  pen.font = "600 12px system-ui, sans-serif";
  const wide = pen.measureText(text).width + 10, x = Math.max(0, Math.min(left, width - wide));
  pen.fillStyle = "rgba(255, 255, 255, 0.92)";
  pen.fillRect(x, top, wide, 17);
  pen.fillStyle = "#1f2328";
  pen.fillText(text, x + 5, top + 13);
}

// Kernel against object: one dot each, with size in px across on a log scale. Returns where the dots lie, in CSS pixels.
function drawScatter(canvas, dots, chosen, colours, ink) {
  const wide = canvas.parentElement.clientWidth, high = 150, pen = prepare(canvas, wide, high);
  const left = 34, right = wide - 10, top = 8, bottom = high - 30;
  const sizes = dots.map((dot) => dot.size), most = Math.max(1.5, ...dots.map((dot) => dot.zoom)) * 1.08;
  const ends = [Math.min(...sizes) / 1.25, Math.max(...sizes) * 1.25].map(Math.log);
  const at = ({ size, zoom }) => [
    left + ((Math.log(size) - ends[0]) / (ends[1] - ends[0])) * (right - left),
    bottom - (zoom / most) * (bottom - top),
  ];
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = pen.strokeStyle = ink;
  pen.globalAlpha = 0.75;
  pen.lineWidth = 1;
  pen.strokeRect(left, top, right - left, bottom - top);
  pen.setLineDash([4, 3]);
  const [, one] = at({ size: 1, zoom: 1 });
  pen.beginPath();
  pen.moveTo(left, one);
  pen.lineTo(right, one);
  pen.stroke();
  pen.setLineDash([]);
  pen.textAlign = "right";
  for (const zoom of [0, 1]) pen.fillText(`${zoom}×`, left - 5, at({ size: 1, zoom })[1] + 4);
  pen.textAlign = "center";
  let last = left - 30;
  for (const size of [4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]) {
    const x = at({ size, zoom: 0 })[0];
    if (x < Math.max(left + 8, last + 34) || x > right - 8) continue;
    pen.fillText(`${size}`, x, bottom + 14);
    last = x;
  }
  pen.fillText("size of the object, px", (left + right) / 2, high - 3);
  pen.globalAlpha = 1;
  const places = dots.map(at);
  dots.forEach((each, i) => dot(pen, ...places[i], each.object === chosen ? 6 : 4, colours[each.object.kind], each.object === chosen ? ink : RIM, each.object === chosen ? 2.5 : 0.8));
  return places;
}

// What both found and what only one of the two did, in a sentence.
function counts(objects) {
  const of = (kinds) => objects.filter(({ kind }) => kinds.includes(kind)), small = (found) => found.filter((o) => o.size < 32).length;
  const [dlka, baseline] = [of(["only_first"]), of(["only_second"])];
  if (state.data.alone) return `It found ${objects.length} (${small(objects)} small). No D-LKA model here knows its classes, so it is looked at alone.`;
  const known = state.data.classes === 1 ? "the one class" : `one of the ${state.data.classes} classes`;
  if (state.data.truth) return hits(state.data.truth, objects);
  if (!objects.length) return `Neither model found ${known} that it knows, at this confidence. Lower it, or try a larger input size.`;
  const told = (name, found) => `only ${name} ${found.length}${found.length ? ` (${small(found)} small)` : ""}`;
  const both = of(["both", "class_changed"]).length;
  return `Both show ${both}, ${told("D-LKA", dlka)}, ${told("baseline", baseline)}. No labels say which are right.`;
}

// The same where labels say what is there: a box that fits no labelled object is not found, but a false alarm.
function hits({ all, small }, objects) {
  const total = all.reduce((a, b) => a + b), names = ["both found", "only D-LKA", "only baseline", "neither"];
  const parts = names.map((name, i) => `${name} ${all[i]}${i && small[i] ? ` (${small[i]} small)` : ""}`).filter((_, i) => !i || all[i]);
  const wrong = [0, 1].map((side) => objects.filter(({ right }) => right[side] === false).length);
  const alarms = wrong.some(Boolean) ? ` False alarms: D-LKA ${wrong[0]}, baseline ${wrong[1]}.` : "";
  const there = total ? `Of ${total} labelled ${total === 1 ? "object" : "objects"} ${parts.join(", ")}.` : "Nothing labelled is here.";
  return there + alarms;
}

// What labels say of the boxes of an object, for behind its name.
function judged({ right }) {
  if (!right?.includes(false)) return "";
  return right.includes(true) ? ", one of the boxes a false alarm" : right[0] === right[1] ? ", both false alarms" : ", a false alarm";
}

// Close-ups of what only one model found, smallest first.
const MOST_SHOWN = 24;
function buildOnly() {
  const { data } = state, found = data.objects.filter(({ kind, right }) => kind.startsWith("only") || (right?.includes(true) && right.includes(false)));
  part("see-only").hidden = !found.length;
  part("see-only-title").textContent = `${data.truth ? "What only one model has, or has right" : "Boxes of only one model"}${found.length > MOST_SHOWN ? `, the ${MOST_SHOWN} smallest` : ""}`;
  part("see-only-row").replaceChildren(
    ...found.slice(0, MOST_SHOWN).map((object) => {
      const button = document.createElement("button"), canvas = document.createElement("canvas");
      const told = document.createElement("span"), box = object.dlka ?? object.baseline, side = 84;
      const half = Math.max(1.2 * Math.max(box[2] - box[0], box[3] - box[1]), 24) / 2;
      const [x, y] = [(box[0] + box[2]) / 2 - 0.5, (box[1] + box[3]) / 2 - 0.5], view = viewOf(canvas, x - half, y - half, side / 2 / half);
      const pen = prepare(canvas, side, side);
      drawPicture(pen, view, state.image, data.size, 0);
      drawBoxes(pen, view, [object], null, data.accents);
      told.textContent = `${object.dlka ? "D-LKA" : "Baseline"}: ${object.name} ${Math.round(object.size)} px, ${box[4].toFixed(2)}${judged(object)}`;
      Object.assign(button, { type: "button", title: `${KINDS[object.kind]}: ${told.textContent}` });
      button.style.borderColor = data.kind_colours[object.kind];
      button.append(canvas, told);
      button.addEventListener("click", () => hold(object));
      return button;
    })
  );
}
