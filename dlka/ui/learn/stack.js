// Step 2: all paths through a small kernel and a dilated one.

const SECOND = 7;
const stack = { row: 1, column: 4, cells: [] }; // the chosen tap of the second kernel
const grid = part("stack-grid");

// Paths along one axis: the full convolution of both tap patterns, as in worksheet.py.
function pathsOfAxis(first, dilation) {
  const paths = new Array(first + (SECOND - 1) * dilation).fill(0);
  for (let tap = 0; tap < SECOND; tap++) for (let i = 0; i < first; i++) paths[tap * dilation + i] += 1;
  return paths;
}

function drawStack() {
  const a = Number(part("stack-first").value), d = Number(part("stack-dilation").value);
  const axis = pathsOfAxis(a, d), reach = axis.length, area = reach * reach;
  const counts = Array.from({ length: area }, (_, i) => axis[Math.floor(i / reach)] * axis[i % reach]);
  const most = Math.max(...counts);
  if (stack.cells.length !== area) {
    grid.replaceChildren();
    grid.setAttribute("viewBox", `-0.6 -0.6 ${reach + 0.2} ${reach + 0.2}`);
    stack.cells = addCells(grid, reach, reach);
    stack.marks = add(grid, "g");
  }
  grid.counts = counts; // for tests
  stack.cells.forEach((cell, i) => {
    cell.classList.toggle("paths", counts[i] > 0);
    cell.style.fillOpacity = counts[i] ? 0.15 + 0.85 * (counts[i] / most) : 1;
  });
  markTaps(a, d);
  part("stack-a").textContent = `${a}×${a}`;
  part("stack-d").textContent = d;
  const gaps = counts.filter((n) => !n).length;
  const left = gaps ? say("gap", { gaps, area, d, a }) : say("no_gap");
  part("stack-told").textContent = say("told", { a, d, reach, area, weights: a * a + 49, paths: a * a * 49, gaps: left });
  const distinct = [...new Set(counts)].sort((x, y) => x - y);
  fill(part("stack-counts"), distinct.map((n) => [`${n}`, `${counts.filter((m) => m === n).length}`]));
  [...part("stack-counts").children].forEach((row, i) => {
    const swatch = document.createElement("i");
    swatch.className = distinct[i] ? "learn-swatch paths" : "learn-swatch";
    swatch.style.opacity = distinct[i] ? 0.15 + 0.85 * (distinct[i] / most) : 1;
    row.firstChild.prepend(swatch);
  });
}

// The 49 taps of the second kernel, and the window of the chosen one.
function markTaps(a, d) {
  stack.marks.replaceChildren();
  const edge = (a - 1) / 2, place = (tap) => edge + tap * d;
  for (let row = 0; row < SECOND; row++) {
    for (let column = 0; column < SECOND; column++) {
      const chosen = row === stack.row && column === stack.column;
      add(stack.marks, "circle", { cx: place(column), cy: place(row), r: chosen ? 0.42 : 0.2, class: chosen ? "chosen" : "outer" });
    }
  }
  const corner = { x: place(stack.column) - edge - 0.5, y: place(stack.row) - edge - 0.5 };
  add(stack.marks, "rect", { ...corner, width: a, height: a, class: "window" });
  const [dy, dx] = [stack.row, stack.column].map((tap) => signed((tap - 3) * d));
  part("stack-tap").textContent = say("tap", { row: stack.row + 1, column: stack.column + 1, dy, dx, a });
}

function choose(row, column) {
  stack.row = clamp(row, 0, SECOND - 1);
  stack.column = clamp(column, 0, SECOND - 1);
  markTaps(Number(part("stack-first").value), Number(part("stack-dilation").value));
}

function point(event) {
  const a = Number(part("stack-first").value), d = Number(part("stack-dilation").value);
  const [x, y] = placeIn(grid, event);
  choose(...[y, x].map((v) => Math.round((v - (a - 1) / 2) / d)));
}

grid.addEventListener("pointermove", point);
grid.addEventListener("pointerdown", point);
grid.addEventListener("keydown", (event) => {
  const step = arrow(event);
  if (step) choose(stack.row + step[0], stack.column + step[1]);
});
for (const name of ["stack-first", "stack-dilation"]) part(name).addEventListener("input", drawStack);
drawStack();
