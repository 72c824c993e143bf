// Pictures that zoom and move together; the page, a report and a study use this.
import { findAll, holder } from "./dom.js";

/** @typedef {{ x: number, y: number }} Point in widths and heights of a stage, from its upper left corner */
/** @typedef {{ drag?(from: Point, to: Point, stage: HTMLElement): void, drop?(): void }} Dragging */
/** @typedef {((event: KeyboardEvent) => void) | null | undefined | false} KeyAction */
/** @typedef {ReturnType<typeof zoomable>} Zoom */

const MAX_ZOOM = 8; // times 1:1, or times the stage for pictures that are smaller than it
const STEP = 1.25; // the zoom changes by this factor with one press
const WHEEL = 0.002; // the logarithm of the zoom changes by this much for one pixel of the wheel
const LINE = 40; // pixels, for a wheel that counts in lines
const PAN = 0.1; // of a stage, for one press of an arrow key

/** @param {number} value @param {number} low @param {number} high */
export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/**
 * Zoom and move every `.stage img` in an element together, by wheel, drag, pinch, double click and keys.
 *
 * Zoom and place are kept in three CSS variables, `--zoom`, `--x` and `--y`, of the element. The pictures inherit them,
 * and so keep their place when the page draws them anew.
 *
 * @param {HTMLElement} element
 * @param {object} [options]
 * @param {(event: KeyboardEvent) => KeyAction} [options.action] what a key does before its use for zooming is considered
 * @param {() => { width: number, height: number }} [options.size] the full pictures' size, if previews are shown
 * @param {() => Dragging | null | undefined} [options.tool] what handles a drag instead of moving the pictures
 * @param {() => void} [options.moved] is called after each change
 */
export function zoomable(element, { action, size, tool, moved } = {}) {
  const view = { zoom: 1, x: 0, y: 0 }; // x and y: the picture's corner in widths and heights of a stage, 1 - zoom to 0
  /** @type {Map<number, Point>} */
  const pointers = new Map(); // by the pointer's number
  /** @type {Point | null} */
  let pressed = null; // where the first pointer went down

  const stageOf = (/** @type {Event} */ event) => holder(event.target, ".stage");
  const visibleStage = () => findAll(element, ".stage").find((stage) => stage.clientWidth);

  /** The zoom at which one pixel of the picture is one pixel of the screen. */
  function actualZoom() {
    const stage = visibleStage();
    const image = stage?.querySelector("img");
    if (!stage || !image) return 1;
    const { width, height } = size?.() ?? { width: image.naturalWidth, height: image.naturalHeight };
    return Math.max(1, Math.max(width / stage.clientWidth, height / stage.clientHeight) / devicePixelRatio);
  }

  /**
   * Change the zoom; the point (x, y) of the stages stays where it is.
   * @param {number} zoom @param {number} x @param {number} y
   */
  function zoomTo(zoom, x = 0.5, y = 0.5) {
    zoom = clamp(zoom, 1, MAX_ZOOM * actualZoom());
    moveTo(x - ((x - view.x) * zoom) / view.zoom, y - ((y - view.y) * zoom) / view.zoom, zoom);
  }

  /** @param {number} x @param {number} y @param {number} zoom */
  function moveTo(x, y, zoom = view.zoom) {
    Object.assign(view, { zoom, x: clamp(x, 1 - zoom, 0), y: clamp(y, 1 - zoom, 0) });
    show();
  }

  function show() {
    for (const [name, value] of Object.entries(view)) element.style.setProperty(`--${name}`, String(value));
    element.toggleAttribute("data-zoomed", view.zoom > 1);
    element.toggleAttribute("data-pixels", view.zoom > 2 * actualZoom());
    const percent = `${Math.round((100 * view.zoom) / actualZoom())} %`;
    for (const output of findAll(element, ".percent")) output.textContent = percent;
    moved?.();
  }

  /** @type {Record<string, () => void>} what a button's `data-act` names */
  const acts = {
    fit: () => zoomTo(1),
    actual: () => zoomTo(actualZoom()),
    in: () => zoomTo(view.zoom * STEP),
    out: () => zoomTo(view.zoom / STEP),
  };
  /** @type {Record<string, string>} */
  const keys = { "+": "in", "=": "in", "-": "out", f: "fit", z: "actual" };
  /** @type {Record<string, [number, number]>} */
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  /** @returns {KeyAction} */
  function zoomAction(/** @type {KeyboardEvent} */ { key }) {
    const arrow = view.zoom > 1 && arrows[key]; // unzoomed, arrows scroll the page
    return arrow ? () => moveTo(view.x - PAN * arrow[0], view.y - PAN * arrow[1]) : acts[keys[key.toLowerCase()]];
  }

  /** @param {MouseEvent} event @param {HTMLElement} stage @returns {Point} */
  function pointIn(event, stage) {
    const { left, top, width, height } = stage.getBoundingClientRect();
    return { x: (event.clientX - left) / width, y: (event.clientY - top) / height };
  }

  /** The middle between two pointers and their distance, or the place of a single one. */
  function middle() {
    const [one, other = one] = pointers.values();
    const distance = Math.hypot(one.x - other.x, one.y - other.y) || 1;
    return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2, distance };
  }

  element.addEventListener("click", ({ target }) => acts[holder(target, "[data-act]")?.dataset.act ?? ""]?.());
  element.addEventListener("dblclick", (event) => {
    const stage = stageOf(event);
    if (!stage) return;
    const { x, y } = pointIn(event, stage);
    zoomTo(view.zoom > 1 ? 1 : actualZoom(), x, y);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (holder(event.target, "input, select, textarea, [contenteditable], [role=slider], [role=listbox], [role=grid]")) return;
    const found = visibleStage() && (action?.(event) ?? zoomAction(event));
    if (!found) return;
    event.preventDefault();
    found(event);
  });
  element.addEventListener(
    "wheel",
    (event) => {
      const stage = stageOf(event);
      // Without a key, the wheel scrolls the page wherever the pointer is, unless pictures fill the screen.
      if (!stage || !(event.ctrlKey || event.metaKey || document.fullscreenElement)) return;
      event.preventDefault();
      const { x, y } = pointIn(event, stage);
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE : 1;
      zoomTo(view.zoom * Math.exp(-event.deltaY * lines * WHEEL), x, y);
    },
    { passive: false },
  );
  element.addEventListener("pointerdown", (event) => {
    const stage = stageOf(event);
    if (!stage || event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, pointIn(event, stage));
    if (pointers.size === 1) pressed = pointIn(event, stage);
  });
  element.addEventListener("pointermove", (event) => {
    const stage = stageOf(event) ?? visibleStage(); // the page may have replaced the stage that the pointer went down on
    if (!stage || !pointers.has(event.pointerId)) return;
    const before = middle();
    pointers.set(event.pointerId, pointIn(event, stage));
    const now = middle();
    const dragging = tool?.();
    if (pointers.size === 1 && pressed && dragging?.drag) return dragging.drag(pressed, now, stage);
    moveTo(view.x + now.x - before.x, view.y + now.y - before.y);
    if (pointers.size > 1) zoomTo((view.zoom * now.distance) / before.distance, now.x, now.y);
  });
  for (const name of /** @type {const} */ (["pointerup", "pointercancel"])) {
    element.addEventListener(name, (event) => pointers.delete(event.pointerId) && tool?.()?.drop?.());
  }
  return { view, actualZoom, visibleStage, fit: acts.fit, show };
}
