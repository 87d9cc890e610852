// One canvas: the picture, or a window of it around a cell, and what the cell reads on top.

const RIM = "rgba(20, 23, 26, 0.85)";

// A view maps points of the picture to CSS pixels of a canvas.
function viewOf(canvas, left, top, scale) {
  return { canvas, left, top, scale, at: ([x, y]) => [(x - left) * scale, (y - top) * scale] };
}

// Sharp on every screen: a canvas has as many pixels as the screen shows for it.
function prepare(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}

// The picture in a view. image may have fewer pixels than the original, whose size is [height, width].
function drawPicture(pen, view, image, size, veil) {
  const [x, y] = view.at([-0.5, -0.5]);
  pen.imageSmoothingEnabled = view.scale * (size[1] / image.width) < 3; // far in, show the pixels as they are
  pen.drawImage(image, x, y, size[1] * view.scale, size[0] * view.scale);
  pen.fillStyle = `rgba(255, 255, 255, ${veil})`;
  pen.fillRect(x, y, size[1] * view.scale, size[0] * view.scale);
}

function drawCross(pen, view, point, width, height) {
  const [x, y] = view.at(point);
  for (const [colour, line] of [[RIM, 2.5], ["rgba(255, 255, 255, 0.9)", 1]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = line;
    pen.beginPath();
    pen.moveTo(0, y);
    pen.lineTo(width, y);
    pen.moveTo(x, 0);
    pen.lineTo(x, height);
    pen.stroke();
  }
}

function dot(pen, x, y, radius, fill, rim, line) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  if (fill) {
    pen.fillStyle = fill;
    pen.fill();
  }
  pen.strokeStyle = rim;
  pen.lineWidth = line;
  pen.stroke();
}

// Grid, samples and the lines between them. points: { regular, samples: [[x, y], ...] in CSS pixels, zero, weights };
// without weights they are the paths of a composed field, over a thousand: squares, which are drawn fast.
function drawReads(pen, points, radius, { colours, path_colour }) {
  if (points.weights) drawTaps(pen, points, radius, colours);
  else drawPaths(pen, points, radius, path_colour);
}

function drawTaps(pen, { regular, samples, zero, weights }, radius, colours) {
  pen.strokeStyle = "rgba(255, 255, 255, 0.9)";
  pen.lineWidth = 1;
  pen.beginPath();
  samples.forEach(([x, y], i) => {
    pen.moveTo(...regular[i]);
    pen.lineTo(x, y);
  });
  pen.stroke();
  for (const [x, y] of regular) {
    dot(pen, x, y, 0.8 * radius, null, RIM, 2.4);
    dot(pen, x, y, 0.8 * radius, null, "white", 1.2);
  }
  samples.forEach(([x, y], i) => {
    if (zero[i]) drawTimes(pen, x, y, radius);
    else dot(pen, x, y, radius, colours[Math.round(weights[i] * (colours.length - 1))], RIM, 0.8);
  });
}

function drawPaths(pen, { regular, samples, zero }, radius, colour) {
  for (const [points, side, fill] of [
    [regular, 1.1 * radius, RIM],
    [regular, 0.7 * radius, "white"],
    [samples.filter((_, i) => !zero[i]), radius, colour],
  ]) {
    pen.fillStyle = fill;
    for (const [x, y] of points) pen.fillRect(x - side / 2, y - side / 2, side, side);
  }
  samples.forEach(([x, y], i) => zero[i] && drawTimes(pen, x, y, radius));
}

function drawTimes(pen, x, y, radius) {
  for (const [colour, line] of [[RIM, 3], ["#c9ced6", 1.4]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = line;
    pen.beginPath();
    pen.moveTo(x - radius, y - radius);
    pen.lineTo(x + radius, y + radius);
    pen.moveTo(x - radius, y + radius);
    pen.lineTo(x + radius, y - radius);
    pen.stroke();
  }
}
