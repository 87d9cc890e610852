// Step 6: what is multiplied, the gate, and the product, of one block on a real picture.

const KINDS = ["gated", "gate", "product"]; // and then what is added, and the input
const block = { data: null, cell: [0, 0], frame: 0, turn: 0 };
const shown = part("gate-show"), channel = part("gate-channel");

let picture = null; // which one, by its name

async function openGate(asked) {
  const turn = ++block.turn;
  part("gate-told").textContent = say("waiting");
  const data = await ask(server.see_gate({ picture, channel: asked }), part("gate-told"));
  if (!data) return;
  const image = new Image();
  image.src = data.picture;
  await image.decode().catch(() => null);
  if (turn !== block.turn) return; // another channel was asked for in between
  const bytes = Uint8Array.from(atob(data.maps), (letter) => letter.charCodeAt(0));
  const values = new Float32Array(bytes.buffer), area = data.size[0] * data.size[1];
  const maps = Array.from({ length: 5 }, (_, i) => values.subarray(i * area, (i + 1) * area));
  if (block.data?.size.join() !== data.size.join()) block.cell = data.size.map((side) => Math.floor(side / 2));
  Object.assign(block, { data, image, maps, tops: KINDS.map((_, i) => topOf(maps[i])) });
  shown.options[1].textContent = say("mean", { channels: data.channels });
  part("gate-number").textContent = say("number", { last: data.channels - 1 });
  channel.max = data.channels - 1;
  if (data.channel !== null && document.activeElement !== channel) channel.value = data.channel; // never under a hand that types
  const stops = data.colours.map((colour) => `rgb(${colour.join(" ")})`).join(", ");
  for (const bar of element.querySelectorAll(".gate-bar")) bar.style.background = `linear-gradient(to right, ${stops})`;
  redrawGate();
}

// The colour scale's end: the 99th percentile of absolute values.
function topOf(map) {
  const sorted = Float32Array.from(map, Math.abs).sort();
  return sorted[Math.floor(0.99 * (sorted.length - 1))] || 1;
}

// The colour of a share of the scale, -1 to 1.
function colourOf(share) {
  const { colours } = block.data;
  return colours[Math.round(((clamp(share, -1, 1) + 1) / 2) * (colours.length - 1))];
}

function redrawGate() {
  block.frame = block.frame || requestAnimationFrame(drawGate);
}

function drawGate() {
  block.frame = 0;
  if (!block.data || !element.offsetParent) return;
  const [height, width] = block.data.size;
  for (const [i, canvas] of [...element.querySelectorAll("canvas")].entries()) {
    if (canvas.width !== 8 * width) [canvas.width, canvas.height] = [8 * width, 8 * height];
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = !i;
    pen.drawImage(i ? painted(i - 1) : block.image, 0, 0, canvas.width, canvas.height);
    for (const [colour, line] of [["#14171a", 6], ["#ffffff", 2.5]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = line;
      pen.strokeRect(8 * block.cell[1] - 4, 8 * block.cell[0] - 4, 16, 16);
    }
  }
  KINDS.forEach((kind, i) => (part(`gate-scale-${kind}`).textContent = say("scale", { top: block.tops[i].toFixed(2) })));
  tellGate();
}

function painted(kind) {
  const [height, width] = block.data.size, canvas = new OffscreenCanvas(width, height), pen = canvas.getContext("2d");
  const pixels = pen.createImageData(width, height);
  block.maps[kind].forEach((v, i) => pixels.data.set([...colourOf(v / block.tops[kind]), 255], 4 * i));
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

function tellGate() {
  const [row, column] = block.cell, at = row * block.data.size[1] + column;
  const [gated, gate, product, added, input] = block.maps.map((map) => map[at]);
  const text = (value) => value.toFixed(3);
  const values = { row, column, channel: block.data.channel, gated: text(gated), gate: text(gate), product: text(product) };
  const mean = block.data.channel === null, wrong = text(gated * gate);
  part("gate-told").textContent = say(mean ? "told_mean" : "told", { ...values, wrong });
  const sum = { added: text(added), input: text(input), output: text(added + input) };
  part("gate-residual").textContent = say(mean ? "residual_mean" : "residual", sum);
}

function chooseCell(row, column) {
  block.cell = [row, column].map((v, axis) => clamp(v, 0, block.data.size[axis] - 1));
  redrawGate();
}

const maps = part("gate-maps");
for (const type of ["pointermove", "pointerdown"]) {
  maps.addEventListener(type, (event) => {
    if (!block.data || event.target.tagName !== "CANVAS") return;
    const box = event.target.getBoundingClientRect(), [height, width] = block.data.size;
    const place = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
    chooseCell(Math.floor(place[0] * height), Math.floor(place[1] * width));
  });
}
maps.addEventListener("keydown", (event) => {
  const step = block.data && arrow(event);
  if (step) chooseCell(block.cell[0] + step[0], block.cell[1] + step[1]);
});
shown.addEventListener("change", () => {
  channel.disabled = shown.value === "mean";
  openGate(shown.value === "mean" ? "mean" : channel.value);
});
channel.addEventListener("change", () => openGate(channel.value));
picture = addExamples(part("gate-example"), given.examples, (name) => {
  picture = name;
  openGate(shown.value === "mean" ? "mean" : "");
});
openGate("");
