// Zoom and pan: which part of the picture the canvas shows. state.zoom: 1 shows all of it; state.corner: [left, top] of
// what is shown, in pixels of the picture.

const FARTHEST = 8;

function currentView(canvas, fit) {
  return viewOf(canvas, ...state.corner, fit * state.zoom);
}

// Zoom by a factor around a point of the picture, which stays where it is.
function zoomBy(factor, point) {
  const zoom = Math.min(Math.max(state.zoom * factor, 1), FARTHEST), ratio = state.zoom / zoom;
  panTo(zoom, state.corner.map((edge, axis) => point[axis] - (point[axis] - edge) * ratio));
}

function panTo(zoom, corner) {
  const [height, width] = state.data.size;
  state.zoom = zoom;
  state.corner = [width, height].map((long, axis) => Math.min(Math.max(corner[axis], -0.5), long - 0.5 - long / zoom));
  part("see-picture").style.touchAction = zoom > 1 ? "none" : "pan-y";
  part("see-zoom-out").disabled = zoom === 1;
  part("see-zoom-in").disabled = zoom === FARTHEST;
  redraw();
}

// While only a part is seen: the whole picture in a corner, small, with a frame around that part.
const OVERVIEW = 96; // px of its longer side
function drawOverview(pen, high) {
  if (state.zoom === 1) return;
  const [height, width] = state.data.size, scale = OVERVIEW / Math.max(width, height);
  const [w, h] = [width * scale, height * scale], [left, top] = [6, high - h - 6];
  pen.drawImage(state.image, left, top, w, h);
  const seen = [left + (state.corner[0] + 0.5) * scale, top + (state.corner[1] + 0.5) * scale, w / state.zoom, h / state.zoom];
  for (const [colour, line, box] of [[RIM, 1, [left, top, w, h]], [RIM, 3.5, seen], ["white", 1.5, seen]]) {
    Object.assign(pen, { strokeStyle: colour, lineWidth: line });
    pen.strokeRect(...box);
  }
}

// What stays in its place under the buttons: a held cell, else the middle.
const anchor = () => (state.pinned ? state.point : [1, 0].map((axis, i) => state.corner[i] + state.data.size[axis] / state.zoom / 2));

function pointOf(event) {
  const box = part("see-picture").getBoundingClientRect(), scale = (box.width / state.data.size[1]) * state.zoom;
  return [state.corner[0] + (event.clientX - box.left) / scale, state.corner[1] + (event.clientY - box.top) / scale];
}
