// Pointer, fingers and keys on the picture.

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const picture = part("see-picture"), down = new Map(); // pointers that are down, by their number
let drag = null; // { x, y, corner, moved, pinched } since one of them came down
const apart = ([a, b]) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
const between = ([a, b]) => ({ clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 });

picture.addEventListener("pointerdown", (event) => {
  if (!state.data || event.button) return;
  down.set(event.pointerId, event);
  drag = { x: event.clientX, y: event.clientY, corner: state.corner, moved: down.size > 1, pinched: down.size > 1 };
  picture.setPointerCapture(event.pointerId); // a drag may end outside
});
picture.addEventListener("pointermove", (event) => {
  if (!state.data) return;
  if (!down.has(event.pointerId)) {
    if (!state.pinned) move(pointOf(event), false);
  } else if (down.size > 1) pinch(event);
  else if (!drag.pinched) dragged(event);
});

// One pointer that is down moves the picture where it is larger than its frame; else a finger moves the cell.
function dragged(event) {
  const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y], scale = (picture.clientWidth / state.data.size[1]) * state.zoom;
  drag.moved ||= Math.hypot(dx, dy) > 4;
  if (!drag.moved) return;
  if (state.zoom > 1) panTo(state.zoom, [drag.corner[0] - dx / scale, drag.corner[1] - dy / scale]);
  else if (event.pointerType !== "mouse") move(pointOf(event), true);
}

// What lies between two fingers stays there.
function pinch(event) {
  const before = [...down.values()], anchor = pointOf(between(before));
  down.set(event.pointerId, event);
  const after = [...down.values()];
  zoomBy(apart(after) / Math.max(apart(before), 1), anchor);
  const now = pointOf(between(after));
  panTo(state.zoom, state.corner.map((edge, axis) => edge + anchor[axis] - now[axis]));
}

picture.addEventListener("pointerup", (event) => {
  const click = state.data && down.has(event.pointerId) && !drag.moved;
  release(event);
  if (click) move(pointOf(event), event.pointerType === "mouse" ? !state.pinned : true);
});
picture.addEventListener("pointercancel", release); // a page that is scrolled over the picture

function release(event) {
  down.delete(event.pointerId);
  if (!down.size) drag = null;
}

picture.addEventListener("dblclick", (event) => state.data && zoomBy(2, pointOf(event)));
// A page is scrolled by the wheel: only a picture that somebody works in zooms by it.
picture.addEventListener(
  "wheel",
  (event) => {
    const inside = event.ctrlKey || state.zoom > 1 || document.fullscreenElement || document.activeElement === picture;
    if (!state.data || !inside || (state.zoom === 1 && event.deltaY > 0 && !event.ctrlKey)) return;
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 400), pointOf(event));
  },
  { passive: false }
);
picture.addEventListener("keydown", (event) => {
  if (!state.data || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key in STEPS) step(...STEPS[event.key]);
  else if (event.key === "Escape") move(state.point, false);
  else if (event.key === "Enter" || event.key === " ") move(state.point, !state.pinned);
  else if (event.key === "+" || event.key === "=") zoomBy(1.5, state.point);
  else if (event.key === "-") zoomBy(1 / 1.5, state.point);
  else if (event.key === "0") panTo(1, state.corner);
  else return;
  event.preventDefault();
});

// The diagram: its dots by pointer, and by arrow keys one after the other.
const scatter = part("see-dots");
scatter.addEventListener("pointermove", (event) => {
  const object = dotAt(event);
  scatter.style.cursor = object ? "pointer" : "";
  if (!object || object === state.object || state.pinned) return;
  lookAt(object);
  redraw();
});
scatter.addEventListener("click", (event) => {
  const object = dotAt(event);
  if (object) hold(object);
});
scatter.addEventListener("keydown", (event) => {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key], dots = state.zooms?.dots ?? [];
  if (!by || !dots.length) return;
  event.preventDefault();
  const at = dots.findIndex(({ object }) => object === state.object);
  hold(dots[Math.min(Math.max(at + by, 0), dots.length - 1)].object);
});
