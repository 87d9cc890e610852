// Teacher's mode, which is a part of the page's address, and the worksheet.

const box = part("learn-teacher");
box.checked = teaching();
box.addEventListener("change", () => {
  const address = new URL(location.href);
  if (box.checked) address.searchParams.set("teacher", "1");
  else address.searchParams.delete("teacher");
  history.replaceState(history.state, "", address);
  window.dispatchEvent(new Event("learn-mode"));
});

const button = part("learn-print"), told = part("learn-made");
button.addEventListener("click", async () => {
  button.disabled = true;
  told.textContent = say("making");
  const answer = await ask(server.make_worksheet({ answers: !teaching() }), told);
  button.disabled = false;
  if (!answer) return;
  told.textContent = say("made");
  const link = document.createElement("a");
  link.href = answer.address;
  link.download = "worksheet.html";
  link.click();
});
