// Histogram: a histogram under every tile, and marks on the pixels where light or shadow is clipped.
import { context2d, find } from "../../static/dom.js";

/** @typedef {{ levels: Uint32Array[], black: number, white: number, all: number }} Counts red, green, blue and luma */

const CHANNELS = ["#e5484d", "#3fa35b", "#4a86e8"];
const BLACK = [30, 136, 255, 255]; // the mark of a pixel with a channel at 0
const WHITE = [255, 45, 40, 255]; // the mark of a pixel with a channel at 255

/** @param {Uint8ClampedArray} data @param {number} at */
const atBlack = (data, at) => data[at] === 0 || data[at + 1] === 0 || data[at + 2] === 0;
/** @param {Uint8ClampedArray} data @param {number} at */
const atWhite = (data, at) => data[at] === 255 || data[at + 1] === 255 || data[at + 2] === 255;

/** A share as a percentage with two significant digits. @param {number} share */
const percent = (share) => (share && share < 1e-4 ? "< 0.01 %" : `${Number((100 * share).toPrecision(2))} %`);

/** @param {import("./contact_sheet.js").ContactSheet} sheet @returns {import("./types").Tool} */
export function histogram(sheet) {
  let marks = true;
  /** @type {Map<string, Counts>} */
  let counted = new Map(); // by the picture's address

  /** @param {HTMLImageElement} image @returns {Counts} */
  function countsOf(image) {
    const known = counted.get(image.src);
    if (known) return known;
    const { scratch } = sheet;
    const { naturalWidth: width, naturalHeight: height } = image;
    Object.assign(scratch.canvas, { width, height });
    scratch.setTransform(1, 0, 0, 1, 0, 0);
    scratch.drawImage(image, 0, 0);
    const { data } = scratch.getImageData(0, 0, width, height);
    const levels = Array.from({ length: 4 }, () => new Uint32Array(256));
    const counts = { levels, black: 0, white: 0, all: width * height };
    for (let at = 0; at < data.length; at += 4) {
      for (let channel = 0; channel < 3; channel++) levels[channel][data[at + channel]]++;
      levels[3][Math.round(0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2])]++;
      if (atBlack(data, at)) counts.black++;
      if (atWhite(data, at)) counts.white++;
    }
    counted.set(image.src, counts);
    return counts;
  }

  /**
   * Marks on the clipped pixels that are on the screen. The picture is read without smoothing, since the average of a
   * clipped pixel and another one is not clipped.
   * @param {HTMLImageElement} image @param {HTMLElement} stage
   */
  function clippedMarks(image, stage) {
    const pixels = sheet.pixelsInSight(image, stage, false);
    const { data } = pixels;
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] === 255 && atWhite(data, at)) data.set(WHITE, at);
      else if (data[at + 3] === 255 && atBlack(data, at)) data.set(BLACK, at);
      else data[at + 3] = 0;
    }
    return pixels;
  }

  return {
    start() {
      counted = new Map();
    },

    choose(_, field) {
      if (field instanceof HTMLInputElement) marks = field.checked;
    },

    draw() {
      sheet.field("marks", HTMLInputElement).checked = marks;
      for (const tile of sheet.filled.filter((tile) => sheet.inSight(tile))) {
        const [image] = sheet.pictures([tile], true) ?? [];
        sheet.overlay(tile, image && marks ? clippedMarks(image, sheet.stage(tile)) : null);
        const [whole] = sheet.pictures([tile], false) ?? [];
        if (!whole) continue;
        const counts = countsOf(whole);
        drawCurves(find(tile, ".histogram", HTMLCanvasElement), counts);
        const [black, white] = [counts.black, counts.white].map((count) => percent(count / counts.all));
        const clipped = sheet.text("histogram", "clipped", { black, white });
        const reduced = counts.all < sheet.size.width * sheet.size.height;
        sheet.note(tile, reduced ? sheet.text("histogram", "preview", { sentence: clipped }) : clipped);
      }
    },
  };
}

/**
 * Draw luma as an area and the channels as lines. The first and the last level do not set the height: clipped pixels
 * would make all others look flat.
 * @param {HTMLCanvasElement} canvas @param {Counts} counts
 */
function drawCurves(canvas, { levels }) {
  const { width, height } = canvas;
  const most = Math.max(1, ...levels.flatMap((counts) => [...counts.subarray(1, 255)]));
  const context = context2d(canvas);
  context.clearRect(0, 0, width, height);
  const line = (/** @type {Uint32Array} */ counts) => {
    context.beginPath();
    counts.forEach((count, level) => context.lineTo(level + 0.5, height - 1 - Math.min(1, count / most) * (height - 2)));
  };
  context.fillStyle = getComputedStyle(canvas).color;
  line(levels[3]);
  context.lineTo(width, height);
  context.lineTo(0, height);
  context.fill();
  CHANNELS.forEach((colour, channel) => {
    context.strokeStyle = colour;
    line(levels[channel]);
    context.stroke();
  });
}
