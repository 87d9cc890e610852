// The viewer of findings: one key, or one tap, to the next one of those that the filters leave; and all pictures.
// gr.HTML gives: element (this component), props (its value), watch (called when the server sends another value).

const part = (name) => element.querySelector(`.many-${name}`);
// shown: the items that the filters leave; at: which of them is seen; first: which has the first close-up of the row
// below; picture: the number of the only picture that is looked at, or null.
const state = { data: { items: [], pictures: [] }, shown: [], at: 0, first: -1, picture: null };
const LINES = { "only baseline": "6 4", "class changed": "8 3 2 3", "missed by both": "2 3" };
const SIZES = { S: "S, under 32 x 32 px", M: "M, under 96 x 96 px", L: "L, above" };
const FILTERS = {
  what: (item, value) => item.what.includes(value),
  class: (item, value) => item.classes.includes(value),
  size: (item, value) => item.size === value,
};
const ROW = 100; // close-ups below the chosen one at a time: thousands would keep a browser busy

function load(data) {
  Object.assign(state, { data, picture: null });
  const any = data.items.length > 0, judged = data.columns.includes("ground truth");
  part("seen").hidden = !any;
  const compared = data.pictures.filter(({ height }) => height).length;
  part("all-pictures").hidden = !compared;
  part("all-pictures").open = innerWidth > 640; // on a phone the page is long enough without
  element.querySelector("h3").textContent = `All ${data.pictures.length} ${data.pictures.length === 1 ? "picture" : "pictures"}`;
  part("none").hidden = any;
  part("none").textContent = compared ? `The two models agree on every object${judged ? ", and no label speaks against them" : ""}.` : "What the two models do not see alike appears here, the smallest first.";
  const labelled = judged ? " Grey: both, and a label speaks against one. Dotted, green: labelled objects; framed so, one that both miss." : "";
  part("key").textContent = `Solid: only D-LKA shows a box. Dashed: only baseline. Dot and dash: another class.${labelled}`;
  part("told").textContent = `Smallest first. Keys: n next, p previous; in here also the arrows, Home and End.`;
  part("counts").textContent = `One picture to look at it alone.${judged ? " Missed objects and false alarms: D-LKA / baseline." : ""}`;
  const classes = [...new Set(data.items.flatMap((item) => item.classes))].sort();
  fill("what", "everything", Object.fromEntries(data.what.map((name) => [name, name])));
  fill("class", "all classes", Object.fromEntries(classes.map((name) => [name, name])));
  fill("size", "all sizes", SIZES);
  part("grid").replaceChildren(...data.pictures.map(thumbnail));
  filter();
}

function made(tag, text = "", properties = {}) {
  const element = Object.assign(document.createElement(tag), properties);
  element.textContent = text;
  return element;
}

// options: value -> words; the first one, of no value, leaves everything.
function fill(name, all, options) {
  const entries = [["", all], ...Object.entries(options)];
  part(name).replaceChildren(...entries.map(([value, words]) => Object.assign(made("option"), { value, words })));
  part(name).value = "";
}

function passes(item, except) {
  const fits = ([name, test]) => name === except || !part(name).value || test(item, part(name).value);
  return (state.picture === null || item.picture === state.picture) && Object.entries(FILTERS).every(fits);
}

// Beside every option stands how many it would leave, with the other filters as they are.
function count(name) {
  const items = state.data.items.filter((item) => passes(item, name));
  for (const option of part(name).options) {
    const number = option.value ? items.filter((item) => FILTERS[name](item, option.value)).length : items.length;
    option.textContent = `${option.words} (${number})`;
  }
}

function filter() {
  const { pictures, items } = state.data, picture = pictures[state.picture], chosen = state.shown[state.at];
  Object.keys(FILTERS).forEach(count);
  state.shown = items.filter((item) => passes(item));
  state.first = -1;
  const any = state.shown.length > 0;
  const asked = Object.keys(FILTERS).map((name) => part(name)).filter((select) => select.value);
  const said = [...asked.map((select) => select.selectedOptions[0].words), ...(picture ? [`in ${picture.file}`] : [])];
  part("nothing").textContent = `There is nothing to look at here: ${said.join(", ")}.`;
  part("nothing").hidden = any;
  for (const name of ["bar", "close", "row", "key", "tiles", "told"]) part(name).hidden = !any;
  part("pictures").hidden = !any && !picture;
  part("back").hidden = !picture;
  part("back").textContent = `Only ${picture?.file}: back to all pictures`;
  for (const [number, button] of [...part("grid").children].entries()) button.setAttribute("aria-pressed", number === state.picture);
  if (any) show(Math.max(0, state.shown.indexOf(chosen)));
  else if (picture) drawContext(null, picture);
}

function lookAt(number) {
  state.picture = number;
  filter();
  part("viewer").scrollIntoView({ block: "start" });
  part("viewer").focus({ preventScroll: true });
}

function thumbnail(picture, number) {
  const button = made("button", "", { type: "button", disabled: !picture.thumbnail });
  const image = { src: picture.thumbnail, alt: "", loading: "lazy", width: picture.width, height: picture.height };
  if (picture.thumbnail) button.append(made("img", "", image));
  button.append(made("b", picture.file), ...toldOf(picture).map((line) => made("span", line)));
  button.addEventListener("click", () => lookAt(state.picture === number ? null : number));
  return button;
}

// Whose boxes there are in a picture, and what the labels say; or why it was not compared or judged.
function toldOf({ problem, kinds = {}, wrong = [] }) {
  const found = Object.entries(kinds).filter(([, number]) => number).map(([name, number]) => `${number} ${name}`);
  const [ours, theirs] = wrong, unlabelled = state.data.columns.includes("ground truth") ? ["no labels"] : [];
  const judged = ours ? [`missed: ${ours[0]} / ${theirs[0]}`, `false alarms: ${ours[1]} / ${theirs[1]}`] : unlabelled;
  return problem ? [...found, problem] : [...(found.length ? found : ["no boxes"]), ...judged];
}

function tileButton(item, number) {
  const button = made("button", "", { type: "button", tabIndex: -1 }); // the arrows go on; Tab reaches the chosen one
  const image = { src: item.tile, alt: item.told, loading: "lazy", width: 96, height: 96 };
  button.append(item.tile ? made("img", "", image) : near(shape("svg", {}), item));
  button.addEventListener("click", () => show(state.first + number));
  return button;
}

function show(number) {
  const { shown } = state, row = part("tiles");
  row.querySelector("[aria-current]")?.removeAttribute("aria-current");
  state.at = Math.min(Math.max(number, 0), shown.length - 1);
  const item = shown[state.at], first = state.at - (state.at % ROW), within = row.contains(document.activeElement);
  if (first !== state.first) row.replaceChildren(...shown.slice(first, first + ROW).map(tileButton));
  state.first = first;
  const button = row.children[state.at - first];
  for (const one of row.children) one.tabIndex = one === button ? 0 : -1;
  button.setAttribute("aria-current", "true");
  if (within) button.focus({ preventScroll: true });
  row.scrollTop = button.offsetTop - (row.clientHeight - button.offsetHeight) / 2;
  part("tile").hidden = !item.tile;
  part("near").toggleAttribute("hidden", Boolean(item.tile));
  if (item.tile) Object.assign(part("tile"), { src: item.tile, alt: item.told });
  else near(part("near"), item);
  element.querySelector(".many-close figcaption").textContent = item.tile ? "Close-up" : "Close-up, less sharp than those of the smallest";
  part("row").replaceChildren(...item.row.map((cell, n) => cellOf(state.data.columns[n], cell)));
  part("place").textContent = `${state.at + 1} of ${shown.length}: ${item.told}`;
  // Not disabled: a button that is loses the focus, and the keys with it.
  part("previous").setAttribute("aria-disabled", state.at === 0);
  part("next").setAttribute("aria-disabled", state.at === shown.length - 1);
  drawContext(item, state.data.pictures[item.picture]);
}

function cellOf(name, value) {
  const pair = made("div");
  pair.append(made("dt", name), made("dd", value));
  return pair;
}

// A close-up out of the smaller picture that the page has, as large as those that the server cuts.
function near(svg, item) {
  const { source, width, height } = state.data.pictures[item.picture], [x1, y1, x2, y2] = item.box;
  const side = Math.max(64, 2.6 * Math.max(x2 - x1, y2 - y1));
  svg.setAttribute("viewBox", `${(x1 + x2 - side) / 2} ${(y1 + y2 - side) / 2} ${side} ${side}`);
  svg.setAttribute("aria-label", item.told);
  svg.replaceChildren(shape("image", { href: source, width, height }), outline(item, 3, "#ffffff"), outline(item, 2));
  return svg;
}

// The whole picture with the boxes of its findings; a ring leads the eye to a small one. item: or null for none.
function drawContext(item, picture) {
  const { width, height } = picture, svg = part("context");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("aria-label", `The whole picture: ${item ? item.told : picture.file}`);
  svg.replaceChildren(shape("image", { href: picture.source, width, height }));
  if (!item) return;
  const others = state.data.items.filter((other) => other.picture === item.picture && other !== item);
  const [x1, y1, x2, y2] = item.box, radius = Math.max(0.75 * Math.hypot(x2 - x1, y2 - y1), 0.03 * Math.max(width, height));
  const ring = { cx: (x1 + x2) / 2, cy: (y1 + y2) / 2, r: radius, fill: "none" };
  svg.append(
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

// The two letters work wherever nothing is typed, at the filters too; the arrows, which scroll the page, only in here.
function press(event) {
  if (!element.isConnected) return document.removeEventListener("keydown", press);
  if (!state.shown.length || event.altKey || event.ctrlKey || event.metaKey) return;
  const target = event.composedPath()[0], within = element.contains(target);
  if (target.closest?.("input, textarea, [contenteditable], [role=listbox]")) return;
  const step = ANYWHERE[event.key] ?? (within && !target.closest("select") ? INSIDE[event.key] : undefined);
  if (step === undefined) return;
  event.preventDefault();
  show(state.at + step);
  if (!within) part("viewer").scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", press);
part("previous").addEventListener("click", () => show(state.at - 1));
part("next").addEventListener("click", () => show(state.at + 1));
part("back").addEventListener("click", () => lookAt(null));
for (const name of Object.keys(FILTERS)) part(name).addEventListener("change", filter);
watch("value", () => load(JSON.parse(props.value)));
load(JSON.parse(props.value));
