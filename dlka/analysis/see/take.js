// What can be taken from the canvas: what is shown, first; Python draws it once more, from the same analysis.

// Layer -> what Python calls it.
const OVERLAYS = { length: "Magnitude", direction: "Flow colours", arrows: "Arrows", density: "Sample density" };
const taken = takeRow(element.querySelector(".take"), () => {
  if (!state.data) return [];
  const { key, letterbox, small, alone } = state.data, figure = (name, kind, given = {}) => ({ name, key, kind, arguments: given });
  const view = state.views[state.chosen], layer = layerName(), { gate, reduction, channel, opacity, tap, scale: shared } = chosenOptions();
  const attention = gate ? [figure("Attention map", "attention", { block: gate.label, reduction, channel, opacity })] : [];
  const boxes = [
    figure("Boxes of D-LKA", "boxes", { side: "dlka" }),
    ...(alone ? [] : [figure("Boxes of the baseline", "boxes", { side: "baseline" }), figure("What only one found", "difference")]),
    ...(small ? [figure("Small objects", "crops")] : []),
  ];
  if (!view) return [...boxes, ...attention];
  const { stage, label } = view, [row, column] = cellAt(letterbox, stage, state.point), [x, y] = cellCentre(letterbox, stage, [row, column]);
  const scale = shared === "all" ? "All stages" : "This stage", composed = layer === "density" && view.inner;
  const field = composed ? figure("Density of all paths", "condensation", { stage: label }) : figure("Offset field", "offsets", { stage: stage.label, overlay: OVERLAYS[layer] ?? "Magnitude", tap, opacity, scale, x, y });
  const reads = [
    figure("Reads of this cell", "reads", { view: label, row, column }),
    figure("Every stage there", "samples", { x: state.point[0], y: state.point[1] }),
    figure("What influences it", "receptive field", { stage: stage.label, row, column }),
  ];
  if (layer === "samples") return [...reads, ...boxes, field, ...attention];
  return layer === "attention" ? [...attention, field, ...reads, ...boxes] : [field, ...attention, ...reads, ...boxes];
});

async function loadNew() {
  await load(JSON.parse(props.value));
  taken.refresh();
}

watch("value", loadNew);
loadNew();
