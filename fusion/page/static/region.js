// Region: one region of all pictures as a figure of lossless crops side by side, each above its name, as papers print them.
import { context2d, find } from "../../static/dom.js";
import { clamp } from "../../static/zoom.js";

/** @typedef {import("../../static/zoom.js").Point} Point */
/** @typedef {{ x: number, y: number, width: number, height: number }} Rectangle in pixels of the picture */
/** @typedef {{ cropWidth: number, cellHeight: number, columns: number, width: number, height: number }} Layout in pixels */

const GAP = 8; // pixels of white around every crop
const LABEL = 28; // pixels of height for a name
const ROW_WIDTH = 2400; // pixels; a row is not made wider than this
const LARGEST = 4096 ** 2; // pixels that a canvas may have on a phone
const FIRST = 320; // pixels of the picture: at most so long is the longer side of a run's first region
const SMALLEST = 8; // pixels of the picture on a side; whoever drags less did not mean to
const STEP = 16; // pixels of the picture for one press of an arrow key

/** @param {import("./contact_sheet.js").ContactSheet} sheet @returns {import("./types").Tool} */
export function region(sheet) {
  const text = (/** @type {string} */ name, /** @type {import("./types").Values} */ values = {}) => sheet.text("region", name, values);
  const font = () => `16px ${getComputedStyle(sheet.element).fontFamily}`;

  /** @type {Rectangle} */
  let chosen = { x: 0, y: 0, width: 0, height: 0 };
  let scale = 2;
  let dragging = false;
  let content = ""; // what the figure shows, or will show once it is made
  let progress = "";
  /** @type {{ image: HTMLImageElement, link: HTMLAnchorElement } | null} */
  let figure = null;

  /** The picture's pixel at a point of a stage. @param {Point} point @param {HTMLElement} stage */
  function pixelAt(point, stage) {
    const box = sheet.fitted(stage);
    const { width, height } = sheet.size;
    const { view } = sheet.zoom;
    return {
      x: clamp(Math.round((((point.x - view.x) / view.zoom - box.left) / box.width) * width), 0, width),
      y: clamp(Math.round((((point.y - view.y) / view.zoom - box.top) / box.height) * height), 0, height),
    };
  }

  /**
   * What an arrow key does: it moves the region or, with Shift, its lower right corner.
   * @param {number} right @param {number} down
   * @returns {(event: KeyboardEvent) => void}
   */
  const arrow = (right, down) => ({ shiftKey }) => {
    const { x, y, width, height } = chosen;
    if (shiftKey) choose({ x, y, width: width + right, height: height + down });
    else choose({ ...chosen, x: x + right, y: y + down });
  };

  /** Choose a region; it is brought within the picture. @param {Rectangle} wanted */
  function choose(wanted) {
    const size = sheet.size;
    const width = clamp(wanted.width, Math.min(SMALLEST, size.width), size.width);
    const height = clamp(wanted.height, Math.min(SMALLEST, size.height), size.height);
    chosen = { x: clamp(wanted.x, 0, size.width - width), y: clamp(wanted.y, 0, size.height - height), width, height };
    sheet.redraw();
  }

  function forget() {
    if (figure) URL.revokeObjectURL(figure.image.src);
    figure = null;
    progress = content = "";
  }

  /** Show the figure and how far it is. */
  function show() {
    find(sheet.element, ".progress", HTMLElement).replaceChildren(progress);
    find(sheet.element, ".figure", HTMLElement).replaceChildren(...(figure ? [figure.image] : []));
    find(sheet.element, ".take", HTMLElement).replaceChildren(...(figure ? [figure.link] : []));
  }

  /** Make the figure; give up as soon as it is to show something else. @param {HTMLElement[]} tiles */
  async function make(tiles) {
    const mine = content;
    const say = (/** @type {string} */ sentence) => {
      progress = sentence;
      if (sheet.hasRun) show();
    };
    const nameOf = (/** @type {HTMLElement} */ tile) => tile.dataset.label ?? "";
    const missing = tiles.filter((tile) => !sheet.hasFull(sheet.image(tile)));
    const written = tiles.filter((tile) => sheet.hasFull(sheet.image(tile)));
    const names = written.map(nameOf);
    const images = written.map((tile) => sheet.picture(sheet.image(tile).dataset.full ?? ""));
    const absent = missing.length ? text("missing", { names: missing.map(nameOf).join(", ") }) : "";
    if (!written.length) return say(absent);
    const layout = arranged(names);
    if (layout.width * layout.height > LARGEST) return say(text("large"));
    try {
      for (const [done, image] of images.entries()) {
        say(text("loading", { done, all: images.length }));
        await image.decode();
        if (mine !== content) return;
      }
      const blob = await drawn(names, images, layout);
      if (mine !== content) return;
      figure = withLink(blob, names);
      say(`${text("made", chosen)} ${absent}`);
    } catch {
      if (mine === content) say(text("failed"));
    }
  }

  /** The figure's layout: as many columns as fit, in rows as even as possible. @param {string[]} names @returns {Layout} */
  function arranged(names) {
    const { scratch } = sheet;
    scratch.font = font();
    const cropWidth = Math.ceil(Math.max(chosen.width * scale, ...names.map((name) => scratch.measureText(name).width)));
    const cellHeight = chosen.height * scale + LABEL;
    const rows = Math.ceil(names.length / Math.max(1, Math.floor((ROW_WIDTH - GAP) / (cropWidth + GAP))));
    const columns = Math.ceil(names.length / Math.max(1, rows));
    return { cropWidth, cellHeight, columns, width: GAP + columns * (cropWidth + GAP), height: GAP + rows * (cellHeight + GAP) };
  }

  /**
   * The figure as a PNG.
   * @param {string[]} names @param {HTMLImageElement[]} images @param {Layout} layout
   * @returns {Promise<Blob>}
   */
  function drawn(names, images, { cropWidth, cellHeight, columns, width, height }) {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = context2d(canvas);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    Object.assign(context, { fillStyle: "#000", font: font(), textAlign: "center", textBaseline: "middle" });
    context.imageSmoothingEnabled = false; // one pixel of a picture is scale × scale pixels of the figure
    const { x, y, width: wide, height: high } = chosen;
    images.forEach((image, index) => {
      const left = GAP + (index % columns) * (cropWidth + GAP);
      const top = GAP + Math.floor(index / columns) * (cellHeight + GAP);
      const inset = (cropWidth - wide * scale) >> 1;
      context.drawImage(image, x, y, wide, high, left + inset, top, wide * scale, high * scale);
      context.fillText(names[index], left + cropWidth / 2, top + high * scale + LABEL / 2);
    });
    return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject())));
  }

  /** An image of the figure and a link to download it. @param {Blob} blob @param {string[]} names */
  function withLink(blob, names) {
    const alt = text("figure", { names: names.join(", ") });
    const image = Object.assign(new Image(), { src: URL.createObjectURL(blob), alt });
    const link = Object.assign(document.createElement("a"), { href: image.src, textContent: "PNG ↓" });
    link.download = `region-${chosen.x}-${chosen.y}-${chosen.width}x${chosen.height}-${scale}x.png`;
    link.setAttribute("aria-label", text("download"));
    return { image, link };
  }

  return {
    start() {
      const size = sheet.size;
      const share = Math.min(1 / 4, FIRST / Math.max(size.width, size.height));
      const [width, height] = [size.width, size.height].map((side) => Math.ceil(side * share));
      chosen = { x: (size.width - width) >> 1, y: (size.height - height) >> 1, width, height };
      forget();
    },

    choose(_, { value }) {
      scale = Number(value);
    },

    drag(from, to, stage) {
      const [start, end] = [from, to].map((point) => pixelAt(point, stage));
      const width = Math.abs(start.x - end.x);
      const height = Math.abs(start.y - end.y);
      if (Math.min(width, height) < SMALLEST) return;
      dragging = true;
      choose({ x: Math.min(start.x, end.x), y: Math.min(start.y, end.y), width, height });
    },

    drop() {
      dragging = false;
      sheet.redraw();
    },

    keys: {
      ArrowLeft: arrow(-STEP, 0),
      ArrowRight: arrow(STEP, 0),
      ArrowUp: arrow(0, -STEP),
      ArrowDown: arrow(0, STEP),
    },

    draw() {
      const { width, height } = sheet.size;
      const stage = sheet.zoom.visibleStage();
      if (!stage) return;
      const box = sheet.fitted(stage);
      const { style } = sheet.element;
      style.setProperty("--left", String(box.left + (box.width * chosen.x) / width));
      style.setProperty("--top", String(box.top + (box.height * chosen.y) / height));
      style.setProperty("--width", String((box.width * chosen.width) / width));
      style.setProperty("--height", String((box.height * chosen.height) / height));
      sheet.field("scale", HTMLSelectElement).value = String(scale);
      show();
      const tiles = sheet.filled;
      const wanted = JSON.stringify([chosen, scale, tiles.map((tile) => sheet.image(tile).dataset)]);
      if (dragging || wanted === content) return;
      forget();
      content = wanted;
      make(tiles);
    },
  };
}
