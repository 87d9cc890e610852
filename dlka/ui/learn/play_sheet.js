// The sheet: 320x320 px of ink on white, drawn by pointer or by keys. What is drawn in it is what the model gets.

const SHEET = 320, CELL = 8, CELLS = SHEET / CELL;
const paper = new OffscreenCanvas(SHEET, SHEET), ink = paper.getContext("2d", { willReadFrequently: true });
const sheet = part("play-sheet");
const pen = { tool: "curve", x: 160, y: 160, from: null, kept: null, put: false }; // put: down by a key
const widthOf = () => Number(part("play-width").value);

function clear() {
  ink.fillStyle = "white";
  ink.fillRect(0, 0, SHEET, SHEET);
}

function dot(x, y, width, colour = "black") {
  ink.fillStyle = colour;
  ink.beginPath();
  ink.arc(x, y, width / 2, 0, 2 * Math.PI);
  ink.fill();
}

// A line through points, with round ends.
function stroke(points, width, colour = "black") {
  Object.assign(ink, { strokeStyle: colour, lineWidth: width, lineCap: "round", lineJoin: "round" });
  ink.beginPath();
  points.forEach(([x, y], i) => (i ? ink.lineTo(x, y) : ink.moveTo(x, y)));
  ink.stroke();
}

const PRESETS = {
  clear() {},
  curve() {
    const points = Array.from({ length: 121 }, (_, i) => [40 + 2 * i, 160 + 70 * Math.sin(i / 19)]);
    stroke(points, 12);
  },
  dots() {
    [4, 8, 12, 16, 24, 32, 40].forEach((width, i) => dot(40 + 80 * (i % 4) + (i > 3 ? 40 : 0), i > 3 ? 220 : 110, width));
  },
  lines() {
    [2, 4, 8, 16, 24].forEach((width, i) => stroke([[50 + 50 * i, 40], [70 + 50 * i, 280]], width));
  },
};

// The map that the kernels read: the share of ink in each cell, 0 white to 1 black.
function inkMap() {
  const { data } = ink.getImageData(0, 0, SHEET, SHEET), values = new Float64Array(CELLS * CELLS);
  for (let y = 0; y < SHEET; y++) {
    for (let x = 0; x < SHEET; x++) {
      values[Math.floor(y / CELL) * CELLS + Math.floor(x / CELL)] += (1 - data[4 * (y * SHEET + x)] / 255) / CELL ** 2;
    }
  }
  return { values, height: CELLS, width: CELLS };
}

// The pen goes down, moves, and comes up at a place of the sheet, by pointer or by keys.
function penDown(x, y) {
  pen.from = [x, y];
  pen.kept = ink.getImageData(0, 0, SHEET, SHEET); // a line that is being drawn is drawn anew from here
  penMove(x, y);
}

function penMove(x, y) {
  const [x0, y0] = pen.from, width = widthOf();
  if (pen.tool === "line" || pen.tool === "dot") ink.putImageData(pen.kept, 0, 0);
  if (pen.tool === "dot") dot(x, y, width);
  else if (Math.hypot(x - x0, y - y0) < 0.1) dot(x, y, width, pen.tool === "eraser" ? "white" : "black");
  else stroke([[x0, y0], [x, y]], width, pen.tool === "eraser" ? "white" : "black");
  if (pen.tool !== "line") pen.from = [x, y];
}

function penUp() {
  pen.from = pen.kept = null;
  pen.put = false;
}

function drawSheet(marks) {
  const view = sheet.getContext("2d");
  view.setTransform(2, 0, 0, 2, 0, 0);
  view.imageSmoothingEnabled = false;
  view.drawImage(paper, 0, 0);
  for (const [colour, places, radius] of marks) {
    view.fillStyle = colour;
    view.strokeStyle = "white";
    view.lineWidth = 0.6;
    for (const [y, x] of places) {
      view.beginPath(); // cell p has its middle at pixel edge (p + 0.5) * 8
      view.arc((x + 0.5) * CELL, (y + 0.5) * CELL, radius, 0, 2 * Math.PI);
      view.fill();
      view.stroke();
    }
  }
  if (pen.tool === "cell" || document.activeElement !== sheet) return;
  view.strokeStyle = "#5b616b";
  view.lineWidth = 1.5;
  view.beginPath();
  view.arc(pen.x, pen.y, Math.max(widthOf() / 2, 1.5), 0, 2 * Math.PI);
  view.stroke();
}
