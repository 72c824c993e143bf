"use strict";
// The tools behind the bar, one open at a time, and the pictures that they read. Each tool is a file of its own, which
// puts itself into `tools`. Whatever arrives draws the template anew, and takes away what a tool has drawn; so `draw`
// draws everything, from what the tool remembers.

const tools = {}; // name -> { draw(), and if needed start() for a new run, choose(name, field), drag(from, to), keys }
let tool = null; // the name of the open one
let frame = 0;
const pictures = new Map(); // address -> Image, of the present run

const SMALL = 2e6; // pixels up to which tools read lossless pictures, which are there as soon as the previews

function toggleTool(name) {
  const among = document.activeElement?.closest?.(".grid, .booth");
  tool = name === tool ? null : name;
  render();
  element.querySelector(`:is(.booth, .figure)[data-panel="${tool}"]`)?.scrollIntoView({ block: "nearest" });
  if (among) element.querySelector(tool === "vote" ? ".booth" : ".grid").focus({ preventScroll: true });
}

function renderTools() {
  element.dataset.open = tool ?? "";
  for (const button of element.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-expanded", String(button.dataset.tool === tool));
  }
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    if (grid()) tools[tool]?.draw();
  });
}

function startTools() {
  pictures.clear();
  for (const one of Object.values(tools)) one.start?.();
}

/** A sentence of the page's texts, with what it tells of in the place of {names}. */
const sentence = (part, name, told = {}) => props.text[part][name].replace(/\{(\w+)\}/g, (_, key) => told[key]);

const filled = () => [...element.querySelectorAll(".tile")].filter((tile) => tile.querySelector("img"));
const choice = (name) => element.querySelector(`[data-choice="${name}"]`);
const lossless = ({ dataset }) => dataset.full !== dataset.preview;

/** The picture at an address, being fetched or there. */
function picture(url) {
  if (!pictures.has(url)) {
    const image = new Image();
    image.src = url;
    image.addEventListener("load", renderTools);
    pictures.set(url, image);
  }
  return pictures.get(url);
}

/** The tiles' previews, or all their lossless pictures: of small ones, and where `closely` looked at; null until there. */
function picturesOf(tiles, closely) {
  const { width, height } = grid().dataset;
  const images = tiles.map((tile) => tile.querySelector("img"));
  const exact = width * height <= SMALL || (closely && tiles.some(sharp));
  for (const kind of exact && images.every(lossless) ? ["full", "preview"] : ["preview"]) {
    const found = images.map((image) => picture(image.dataset[kind]));
    if (found.every((image) => image.naturalWidth)) return found;
  }
  return null;
}

/** Where a picture lies in its stage at zoom 1, in widths and heights of the stage. */
function fitted({ clientWidth, clientHeight }) {
  const scale = Math.min(clientWidth / grid().dataset.width, clientHeight / grid().dataset.height);
  const width = (grid().dataset.width * scale) / clientWidth;
  const height = (grid().dataset.height * scale) / clientHeight;
  return { left: (1 - width) / 2, top: (1 - height) / 2, width, height };
}

const scratch = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

/** What a stage shows of a picture, pixel by pixel of the screen; transparent beside it. */
function pixelsInSight(image, stage, smooth) {
  const { left, top, width, height } = fitted(stage);
  const [across, down] = [stage.clientWidth, stage.clientHeight].map((side) => Math.round(side * devicePixelRatio));
  Object.assign(scratch.canvas, { width: across, height: down });
  scratch.imageSmoothingEnabled = smooth && view.zoom <= 2 * actual();
  scratch.imageSmoothingQuality = "medium"; // averages where it reduces
  scratch.setTransform(view.zoom * across, 0, 0, view.zoom * down, view.x * across, view.y * down);
  scratch.drawImage(image, left, top, width, height);
  return scratch.getImageData(0, 0, across, down);
}

/** Lay pixels over a tile's picture. */
function lay(tile, pixels) {
  const overlay = tile.querySelector(".overlay");
  Object.assign(overlay, { width: pixels?.width ?? 0, height: pixels?.height ?? 0 });
  if (pixels) overlay.getContext("2d").putImageData(pixels, 0, 0);
}

const measured = (tile, text) => tile.querySelector(".measure").replaceChildren(text);

element.addEventListener("change", ({ target }) => {
  const name = target.dataset.choice;
  if (!name) return;
  tools[tool].choose(name, target);
  renderTools();
});
