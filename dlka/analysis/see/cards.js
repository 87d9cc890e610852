// Cards that come from the server, which asks the network once more: for a cell that is held, as long as a card is open.

const busy = {}, again = {};

// Ask for a card, one question at a time: what is asked meanwhile waits, and only the last of it is asked.
async function show(card, ask, more) {
  again[card] = true;
  if (busy[card]) return;
  busy[card] = true;
  while (again[card] && state.views?.length && part(card).parentElement.open) {
    again[card] = false;
    part(card).setAttribute("aria-busy", "true");
    const { stage } = state.views[state.chosen], [row, column] = cellAt(state.data.letterbox, stage, state.point);
    const question = { key: state.data.key, stage: stage.label, row, column, ...more() };
    const answer = await ask(question).catch(() => undefined);
    if (typeof answer === "string") part(card).innerHTML = answer;
    else part(card).textContent = answer?.error ?? "The server did not answer: choose the cell again, or reload the page.";
  }
  busy[card] = again[card] = false;
  part(card).removeAttribute("aria-busy");
}

function askCards() {
  show("see-card", server.add_up, () => ({ channel: part("see-channel").value, tap: part("see-tap").value }));
  show("see-seen", server.see_field, () => ({}));
}

for (const name of ["see-sum", "see-field"]) part(name).addEventListener("toggle", askCards);
for (const name of ["see-channel", "see-tap"]) part(name).addEventListener("change", askCards);
