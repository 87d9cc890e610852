// The letter game: the reader of step 1 names what is drawn, with its own offsets or with taps that are moved by hand. The
// server gives the map that the kernel reads; the kernel itself, and the layer behind it, are computed here.

const { letters, sizes, pictures } = page.data.letter;
const SIDE = 48, MAP = 12, CELL = SIDE / MAP, TAPS = 25, PEN = 3.5; // px, cells, px
const NEAR = { mouse: 1.3, touch: 1.7 }; // px from a tap's middle that still grab it: a mouse has to be on its dot
const GRID = Array.from({ length: TAPS }, (_, tap) => [6 + 2 * (Math.floor(tap / 5) - 2), 6 + 2 * ((tap % 5) - 2)]); // cells
const toPixel = (cell) => (cell + 0.5) * CELL - 0.5, toCell = (pixel) => (pixel + 0.5) / CELL - 0.5;
const still = matchMedia("(prefers-reduced-motion: reduce)"), LASTS = 600; // ms
const SURE = 90; // per cent
const game = { letter: "E", size: sizes[1], sheet: "letter", net: null, places: GRID, held: -1, byHand: false, pen: null, turn: 0, asked: 0 };
const sheet = part("game-sheet"), ink = part("game-paper").getContext("2d", { willReadFrequently: true });

for (const [y, x] of GRID) add(sheet, "circle", { cx: toPixel(x), cy: toPixel(y), r: 0.9, class: "letter-grid" });
const dots = GRID.map(() => add(sheet, "circle", { r: 1.1, class: "letter-sample", tabindex: 0, role: "application" }));
const bars = letters.map((letter) => {
  const bar = make("i"), share = make("b"), row = make("p", {}, make("span", {}, letter), make("div", {}, bar), share);
  part("game-bars").append(row);
  return { bar, share, row };
});

// What the net makes of places [y, x] in cells: a share for each letter.
function nameIt(places) {
  const { maps, weights, linear, bias } = game.net;
  const read = weights.map((channel, c) => {
    const map = { values: maps.subarray(c * MAP * MAP, (c + 1) * MAP * MAP), height: MAP, width: MAP };
    return places.reduce((sum, [y, x], tap) => sum + channel[tap] * readBilinear(map, y, x).read, 0);
  });
  const scores = linear.map((row, i) => row.reduce((sum, weight, c) => sum + weight * read[c], bias[i]));
  const most = Math.max(...scores), parts = scores.map((score) => Math.exp(score - most));
  const all = parts.reduce((a, b) => a + b, 0);
  return parts.map((share) => share / all);
}

function tellGame() {
  dots.forEach((dot, tap) => {
    const [y, x] = game.places[tap];
    dot.setAttribute("cx", toPixel(x));
    dot.setAttribute("cy", toPixel(y));
    dot.setAttribute("aria-label", say("tap", { tap: tap + 1, y: y.toFixed(1), x: x.toFixed(1) }));
  });
  if (!game.net) return;
  const shares = nameIt(game.places), wanted = game.sheet === "letter" ? letters.indexOf(game.letter) : -1;
  bars.forEach(({ bar, share, row }, i) => {
    bar.style.width = `${100 * shares[i]}%`;
    share.textContent = `${(100 * shares[i]).toFixed(0)} %`;
    row.classList.toggle("letter-own", i === wanted);
  });
  const values = { letter: game.letter };
  for (const [taps, places] of [["yours", game.places], ["grid", GRID], ["own", game.net.own]]) {
    const named = nameIt(places), best = named.indexOf(Math.max(...named));
    values[`${taps}_name`] = letters[best];
    values[taps] = (100 * named[wanted < 0 ? best : wanted]).toFixed(1);
  }
  values.moved = game.places.filter((place, tap) => place.some((v, axis) => Math.abs(v - GRID[tap][axis]) > 0.01)).length;
  const done = wanted >= 0 && game.byHand && values.yours >= SURE && values.grid < SURE;
  part("game-told").textContent = `${say(wanted < 0 ? "told_drawing" : "told", values)} ${done ? say("beaten", values) : ""}`;
  sheet.told = { shares, places: game.places, own: game.net.own, picture: game.net.picture }; // for tests
}

// What is on the sheet now: "letter", one of the net's own, whose buttons are pressed; "drawing"; or "empty".
function nowOn(kind) {
  game.sheet = kind;
  for (const [group, chosen] of [["game-letters", game.letter], ["game-sizes", `${game.size} px`]]) {
    for (const button of part(group).children) button.setAttribute("aria-pressed", kind === "letter" && button.textContent === chosen);
  }
}

function clear() {
  ink.fillStyle = "rgb(45 45 45)";
  ink.fillRect(0, 0, SIDE, SIDE);
  nowOn("empty");
  game.asked += 1; // no late answer names what is gone
  game.net = null;
  moveTo(GRID);
  for (const { bar, share, row } of bars) {
    bar.style.width = 0;
    share.textContent = "";
    row.classList.remove("letter-own");
  }
  part("game-told").textContent = say("empty");
}

// What is on the sheet is read anew; taps then go to where the net wants them.
async function readSheet() {
  const asked = ++game.asked, { data } = ink.getImageData(0, 0, SIDE, SIDE);
  const picture = btoa(Array.from({ length: SIDE * SIDE }, (_, i) => String.fromCharCode(data[4 * i])).join(""));
  const answer = await ask(server.read_letter({ picture }), part("game-told"));
  if (!answer || asked !== game.asked) return;
  const maps = new Float32Array(Uint8Array.from(atob(answer.maps), (letter) => letter.charCodeAt(0)).buffer);
  const own = GRID.map(([y, x], tap) => [y + answer.offsets[2 * tap], x + answer.offsets[2 * tap + 1]]);
  game.net = { ...answer, maps, own, picture };
  moveTo(own);
}

function moveTo(places) {
  game.byHand = false;
  const from = game.places, turn = ++game.turn, begun = performance.now();
  const step = (now) => {
    if (turn !== game.turn || !element.isConnected) return;
    const share = still.matches ? 1 : clamp((now - begun) / LASTS, 0, 1), eased = share * share * (3 - 2 * share);
    game.places = share < 1 ? from.map(([y, x], tap) => [y + (places[tap][0] - y) * eased, x + (places[tap][1] - x) * eased]) : places;
    tellGame();
    if (share < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

function moveTap(tap, y, x) {
  game.turn += 1;
  game.byHand = true;
  game.places = game.places.map((place, i) => (i === tap ? [clamp(y, -1, MAP), clamp(x, -1, MAP)] : place));
  tellGame();
}

async function takeLetter() {
  nowOn("letter");
  const image = new Image(), asked = ++game.asked;
  image.src = pictures[game.letter][sizes.indexOf(game.size)];
  await image.decode();
  if (asked !== game.asked) return; // the sheet was cleared, or another letter chosen
  ink.drawImage(image, 0, 0);
  readSheet();
}

sheet.addEventListener("pointerdown", (event) => {
  const at = placeIn(sheet, event), far = game.places.map(([y, x]) => Math.hypot(toPixel(x) - at[0], toPixel(y) - at[1]));
  // On an empty sheet there is nothing that a moved tap could name: a stroke may begin anywhere.
  game.held = game.sheet !== "empty" && Math.min(...far) < (NEAR[event.pointerType] ?? NEAR.mouse) ? far.indexOf(Math.min(...far)) : -1;
  if (game.held < 0) game.pen = at;
  else dots[game.held].focus({ preventScroll: true });
  sheet.setPointerCapture(event.pointerId);
  event.preventDefault();
});
sheet.addEventListener("pointermove", (event) => {
  if (!sheet.hasPointerCapture(event.pointerId)) return;
  const [x, y] = placeIn(sheet, event);
  if (game.held >= 0) return moveTap(game.held, toCell(y), toCell(x));
  Object.assign(ink, { strokeStyle: "rgb(185 185 185)", lineWidth: PEN, lineCap: "round" });
  ink.beginPath();
  ink.moveTo(game.pen[0] + 0.5, game.pen[1] + 0.5);
  ink.lineTo(x + 0.5, y + 0.5);
  ink.stroke();
  game.pen = [x, y];
  nowOn("drawing");
});
sheet.addEventListener("pointerup", () => game.held < 0 && game.sheet !== "empty" && readSheet());
dots.forEach((dot, tap) =>
  dot.addEventListener("keydown", (event) => {
    const step = arrow(event), size = event.shiftKey ? 1 : 0.1;
    if (step) moveTap(tap, game.places[tap][0] + size * step[0], game.places[tap][1] + size * step[1]);
  })
);
part("game-grid").addEventListener("click", () => moveTo(GRID));
part("game-own").addEventListener("click", () => game.net && moveTo(game.net.own));
part("game-clear").addEventListener("click", clear);
addButtons(part("game-letters"), Object.fromEntries(letters.map((letter) => [letter, letter])), game.letter, (letter) => {
  game.letter = letter;
  takeLetter();
});
addButtons(part("game-sizes"), Object.fromEntries(sizes.map((size) => [size, `${size} px`])), `${game.size}`, (size) => {
  game.size = Number(size);
  takeLetter();
});
takeLetter();
