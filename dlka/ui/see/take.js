// What can be taken from the canvas: what is shown, first; Python draws it once more, from the same analysis.

// Layer -> what Python calls it.
const OVERLAYS = { length: "Magnitude", direction: "Flow colours", arrows: "Arrows", density: "Sample density" };
const taken = takeRow(element.querySelector(".take"), () => {
  if (!state.data) return [];
  const { key, letterbox } = state.data, { stage, label } = state.views[state.chosen];
  const [row, column] = cellAt(letterbox, stage, state.point), [x, y] = cellCentre(letterbox, stage, [row, column]);
  const layer = layerName(), opacity = Number(part("see-opacity").value), tap = Number(part("see-tap-shown").value);
  const scale = part("see-scale").value === "all" ? "All stages" : "This stage";
  const gate = state.data.gates.find(({ block }) => block === stage.block), reduction = part("see-reduction").value;
  const field = { name: "Offset field", key, kind: "offsets", arguments: { stage: stage.label, overlay: OVERLAYS[layer] ?? "Magnitude", tap, opacity, scale, x, y } };
  const attention = gate && { name: "Attention map", key, kind: "attention", arguments: { block: gate.label, reduction, channel: Number(part("see-channel-shown").value), opacity } };
  const first = layer === "attention" ? [attention, field] : [field, attention];
  const reads = [
    { name: "Reads of this cell", key, kind: "reads", arguments: { view: label, row, column } },
    { name: "Every stage there", key, kind: "samples", arguments: { x, y } },
    { name: "What influences it", key, kind: "receptive field", arguments: { stage: stage.label, row, column } },
  ];
  const boxes = [
    { name: "Boxes of D-LKA", key, kind: "boxes", arguments: { side: "dlka" } },
    { name: "Boxes of the baseline", key, kind: "boxes", arguments: { side: "baseline" } },
    { name: "What only one found", key, kind: "difference", arguments: {} },
    ...(state.data.small ? [{ name: "Small objects", key, kind: "crops", arguments: {} }] : []),
  ];
  return (layer === "samples" ? [...reads, ...boxes, ...first] : [...first, ...reads, ...boxes]).filter(Boolean);
});

async function loadNew() {
  await load(JSON.parse(props.value));
  taken.refresh();
}

watch("value", loadNew);
loadNew();
