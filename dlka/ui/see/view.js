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
  redraw();
}

const middle = () => [1, 0].map((axis, i) => state.corner[i] + state.data.size[axis] / state.zoom / 2);

function pointOf(event) {
  const box = part("see-picture").getBoundingClientRect(), scale = (box.width / state.data.size[1]) * state.zoom;
  return [state.corner[0] + (event.clientX - box.left) / scale, state.corner[1] + (event.clientY - box.top) / scale];
}
