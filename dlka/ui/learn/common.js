// What the page "Learn" begins with. gr.HTML gives: element, props (its value), server (its functions). Each piece of the
// page (a step, the playground) is a function in `begin`, which gets its own element and the tools to fill it.

const page = JSON.parse(props.value);
const query = () => new URLSearchParams(location.search);
const language = Object.hasOwn(page.languages, query().get("lang")) ? query().get("lang") : "en";
const words = page.words[language];
const begin = {};
document.documentElement.lang = language;

// A figure as the language writes it: German has a decimal comma.
const local = (text) => `${text}`.replace(/(\d)\.(?=\d)/g, `$1${words.page.decimal}`);

// The tools of a piece: what it was given, its parts by class, its sentences with {name} filled in.
function toolsOf(element, piece) {
  const known = { ...words.page, ...words[piece] };
  return {
    given: page.data[piece] ?? {},
    part: (name) => element.querySelector(`.${name}`),
    say: (key, values = {}) => known[key].replace(/\{(\w+)\}/g, (_, name) => local(values[name])),
  };
}

// HTML with its $words filled in.
const filled = (html, known) => html.replace(/\$(\w+)/g, (_, key) => known[key]);

function make(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

// Parts of the page's address; null takes one away.
function changeAddress(parts) {
  history.replaceState(history.state, "", addressWith(parts));
}

function addressWith(parts) {
  const address = new URL(location.href);
  for (const [key, value] of Object.entries(parts)) {
    if (value === null) address.searchParams.delete(key);
    else address.searchParams.set(key, value);
  }
  return address;
}

// A new SVG element inside another one.
function add(parent, name, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
  return made;
}

// rows x columns squares; the middle of cell (row, column) is at x = column, y = row. Returns them row by row.
function addCells(parent, rows, columns) {
  return Array.from({ length: rows * columns }, (_, i) =>
    add(parent, "rect", {
      x: (i % columns) - 0.47,
      y: Math.floor(i / columns) - 0.47,
      width: 0.94,
      height: 0.94,
      class: "learn-cell",
    })
  );
}

// Where a pointer event is in an SVG's own coordinates.
function placeIn(svg, event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return [point.x, point.y];
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const signed = (value) => (value > 0 ? `+${value}` : `${value}`);
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }; // rows, columns

// What an arrow key moves, as [rows, columns], or null; the page does not scroll then.
function arrow(event) {
  if (!(event.key in ARROWS) || event.altKey || event.ctrlKey || event.metaKey) return null;
  event.preventDefault();
  return ARROWS[event.key];
}

// Table rows from lists of texts; the first of each row is its head.
function fill(body, rows) {
  body.replaceChildren(
    ...rows.map((row) => {
      const line = document.createElement("tr");
      line.append(
        ...row.map((text, i) => {
          const cell = document.createElement(i ? "td" : "th");
          cell.textContent = local(text);
          return cell;
        })
      );
      return line;
    })
  );
}

// Buttons of which one is pressed, by key; choose(key) is called with another one.
function addButtons(place, names, chosen, choose) {
  place.replaceChildren(
    ...Object.entries(names).map(([key, text]) => {
      const made = make("button", { type: "button", "aria-pressed": key === chosen }, text);
      made.addEventListener("click", () => {
        for (const each of place.children) each.setAttribute("aria-pressed", each === made);
        choose(key);
      });
      return made;
    })
  );
}

// A choice of pictures, which is a part of the address; returns the one that the address names, or the first.
function addExamples(place, examples, choose) {
  const asked = query().get("example"), chosen = examples.includes(asked) ? asked : examples[0];
  place.replaceChildren(...examples.map((name) => new Option(words.offsets[`example_${name}`], name, false, name === chosen)));
  place.addEventListener("change", () => {
    changeAddress({ example: place.value });
    choose(place.value);
  });
  return chosen;
}

// A difference with its sign: one decimal, two where one would show nothing; as the report writes it.
function difference(value) {
  const digits = Math.abs(value) >= 0.05 || value === 0 ? 1 : 2;
  return local((value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits));
}

// A difference with the ends of its interval, which no decimal comma may run into.
function withInterval(value, ends) {
  return `${difference(value)} [${ends.map(difference).join(words.page.decimal === "," ? "; " : ", ")}]`;
}

// Ask the server; what goes wrong is told in a place of the page. Answers are { error } or what was asked for.
async function ask(question, place) {
  place.setAttribute("aria-busy", "true");
  const answer = await question.catch(() => ({ error: words.page.failed }));
  place.removeAttribute("aria-busy");
  if (answer.error) place.textContent = answer.error;
  return answer.error ? null : answer;
}

