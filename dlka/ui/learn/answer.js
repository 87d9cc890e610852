// The answer to a step's question comes from the server when it is asked for. In the teacher's mode there is nothing to
// ask with.

function offerAnswer() {
  const place = part("learn-answer");
  place.replaceChildren();
  if (teaching()) return;
  const details = document.createElement("details"), summary = document.createElement("summary");
  const text = document.createElement("div");
  summary.textContent = say("answer");
  text.setAttribute("aria-live", "polite");
  details.append(summary, text);
  details.addEventListener("toggle", async () => {
    if (!details.open || text.innerHTML) return;
    const answer = await ask(server.tell_answer({ step: given.step }), text);
    if (answer && details.isConnected) text.innerHTML = answer.html;
  });
  place.append(details);
}

window.addEventListener("learn-mode", () => element.isConnected && offerAnswer());
offerAnswer();
