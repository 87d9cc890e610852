// Step 7: an object of n px under the taps of one cell, on three levels; and the same in the shipped model.

const LEVELS = [["P3", 8], ["P4", 16], ["P5", 32]];
const KERNELS = { "5×5": [5, 1], "7×7 d3": [7, 3] };
const HALF = 10; // cells on either side of the middle one

const panels = LEVELS.map(() => {
  const figure = document.createElement("figure"), title = document.createElement("figcaption");
  const svg = add(figure, "svg", { role: "img", class: "learn-grid" });
  const cells = add(svg, "g", { transform: `translate(${-HALF} ${-HALF})` });
  addCells(cells, 2 * HALF + 1, 2 * HALF + 1);
  figure.append(title);
  part("levels-panels").append(figure);
  return { title, svg, object: add(svg, "rect", { class: "levels-object" }), taps: add(svg, "g") };
});

// Taps whose middle lies on an object of this side, in cells, around the middle tap.
function hitsOf([kernel, dilation], side) {
  const along = Array.from({ length: kernel }, (_, i) => Math.abs(i - (kernel - 1) / 2) * dilation);
  return along.filter((away) => away <= side / 2).length ** 2;
}

function drawLevels() {
  const n = Number(part("levels-size").value), name = part("levels-kernel").value, [kernel, dilation] = KERNELS[name];
  const seen = clamp(Math.max(((kernel - 1) * dilation) / 2 + 1.6, n / LEVELS[0][1] / 2 + 1), 0, HALF + 0.6); // cells
  const rows = LEVELS.map(([level, stride], i) => {
    const side = n / stride, cells = Number(side.toFixed(3)), half = side / 2;
    const whole = side < 1 ? 0 : (2 * Math.floor((side - 1) / 2) + 1) ** 2;
    const counts = Object.values(KERNELS).map((k) => hitsOf(k, side));
    const hits = hitsOf(KERNELS[name], side), { title, svg, object, taps } = panels[i];
    svg.setAttribute("viewBox", `${-seen} ${-seen} ${2 * seen} ${2 * seen}`);
    title.textContent = say("panel", { level, n, cells });
    svg.setAttribute("aria-label", say("alt", { level, stride, cells, hits, taps: kernel * kernel, kernel: name }));
    const square = { x: -half, y: -half, width: side, height: side };
    for (const [key, value] of Object.entries(square)) object.setAttribute(key, value);
    taps.replaceChildren();
    for (let t = 0; t < kernel * kernel; t++) {
      const [cy, cx] = [Math.floor(t / kernel), t % kernel].map((v) => (v - (kernel - 1) / 2) * dilation);
      add(taps, "circle", { cy, cx, r: 0.34, class: Math.abs(cy) <= half && Math.abs(cx) <= half ? "on" : "off" });
    }
    return { hits, row: [level, `${stride} px`, `${cells}`, `${whole}`, ...counts.map(String)] };
  });
  part("levels-n").textContent = n;
  const list = rows.map(({ hits }, i) => `${LEVELS[i][0]} ${hits}`).join(", ");
  part("levels-told").textContent = say("told", { n, list, kernel: name });
  fill(part("levels-rows"), rows.map(({ row }) => row));
}

async function openReal() {
  part("levels-real").textContent = say("waiting");
  const real = await ask(server.see_small({}), part("levels-real"));
  if (!real) return;
  if (!real.rows) {
    part("levels-real").textContent = say("none");
    return;
  }
  part("levels-real").textContent = say("real_text", real);
  const counted = ([label, regular, learned, means, meant]) => [label, `${regular} (${means})`, `${learned} (${meant})`];
  fill(part("levels-stages"), real.rows.map(counted));
  for (const [i, line] of [...part("levels-stages").children].entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = real.rows[i][0];
    button.title = say("see", { stage: real.rows[i][0] });
    button.addEventListener("click", () => showSmall(real.rows[i][0]));
    line.firstChild.replaceChildren(button);
  }
  showSmall(real.rows[0][0]);
}

let turn = 0;

async function showSmall(label) {
  const mine = ++turn;
  const answer = await ask(server.see_small_picture({ stage: label }), part("levels-error"));
  if (!answer || mine !== turn) return; // another stage was asked for in between
  part("levels-error").textContent = "";
  Object.assign(part("levels-small"), { src: answer.picture, alt: say("real_alt", { stage: label }), hidden: false });
  for (const button of part("levels-stages").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", button.textContent === label);
  }
}

for (const name of ["levels-size", "levels-kernel"]) part(name).addEventListener("input", drawLevels);
drawLevels();
openReal();

part("levels-inside").append(
  ...given.inside.map(({ model, learned, grid, change, between }) => {
    const bars = [["grid", grid], ["learned", learned]].map(([kind, share]) => {
      const bar = make("i", { class: kind, title: say(`inside_${kind}`) });
      bar.style.width = `${share}%`;
      return bar;
    });
    const apart = withInterval(change, between);
    const row = say("inside_row", { model, learned: learned.toFixed(0), grid: grid.toFixed(0), difference: apart });
    return make("div", {}, make("p", {}, row), ...bars);
  })
);
const measured = given.inside.map(({ model, data }) => say("inside_list", { model, data }));
part("levels-note").textContent = say("inside_note", { list: measured.join(", ") });
