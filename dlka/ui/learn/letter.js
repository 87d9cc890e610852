// Step 1: one letter at five sizes, and where the reader's taps sample: they move when letter or offsets are changed.

const still = matchMedia("(prefers-reduced-motion: reduce)"), LASTS = 700; // ms
const NAMES = { own: say("own"), off: say("off"), another: say("another") };
const BARS = {
  deformable: say("bar_deformable"),
  features: say("bar_features"),
  "rigid-1": say("bar_rigid_1"),
  "rigid-2": say("bar_rigid_2"),
  "rigid-3": say("bar_rigid_3"),
  off: say("bar_off"),
  another: say("bar_another"),
};
const named = query().get("example");
const state = { letter: given.letters.includes(named) ? named : "E", way: "own", places: null };

const sheets = given.sizes.map((size) => {
  const box = document.createElement("figure"), svg = add(box, "svg", { viewBox: "-0.5 -0.5 48 48", role: "img" });
  const image = add(svg, "image", { x: -0.5, y: -0.5, width: 48, height: 48 });
  for (const [x, y] of given.grid) add(svg, "circle", { cx: x, cy: y, r: 0.9, class: "letter-grid" });
  const dots = given.grid.map(() => add(svg, "circle", { r: 1.1, class: "letter-sample" }));
  const caption = document.createElement("figcaption");
  box.append(caption);
  part("letter-row").append(box);
  return { size, svg, image, dots, caption };
});

const mix = (from, to, share) => from.map(([x, y], i) => [x + (to[i][0] - x) * share, y + (to[i][1] - y) * share]);

function show() {
  const reads = given.ways[state.way][state.letter], from = state.places ?? reads.map(() => given.grid);
  const to = reads.map((read) => read.samples), turn = (state.turn = {});
  sheets.forEach(({ size, svg, image, caption }, i) => {
    const { name, share, zoom } = reads[i], right = name === state.letter;
    image.setAttribute("href", given.pictures[state.letter][i]);
    svg.setAttribute("aria-label", say("alt", { letter: state.letter, size, name, zoom: zoom.toFixed(2) }));
    caption.innerHTML = say("sheet", { size, name, share: Math.round(100 * share), zoom: zoom.toFixed(2) });
    caption.classList.toggle("letter-wrong", !right);
  });
  const right = reads.filter((read) => read.name === state.letter).length;
  const [first, last] = [reads[0], reads.at(-1)].map((read) => read.zoom.toFixed(2));
  part("letter-told").textContent = say("told", { letter: state.letter, named: right, of: reads.length, first, last, way: NAMES[state.way] });
  let begun = null;
  const step = (now) => {
    if (turn !== state.turn || !element.isConnected) return; // something else was chosen meanwhile
    begun ??= now;
    const share = still.matches ? 1 : Math.min((now - begun) / LASTS, 1), eased = share * share * (3 - 2 * share);
    state.places = from.map((places, i) => mix(places, to[i], eased));
    sheets.forEach(({ dots }, i) =>
      dots.forEach((dot, k) => {
        dot.setAttribute("cx", state.places[i][k][0]);
        dot.setAttribute("cy", state.places[i][k][1]);
      })
    );
    if (share < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

addButtons(part("letter-choose"), Object.fromEntries(given.letters.map((letter) => [letter, letter])), state.letter, (letter) => {
  state.letter = letter;
  changeAddress({ example: letter });
  show();
});
addButtons(part("letter-ways"), NAMES, state.way, (way) => {
  state.way = way;
  show();
});
part("letter-right").textContent = say("right", given.tested);
part("letter-bars").replaceChildren(
  ...Object.entries(given.bars).map(([reader, share]) => {
    const bar = make("i"), figure = make("b", {}, `${local((100 * share).toFixed(1))} %`);
    const row = make("p", {}, make("span", {}, BARS[reader]), make("div", {}, bar), figure);
    bar.style.width = `${100 * share}%`;
    row.classList.toggle("letter-own", reader === "deformable");
    return row;
  })
);
show();
