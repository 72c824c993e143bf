// The contact sheet as its tools see it: tiles, their pictures, and the pixels that are on the screen.
import { context2d, find, findAll } from "../../static/dom.js";

/** @typedef {import("./types").Component} Component */
/** @typedef {import("./types").Values} Values */
/** @typedef {import("../../static/zoom.js").Zoom} Zoom */

const SMALL = 2e6; // pixels; tools read the full picture of a smaller run, since it loads as fast as the preview

export class ContactSheet {
  /** @type {Map<string, HTMLImageElement>} */
  #pictures = new Map(); // by address, of the present run

  /**
   * @param {Component} component
   * @param {Zoom} zoom
   * @param {{ render(): void, redraw(): void }} page `render` shows the tiles anew, `redraw` the open tool alone
   */
  constructor({ element, props, trigger }, zoom, { render, redraw }) {
    this.element = element;
    this.props = props;
    this.trigger = trigger;
    this.zoom = zoom;
    this.render = render;
    this.redraw = redraw;
    this.scratch = context2d(document.createElement("canvas"), { willReadFrequently: true });
  }

  /** Forget the pictures of the last run. */
  start() {
    this.#pictures.clear();
  }

  /**
   * A sentence of the page, with `values` in the place of {names}.
   * @param {string} part @param {string} name @param {Values} values
   */
  text(part, name, values = {}) {
    return (this.props.text?.[part][name] ?? "").replace(/\{(\w+)\}/g, (_, key) => String(values[key]));
  }

  /** Whether there is a run to show. */
  get hasRun() {
    return this.element.querySelector(".grid") !== null;
  }

  /** The element that holds the tiles of a run. */
  get grid() {
    return find(this.element, ".grid", HTMLElement);
  }

  /** Width and height of the full pictures, in pixels. */
  get size() {
    const { width, height } = this.grid.dataset;
    return { width: Number(width), height: Number(height) };
  }

  /** The tiles that show a picture, in the rows that are not folded. */
  get filled() {
    return findAll(this.element, ".row[open] .tile").filter((tile) => tile.querySelector("img"));
  }

  /** The tiles that show a method's result. */
  get fused() {
    return this.filled.filter(({ dataset }) => "fused" in dataset);
  }

  /** @param {string} name @returns {HTMLElement | null} */
  tile(name) {
    return this.element.querySelector(`.tile[data-name="${CSS.escape(name)}"]`);
  }

  /** @param {ParentNode} tile a filled one */
  image(tile) {
    return find(tile, "img", HTMLImageElement);
  }

  /** @param {ParentNode} tile */
  stage(tile) {
    return find(tile, ".stage", HTMLElement);
  }

  /**
   * A field of the open tool's panel.
   * @template {HTMLInputElement | HTMLSelectElement} T
   * @param {string} name @param {new () => T} type
   */
  field(name, type) {
    return find(this.element, `[data-choice="${name}"]`, type);
  }

  /** Whether some part of a tile's picture is on the screen. @param {ParentNode} tile */
  inSight(tile) {
    const { top, bottom } = this.stage(tile).getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  }

  /** Whether a tile needs the full picture: it is on the screen, and its preview would be enlarged. @param {ParentNode} tile */
  needsFull(tile) {
    const { clientWidth } = this.stage(tile);
    return this.inSight(tile) && clientWidth * this.zoom.view.zoom * devicePixelRatio > Number(this.grid.dataset.previewWidth);
  }

  /** Whether the full picture is written. @param {HTMLImageElement} image */
  hasFull({ dataset }) {
    return dataset.full !== dataset.preview;
  }

  /** The picture at an address, which may still be loading; once it is loaded, the open tool draws again. @param {string} url */
  picture(url) {
    let image = this.#pictures.get(url);
    if (!image) {
      image = new Image();
      image.src = url;
      image.addEventListener("load", () => this.redraw());
      this.#pictures.set(url, image);
    }
    return image;
  }

  /**
   * The pictures of some tiles, all full or all previews; null until they are loaded. They are full for a small run, and
   * where `closely` says that the visitor's zoom counts and it asks for them.
   * @param {HTMLElement[]} tiles @param {boolean} closely
   */
  pictures(tiles, closely) {
    const { width, height } = this.size;
    const images = tiles.map((tile) => this.image(tile));
    const exact = width * height <= SMALL || (closely && tiles.some((tile) => this.needsFull(tile)));
    for (const kind of exact && images.every(this.hasFull) ? ["full", "preview"] : ["preview"]) {
      const found = images.map(({ dataset }) => this.picture(dataset[kind] ?? ""));
      if (found.every((image) => image.naturalWidth)) return found;
    }
    return null;
  }

  /** Where a picture lies in its stage before zooming, in widths and heights of the stage. @param {HTMLElement} stage */
  fitted({ clientWidth, clientHeight }) {
    const size = this.size;
    const scale = Math.min(clientWidth / size.width, clientHeight / size.height);
    const width = (size.width * scale) / clientWidth;
    const height = (size.height * scale) / clientHeight;
    return { left: (1 - width) / 2, top: (1 - height) / 2, width, height };
  }

  /**
   * What a stage shows of a picture, one pixel for each pixel of the screen; beside the picture they are transparent.
   * @param {HTMLImageElement} image @param {HTMLElement} stage @param {boolean} smooth
   */
  pixelsInSight(image, stage, smooth) {
    const { scratch } = this;
    const { view, actualZoom } = this.zoom;
    const { left, top, width, height } = this.fitted(stage);
    const [across, down] = [stage.clientWidth, stage.clientHeight].map((side) => Math.round(side * devicePixelRatio));
    Object.assign(scratch.canvas, { width: across, height: down });
    scratch.imageSmoothingEnabled = smooth && view.zoom <= 2 * actualZoom();
    scratch.imageSmoothingQuality = "medium"; // averages where it reduces
    scratch.setTransform(view.zoom * across, 0, 0, view.zoom * down, view.x * across, view.y * down);
    scratch.drawImage(image, left, top, width, height);
    return scratch.getImageData(0, 0, across, down);
  }

  /** Draw pixels over a tile's picture; null removes what was drawn. @param {HTMLElement} tile @param {ImageData | null} pixels */
  overlay(tile, pixels) {
    const canvas = find(tile, ".overlay", HTMLCanvasElement);
    Object.assign(canvas, { width: pixels?.width ?? 0, height: pixels?.height ?? 0 });
    if (pixels) context2d(canvas).putImageData(pixels, 0, 0);
  }

  /** Write below a tile's picture what a tool has measured. @param {HTMLElement} tile @param {string} text */
  note(tile, text) {
    find(tile, ".measure", HTMLElement).textContent = text;
  }
}
