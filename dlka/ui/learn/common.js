// What every piece of the page "Learn" begins with. gr.HTML gives: element, props (its value), server (its functions).

const part = (name) => element.querySelector(`.${name}`);
const given = JSON.parse(props.value);

// A sentence from the file of words, with {name} filled in.
function say(key, values = {}) {
  return given.words[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
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
          cell.textContent = text;
          return cell;
        })
      );
      return line;
    })
  );
}

// Ask the server; what goes wrong is told in a place of the page. Answers are { error } or what was asked for.
async function ask(question, place) {
  place.setAttribute("aria-busy", "true");
  const answer = await question.catch(() => ({ error: say("failed") }));
  place.removeAttribute("aria-busy");
  if (answer.error) place.textContent = answer.error;
  return answer.error ? null : answer;
}

const teaching = () => new URLSearchParams(location.search).get("teacher") === "1";
