// Line charts of a section as SVG: one per measure, redrawn when the width changes.
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 240, MARGIN = { top: 14, right: 14, bottom: 34, left: 52 };
const DOTS_UP_TO = 60; // values of a series that are drawn as dots, too

function svg(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (parent) parent.append(element);
  return element;
}

function html(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Round numbers from `low` to `high`, about `count` of them. */
function ticks(low, high, count, isWhole) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 2.5, 5, 10].map((digit) => digit * power).find((one) => one >= rough);
  if (isWhole) step = Math.max(1, Math.ceil(step));
  const found = [];
  for (let place = Math.ceil(low / step - 1e-9); place * step <= high + step * 1e-9; place++) found.push(place * step);
  const digits = [0, 1, 2, 3, 4, 5].find((one) => Math.abs(step * 10 ** one - Math.round(step * 10 ** one)) < 1e-6) ?? 6;
  return { values: found, digits };
}

/** A value for a reader: "inf" are equal frames, null was not measured. */
function written(value, unit) {
  if (value === null || value === undefined) return "–";
  if (value === "inf") return "equal";
  const size = Math.abs(value);
  return `${value.toFixed(size >= 1000 ? 0 : size >= 1 ? 2 : 4)}${unit ? ` ${unit}` : ""}`;
}

/**
 * One chart. `colourOf` names a series' class, `pick` is told the index that was clicked.
 * Returns the figure, `show(index)`, which marks the current frame, and `choose(phase)`, which keeps the even (0) or odd (1)
 * frames alone, or all (null): where frames were put between given ones, a line through both is a zigzag.
 */
function makeChart(chart, section, colourOf, pick) {
  const figure = html("figure", "chart");
  const caption = html("figcaption");
  const readout = html("span", "readout");
  caption.append(html("h3", "", chart.unit ? `${chart.title}, ${chart.unit}` : chart.title), readout);
  const cells = chart.series.map((series) => {
    const key = html("span", "key");
    key.append(html("i", colourOf(series.name)), html("span", "", series.name), html("b"));
    caption.append(key);
    return key.lastChild;
  });
  const count = Math.max(...chart.series.map((series) => series.values.length));
  const root = svg("svg", { height: HEIGHT, role: "img" });
  figure.append(caption, root);
  const embedded = section.frames.map((frame) => frame.index).filter((index) => index !== null);
  let current = null, hovered = null, phase = null, width = 0, bottom = 0, top = 1;
  const isShown = (index) => phase === null || index % 2 === phase;

  function choose(wanted) {
    phase = wanted;
    const found = chart.series.flatMap((series) => series.values.filter((value, index) => typeof value === "number" && isShown(index)));
    const low = found.reduce((a, b) => Math.min(a, b), Infinity), high = found.reduce((a, b) => Math.max(a, b), -Infinity);
    const pad = (high - low || Math.abs(high) || 1) * 0.08;
    [bottom, top] = found.length ? [low >= 0 ? Math.max(0, low - pad) : low - pad, high + pad] : [0, 1];
    root.setAttribute("aria-label", `${chart.title} of ${count} frames, ` +
      (found.length ? `from ${written(low, chart.unit)} to ${written(high, chart.unit)}` : "no numbers"));
    draw();
  }
  const x = (index) => MARGIN.left + (width - MARGIN.left - MARGIN.right) * (count > 1 ? index / (count - 1) : 0.5);
  const y = (value) => value === "inf" ? MARGIN.top
    : MARGIN.top + (HEIGHT - MARGIN.top - MARGIN.bottom) * (1 - (value - bottom) / (top - bottom));

  function drawAxes() {
    const vertical = ticks(bottom, top, 5, false);
    for (const value of vertical.values) {
      svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }, root);
      svg("text", { x: MARGIN.left - 9, y: y(value) + 4, "text-anchor": "end" }, root).textContent = value.toFixed(vertical.digits);
    }
    const floor = HEIGHT - MARGIN.bottom;
    svg("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: floor, y2: floor }, root);
    for (const value of ticks(0, count - 1, Math.max(2, Math.floor(width / 120)), true).values) {
      svg("line", { class: "axis", x1: x(value), x2: x(value), y1: floor, y2: floor + 5 }, root);
      svg("text", { x: x(value), y: floor + 19, "text-anchor": "middle" }, root).textContent = value;
    }
    for (const index of embedded) {
      svg("circle", { class: index === current ? "embedded chosen" : "embedded", cx: x(index), cy: floor, r: 3.5 }, root);
    }
    svg("text", { x: width - MARGIN.right, y: HEIGHT - 1, "text-anchor": "end" }, root).textContent = section.xLabel;
  }

  function drawSeries(series) {
    let path = ""; // what was not measured is passed over: of every second frame alone, there is a line, too
    series.values.forEach((value, index) => {
      if (value !== null && isShown(index)) path += `${path ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
    });
    const colour = colourOf(series.name);
    svg("path", { class: `line ${colour}`, d: path }, root);
    if (series.values.length > DOTS_UP_TO) return;
    series.values.forEach((value, index) => {
      if (value !== null && isShown(index)) svg("circle", { class: `dot ${colour}`, cx: x(index), cy: y(value), r: 1 }, root);
    });
  }

  function draw() {
    width = root.clientWidth || figure.clientWidth;
    if (!width) return;
    root.replaceChildren();
    root.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    drawAxes();
    for (const [index, name] of [[hovered, "hover"], [current, "here"]]) {
      if (index !== null) svg("line", { class: name, x1: x(index), x2: x(index), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }, root);
    }
    chart.series.forEach(drawSeries);
    const told = hovered ?? current;
    readout.textContent = told === null ? "" : `${section.xLabel} ${told}`;
    cells.forEach((cell, place) => {
      cell.textContent = told === null ? "" : written(chart.series[place].values[told], "");
    });
  }

  function indexAt(event) {
    const left = event.clientX - root.getBoundingClientRect().left;
    const share = (left - MARGIN.left) / Math.max(1, width - MARGIN.left - MARGIN.right);
    const index = Math.min(count - 1, Math.max(0, Math.round(share * (count - 1))));
    return isShown(index) ? index : index + 1 < count ? index + 1 : Math.max(0, index - 1);
  }
  root.addEventListener("pointermove", (event) => { hovered = indexAt(event); draw(); });
  root.addEventListener("pointerleave", () => { hovered = null; draw(); });
  root.addEventListener("click", (event) => pick(indexAt(event)));
  new ResizeObserver(() => { if (root.clientWidth !== width) draw(); }).observe(root);
  choose(null);
  return { figure, choose, show(index) { current = index; draw(); } };
}
