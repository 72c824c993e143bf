// The large picture: one result or photograph at the width of the page, or two with a divider between them.
import { context2d, find, findAll, holder } from "../../static/dom.js";
import { clamp } from "../../static/zoom.js";
import { PLAIN, finished, isPlain, planesOf } from "./finish.js";

/** @typedef {ReturnType<typeof viewer>} Viewer */
/** @typedef {keyof import("./finish.js").Finish} Control */

/** @param {HTMLElement} slider */
const nameOf = (slider) => /** @type {Control} */ (slider.dataset.finish);

const SWIPE = 50; // pixels across the screen by which a finger asks for the next picture
const SIDE = 1600; // pixels, of the picture that is finished on the screen
const LOOK = 96; // pixels, of the small pictures that stand for looks
const STEP = 0.02; // of the width, by which an arrow key moves the divider

/**
 * @param {import("./contact_sheet.js").ContactSheet} sheet
 */
export function viewer(sheet) {
  const { element } = sheet;
  let shown = ""; // the name of the tile whose picture is on show
  let chosen = false; // whether the visitor chose it; the best one is shown otherwise
  let beside = ""; // the name of the tile on the right of the divider, if there is a divider
  let split = 0.5; // the divider's place, in widths of the stage
  /** @type {{ x: number, y: number } | null} */
  let pressed = null; // where a finger went down
  let dragging = false; // whether the divider is held
  let finish = { ...PLAIN };
  let adjusting = false; // whether the controls are open
  /** @type {{ url: string, planes: import("./finish.js").Planes, small: import("./finish.js").Planes } | null} */
  let read = null; // the picture whose pixels were read last

  const root = () => find(element, ".viewer", HTMLElement);
  const stage = () => find(root(), ".stage", HTMLElement);

  /** @param {string} name */
  function show(name) {
    if (!sheet.tile(name)?.querySelector("img")) return;
    shown = name;
    chosen = true;
    sheet.render();
  }

  /** Show the next or the previous picture. @param {number} by */
  function step(by) {
    const names = sheet.filled.map(({ dataset }) => dataset.name ?? "");
    const at = names.indexOf(shown);
    if (names.length) show(names[(at + by + names.length) % names.length]);
  }

  /** Put a tile's picture into an image of the viewer. @param {HTMLImageElement} image @param {HTMLElement} tile */
  function hang(image, tile) {
    const source = sheet.image(tile);
    const { preview = "", view = "" } = source.dataset;
    const url = sheet.needsFull(root()) ? view : preview;
    if (image.getAttribute("src") !== url) image.src = url;
    image.alt = source.alt;
  }

  function render() {
    const first = sheet.fused[0] ?? sheet.tile("over");
    if (!chosen || !sheet.tile(shown)?.querySelector("img")) shown = first?.dataset.name ?? "";
    const tile = sheet.tile(shown);
    if (!tile?.querySelector("img")) return;
    const other = beside && beside !== shown ? sheet.tile(beside) : null;
    const [left, right] = /** @type {HTMLImageElement[]} */ (findAll(stage(), "img"));
    hang(left, tile);
    root().toggleAttribute("data-divided", Boolean(other));
    if (other) hang(right, other);
    else right.removeAttribute("src");
    root().style.setProperty("--split", `${100 * split}%`);
    find(root(), ".divider", HTMLElement).setAttribute("aria-valuenow", String(Math.round(100 * split)));
    find(root(), ".badge.left", HTMLElement).textContent = tile.dataset.label ?? "";
    find(root(), ".badge.right", HTMLElement).textContent = other?.dataset.label ?? "";
    find(root(), ".what b", HTMLElement).textContent = tile.dataset.label ?? "";
    const said = [tile.querySelector(".verdict")?.textContent, ...findAll(tile, ".words li").map((word) => word.textContent)];
    find(root(), ".what span", HTMLElement).textContent = said.filter(Boolean).map((word) => word?.trim()).join(" · ");
    find(root(), '[data-choice="beside"]', HTMLSelectElement).value = other ? beside : "";
    find(root(), ".save", HTMLElement).hidden = !("fused" in tile.dataset);
    for (const each of findAll(element, ".tile")) each.toggleAttribute("data-shown", each === tile);
    adjust(tile);
  }

  /** Show the picture with its finish, and the controls as they are. @param {HTMLElement} tile */
  function adjust(tile) {
    const fused = "fused" in tile.dataset;
    const button = find(root(), "[data-adjust]", HTMLElement);
    button.hidden = !fused;
    button.setAttribute("aria-expanded", String(adjusting));
    find(root(), ".adjust", HTMLElement).hidden = !(fused && adjusting);
    for (const slider of findAll(root(), "[data-finish]")) {
      if (slider instanceof HTMLInputElement) slider.value = String(finish[nameOf(slider)]);
    }
    const canvas = find(root(), ".finished", HTMLCanvasElement);
    const shows = fused && !isPlain(finish);
    canvas.hidden = true;
    if (!shows && !(fused && adjusting)) return;
    const image = sheet.picture(sheet.image(tile).dataset.preview ?? "");
    if (!image.naturalWidth) return; // the page is rendered again once it is loaded
    if (read?.url !== image.src) read = { url: image.src, planes: planesOf(image, SIDE), small: planesOf(image, LOOK) };
    if (shows) {
      paint(canvas, read.planes, finish);
      canvas.hidden = false;
    }
    for (const look of findAll(root(), "[data-look]")) {
      const values = { ...PLAIN, ...JSON.parse(look.dataset.look ?? "{}") };
      look.setAttribute("aria-pressed", String(Object.entries(values).every(([name, value]) => finish[/** @type {Control} */ (name)] === value)));
      const small = find(look, "canvas", HTMLCanvasElement);
      if (adjusting && small.dataset.of !== read.url) {
        paint(small, read.small, values);
        small.dataset.of = read.url;
      }
    }
  }

  /** @param {HTMLCanvasElement} canvas @param {import("./finish.js").Planes} planes @param {import("./finish.js").Finish} wanted */
  function paint(canvas, planes, wanted) {
    const pixels = finished(planes, wanted);
    Object.assign(canvas, { width: pixels.width, height: pixels.height });
    context2d(canvas).putImageData(pixels, 0, 0);
  }

  /** @param {PointerEvent} event */
  function splitAt({ clientX }) {
    const { left, width } = stage().getBoundingClientRect();
    split = clamp((clientX - left) / width, 0, 1);
    render();
  }

  function full() {
    if (document.fullscreenElement) document.exitFullscreen();
    else root().requestFullscreen?.();
  }

  element.addEventListener("click", ({ target }) => {
    const by = holder(target, "[data-step]")?.dataset.step;
    if (by) step(Number(by));
    if (holder(target, "[data-full]")) full();
    if (holder(target, "[data-adjust]")) {
      adjusting = !adjusting;
      render();
    }
    const look = holder(target, "[data-look]")?.dataset.look;
    if (look) {
      finish = { ...PLAIN, ...JSON.parse(look) };
      render();
    }
    const format = holder(target, "[data-save]")?.dataset.save;
    if (format) {
      const metadata = find(root(), ".metadata", HTMLInputElement).checked;
      sheet.trigger("save", { name: shown, format, metadata, finish });
      find(root(), ".save", HTMLDetailsElement).open = false;
    }
    const tile = holder(target, "[data-show], .stage")?.closest(".tile");
    if (tile instanceof HTMLElement && sheet.zoom.view.zoom === 1 && tile.querySelector("img")) {
      show(tile.dataset.name ?? "");
      root().scrollIntoView({ behavior: "smooth", block: "nearest" });
    }
  });
  element.addEventListener("input", ({ target }) => {
    if (!(target instanceof HTMLInputElement) || !target.dataset.finish) return;
    finish[nameOf(target)] = Number(target.value);
    const tile = sheet.tile(shown);
    if (tile) adjust(tile);
  });
  element.addEventListener(
    "pointerdown",
    (event) => {
      if (holder(event.target, ".divider")) {
        event.stopPropagation(); // or the pictures would move
        dragging = true;
        find(root(), ".divider", HTMLElement).setPointerCapture(event.pointerId);
      } else if (holder(event.target, ".viewer .stage")) pressed = { x: event.clientX, y: event.clientY };
    },
    true,
  );
  element.addEventListener("pointermove", (event) => dragging && splitAt(event));
  for (const name of /** @type {const} */ (["pointerup", "pointercancel"])) {
    element.addEventListener(name, ({ clientX, clientY, pointerType }) => {
      const [across, down] = pressed ? [clientX - pressed.x, clientY - pressed.y] : [0, 0];
      const swiped = name === "pointerup" && pointerType === "touch" && sheet.zoom.view.zoom === 1;
      if (swiped && Math.abs(across) > SWIPE && Math.abs(across) > 2 * Math.abs(down)) step(across < 0 ? 1 : -1);
      pressed = null;
      dragging = false;
    });
  }
  element.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    if (!by || !holder(event.target, ".divider")) return;
    event.preventDefault();
    event.stopPropagation();
    split = clamp(split + by, 0, 1);
    render();
  }, true);

  return {
    render,
    show,
    step,
    full,
    /** A new run is shown. */
    start() {
      shown = beside = "";
      chosen = false;
    },
    /** Put a picture on the other side of the divider, or none. @param {string} name */
    compare(name) {
      beside = name;
      chosen = true;
      render();
    },
  };
}
