// A tab's figures: their captions below the pictures, the same words as the pictures' alternative texts, and the buttons.
// gr.HTML gives: element (this component), props (its value), server (Python's functions), watch.

const shown = () => JSON.parse(props.value || "[]");
const row = takeRow(element.querySelector(".take"), shown);

function caption() {
  element.querySelector(".take-caption").textContent = row.chosen()?.caption ?? "";
}

// Where an image is not there yet, or is replaced, the observer calls again.
function describe() {
  const texts = new Map(); // two figures may share an image
  for (const { caption, image } of shown()) {
    const found = image && document.querySelectorAll(`#${image[0]} img`)[image[1]];
    if (found) texts.set(found, [...(texts.get(found) ?? []), caption]);
  }
  for (const [image, captions] of texts) {
    if (image.alt !== captions.join(" ")) image.alt = captions.join(" ");
  }
}

function refresh() {
  row.refresh();
  caption();
  describe();
}

row.which.addEventListener("change", caption);
watch("value", refresh);
new MutationObserver(describe).observe(element.closest("[role=tabpanel]") ?? document.body, {
  subtree: true,
  childList: true,
  attributeFilter: ["src", "alt"],
});
refresh();
