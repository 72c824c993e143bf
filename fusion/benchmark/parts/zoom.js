const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Zoom and move all `.stage img` in an element together, by wheel, drag, pinch, double click and keys. Where they lie
 * is in three CSS variables that all of them inherit: that keeps them in place while they are drawn anew.
 *
 * A page may add: `keyed`, a selector of what keys count in; `act(event)`, what else a key does there; `size()` of the
 * full pictures, where previews are shown; `tool()`, which may have drag(from, to, stage) and drop() in the place of
 * moving; and `moved()`, which is called after each change. */
function zoomable(element, { keyed = "*", act, size, tool, moved } = {}) {
  const MAX_ZOOM = 8; // times 1:1, or times the stage for pictures that are smaller
  const STEP = 1.25;
  const view = { zoom: 1, x: 0, y: 0 }; // the picture's corner in widths and heights of a stage: 1 - zoom to 0
  const pointers = new Map(); // id -> { x, y }, in widths and heights of a stage
  let pressed = null; // { x, y } where the first pointer went down

  const stageOf = (event) => event.target.closest(".stage");
  const anyStage = () => [...element.querySelectorAll(".stage")].find((stage) => stage.clientWidth); // some are hidden

  /** The zoom at which one pixel of the picture is one pixel of the screen. */
  function actual() {
    const stage = anyStage();
    const { naturalWidth, naturalHeight } = stage?.querySelector("img") ?? {};
    const { width = naturalWidth, height = naturalHeight } = size?.() ?? {};
    return Math.max(1, Math.max(width / stage?.clientWidth || 0, height / stage?.clientHeight || 0) / devicePixelRatio);
  }

  /** Zoom so that the point (px, py) of the stages stays where it is. */
  function zoomTo(zoom, px = 0.5, py = 0.5) {
    zoom = clamp(zoom, 1, MAX_ZOOM * actual());
    moveTo(px - ((px - view.x) * zoom) / view.zoom, py - ((py - view.y) * zoom) / view.zoom, zoom);
  }

  function moveTo(x, y, zoom = view.zoom) {
    Object.assign(view, { zoom, x: clamp(x, 1 - zoom, 0), y: clamp(y, 1 - zoom, 0) });
    show();
  }

  function show() {
    for (const [name, value] of Object.entries(view)) element.style.setProperty(`--${name}`, value);
    element.toggleAttribute("data-zoomed", view.zoom > 1);
    element.toggleAttribute("data-pixels", view.zoom > 2 * actual());
    const percent = `${Math.round((100 * view.zoom) / actual())} %`;
    for (const output of element.querySelectorAll(".percent")) output.value = percent;
    moved?.();
  }

  const acts = {
    fit: () => zoomTo(1),
    actual: () => zoomTo(actual()),
    in: () => zoomTo(view.zoom * STEP),
    out: () => zoomTo(view.zoom / STEP),
  };
  const keys = { "+": "in", "=": "in", "-": "out", f: "fit", z: "actual" };
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function zoomAct({ key }) {
    const arrow = view.zoom > 1 && arrows[key]; // before that, they scroll the page
    return arrow ? () => moveTo(view.x - 0.1 * arrow[0], view.y - 0.1 * arrow[1]) : acts[keys[key.toLowerCase()]];
  }

  function place(event, stage) {
    const { left, top, width, height } = stage.getBoundingClientRect();
    return { x: (event.clientX - left) / width, y: (event.clientY - top) / height };
  }
  function middle() {
    const [one, other = one] = pointers.values();
    const apart = Math.hypot(one.x - other.x, one.y - other.y) || 1;
    return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2, apart };
  }

  element.addEventListener("click", ({ target }) => acts[target.closest("[data-act]")?.dataset.act]?.());
  element.addEventListener("dblclick", (event) => {
    const stage = stageOf(event);
    if (!stage) return;
    const { x, y } = place(event, stage);
    zoomTo(view.zoom > 1 ? 1 : actual(), x, y);
  });
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
    const found = event.target.closest(keyed) && (act?.(event) ?? zoomAct(event));
    if (!found) return;
    event.preventDefault();
    found(event);
  });
  element.addEventListener(
    "wheel",
    (event) => {
      const stage = stageOf(event);
      if (!stage || (view.zoom === 1 && event.deltaY > 0)) return; // nothing left to zoom out of: the page scrolls
      event.preventDefault();
      const { x, y } = place(event, stage);
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 40 : 1;
      zoomTo(view.zoom * Math.exp(-event.deltaY * lines * 0.002), x, y);
    },
    { passive: false },
  );
  element.addEventListener("pointerdown", (event) => {
    const stage = stageOf(event);
    if (!stage || event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event, stage));
    if (pointers.size === 1) pressed = place(event, stage);
  });
  element.addEventListener("pointermove", (event) => {
    const stage = stageOf(event) ?? anyStage(); // the one that it went down on may have been drawn anew
    if (!stage || !pointers.has(event.pointerId)) return;
    const before = middle();
    pointers.set(event.pointerId, place(event, stage));
    const now = middle();
    if (pointers.size === 1 && tool?.()?.drag) return tool().drag(pressed, now, stage);
    moveTo(view.x + now.x - before.x, view.y + now.y - before.y);
    if (pointers.size > 1) zoomTo((view.zoom * now.apart) / before.apart, now.x, now.y);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    element.addEventListener(name, (event) => pointers.delete(event.pointerId) && tool?.()?.drop?.());
  }
  return { view, actual, anyStage, fit: acts.fit, show };
}
