// Difference: a heat map of how far every picture is from one of them, for the pixels on the screen.
import { find } from "../../static/dom.js";

const STOPS = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]]; // matplotlib's inferno

/** The colour of each level from 0 to 255, red, green and blue. */
function heatColours() {
  return Array.from({ length: 256 }, (_, level) => {
    const place = (level / 255) * (STOPS.length - 1);
    const stop = Math.min(Math.floor(place), STOPS.length - 2);
    return STOPS[stop].map((from, channel) => Math.round(from + (STOPS[stop + 1][channel] - from) * (place - stop)));
  });
}

/** @param {import("./contact_sheet.js").ContactSheet} sheet @returns {import("./types").Tool} */
export function difference(sheet) {
  const colours = heatColours();
  /** @type {string | null} */
  let reference = null; // the name of the chosen tile
  let gain = 4;

  /**
   * Colours for the largest difference of the three channels; the tile says how large it is on average and at most.
   * @param {HTMLElement} tile @param {HTMLImageElement} image @param {Uint8ClampedArray} reference its pixels on the screen
   */
  function heat(tile, image, reference) {
    const pixels = sheet.pixelsInSight(image, sheet.stage(tile), true);
    const { data } = pixels;
    let sum = 0, most = 0, count = 0;
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] < 255) continue; // beside the picture
      let apart = 0;
      for (let channel = at; channel < at + 3; channel++) {
        apart = Math.max(apart, Math.abs(data[channel] - reference[channel]));
      }
      data.set(colours[Math.min(255, apart * gain)], at);
      sum += apart;
      most = Math.max(most, apart);
      count++;
    }
    if (count) sheet.note(tile, sheet.text("difference", "apart", { mean: (sum / count).toFixed(1), most }));
    return pixels;
  }

  return {
    choose(name, { value }) {
      if (name === "reference") reference = value;
      else gain = Number(value);
    },

    draw() {
      const tiles = sheet.filled; // the chosen tile may have no picture in this run
      const other = tiles.find(({ dataset }) => dataset.name === reference) ?? sheet.fused[0] ?? tiles[0];
      sheet.field("reference", HTMLSelectElement).value = other?.dataset.name ?? "";
      sheet.field("gain", HTMLSelectElement).value = String(gain);
      const ramp = STOPS.map((colour) => `rgb(${colour})`);
      find(sheet.element, ".ramp", HTMLElement).style.background = `linear-gradient(90deg, ${ramp})`;
      find(sheet.element, ".top", HTMLElement).textContent = `≥ ${Math.ceil(255 / gain)}`;
      /** @type {Map<HTMLImageElement, Uint8ClampedArray>} */
      const read = new Map(); // all stages have one size, so the reference is read once
      for (const tile of tiles.filter((tile) => sheet.inSight(tile))) {
        const [image, reference] = (tile !== other && sheet.pictures([tile, other], true)) || [];
        if (image && reference) {
          const pixels = read.get(reference) ?? sheet.pixelsInSight(reference, sheet.stage(tile), true).data;
          read.set(reference, pixels);
          sheet.overlay(tile, heat(tile, image, pixels));
        } else {
          sheet.overlay(tile, null);
        }
        if (tile === other) sheet.note(tile, sheet.text("difference", "reference"));
      }
    },
  };
}
