// Step 8: what models lose when their offsets are taken away.

part("test-models").append(
  ...given.tested.map(({ model, data, pictures, verdict, ways }) => {
    const title = make("h3", {}, say("model", { model, data, pictures, verdict: say(verdict) }));
    const rows = Object.entries(ways).map(([way, { ap, change, between }]) => {
      const bar = make("i");
      bar.style.width = `${ap}%`;
      const fall = between ? withInterval(change, between) : "";
      return make("p", { class: way }, make("span", {}, say(way)), make("div", {}, bar), make("b", {}, local(ap.toFixed(1))), make("small", {}, fall));
    });
    return make("section", {}, title, ...rows);
  })
);
