// Two pictures over each other: a divider between them, one zoom and one position for both.
function makeViewer() {
  const at = (id) => document.getElementById(id);
  const stage = at("stage"), divider = at("divider"), layers = at("layers");
  const images = [at("image-left"), at("image-right")], chips = [at("chip-left"), at("chip-right")];
  const MAX_SCALE = 32, STEP = 1.5; // page pixels for one of the picture; of a press of a button
  let size = [1, 1], names = ["", ""], share = 50, before = 50, zoom = 1, x = 0, y = 0;
  const pointers = new Map();
  let drag = null; // "divider", "pan" or "pinch"

  const scale = () => zoom * stage.clientWidth / size[0];
  const leastZoom = () => Math.min(1, size[0] / (stage.clientWidth || 1));
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  function place() {
    const [width, height] = [stage.clientWidth, stage.clientHeight];
    if (!width) return;
    zoom = clamp(zoom, leastZoom(), Math.max(1, MAX_SCALE * size[0] / width));
    x = zoom > 1 ? clamp(x, width * (1 - zoom), 0) : width * (1 - zoom) / 2;
    y = zoom > 1 ? clamp(y, height * (1 - zoom), 0) : height * (1 - zoom) / 2;
    for (const image of images) image.style.transform = `translate(${x}px, ${y}px) scale(${zoom})`;
    stage.classList.toggle("zoomed", zoom > 1);
    layers.classList.toggle("pixelated", scale() >= 2);
    at("zoom").textContent = `${Math.round(scale() * 100)} %`;
  }

  function divide(percent) {
    share = clamp(percent, 0, 100);
    const isDifferent = stage.classList.contains("difference");
    at("layer-left").style.clipPath = isDifferent ? "none" : `inset(0 ${100 - share}% 0 0)`;
    divider.style.left = `${share}%`;
    divider.setAttribute("aria-valuenow", String(Math.round(share)));
    divider.setAttribute("aria-valuetext", `${Math.round(share)} % ${names[0]}, the rest ${names[1]}`);
    chips[0].textContent = isDifferent ? `|${names[0]} − ${names[1]}| ×8` : names[0];
    chips[1].textContent = names[1];
    chips[0].hidden = share < 4 && !isDifferent;
    chips[1].hidden = share > 96;
  }

  /** Zoom so that the point of the stage at (left, top) stays where it is. */
  function zoomBy(factor, left = stage.clientWidth / 2, top = stage.clientHeight / 2) {
    const old = zoom;
    zoom = clamp(zoom * factor, leastZoom(), Math.max(1, MAX_SCALE * size[0] / stage.clientWidth));
    x = left - (left - x) * zoom / old;
    y = top - (top - y) * zoom / old;
    place();
  }

  function point(event) {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
  const spread = () => {
    const [[ax, ay], [bx, by]] = pointers.values();
    return { distance: Math.hypot(ax - bx, ay - by) || 1, middle: [(ax + bx) / 2, (ay + by) / 2] };
  };

  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, point(event));
    const isPan = zoom > 1 && !divider.contains(event.target) || stage.classList.contains("difference");
    drag = pointers.size === 2 ? "pinch" : isPan ? "pan" : "divider";
    stage.classList.toggle("panning", drag === "pan");
    if (drag === "divider") divide(point(event)[0] / stage.clientWidth * 100);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const [oldX, oldY] = pointers.get(event.pointerId), [newX, newY] = point(event);
    const old = drag === "pinch" && pointers.size === 2 ? spread() : null;
    pointers.set(event.pointerId, [newX, newY]);
    if (old) zoomBy(spread().distance / old.distance, ...old.middle);
    else if (drag === "divider") divide(newX / stage.clientWidth * 100);
    else if (drag === "pan") { x += newX - oldX; y += newY - oldY; place(); }
  });
  for (const name of ["pointerup", "pointercancel"]) {
    stage.addEventListener(name, (event) => {
      pointers.delete(event.pointerId);
      if (!pointers.size) { drag = null; stage.classList.remove("panning"); }
    });
  }
  stage.addEventListener("wheel", (event) => {
    // A page that is read must still scroll: the wheel is the picture's once it was clicked, or with Ctrl (a pinch).
    if (!event.ctrlKey && !stage.contains(document.activeElement)) return;
    if (event.deltaY > 0 && zoom <= leastZoom()) return;
    event.preventDefault();
    zoomBy(Math.exp(-clamp(event.deltaY, -100, 100) / (event.ctrlKey ? 60 : 300)), ...point(event));
  }, { passive: false });
  divider.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 10 : 2;
    const moves = { ArrowLeft: share - step, ArrowDown: share - step, ArrowRight: share + step, ArrowUp: share + step,
      PageDown: share - 10, PageUp: share + 10, Home: 0, End: 100 };
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in moves)) return;
    event.preventDefault();
    event.stopPropagation();
    divide(moves[event.key]);
  });
  new ResizeObserver(() => place()).observe(stage);

  function fit() { zoom = 1; place(); }
  const viewer = {
    /** Show two pictures, each {label, uri, width, height}; a new size starts with the whole picture. */
    show(left, right) {
      const isNew = size[0] !== left.width || size[1] !== left.height;
      names = [left.label, right.label];
      size = [left.width, left.height];
      [left, right].forEach((one, index) => {
        images[index].src = one.uri;
        images[index].alt = one.label;
      });
      stage.style.aspectRatio = `${left.width} / ${left.height}`;
      stage.style.maxWidth = `calc(80vh * ${left.width / left.height})`;
      if (isNew) fit();
      else place();
      divide(share);
    },
    /** The whole of one picture, then of the other; from a divided view, the right one first. */
    flip() {
      if (share > 0 && share < 100) before = share;
      divide(share === 0 ? 100 : 0);
    },
    setDifference(isOn) {
      if (isOn && (share === 0 || share === 100)) share = before;
      stage.classList.toggle("difference", isOn);
      divide(share);
    },
    zoomIn() { zoomBy(STEP); },
    zoomOut() { zoomBy(1 / STEP); },
    fit,
    pixels() { zoomBy(1 / scale()); },
  };
  return viewer;
}
