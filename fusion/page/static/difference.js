// How far every tile is from one of them, as a heat map over what is in sight.
{
  const text = (name, told) => sentence("difference", name, told);
  const STOPS = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]]; // of inferno
  const colours = Array.from({ length: 256 }, (_, level) => {
    const place = (level / 255) * (STOPS.length - 1);
    const stop = Math.min(Math.floor(place), STOPS.length - 2);
    return STOPS[stop].map((from, channel) => Math.round(from + (STOPS[stop + 1][channel] - from) * (place - stop)));
  });
  let reference = null; // a tile's name, once one was chosen
  let gain = 4;

  tools.difference = {
    choose(name, { value }) {
      if (name === "reference") reference = value;
      else gain = Number(value);
    },

    draw() {
      const tiles = filled(); // what was chosen may have no picture in this run
      const named = (name) => tiles.find(({ dataset }) => dataset.name === name);
      const other = named(reference) ?? tiles.find(({ dataset }) => "fused" in dataset) ?? tiles[0];
      choice("reference").value = other?.dataset.name;
      choice("gain").value = String(gain);
      element.querySelector(".ramp").style.background = `linear-gradient(90deg, ${STOPS.map((rgb) => `rgb(${rgb})`)})`;
      element.querySelector(".top").textContent = `≥ ${Math.ceil(255 / gain)}`;
      const seen = new Map(); // stages are of one size: what they show of the other picture is read once
      for (const tile of tiles.filter(inSight)) {
        const found = tile !== other && picturesOf([tile, other], true);
        lay(tile, found ? heat(tile, ...found, seen) : null);
        if (tile === other) measured(tile, text("reference"));
      }
    },
  };

  /** Colours for the largest of the channels' differences; the tile is told how far they reach. */
  function heat(tile, one, other, seen) {
    const stage = tile.querySelector(".stage");
    const pixels = pixelsInSight(one, stage, true);
    const { data } = pixels;
    if (!seen.has(other)) seen.set(other, pixelsInSight(other, stage, true).data);
    const others = seen.get(other);
    let sum = 0, most = 0, count = 0;
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] < 255) continue; // beside the picture
      let apart = 0;
      for (let channel = at; channel < at + 3; channel++) apart = Math.max(apart, Math.abs(data[channel] - others[channel]));
      data.set(colours[Math.min(255, apart * gain)], at);
      sum += apart;
      most = Math.max(most, apart);
      count++;
    }
    if (count) measured(tile, text("apart", { mean: (sum / count).toFixed(1), most }));
    return pixels;
  }
}
