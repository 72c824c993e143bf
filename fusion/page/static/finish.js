// Finishing a picture by hand, as fusion/methods/finish.py does it and explains it; here for what is on the screen.
import { context2d } from "../../static/dom.js";

/** @typedef {{ brightness: number, contrast: number, colour: number, detail: number, black: number, white: number }} Finish */
/** @typedef {{ width: number, height: number, data: Uint8ClampedArray, luma: Float32Array, share: Float32Array, mean: Float32Array, middle: number }} Planes */

/** @type {Finish} */
export const PLAIN = { brightness: 0, contrast: 0, colour: 0, detail: 0, black: 0, white: 0 };

const COPY = 512; // pixels: the longer side of the copy in which detail is told from what surrounds it
const RADIUS = 8;
const EDGE = 0.1;
const POINT = 0.15;
const LEVELS = 8192; // in which curves are tabulated
const [LOWEST, HIGHEST] = [-0.5, 1.5]; // the lumas that they cover, since more detail goes beyond black and white

/** @param {number} value @param {number} low @param {number} high */
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Whether a finish changes nothing. @param {Finish} finish */
export const isPlain = (finish) => Object.values(finish).every((value) => value === 0);

/** What finishing needs to know of a picture, which is read at most `side` pixels large. @param {HTMLImageElement} image @param {number} side @returns {Planes} */
export function planesOf(image, side) {
  const scale = Math.min(1, side / Math.max(image.naturalWidth, image.naturalHeight));
  const [width, height] = [image.naturalWidth, image.naturalHeight].map((length) => Math.max(1, Math.round(length * scale)));
  const context = context2d(Object.assign(document.createElement("canvas"), { width, height }), { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const luma = new Float32Array(width * height);
  let sum = 0;
  for (let pixel = 0, at = 0; pixel < luma.length; pixel++, at += 4) {
    luma[pixel] = (0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]) / 255;
    sum += luma[pixel];
  }
  return { width, height, data, luma, ...surroundings(luma, width, height), middle: sum / luma.length };
}

/** The share of detail and its product with the mean around it, for every pixel. @param {Float32Array} luma @param {number} width @param {number} height */
function surroundings(luma, width, height) {
  const scale = Math.min(1, COPY / Math.max(width, height));
  const [across, down] = [width, height].map((length) => Math.max(1, Math.round(length * scale)));
  const copy = reduced(luma, width, height, across, down);
  const mean = boxMean(copy, across, down);
  const square = boxMean(copy.map((value) => value * value), across, down);
  const share = mean.map((value, index) => EDGE ** 2 / (Math.max(0, square[index] - value * value) + EDGE ** 2));
  const product = mean.map((value, index) => value * share[index]);
  return { share: enlarged(share, across, down, width, height), mean: enlarged(product, across, down, width, height) };
}

/** @param {Float32Array} plane @param {number} width @param {number} height @param {number} across @param {number} down */
function reduced(plane, width, height, across, down) {
  if (across === width && down === height) return plane.slice();
  const [sums, counts] = [new Float32Array(across * down), new Float32Array(across * down)];
  for (let y = 0, pixel = 0; y < height; y++) {
    const row = Math.min(down - 1, Math.floor(((y + 0.5) * down) / height)) * across;
    for (let x = 0; x < width; x++, pixel++) {
      const index = row + Math.min(across - 1, Math.floor(((x + 0.5) * across) / width));
      sums[index] += plane[pixel];
      counts[index] += 1;
    }
  }
  return sums.map((sum, index) => sum / counts[index]);
}

/** The mean of a square around each pixel; squares are cut at the border. @param {Float32Array} plane @param {number} width @param {number} height */
function boxMean(plane, width, height) {
  const sums = new Float64Array((width + 1) * (height + 1)); // of everything above and to the left
  for (let y = 0; y < height; y++) {
    for (let x = 0, row = 0; x < width; x++) {
      row += plane[y * width + x];
      sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + row;
    }
  }
  return plane.map((_, pixel) => {
    const [x, y] = [pixel % width, Math.floor(pixel / width)];
    const [left, right] = [Math.max(0, x - RADIUS), Math.min(width, x + RADIUS + 1)];
    const [top, bottom] = [Math.max(0, y - RADIUS), Math.min(height, y + RADIUS + 1)];
    const at = (/** @type {number} */ row, /** @type {number} */ column) => sums[row * (width + 1) + column];
    return (at(bottom, right) - at(top, right) - at(bottom, left) + at(top, left)) / ((right - left) * (bottom - top));
  });
}

/** Enlarge a plane bilinearly. @param {Float32Array} plane @param {number} across @param {number} down @param {number} width @param {number} height */
function enlarged(plane, across, down, width, height) {
  if (across === width && down === height) return plane;
  const result = new Float32Array(width * height);
  for (let y = 0, pixel = 0; y < height; y++) {
    const v = clamp(((y + 0.5) * down) / height - 0.5, 0, down - 1);
    const [top, lower] = [Math.floor(v), v % 1];
    const bottom = Math.min(down - 1, top + 1);
    for (let x = 0; x < width; x++, pixel++) {
      const u = clamp(((x + 0.5) * across) / width - 0.5, 0, across - 1);
      const [left, more] = [Math.floor(u), u % 1];
      const right = Math.min(across - 1, left + 1);
      const above = plane[top * across + left] * (1 - more) + plane[top * across + right] * more;
      const below = plane[bottom * across + left] * (1 - more) + plane[bottom * across + right] * more;
      result[pixel] = above * (1 - lower) + below * lower;
    }
  }
  return result;
}

/** The curves of a finish over luma: the new luma, and the factor of the differences between channels. @param {Finish} finish @param {number} middle */
function curves({ brightness, contrast, colour, black, white }, middle) {
  const [b, w] = [POINT * black, POINT * white];
  const slope = (1 - Math.max(-b, 0) - Math.max(-w, 0)) / (1 - Math.max(b, 0) - Math.max(w, 0));
  const between = (/** @type {number} */ y) => clamp(Math.max(-b, 0) + slope * (y - Math.max(b, 0)), 0, 1);
  const [lighter, steeper] = [2 ** brightness, 2 ** contrast];
  const gainOf = (/** @type {number} */ y) => lighter / (1 + (lighter - 1) * y);
  const start = between(middle);
  const pivot = clamp(gainOf(start) * start, 0.2, 0.8);
  const [lumas, factors] = [new Float32Array(LEVELS), new Float32Array(LEVELS)];
  for (let level = 0; level < LEVELS; level++) {
    const y2 = between(LOWEST + ((HIGHEST - LOWEST) * level) / (LEVELS - 1));
    const gain = gainOf(y2);
    const y3 = gain * y2;
    const [below, above] = [y3 / pivot, (1 - y3) / (1 - pivot)];
    const less = 1 / Math.max(1e-6, below + steeper * (1 - below));
    const bright = 1 - ((1 - pivot) * above) / Math.max(1e-6, above + steeper * (1 - above));
    lumas[level] = y3 < pivot ? less * y3 : bright;
    factors[level] = slope * (1 + colour) * gain * (y3 < pivot ? less : bright / Math.max(1e-6, y3));
  }
  return { lumas, factors };
}

/** A picture with the controls applied. @param {Planes} planes @param {Finish} finish @returns {ImageData} */
export function finished({ width, height, data, luma, share, mean, middle }, finish) {
  const { lumas, factors } = curves(finish, middle);
  const result = new ImageData(width, height);
  const out = result.data;
  for (let pixel = 0, at = 0; pixel < luma.length; pixel++, at += 4) {
    const old = luma[pixel];
    const y1 = old + finish.detail * (share[pixel] * old - mean[pixel]);
    const level = Math.round(((clamp(y1, LOWEST, HIGHEST) - LOWEST) / (HIGHEST - LOWEST)) * (LEVELS - 1));
    const y = lumas[level];
    let limit = 1;
    const factor = factors[level];
    const red = factor * (data[at] / 255 - old);
    const green = factor * (data[at + 1] / 255 - old);
    const blue = factor * (data[at + 2] / 255 - old);
    const [highest, lowest] = [Math.max(red, green, blue), Math.min(red, green, blue)];
    if (highest > 1 - y) limit = (1 - y) / highest;
    if (lowest < -y) limit = Math.min(limit, -y / lowest);
    out[at] = 255 * (y + limit * red);
    out[at + 1] = 255 * (y + limit * green);
    out[at + 2] = 255 * (y + limit * blue);
    out[at + 3] = 255;
  }
  return result;
}
