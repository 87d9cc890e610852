// The card of one tap's arithmetic comes from the server, which asks the network once more: for a cell that is held, as
// long as the card is open.

async function addUp() {
  if (!state.data || !part("probe-sum").open) return;
  const turn = (addUp.turn = (addUp.turn || 0) + 1);
  const { stage } = state.views[state.chosen], [row, column] = cellAt(state.data.letterbox, stage, state.point);
  const [channel, tap] = ["probe-channel", "probe-tap"].map((name) => part(name).value.trim());
  const card = await server.add_up({ key: state.data.key, stage: stage.label, row, column, channel, tap });
  if (turn === addUp.turn) part("probe-card").innerHTML = card;
}

part("probe-sum").addEventListener("toggle", addUp);
for (const name of ["probe-channel", "probe-tap"]) part(name).addEventListener("change", addUp);
watch("value", () => load(JSON.parse(props.value)));
load(JSON.parse(props.value));
