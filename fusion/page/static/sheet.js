// The contact sheet around its zoom: what is held, which pictures the tiles show, and keys. Read after zoom.js and the
// tools, which wait in `tools` until this file calls them.

let held = null; // { tile, source }: which tile's picture is shown, in one tile or, where tile is null, in all
let run = null;

const grid = () => element.querySelector(".grid");
const tileNamed = (name) => element.querySelector(`.tile[data-name="${name}"]`);

const { view, actual, anyStage, fit, show } = zoomable(element, {
  keyed: ".grid, .booth",
  act: actOf,
  size: () => grid().dataset,
  tool: () => tools[tool],
  moved() {
    renderTools();
    element.querySelectorAll(".tile").forEach(renderTile);
  },
});

/** Everything on the page that follows from `view` and `held`. */
function render() {
  if (!grid()) return;
  if (grid().dataset.run === run) show();
  else startRun();
}

function startRun() {
  run = grid().dataset.run;
  held = null;
  startTools();
  fit();
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

element.addEventListener("pointerdown", ({ target, pointerId }) => {
  const button = target.closest("[data-hold]");
  if (!button) return;
  button.setPointerCapture(pointerId);
  hold(button.closest(".tile"), button.dataset.hold);
});

element.addEventListener("contextmenu", (event) => {
  if (event.target.closest("[data-hold]")) event.preventDefault(); // a long touch is a hold here
});

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-tool], .link");
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

/** What a key means besides zoom. Digits are told by where they are: on some keyboards they need Shift. */
function actOf({ target, key, code }) {
  const button = target.closest("[data-hold]");
  if (button && [" ", "Enter"].includes(key)) return () => hold(button.closest(".tile"), button.dataset.hold);
  const name = key.length === 1 ? key.toLowerCase() : key;
  const digit = code.match(/^(?:Digit|Numpad)(\d)$/)?.[1];
  const numbered = digit && element.querySelector(`[data-key="${digit}"]`)?.closest(".tile[data-fused]");
  return tools[tool]?.keys?.[name] ?? keys[name] ?? (numbered ? () => hold(null, numbered.dataset.name) : null);
}

const keys = {
  u: () => hold(null, "under"),
  o: () => hold(null, "over"),
  d: () => toggleTool("difference"),
  h: () => toggleTool("histogram"),
  r: () => toggleTool("region"),
  v: () => toggleTool("vote"),
  w: () => toggleTool("weights"),
  Escape: () => tool && toggleTool(tool),
};

for (const name of ["pointerup", "pointercancel", "keyup"]) element.addEventListener(name, release);
// Not where the focus goes to the very button that is being pressed.
element.addEventListener("focusout", ({ relatedTarget }) => element.contains(relatedTarget) || release());

watch("value", render);
new ResizeObserver(render).observe(element);
addEventListener("scroll", render, { passive: true });
render();
