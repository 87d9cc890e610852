// Step 4: a point between four cells.

const map = { values: given.map, height: 4, width: 4 };
const at = { y: given.point[0], x: given.point[1] };
const sheet = part("corners-map");

for (let row = -1; row <= 4; row++) {
  for (let column = -1; column <= 4; column++) {
    const inside = row >= 0 && row < 4 && column >= 0 && column < 4;
    const value = inside ? map.values[row * 4 + column] : 0;
    const square = { x: column - 0.48, y: row - 0.48, width: 0.96, height: 0.96, class: inside ? "corners-cell" : "corners-outside" };
    const cell = add(sheet, "rect", square);
    if (inside) cell.style.fillOpacity = 0.08 + 0.07 * value;
    add(sheet, "text", { x: column - 0.3, y: row - 0.16, class: inside ? "corners-value" : "corners-value outside" }, `${value}`);
  }
}
const marks = add(sheet, "g");
const handle = add(sheet, "g", { class: "corners-point", tabindex: 0, role: "application", "aria-label": say("point") });
add(handle, "circle", { r: 0.4, class: "corners-touch" });
add(handle, "circle", { r: 0.15, class: "corners-dot" });

const number = (value, digits) => (Math.round(value * 10 ** digits) / 10 ** digits + 0).toFixed(digits);

function drawCorners() {
  const { read, corners } = readBilinear(map, at.y, at.x);
  handle.setAttribute("transform", `translate(${at.x} ${at.y})`);
  marks.replaceChildren();
  for (const { row, column, share } of corners) {
    const line = { x1: at.x, y1: at.y, x2: column, y2: row, class: "corners-line", "stroke-width": 0.015 + 0.14 * share };
    add(marks, "line", line);
    add(marks, "circle", { cx: column, cy: row, r: 0.07, class: "corners-end" });
  }
  sheet.told = { ...at, read }; // for tests
  const rows = corners.map(({ row, column, share, value, inside }) => [
    `(${row}, ${column})`,
    inside ? `${value}` : say("outside"),
    number(share, 3),
    number(share * value, 3),
  ]);
  fill(part("corners-rows"), [...rows, [say("sum"), "", number(corners.reduce((sum, c) => sum + c.share, 0), 3), number(read, 3)]]);
  const far = [at.y, at.x].some((v) => v <= -1 || v >= 4);
  part("corners-told").textContent = say(far ? "far" : "told", { y: number(at.y, 2), x: number(at.x, 2), read: number(read, 3) });
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
