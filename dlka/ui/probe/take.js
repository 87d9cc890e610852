// What can be taken from the probe: the cell's reads in the chosen view, all stages there, and what influences it.

const taken = takeRow(element.querySelector(".take"), () => {
  if (!state.data) return [];
  const { key, letterbox } = state.data, { stage, label } = state.views[state.chosen];
  const [row, column] = cellAt(letterbox, stage, state.point), [x, y] = cellCentre(letterbox, stage, [row, column]);
  return [
    { name: "Reads of this cell", key, kind: "reads", arguments: { view: label, row, column } },
    { name: "Every stage there", key, kind: "samples", arguments: { x, y } },
    { name: "What influences it", key, kind: "receptive field", arguments: { stage: stage.label, row, column } },
  ];
});

async function loadNew() {
  await load(JSON.parse(props.value));
  taken.refresh();
}

watch("value", loadNew);
loadNew();
