// Step 5: a point between four cells.

const map = { values: given.map, height: 4, width: 4 };
const at = { y: given.point[0], x: given.point[1] };
const sheet = part("corners-map");

for (let row = -1; row <= 4; row++) {
  for (let column = -1; column <= 4; column++) {
    const inside = row >= 0 && row < 4 && column >= 0 && column < 4;
    const value = inside ? map.values[row * 4 + column] : 0;
    const square = { x: column - 0.48, y: row - 0.48, width: 0.96, height: 0.96 };
    const cell = add(sheet, "rect", { ...square, class: inside ? "corners-cell" : "corners-outside" });
    if (inside) cell.style.fillOpacity = 0.08 + 0.07 * value;
    const place = { x: column - 0.3, y: row - 0.16 };
    add(sheet, "text", { ...place, class: `corners-value ${inside ? "" : "outside"}` }, `${value}`);
  }
}
const drawn = []; // what else follows the point
const marks = add(sheet, "g");
const handle = add(sheet, "g", { class: "corners-point", tabindex: 0, role: "application", "aria-label": say("point") });
add(handle, "circle", { r: 0.4, class: "corners-touch" });
add(handle, "circle", { r: 0.15, class: "corners-dot" });

// What is read along the row of the point: a line without jumps, with kinks at cells.
const profile = part("corners-profile"), HEIGHT = 1.7; // of the largest value, 9
const heightOf = (read) => HEIGHT - (HEIGHT * read) / 9;
for (let x = -1; x <= 4; x++) {
  add(profile, "line", { x1: x, x2: x, y1: 0, y2: HEIGHT, class: "corners-tick" });
  add(profile, "text", { x, y: HEIGHT + 0.34, class: "corners-value" }, `${x}`);
}
add(profile, "line", { x1: -1.6, x2: 4.6, y1: HEIGHT, y2: HEIGHT, class: "corners-axis" });
for (const [value, below] of [[0, -0.08], [9, 0.1]]) {
  add(profile, "text", { x: -1.45, y: heightOf(value) + below, class: "corners-value" }, `${value}`);
}
const curve = add(profile, "polyline", { class: "corners-curve" });
const now = add(profile, "circle", { r: 0.11, class: "corners-dot" });

function drawProfile(read) {
  const steps = Array.from({ length: 125 }, (_, i) => -1.6 + i * 0.05);
  curve.setAttribute("points", steps.map((x) => `${x} ${heightOf(readBilinear(map, at.y, x).read)}`).join(" "));
  now.setAttribute("cx", at.x);
  now.setAttribute("cy", heightOf(read));
}

// How fast the read value changes, per cell, downwards and to the right: what training has to go by.
function slopesOf(corners) {
  const [[a, b], [c, d]] = [corners.slice(0, 2), corners.slice(2)].map((pair) => pair.map(({ value }) => value));
  const [fy, fx] = [at.y - Math.floor(at.y), at.x - Math.floor(at.x)];
  return { down: (1 - fx) * (c - a) + fx * (d - b), right: (1 - fy) * (b - a) + fy * (d - c) };
}

const number = (value, digits) => local((Math.round(value * 10 ** digits) / 10 ** digits + 0).toFixed(digits));

function drawCorners() {
  const { read, corners } = readBilinear(map, at.y, at.x);
  handle.setAttribute("transform", `translate(${at.x} ${at.y})`);
  marks.replaceChildren();
  for (const { row, column, share } of corners) {
    const line = { x1: at.x, y1: at.y, x2: column, y2: row, class: "corners-line", "stroke-width": 0.015 + 0.14 * share };
    add(marks, "line", line);
    add(marks, "circle", { cx: column, cy: row, r: 0.07, class: "corners-end" });
  }
  sheet.told = { ...at, read, ...slopesOf(corners) }; // for tests
  drawProfile(read);
  const rows = corners.map(({ row, column, share, value, inside }) => [
    `(${row}, ${column})`,
    inside ? `${value}` : say("outside"),
    number(share, 3),
    number(share * value, 3),
  ]);
  const shares = corners.reduce((sum, { share }) => sum + share, 0);
  fill(part("corners-rows"), [...rows, [say("sum"), "", number(shares, 3), number(read, 3)]]);
  const far = [at.y, at.x].some((v) => v <= -1 || v >= 4);
  const told = { y: number(at.y, 2), x: number(at.x, 2), read: number(read, 3) };
  part("corners-told").textContent = say(far ? "far" : "told", told);
  for (const follow of drawn) follow();
}

function moveTo(y, x) {
  at.y = clamp(Math.round(100 * y) / 100, -1.4, 4.4);
  at.x = clamp(Math.round(100 * x) / 100, -1.4, 4.4);
  drawCorners();
}

sheet.addEventListener("pointerdown", (event) => {
  sheet.setPointerCapture(event.pointerId);
  const [x, y] = placeIn(sheet, event);
  moveTo(y, x);
  handle.focus({ preventScroll: true });
  event.preventDefault();
});
sheet.addEventListener("pointermove", (event) => {
  if (!sheet.hasPointerCapture(event.pointerId)) return;
  const [x, y] = placeIn(sheet, event);
  moveTo(y, x);
});
handle.addEventListener("keydown", (event) => {
  const step = arrow(event), size = event.shiftKey ? 1 : 0.1;
  if (step) moveTo(at.y + size * step[0], at.x + size * step[1]);
});
drawCorners();
