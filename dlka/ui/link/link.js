// The browser's address says what the page shows. The server and the canvas send parts of a query string; they are merged
// into the address, which is read once, when the page is loaded.
// gr.HTML gives: element (this component), props (its value), trigger (an event for the server), watch.

const part = (name) => element.querySelector(`.${name}`);
const opened = new URLSearchParams(location.search);
let parts = {}, waiting = 0;

// Keys without a value leave the address. What the page does not know in it stays, as gradio has keys of its own.
function write() {
  clearTimeout(waiting);
  waiting = 0;
  const now = new URL(location.href);
  for (const [key, value] of Object.entries(parts)) {
    if (value) now.searchParams.set(key, value);
    else now.searchParams.delete(key);
  }
  parts = {};
  history.replaceState(history.state, "", now);
  try {
    sessionStorage.setItem("dlka-explore", now.search); // for head.html
  } catch {} // a browser that lets no page keep anything
}

function merge(query) {
  const given = Object.fromEntries(new URLSearchParams(query));
  if ("example" in given) part("link-own").hidden = given.example !== "";
  Object.assign(parts, given);
  waiting = waiting || setTimeout(write, 250); // browsers count how often an address changes
}

async function copy() {
  write();
  try {
    await navigator.clipboard.writeText(location.href);
    part("link-told").textContent = "Copied.";
  } catch {
    part("link-told").textContent = "This browser does not let the page copy: take the link from the address bar.";
  }
}

part("link-copy").addEventListener("click", copy);
document.addEventListener("dlka-address", (event) => merge(event.detail));
watch("value", () => {
  merge(props.value);
  write(); // before the canvas reads it
});
if (JSON.parse(props.keys).some((key) => opened.has(key))) {
  props.value = location.search;
  trigger("submit");
} else {
  parts = Object.fromEntries(new URLSearchParams(props.value)); // written with whatever is chosen first, or copied
}
