// The examples as one group of radio buttons: those that the chosen models were made for stand first, the others behind
// a line that opens, and a tile for the visitor's own picture while it is the chosen one.
// gr.HTML gives: element (this component), props (its value, and pictures), trigger (an event for the server), watch.

const part = (name) => element.querySelector(`.examples-${name}`);
const pictures = JSON.parse(props.pictures);
const own = tile("your picture");
const tiles = new Map(pictures.map((picture) => [picture.label, tile(picture.label, picture.thumbnail)]));
let subject = ""; // of the models
const SHOWN = { everyday: "photographs", thermal: "thermal frames", steel: "steel", shapes: "drawn scenes" };

function tile(label, thumbnail) {
  const made = document.createElement("label"), radio = document.createElement("input");
  Object.assign(radio, { type: "radio", name: "example", value: label, ariaLabel: label });
  made.title = label;
  made.append(radio);
  if (!thumbnail) {
    made.append(label);
    return made;
  }
  const image = document.createElement("img");
  Object.assign(image, { src: thumbnail, alt: "" });
  made.append(image);
  radio.addEventListener("change", () => choose(label));
  return made;
}

// At once here; the server brings the picture, and models for it where those that stand there were not made for it.
function choose(label) {
  props.value = JSON.stringify({ ...JSON.parse(props.value), chosen: label, unfit: "" });
  show();
  trigger("select", { index: pictures.findIndex((picture) => picture.label === label), value: label });
}

function show() {
  const now = JSON.parse(props.value), chosen = pictures.find(({ label }) => label === now.chosen);
  const focused = element.contains(document.activeElement) && document.activeElement;
  const first = (picture) => picture.subject === now.subject || picture === chosen;
  const put = (row, them) => part(row).replaceChildren(...them.map(({ label }) => tiles.get(label)));
  put("fitting", pictures.filter(first));
  put("others", pictures.filter((picture) => !first(picture)));
  part("fitting").prepend(own);
  focused && focused.focus({ preventScroll: true }); // which has moved, maybe
  if (now.subject !== subject) part("more").open = false;
  subject = now.subject;
  const rest = pictures.filter((picture) => !first(picture)), kinds = new Set(rest.map((picture) => SHOWN[picture.subject]));
  part("more").firstElementChild.textContent = `${rest.length} more: ${[...kinds].join(", ")}`;
  own.hidden = now.chosen !== "";
  for (const [label, one] of [["", own], ...tiles]) one.firstChild.checked = label === now.chosen;
  part("credit").textContent = chosen ? `${chosen.label} · ${chosen.credit}` : now.chosen === "" ? "Your picture." : "";
  part("unfit").textContent = now.unfit;
}

watch("value", show);
show();
