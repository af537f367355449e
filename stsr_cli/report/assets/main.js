// The page: sections, the frames of one, what is left and what is right, keys.
function start() {
  const at = (id) => document.getElementById(id);
  const { sections } = JSON.parse(at("data").textContent);
  startTheme(at("theme"));
  startHelp(at("help"), at("help-open"));
  if (!sections.some((section) => section.frames.length || section.charts.length)) return;
  at("viewer").hidden = false;

  const viewer = makeViewer();
  // A name has the same colour everywhere on the page.
  const colours = new Map();
  const colourOf = (name) => {
    if (!colours.has(name)) colours.set(name, colours.size);
    const place = colours.get(name);
    return `c${place % 6}${place >= 6 ? " dashed" : ""}`;
  };
  for (const section of sections) {
    for (const frame of section.frames) frame.images.forEach((image) => colourOf(image.label));
  }
  let section = sections[0], order = [], position = 0, labels = [], left = "", right = "", charts = [];

  const imageOf = (frame, label) => frame.images.find((image) => image.label === label) ?? frame.images[0];

  function fill(select, names, chosen) {
    select.replaceChildren(...names.map((name, index) => new Option(name, String(index), false, name === chosen)));
  }

  function showFrame(index) {
    if (!order.length) return;
    position = (index + order.length) % order.length;
    const frame = order[position];
    viewer.show(imageOf(frame, left), imageOf(frame, right));
    at("frame-name").textContent = frame.name;
    at("frame-values").replaceChildren(...frame.values.map(([name, value]) => {
      const pair = html("div");
      pair.append(html("dt", "", name), html("dd", "", written(value, "")));
      return pair;
    }));
    [...at("film").children].forEach((button, place) => button.setAttribute("aria-current", String(place === position)));
    for (const chart of charts) chart.show(frame.index);
  }

  function showFilm(frame) {
    at("film").replaceChildren(...order.map((one, place) => {
      const button = html("button");
      button.type = "button";
      const image = html("img");
      image.src = imageOf(one, right).uri;
      image.alt = "";
      const value = one.values.find(([name]) => name === section.worstBy);
      button.append(image, html("span", "name", one.name));
      if (value) button.append(html("span", "", written(value[1], "")));
      button.addEventListener("click", () => showFrame(place));
      return button;
    }));
    showFrame(Math.max(0, order.indexOf(frame)));
  }

  function choose(side, label) {
    if (label === undefined) return;
    if (side === "left") left = label;
    else right = label;
    fill(at("left"), labels, left);
    fill(at("right"), labels, right);
    showFilm(order[position]);
  }

  function sort(by) {
    const frame = order[position];
    order = [...section.frames]; // they come the worst first
    if (by === "time") order.sort((a, b) => (a.index ?? 0) - (b.index ?? 0));
    showFilm(frame);
  }

  /** Go to the frame with a picture that is nearest to an index. */
  function pick(index) {
    const distance = (frame) => frame.index === null ? Infinity : Math.abs(frame.index - index);
    const nearest = order.reduce((best, frame) => distance(frame) < distance(best) ? frame : best, order[0]);
    if (nearest) showFrame(order.indexOf(nearest));
  }

  function showSection(index) {
    section = sections[index];
    [...at("sections").children].forEach((button, place) => button.setAttribute("aria-current", String(place === index)));
    at("section-name").textContent = section.name;
    at("section-name").hidden = !section.name;
    at("section-note").textContent = section.note;
    at("section-note").hidden = !section.note;
    labels = [...new Set(section.frames.flatMap((frame) => frame.images.map((image) => image.label)))];
    if (!labels.includes(left) || !labels.includes(right) || left === right) [left, right = left] = labels;
    for (const part of document.querySelectorAll("#viewer > .bar:not(.chart-bar), #stage, .caption, #film")) part.hidden = !labels.length;
    charts = section.charts.map((chart) => makeChart(chart, section, colourOf, pick));
    at("charts").replaceChildren(...charts.map((chart) => chart.figure));
    document.querySelector(".chart-bar").hidden = !charts.length;
    at("phase").value = "";
    const isTimed = section.frames.every((frame) => frame.index !== null);
    at("order").replaceChildren(new Option(section.worstBy ? `worst first, by ${section.worstBy}` : "as given", "worst"));
    if (isTimed) at("order").append(new Option("in time", "time"));
    order = [...section.frames];
    fill(at("left"), labels, left);
    fill(at("right"), labels, right);
    position = 0;
    if (order.length) showFilm(order[0]);
    else charts.forEach((chart) => chart.show(null));
  }

  if (sections.length > 1) {
    at("sections").hidden = false;
    at("sections").append(...sections.map((one, index) => {
      const button = html("button", "", one.name);
      button.type = "button";
      button.addEventListener("click", () => showSection(index));
      return button;
    }));
  }
  function toggleDifference() {
    const isOn = at("difference").getAttribute("aria-pressed") !== "true";
    at("difference").setAttribute("aria-pressed", String(isOn));
    viewer.setDifference(isOn);
  }
  function flip() {
    if (at("difference").getAttribute("aria-pressed") === "true") toggleDifference();
    viewer.flip();
  }
  at("left").addEventListener("change", (event) => choose("left", labels[event.target.value]));
  at("right").addEventListener("change", (event) => choose("right", labels[event.target.value]));
  at("swap").addEventListener("click", () => { [left, right] = [right, left]; choose("left", left); });
  at("order").addEventListener("change", (event) => sort(event.target.value));
  at("phase").addEventListener("change", (event) => {
    for (const chart of charts) chart.choose(event.target.value === "" ? null : Number(event.target.value));
  });
  at("flip").addEventListener("click", flip);
  at("difference").addEventListener("click", toggleDifference);
  at("zoom-in").addEventListener("click", viewer.zoomIn);
  at("zoom-out").addEventListener("click", viewer.zoomOut);
  at("zoom-pixels").addEventListener("click", viewer.pixels);
  at("zoom-fit").addEventListener("click", viewer.fit);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || at("help").open) return;
    const focused = event.target.tagName;
    if (focused === "SELECT" || (event.key === " " && focused === "BUTTON")) return;
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
    const actions = { ArrowLeft: () => showFrame(position - 1), ArrowRight: () => showFrame(position + 1), " ": flip,
      "+": viewer.zoomIn, "=": viewer.zoomIn, "-": viewer.zoomOut, "0": viewer.fit, d: toggleDifference };
    if (digit) choose(event.shiftKey ? "left" : "right", labels[digit[1] - 1]);
    else if (Object.hasOwn(actions, event.key) && order.length) actions[event.key]();
    else return;
    event.preventDefault();
  });
  showSection(0);
}

function startTheme(button) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; name(); });
  system.addEventListener("change", name);
  name();
}

function startHelp(dialog, button) {
  button.addEventListener("click", () => dialog.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (dialog.open) dialog.close();
    else dialog.showModal();
  });
}

start();
