// The viewer of disagreements: one key, or one tap, to the next one.
// gr.HTML gives: element (this component), props (its value), watch (called when the server sends another value).

const part = (name) => element.querySelector(`.many-${name}`);
const state = { data: { items: [] }, at: 0 };
const LINES = { "only baseline": "6 4", "class changed": "8 3 2 3" };

function load(data) {
  Object.assign(state, { data, at: 0 });
  const any = data.items.length > 0;
  part("seen").hidden = !any;
  part("none").hidden = any;
  part("none").textContent = data.told ? "The two models agree on every object." : "Disagreements of the two models appear here, the smallest first.";
  const judged = data.columns.length > 8 ? " Dotted, green: labelled objects of its class." : "";
  part("key").textContent = `Solid: only D-LKA. Dashed: only baseline. Dot and dash: another class.${judged}`;
  part("told").textContent = `${data.told[0]?.toUpperCase() ?? ""}${data.told.slice(1)}. Keys: n next, p previous; in here also the arrows, Home and End.`;
  part("columns").replaceChildren(...data.columns.map((name) => filled("th", name)));
  part("tiles").replaceChildren(...data.items.map(tileButton));
  if (any) show(0);
}

function filled(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (tag === "th") made.scope = "col";
  return made;
}

function tileButton(item, number) {
  const button = document.createElement("button"), image = document.createElement("img");
  button.type = "button";
  button.tabIndex = -1; // the arrows go from one to the next; the chosen one is reached by Tab
  Object.assign(image, { src: item.tile, alt: item.told, loading: "lazy", width: 96, height: 96 });
  button.append(image);
  button.addEventListener("click", () => show(number));
  return button;
}

function show(number) {
  const { items, pictures } = state.data, buttons = part("tiles").children;
  buttons[state.at].removeAttribute("aria-current");
  buttons[state.at].tabIndex = -1;
  state.at = Math.min(Math.max(number, 0), items.length - 1);
  const item = items[state.at], button = buttons[state.at];
  button.setAttribute("aria-current", "true");
  button.tabIndex = 0;
  if (part("tiles").contains(document.activeElement)) button.focus({ preventScroll: true });
  const row = part("tiles");
  row.scrollTop = button.offsetTop - row.offsetTop - (row.clientHeight - button.offsetHeight) / 2;
  Object.assign(part("tile"), { src: item.tile, alt: item.told });
  part("row").replaceChildren(...item.row.map((cell) => filled("td", cell)));
  part("place").textContent = `${state.at + 1} of ${items.length}: ${item.told}`;
  // Not disabled: a button that is loses the focus, and the keys with it.
  part("previous").setAttribute("aria-disabled", state.at === 0);
  part("next").setAttribute("aria-disabled", state.at === items.length - 1);
  drawContext(item, pictures[item.picture]);
}

// The whole picture with the boxes of its disagreements; a ring leads the eye to a small one.
function drawContext(item, picture) {
  const { width, height } = picture, svg = part("context");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("aria-label", `The whole picture: ${item.told}`);
  const others = state.data.items.filter((other) => other.picture === item.picture && other !== item);
  const [x1, y1, x2, y2] = item.box, radius = Math.max(0.75 * Math.hypot(x2 - x1, y2 - y1), 0.03 * Math.max(width, height));
  const ring = { cx: (x1 + x2) / 2, cy: (y1 + y2) / 2, r: radius, fill: "none" };
  svg.replaceChildren(
    shape("image", { href: picture.source, width, height }),
    ...others.map((other) => outline(other, 1)),
    shape("circle", { ...ring, stroke: "#ffffff", "stroke-width": 5, opacity: 0.8 }),
    shape("circle", { ...ring, stroke: item.colour, "stroke-width": 2.5 }),
    outline(item, 3, "#ffffff"),
    outline(item, 2)
  );
}

function outline(item, wide, colour = item.colour) {
  const [x, y, x2, y2] = item.box, dashes = wide === 3 ? "none" : LINES[item.kind] ?? "none";
  const look = { fill: "none", stroke: colour, "stroke-width": wide, "stroke-dasharray": dashes };
  return shape("rect", { x, y, width: x2 - x, height: y2 - y, ...look });
}

function shape(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (name !== "image") made.setAttribute("vector-effect", "non-scaling-stroke");
  return made;
}

const INSIDE = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
const ANYWHERE = { n: 1, p: -1 };

// The two letters work wherever nothing is typed; the arrows, which scroll the page, only in here.
function press(event) {
  if (!element.isConnected) return document.removeEventListener("keydown", press);
  if (!state.data.items.length || event.altKey || event.ctrlKey || event.metaKey) return;
  const target = event.composedPath()[0], within = element.contains(target);
  if (target.closest?.("input, textarea, select, [contenteditable], [role=listbox]")) return;
  const step = ANYWHERE[event.key] ?? (within ? INSIDE[event.key] : undefined);
  if (step === undefined) return;
  event.preventDefault();
  show(state.at + step);
  if (!within) part("viewer").scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", press);
part("previous").addEventListener("click", () => show(state.at - 1));
part("next").addEventListener("click", () => show(state.at + 1));
watch("value", () => load(JSON.parse(props.value)));
load(JSON.parse(props.value));
