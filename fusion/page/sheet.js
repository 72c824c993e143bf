// The contact sheet's zoom, pan and hold. Where the pictures are lies in three CSS variables on `element`, which all
// tiles inherit: that keeps them together, and keeps their place while the template is drawn anew around them. Read
// after the tools, which wait in `tools` until this file calls them.

const MAX_ZOOM = 8; // times 1:1, or times the tile for pictures that are smaller
const STEP = 1.25;
const view = { zoom: 1, x: 0, y: 0 }; // the picture's corner in widths and heights of a tile: 1 - zoom to 0
let held = null; // { tile, source }: which tile's picture is shown, in one tile or, where tile is null, in all
let run = null;

const grid = () => element.querySelector(".grid");
const stageOf = (node) => node.closest?.(".stage");
const anyStage = () => [...element.querySelectorAll(".stage")].find((stage) => stage.clientWidth); // a vote hides others
const tileNamed = (name) => element.querySelector(`.tile[data-name="${name}"]`);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** The zoom at which one pixel of the picture is one pixel of the screen. */
function actual() {
  const { width, height } = grid().dataset;
  const { clientWidth, clientHeight } = anyStage();
  return Math.max(1, Math.max(width / clientWidth, height / clientHeight) / devicePixelRatio);
}

/** Zoom so that the point (px, py), in widths and heights of a tile, stays where it is. */
function zoomTo(zoom, px = 0.5, py = 0.5) {
  zoom = clamp(zoom, 1, MAX_ZOOM * actual());
  moveTo(px - ((px - view.x) * zoom) / view.zoom, py - ((py - view.y) * zoom) / view.zoom, zoom);
}

function moveTo(x, y, zoom = view.zoom) {
  view.zoom = zoom;
  view.x = clamp(x, 1 - zoom, 0);
  view.y = clamp(y, 1 - zoom, 0);
  render();
}

/** Everything on the page that follows from `view` and `held`. */
function render() {
  if (!grid()) return;
  if (grid().dataset.run !== run) startRun();
  for (const [name, value] of Object.entries(view)) element.style.setProperty(`--${name}`, value);
  renderTools();
  element.toggleAttribute("data-zoomed", view.zoom > 1);
  element.toggleAttribute("data-pixels", view.zoom > 2 * actual());
  element.querySelector(".percent").textContent = `${Math.round((100 * view.zoom) / actual())} %`;
  element.querySelectorAll(".tile").forEach(renderTile);
}

function startRun() {
  run = grid().dataset.run;
  held = null;
  Object.assign(view, { zoom: 1, x: 0, y: 0 });
  startTools();
  if (element.getBoundingClientRect().top > innerHeight * 0.6) element.scrollIntoView({ behavior: "smooth" });
}

function renderTile(tile) {
  const image = tile.querySelector("img");
  if (!image) return;
  const holding = held && (held.tile ?? tile) === tile ? held.source : null;
  const shown = (holding && sourceImage(holding)) ?? image;
  const url = sharp(tile) ? shown.dataset.full : shown.dataset.preview;
  if (image.getAttribute("src") !== url) image.src = url;
  tile.toggleAttribute("data-held", Boolean(holding));
  tile.querySelector(".badge").textContent = holding ? sourceImage(holding).alt : "";
  for (const button of tile.querySelectorAll("[data-hold]")) {
    button.setAttribute("aria-pressed", String(button.dataset.hold === holding));
  }
}

const sourceImage = (name) => tileNamed(name)?.querySelector("img");

function inSight(tile) {
  const { top, bottom } = tile.querySelector(".stage").getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

/** Whether a tile needs the full picture: it is in sight and its preview would be enlarged. */
function sharp(tile) {
  const { clientWidth } = tile.querySelector(".stage");
  return inSight(tile) && clientWidth * view.zoom * devicePixelRatio > Number(grid().dataset.previewWidth);
}

function hold(tile, source) {
  held = { tile, source };
  render();
}

function release() {
  if (!held) return;
  held = null;
  render();
}

// Pointers: one moves, or draws where a tool takes it, two pinch.

const pointers = new Map(); // id -> { x, y }, in widths and heights of a tile
let pressed = null; // { x, y } where the first pointer went down

function place(event, stage) {
  const { left, top, width, height } = stage.getBoundingClientRect();
  return { x: (event.clientX - left) / width, y: (event.clientY - top) / height };
}

function middle() {
  const points = [...pointers.values()];
  const x = points.reduce((sum, point) => sum + point.x, 0) / points.length;
  const y = points.reduce((sum, point) => sum + point.y, 0) / points.length;
  const apart = points.length > 1 ? Math.hypot(points[0].x - points[1].x, points[0].y - points[1].y) : 1;
  return { x, y, apart };
}

element.addEventListener("pointerdown", (event) => {
  const button = event.target.closest("[data-hold]");
  if (button) {
    button.setPointerCapture(event.pointerId);
    hold(button.closest(".tile"), button.dataset.hold);
  }
  const stage = stageOf(event.target);
  if (!stage || event.button !== 0) return;
  stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, place(event, stage));
  if (pointers.size === 1) pressed = place(event, stage);
});

element.addEventListener("pointermove", (event) => {
  if (!pointers.has(event.pointerId)) return;
  const stage = stageOf(event.target) ?? anyStage();
  const before = middle();
  pointers.set(event.pointerId, place(event, stage));
  const now = middle();
  if (pointers.size === 1 && tools[tool]?.drag) return tools[tool].drag(pressed, now, stage);
  moveTo(view.x + now.x - before.x, view.y + now.y - before.y);
  if (pointers.size > 1) zoomTo((view.zoom * now.apart) / before.apart, now.x, now.y);
});

for (const name of ["pointerup", "pointercancel"]) {
  element.addEventListener(name, (event) => {
    if (pointers.delete(event.pointerId)) tools[tool]?.drop?.();
    release();
  });
}

element.addEventListener("contextmenu", (event) => {
  if (event.target.closest("[data-hold]")) event.preventDefault(); // a long touch is a hold here
});

element.addEventListener(
  "wheel",
  (event) => {
    const stage = stageOf(event.target);
    if (!stage || (view.zoom === 1 && event.deltaY > 0)) return; // nothing left to zoom out of: the page scrolls
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 40 : 1;
    const { x, y } = place(event, stage);
    zoomTo(view.zoom * Math.exp(-event.deltaY * lines * 0.002), x, y);
  },
  { passive: false },
);

element.addEventListener("dblclick", (event) => {
  const stage = stageOf(event.target);
  if (!stage) return;
  const { x, y } = place(event, stage);
  zoomTo(view.zoom > 1 ? 1 : actual(), x, y);
});

// Buttons and keys.

const acts = {
  fit: () => zoomTo(1),
  actual: () => zoomTo(actual()),
  in: () => zoomTo(view.zoom * STEP),
  out: () => zoomTo(view.zoom / STEP),
};

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act], [data-tool], .link");
  acts[button?.dataset.act]?.();
  if (button?.dataset.tool) toggleTool(button.dataset.tool);
  if (button?.matches(".link") && navigator.clipboard) copy(event, button); // without a clipboard, the link opens
});

async function copy(event, link) {
  event.preventDefault();
  try {
    await navigator.clipboard.writeText(link.href);
    link.textContent = link.dataset.copied;
  } catch {
    location.assign(link.href);
  }
}

const keys = {
  "+": acts.in,
  "=": acts.in,
  "-": acts.out,
  f: acts.fit,
  z: acts.actual,
  u: () => hold(null, "under"),
  o: () => hold(null, "over"),
  d: () => toggleTool("difference"),
  h: () => toggleTool("histogram"),
  r: () => toggleTool("region"),
  v: () => toggleTool("vote"),
  w: () => toggleTool("weights"),
  Escape: () => tool && toggleTool(tool),
};
const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

element.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const button = event.target.closest("[data-hold]");
  if (button && [" ", "Enter"].includes(event.key)) {
    event.preventDefault();
    hold(button.closest(".tile"), button.dataset.hold);
  }
  const act = event.target.closest(".grid, .booth") && actOf(event);
  if (!act) return;
  event.preventDefault();
  act();
});

/** What a key means among the pictures. Digits are told by where they are: on some keyboards they need Shift. */
function actOf({ key, code, shiftKey }) {
  const name = key.length === 1 ? key.toLowerCase() : key;
  if (arrows[key]) return arrowAct(...arrows[key], shiftKey);
  const digit = code.match(/^(?:Digit|Numpad)(\d)$/)?.[1];
  const numbered = digit && element.querySelector(`[data-key="${digit}"]`)?.closest(".tile[data-fused]");
  return tools[tool]?.keys?.[name] ?? keys[name] ?? (numbered && (() => hold(null, numbered.dataset.name)));
}

function arrowAct(right, down, shift) {
  if (tools[tool]?.arrow) return () => tools[tool].arrow(right, down, shift);
  if (view.zoom === 1) return null; // arrows scroll the page until there is more to see
  return () => moveTo(view.x - 0.1 * right, view.y - 0.1 * down);
}

element.addEventListener("keyup", release);
element.addEventListener("focusout", release);

watch("value", render);
new ResizeObserver(render).observe(element);
addEventListener("scroll", render, { passive: true });
render();
