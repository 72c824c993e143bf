// What each exposure counts where, in the place of every tile's picture. The maps are asked for once, when this is opened.
{
  const text = (name, told) => sentence("weights", name, told);
  let asked = false;

  tools.weights = {
    start: () => (asked = false),

    draw() {
      const tiles = filled().filter((tile) => "fused" in tile.dataset);
      const done = "done" in grid().dataset;
      if (done && !asked && tiles.some(({ dataset }) => "weighs" in dataset && !dataset.weights)) {
        asked = true;
        trigger("select", { index: null, value: "weights" });
      }
      for (const tile of tiles.filter(inSight)) {
        const { weighs, weights, shares } = tile.dataset;
        const image = weights && picture(weights);
        lay(tile, image?.naturalWidth ? pixelsInSight(image, tile.querySelector(".stage"), true) : null);
        const missing = weighs === undefined ? "none" : done ? "making" : "later";
        measured(tile, weights ? text("shares", { shares }) : text(missing));
      }
    },
  };
}
