// The page: its head, the row of steps, and the pieces, of which one is seen. A piece begins when it is first seen.

const host = element.querySelector(".learn-page");
host.lang = language;
host.innerHTML = filled(page.html.lesson, words.page);
const inHost = (name) => host.querySelector(`.${name}`);
// After the steps: a game and a playground, by their names in the address.
const beside = { game: "game", play: "playground" };
const marks = { game: "Aa", play: "✎" };
const names = [...page.steps, ...Object.keys(beside)], pieces = {};

names.forEach((name, i) => {
  const own = words[name];
  const html =
    name in beside
      ? filled(page.html[name], own)
      : filled(page.html.step, { ...own, figure: filled(page.html[name], own), questions_word: words.page.questions });
  inHost("learn-pieces").insertAdjacentHTML("beforeend", html);
  const piece = inHost("learn-pieces").lastElementChild, title = own.title;
  piece.id = name in beside ? name : `step-${name}`;
  if (!(name in beside)) addQuestions(piece.querySelector(".learn-questions"), name);
  const mark = marks[name] ?? `${i + 1}`;
  const link = make("a", { title, "aria-label": `${mark} ${title}` }, make("b", {}, mark), make("span", {}, title));
  inHost("learn-steps").append(link);
  const turn = make("p", { class: "learn-turn" });
  for (const [word, to] of [["back", i - 1], ["next", i + 1]]) {
    if (to in names) turn.append(make("a", { class: word }, toolsOf(piece, name).say(word, { title: words[names[to]].title })));
  }
  piece.append(turn);
  pieces[name] = { piece, begun: false, links: [[link, i], ...[...turn.children].map((a) => [a, i + (a.className === "next" ? 1 : -1)])] };
});

const stepOf = (i) => beside[names[i]] ?? `${i + 1}`;
const asked = query().get("step"), first = names.findIndex((_, i) => stepOf(i) === asked);
let current = Math.max(first, 0);

// What the address asks for and the lesson does not have is said, cut to a length, and taken out of the address.
function noteUnknown() {
  const { letters, examples } = page.data[names[current]] ?? {}, known = letters ?? examples ?? [];
  const there = { lang: Object.keys(page.languages), step: names.map((_, i) => stepOf(i)), example: known };
  const unknown = Object.keys(there).filter((name) => query().has(name) && !there[name].includes(query().get(name)));
  const value = (name) => query().get(name).replace(/(?<=^.{30}).+/su, "…");
  const told = unknown.map((name) => words.page[`no_${name}`].replace("{value}", () => value(name)));
  inHost("learn-note").hidden = !told.length;
  inHost("learn-note").querySelector("span").textContent = told.join(" ");
  changeAddress(Object.fromEntries(unknown.map((name) => [name, null])));
}

function openPiece(i) {
  current = i;
  names.forEach((name, k) => {
    const { piece, links } = pieces[name];
    piece.hidden = k !== i;
    links[0][0].toggleAttribute("aria-current", k === i);
    if (k === i) links[0][0].setAttribute("aria-current", "step");
  });
  const entry = pieces[names[i]];
  if (!entry.begun) begin[names[i]](entry.piece, toolsOf(entry.piece, names[i]));
  entry.begun = true;
  keepLinks();
}

// Links say where they lead, so that they can be copied; a click stays on the page.
function keepLinks() {
  for (const { links } of Object.values(pieces)) {
    for (const [link, to] of links) link.href = addressWith({ step: stepOf(to), example: null });
  }
  for (const link of inHost("learn-languages").children) link.href = addressWith({ lang: link.lang });
  const pupils = inHost("learn-pupil");
  if (pupils) pupils.href = addressWith({ pupil: "1", projector: null });
}

// After a turn the reader, and the focus of the keyboard, are at the step's beginning.
function turnTo(i) {
  if (!(i in names)) return;
  changeAddress({ step: stepOf(i), example: null });
  openPiece(i);
  const heading = pieces[names[i]].piece.querySelector("h2");
  heading.focus({ preventScroll: true });
  (projecting() ? host : inHost("learn-steps")).scrollIntoView();
}

for (const { links } of Object.values(pieces)) {
  for (const [link, to] of links) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      turnTo(to);
    });
  }
}

for (const [code, name] of Object.entries(page.languages)) {
  const link = make("a", { lang: code, hreflang: code }, name);
  if (code === language) link.setAttribute("aria-current", "true");
  inHost("learn-languages").append(link);
}

// The projector's view: one step fills the screen, in large type, dark on light.
const projecting = () => document.body.classList.contains("learn-projecting");
const roots = [document.body, document.documentElement], dark = roots.filter((root) => root.classList.contains("dark"));

function project(on) {
  document.body.classList.toggle("learn-projecting", on);
  for (const root of dark) root.classList.toggle("dark", !on);
  changeAddress({ projector: on ? "1" : null });
  sizeForProjector();
  inHost("learn-projector").textContent = on ? words.page.projector_off : words.page.projector;
  keepLinks();
}

function sizeForProjector() {
  host.style.zoom = projecting() ? Math.max(1, innerWidth / 1100) : "";
}

window.addEventListener("resize", sizeForProjector);
inHost("learn-projector").addEventListener("click", () => project(!projecting()));
document.addEventListener("keydown", (event) => {
  if (!host.isConnected || !projecting() || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "Escape") return project(false);
  if (event.target.closest("input, select, [role=application]")) return; // there the keys mean something else
  const by = { ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  turnTo(current + by);
});

const print = inHost("learn-print"), made = inHost("learn-made");
print.addEventListener("click", async () => {
  print.disabled = true;
  made.textContent = words.page.making;
  const answer = await ask(server.make_worksheet({ language, answers: !pupil }), made);
  print.disabled = false;
  if (!answer) return;
  made.textContent = words.page.made;
  make("a", { href: answer.address, download: "worksheet.html" }).click();
});

inHost("learn-note").querySelector("button").addEventListener("click", () => (inHost("learn-note").hidden = true));
noteUnknown();
if (pupil) inHost("learn-pupil").replaceWith(make("span", { class: "learn-pupil-here" }, words.page.pupil_here));
openPiece(current);
if (query().get("projector") === "1") project(true);
