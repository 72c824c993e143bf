// The contact sheet: which picture each tile shows, its keys and buttons, and which tool is open.
import { find, findAll, holder } from "../../static/dom.js";
import { zoomable } from "../../static/zoom.js";
import { ContactSheet } from "./contact_sheet.js";
import { difference } from "./difference.js";
import { histogram } from "./histogram.js";
import { region } from "./region.js";
import { viewer } from "./viewer.js";
import { vote } from "./vote.js";
import { weights } from "./weights.js";

/** @typedef {import("./types").Tool} Tool */

const WIDTH = 280; // pixels of the screen; tiles are no narrower, except on phones

/** @param {import("./types").Component} component */
export function start(component) {
  const { element, watch } = component;
  /** @type {{ tile: HTMLElement | null, source: string } | null} */
  let held = null; // the tile, or all where it is null, that shows another picture, and that picture's tile's name
  /** @type {string | undefined} */
  let run; // the name of the run on show
  let open = ""; // the name of the open tool
  let unfolded = false; // whether the metrics below the pictures are open
  let frame = 0; // in which the open tool will draw
  /** @type {Map<string, boolean>} */
  const rows = new Map(); // whether the visitor has opened or folded a row of tiles, by its name

  const zoom = zoomable(element, {
    action: actionOf,
    size: () => sheet.size,
    tool: () => tools[open],
    moved() {
      redraw();
      if (!sheet.hasRun) return;
      findAll(element, ".tile").forEach(renderTile);
      large.render();
    },
  });
  const sheet = new ContactSheet(component, zoom, { render, redraw });
  const large = viewer(sheet);
  /** @type {Record<string, Tool>} */
  const tools = {
    difference: difference(sheet),
    histogram: histogram(sheet),
    region: region(sheet),
    vote: vote(sheet),
    weights: weights(sheet),
  };

  /** Show everything that follows from the zoom and from what is held. */
  function render() {
    if (!sheet.hasRun) return;
    arrange();
    if (sheet.grid.dataset.run === run) zoom.show();
    else startRun();
  }

  /** Give each row of tiles as many columns as fill its lines most evenly. */
  function arrange() {
    for (const tiles of findAll(element, ".tiles")) {
      const most = Math.max(2, Math.floor(sheet.grid.clientWidth / WIDTH));
      const lines = Math.ceil(tiles.children.length / most);
      tiles.style.setProperty("--columns", String(Math.ceil(tiles.children.length / Math.max(1, lines))));
    }
  }

  function startRun() {
    run = sheet.grid.dataset.run;
    held = null;
    sheet.start();
    large.start();
    rows.clear();
    for (const tool of Object.values(tools)) tool.start?.();
    zoom.fit();
    remember(run ?? "");
    if (element.getBoundingClientRect().top > innerHeight * 0.6) element.scrollIntoView({ behavior: "smooth" });
  }

  /** @param {HTMLElement} tile */
  function renderTile(tile) {
    const image = tile.querySelector("img");
    if (!image) return;
    const source = held && (held.tile ?? tile) === tile ? sheet.tile(held.source)?.querySelector("img") : null;
    const { dataset } = source ?? image;
    const url = (sheet.needsFull(tile) ? dataset.view : dataset.preview) ?? "";
    if (image.getAttribute("src") !== url) image.src = url;
    tile.toggleAttribute("data-held", Boolean(source));
    find(tile, ".badge", HTMLElement).textContent = source ? source.alt : "";
    for (const button of findAll(tile, "[data-hold]")) {
      button.setAttribute("aria-pressed", String(Boolean(source) && button.dataset.hold === held?.source));
    }
  }

  /** Show another tile's picture in one tile, or in all. @param {HTMLElement | null} tile @param {string} [source] */
  function hold(tile, source = "") {
    held = { tile, source };
    render();
  }

  /** Open or close the metrics below all pictures alike, so that they can be compared. */
  function fold() {
    for (const numbers of findAll(element, ".numbers")) numbers.toggleAttribute("open", unfolded);
    for (const row of findAll(element, ".row")) row.toggleAttribute("open", rows.get(row.dataset.row ?? "") ?? row.hasAttribute("open"));
  }

  function release() {
    if (!held) return;
    held = null;
    render();
  }

  /** Open a tool, or close it if it is open. @param {string} name */
  function toggle(name) {
    const focused = holder(document.activeElement, ".grid, .booth");
    open = name === open ? "" : name;
    render();
    element.querySelector(`:is(.booth, .figure)[data-panel="${open}"]`)?.scrollIntoView({ block: "nearest" });
    if (focused) find(element, open === "vote" ? ".booth" : ".grid", HTMLElement).focus({ preventScroll: true });
  }

  /** Mark the open tool's button, and let the tool draw in the next frame. */
  function redraw() {
    element.dataset.open = open;
    for (const button of findAll(element, "[data-tool]")) {
      button.setAttribute("aria-expanded", String(button.dataset.tool === open));
    }
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (sheet.hasRun) tools[open]?.draw();
    });
  }

  /** @type {Record<string, import("../../static/zoom.js").KeyAction>} */
  const keys = {
    u: () => hold(null, "under"),
    o: () => hold(null, "over"),
    d: () => toggle("difference"),
    h: () => toggle("histogram"),
    r: () => toggle("region"),
    v: () => toggle("vote"),
    w: () => toggle("weights"),
    Enter: () => large.full(),
    Escape: () => open && toggle(open),
  };
  /** @type {Record<string, number>} */
  const steps = { ArrowLeft: -1, ArrowRight: 1 };

  /**
   * What a key does other than zoom. Digits are known by their place on the keyboard, since some need Shift for them.
   * @param {KeyboardEvent} event
   * @returns {import("../../static/zoom.js").KeyAction}
   */
  function actionOf({ target, key, code }) {
    const button = holder(target, "[data-hold]");
    if (button && [" ", "Enter"].includes(key)) return () => hold(button.closest(".tile"), button.dataset.hold);
    if ([" ", "Enter"].includes(key) && holder(target, "button, a, summary")) return null; // it is pressed
    const name = key.length === 1 ? key.toLowerCase() : key;
    const digit = code.match(/^(?:Digit|Numpad)(\d)$/)?.[1];
    const numbered = digit ? holder(element.querySelector(`[data-key="${digit}"]`), ".tile[data-fused]") : null;
    const by = zoom.view.zoom === 1 && steps[name]; // zoomed in, arrows move the pictures
    const shown = () => {
      large.show(numbered?.dataset.name ?? "");
      hold(null, numbered?.dataset.name);
    };
    return tools[open]?.keys?.[name] ?? keys[name] ?? (numbered ? shown : by ? () => large.step(by) : null);
  }

  element.addEventListener("pointerdown", ({ target, pointerId }) => {
    const button = holder(target, "[data-hold]");
    if (!button) return;
    button.setPointerCapture(pointerId);
    hold(button.closest(".tile"), button.dataset.hold);
  });
  element.addEventListener("contextmenu", (event) => {
    if (holder(event.target, "[data-hold]")) event.preventDefault(); // here, a long touch holds a picture
  });
  element.addEventListener("click", (event) => {
    const name = holder(event.target, "[data-tool]")?.dataset.tool;
    if (name) toggle(name);
    const link = holder(event.target, ".link");
    if (link instanceof HTMLAnchorElement && navigator.clipboard) copy(event, link); // without a clipboard, it opens
  });
  element.addEventListener("change", ({ target }) => {
    if (!(target instanceof HTMLInputElement || target instanceof HTMLSelectElement) || !target.dataset.choice) return;
    if (target.dataset.choice === "beside") return large.compare(target.value);
    tools[open]?.choose?.(target.dataset.choice, target);
    redraw();
  });
  for (const name of ["pointerup", "pointercancel", "keyup"]) element.addEventListener(name, release);
  // The focus may go to the very button that is pressed, or leave the sheet.
  element.addEventListener("focusout", ({ relatedTarget }) => {
    if (!(relatedTarget instanceof Node && element.contains(relatedTarget))) release();
  });

  element.addEventListener(
    "toggle",
    ({ target }) => {
      if (!(target instanceof HTMLDetailsElement)) return;
      if (target.matches(".row")) rows.set(target.dataset.row ?? "", target.open);
      if (!target.matches(".numbers")) return;
      unfolded = target.open;
      fold();
    },
    true, // the event does not bubble
  );

  watch("value", () => {
    fold();
    render();
  });
  new ResizeObserver(render).observe(element);
  addEventListener("scroll", render, { passive: true });
  render();
}

/** Let the page's address lead to this run, so that it is shown again after a reload. @param {string} run */
function remember(run) {
  const address = new URL(location.href);
  address.searchParams.set("run", run);
  for (const name of ["example", "methods"]) address.searchParams.delete(name);
  history.replaceState(history.state, "", address);
}

/** Copy a link's address, and say so in its place. @param {Event} event @param {HTMLAnchorElement} link */
async function copy(event, link) {
  event.preventDefault();
  try {
    await navigator.clipboard.writeText(link.href);
    link.textContent = link.dataset.copied ?? "";
  } catch {
    location.assign(link.href);
  }
}
