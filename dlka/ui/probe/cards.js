// Cards that come from the server, which asks the network once more: for a cell that is held, as long as a card is open.

const turns = {};

// Ask for a card; of several questions only the last one's answer is shown.
async function show(card, ask, more) {
  if (!state.data || !part(card).parentElement.open) return;
  const turn = (turns[card] = (turns[card] || 0) + 1);
  const { stage } = state.views[state.chosen], [row, column] = cellAt(state.data.letterbox, stage, state.point);
  part(card).setAttribute("aria-busy", "true");
  const answer = await ask({ key: state.data.key, stage: stage.label, row, column, ...more }).catch(() => undefined);
  if (turn !== turns[card]) return;
  part(card).innerHTML = answer ?? "<p>The server did not answer: choose the cell again, or reload the page.</p>";
  part(card).removeAttribute("aria-busy");
}

function askCards() {
  const [channel, tap] = ["probe-channel", "probe-tap"].map((name) => part(name).value.trim());
  show("probe-card", server.add_up, { channel, tap });
  show("probe-seen", server.see_field, {});
}

for (const name of ["probe-sum", "probe-field"]) part(name).addEventListener("toggle", askCards);
for (const name of ["probe-channel", "probe-tap"]) part(name).addEventListener("change", askCards);
watch("value", () => load(JSON.parse(props.value)));
load(JSON.parse(props.value));
