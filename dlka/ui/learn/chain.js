// How a training step reaches the tap: loss -> read value -> slope -> offset -> offset net. The tap should read WANTED.

const WANTED = 9, RATE = 0.015, LASTS = 320; // the largest value of the map; the learning rate; ms a link of the chain
const LINKS = ["loss", "read", "slope", "offset", "net"];
const still = matchMedia("(prefers-reduced-motion: reduce)");
const links = LINKS.map((name) => {
  const text = make("span"), link = make("li", {}, make("b", {}, say(`chain_${name}`)), text);
  part("chain-links").append(link);
  return { link, text };
});
const trail = add(sheet, "polyline", { class: "chain-trail" });
sheet.insertBefore(trail, marks);
let visited = [], running = false;

// The step from here: the loss ½ (read − WANTED)², and against its slope along both axes.
function stepHere() {
  const { read, corners } = readBilinear(map, at.y, at.x), { down, right } = slopesOf(corners);
  const wrong = read - WANTED, move = (slope) => -RATE * wrong * slope;
  return { read, down, right, loss: wrong ** 2 / 2, dy: move(down), dx: move(right), wrong };
}

function tellChain() {
  const { read, down, right, loss, dy, dx, wrong } = stepHere();
  const pull = Math.abs(wrong) < 1e-9 ? say("nothing") : say(wrong < 0 ? "more" : "less");
  const flat = Math.abs(down) + Math.abs(right) < 1e-9;
  const shown = (value) => number(value, 2).replace("-", "−"), change = (slope) => `${slope > 0 ? "+" : ""}${shown(slope)}`;
  const slopes = { down: change(down), right: change(right) };
  const texts = [
    say("loss", { loss: number(loss, 2) }),
    `${number(read, 2)}: ${say("pull", { pull })}`,
    say("slope", slopes),
    say("move", { rate: RATE, missing: shown(-wrong), ...slopes, dy: shown(dy), dx: shown(dx) }),
    say("net"),
  ];
  links.forEach(({ text }, i) => (text.textContent = texts[i]));
  part("chain-told").textContent = flat ? say("flat") : "";
}

const wait = (time) => new Promise((done) => setTimeout(done, time));

async function lightUp(i) {
  links.forEach(({ link }, k) => link.classList.toggle("lit", k === i));
  if (i >= 0 && !still.matches) await wait(LASTS);
}

async function train(steps, slow) {
  if (running) return;
  running = true;
  for (let i = 0; i < steps && element.isConnected; i++) {
    const { dy, dx } = stepHere();
    tellChain();
    if (slow) for (const k of LINKS.keys()) await lightUp(k);
    else if (!still.matches) await wait(60);
    if (!visited.length) visited.push([at.x, at.y]);
    at.y = clamp(at.y + dy, -1.4, 4.4);
    at.x = clamp(at.x + dx, -1.4, 4.4);
    visited.push([at.x, at.y]);
    drawCorners();
    drawTrail();
  }
  await lightUp(-1);
  running = false;
}

function drawTrail() {
  trail.setAttribute("points", visited.map((place) => place.join(" ")).join(" "));
}

drawn.push(tellChain);
part("chain-step").addEventListener("click", () => train(1, true));
part("chain-many").addEventListener("click", () => train(20, false));
part("chain-again").addEventListener("click", () => {
  visited = [];
  drawTrail();
  moveTo(...given.point);
});
tellChain();
