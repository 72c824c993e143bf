// Weights: a map over each tile's picture that shows which exposure counts where. Opening the tool asks for the maps.

/** @param {import("./contact_sheet.js").ContactSheet} sheet @returns {import("./types").Tool} */
export function weights(sheet) {
  let asked = false;

  return {
    start() {
      asked = false;
    },

    draw() {
      const done = "done" in sheet.grid.dataset;
      if (done && !asked && sheet.fused.some(({ dataset }) => "weighs" in dataset && !dataset.weights)) {
        asked = true;
        sheet.trigger("select", { index: null, value: "weights" });
      }
      for (const tile of sheet.fused.filter((tile) => sheet.inSight(tile))) {
        const { weighs, weights: map, shares = "" } = tile.dataset;
        const image = map && sheet.picture(map);
        sheet.overlay(tile, image && image.naturalWidth ? sheet.pixelsInSight(image, sheet.stage(tile), true) : null);
        const missing = weighs === undefined ? "none" : done ? "making" : "later";
        sheet.note(tile, map ? sheet.text("weights", "shares", { shares }) : sheet.text("weights", missing));
      }
    },
  };
}
