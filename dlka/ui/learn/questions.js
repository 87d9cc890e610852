// Questions that take an answer and say right or wrong; why, they say after a right answer or a second wrong one. On the
// pupils' page they only note it.

const pupil = query().get("pupil") === "1" || query().get("teacher") === "1"; // the second is the name of older links

function addQuestions(place, piece) {
  place.append(...words[piece].questions.map((question, number) => questionForm(question, `${piece}-${number}`)));
}

function questionForm(question, name) {
  const form = make("form", { class: "learn-question" }), asked = make("p", { class: "learn-asked", id: `asked-${name}` });
  asked.innerHTML = question.ask;
  const verdict = make("p", { class: "learn-verdict", "aria-live": "polite" });
  const check = make("button", { type: "submit" }, words.page.check);
  if (question.choices) {
    const choices = question.choices.map((text, i) => {
      const input = make("input", { type: "radio", name, value: i, required: "" });
      return make("label", { class: "learn-choice" }, input, make("span", {}, text));
    });
    form.append(asked, make("div", { role: "radiogroup", "aria-labelledby": asked.id }, ...choices), check, verdict);
  } else {
    const input = make("input", { name, inputmode: "decimal", autocomplete: "off", required: "", size: 8 });
    input.placeholder = words.page.number;
    input.setAttribute("aria-labelledby", asked.id);
    form.append(asked, make("p", { class: "learn-number" }, input, check), verdict);
  }
  const tried = new Set(); // the wrong answers so far
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    judge(question, form.elements[name].value, verdict, tried);
  });
  return form;
}

// A number may be written with a comma, or with a minus as it is printed.
const readNumber = (text) => Number(text.trim().replace(",", ".").replace("\u2212", "-") || NaN);

function judge(question, answer, verdict, tried) {
  const number = "number" in question, value = readNumber(answer);
  if (number && Number.isNaN(value)) {
    verdict.className = "learn-verdict";
    verdict.textContent = words.page.no_number;
    return;
  }
  const right = number ? Math.abs(value - question.number) < 1e-6 : value === question.right;
  verdict.className = `learn-verdict ${pupil ? "" : right ? "right" : "wrong"}`;
  if (pupil) verdict.textContent = words.page.noted;
  else if (right) verdict.innerHTML = `<b>${words.page.right}</b> ${question.why}`;
  else if (tried.add(number ? value : answer).size > 1) verdict.innerHTML = `<b>${words.page.wrong}</b> ${question.why}`;
  else verdict.replaceChildren(make("b", {}, words.page.again));
}
