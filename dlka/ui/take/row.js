// A tab's figures: their captions below the pictures, and the buttons.
// gr.HTML gives: element (this component), props (its value), server (Python's functions), watch.

const shown = () => JSON.parse(props.value || "[]");
const row = takeRow(element.querySelector(".take"), shown);

function caption() {
  element.querySelector(".take-caption").textContent = row.chosen()?.caption ?? "";
}

function refresh() {
  row.refresh();
  caption();
}

row.which.addEventListener("change", caption);
watch("value", refresh);
refresh();
