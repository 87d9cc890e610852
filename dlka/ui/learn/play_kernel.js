// The kernel: the map around the chosen cell, and 25 taps that can be dragged. Places are (y, x) in cells of the map.

const WINDOW = 6; // cells on either side of the chosen one
const TAPS = 25;
const kernel = part("play-kernel");
const GRID = Array.from({ length: TAPS }, (_, tap) => [Math.floor(tap / 5) - 2, (tap % 5) - 2]); // dy, dx of regular taps
const squares = addCells(add(kernel, "g", { transform: `translate(${-WINDOW} ${-WINDOW})` }), 2 * WINDOW + 1, 2 * WINDOW + 1);
const ways = { trained: add(kernel, "path", { class: "play-way trained" }), hand: add(kernel, "path", { class: "play-way hand" }) };
for (const [dy, dx] of GRID) add(kernel, "circle", { cy: dy, cx: dx, r: 0.22, class: "play-ring" });
const dots = GRID.map(() => add(kernel, "circle", { r: 0.16, class: "play-dot trained" }));
const taps = GRID.map(() => {
  const tap = add(kernel, "g", { tabindex: 0, role: "application", class: "play-tap" });
  add(tap, "circle", { r: 0.45, class: "play-touch" });
  add(tap, "circle", { r: 0.2, class: "play-dot hand" });
  return tap;
});
const tiles = Object.fromEntries(
  ["regular", "hand", "trained"].map((which) => {
    const figure = document.createElement("figure"), title = document.createElement("figcaption"), sum = document.createElement("span");
    const svg = add(figure, "svg", { viewBox: "-0.6 -0.6 5.2 5.2", role: "img" });
    const cells = addCells(svg, 5, 5);
    const texts = GRID.map(([dy, dx]) => add(svg, "text", { x: dx + 2, y: dy + 2.11 }));
    title.className = which;
    title.append(document.createElement("b"), sum);
    title.firstChild.textContent = say(which);
    figure.append(title);
    part("play-tiles").append(figure);
    return [which, { svg, cells, texts, sum }];
  })
);

const grey = (share) => `rgb(${Array(3).fill(Math.round(255 * (1 - share))).join(" ")})`;

// Places of the taps of a cell that are moved by offsets [dy, dx].
const placesOf = ([row, column], offsets) => GRID.map(([dy, dx], tap) => [row + dy + offsets[tap][0], column + dx + offsets[tap][1]]);

function drawWindow(map, [row, column]) {
  squares.forEach((square, i) => {
    const y = row - WINDOW + Math.floor(i / (2 * WINDOW + 1)), x = column - WINDOW + (i % (2 * WINDOW + 1));
    const inside = y >= 0 && y < map.height && x >= 0 && x < map.width;
    square.setAttribute("class", inside ? "play-cell" : "play-cell outside");
    square.style.fill = inside ? grey(map.values[y * map.width + x]) : "";
  });
}

function drawTaps(hand, trained) {
  const lines = (offsets) => GRID.map(([dy, dx], t) => `M${dx} ${dy}L${dx + offsets[t][1]} ${dy + offsets[t][0]}`).join("");
  ways.hand.setAttribute("d", lines(hand));
  ways.trained.setAttribute("d", trained ? lines(trained) : "");
  GRID.forEach(([dy, dx], tap) => {
    taps[tap].setAttribute("transform", `translate(${dx + hand[tap][1]} ${dy + hand[tap][0]})`);
    dots[tap].style.display = trained ? "" : "none";
    if (!trained) return;
    dots[tap].setAttribute("cy", dy + trained[tap][0]);
    dots[tap].setAttribute("cx", dx + trained[tap][1]);
  });
}

// A tile of 25 readings and their weighted sum, which it returns.
function drawTile(which, reads, weights) {
  const { svg, cells, texts, sum } = tiles[which];
  if (!reads) {
    sum.textContent = say("no_trained");
    return "?";
  }
  reads.forEach((read, tap) => {
    cells[tap].style.fill = grey(read);
    texts[tap].textContent = local(read.toFixed(2)).replace(/^0/, "");
    texts[tap].style.fill = read > 0.5 ? "white" : "black";
  });
  const total = reads.reduce((all, read, tap) => all + weights[tap] * read, 0).toFixed(3);
  sum.textContent = say("sum", { sum: total });
  const [low, high] = [Math.min(...reads), Math.max(...reads)].map((v) => v.toFixed(2));
  svg.setAttribute("aria-label", say("tile", { which: say(which), low, high, sum: total }));
  return total;
}
