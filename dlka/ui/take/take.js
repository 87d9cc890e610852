// The row of buttons that hands out a figure: its drawing, its numbers, its recipe. Used by several components.

// figures() gives [{ name, key, kind, arguments }]: what can be taken now; the first is chosen. Returns how to refresh it.
function takeRow(root, figures) {
  const which = root.querySelector(".take-which"), told = root.querySelector(".take-told");

  function refresh() {
    const names = figures().map((figure) => figure.name), before = [...which.options].map((option) => option.value);
    if (names.join() !== before.join()) which.replaceChildren(...names.map((name) => new Option(name)));
    which.hidden = names.length < 2;
    root.hidden = !names.length;
  }

  async function take(button) {
    const figure = figures().find(({ name }) => name === which.value);
    if (!figure || button.disabled) return;
    button.disabled = true;
    told.textContent = "Making it ...";
    const answer = await server.take_figure({ ...figure, form: button.dataset.form }).catch(() => null);
    button.disabled = false;
    told.textContent = answer?.error ?? answer?.told ?? "The server did not answer: try again, or reload the page.";
    if (!answer?.file) return;
    const link = Object.assign(document.createElement("a"), { href: answer.file, download: answer.name });
    document.body.append(link);
    link.click();
    link.remove();
  }

  for (const button of root.querySelectorAll("[data-form]")) button.addEventListener("click", () => take(button));
  return { refresh, which, chosen: () => figures().find(({ name }) => name === which.value) };
}
