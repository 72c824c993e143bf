// A histogram under every tile, and marks on the pixels where light or shadow is cut off.
{
  const text = (name, told) => sentence("histogram", name, told);
  const CHANNELS = ["#e5484d", "#3fa35b", "#4a86e8"];
  const MARKS = { black: [30, 136, 255, 255], white: [255, 45, 40, 255] };
  let marks = true;
  let counted = new Map(); // address -> counts of the picture there

  const percent = (share) => (share && share < 1e-4 ? "< 0.01 %" : `${Number((100 * share).toPrecision(2))} %`);
  const atBlack = (data, at) => data[at] === 0 || data[at + 1] === 0 || data[at + 2] === 0;
  const atWhite = (data, at) => data[at] === 255 || data[at + 1] === 255 || data[at + 2] === 255;

  tools.histogram = {
    start: () => (counted = new Map()),
    choose: (_, { checked }) => (marks = checked),

    draw() {
      choice("marks").checked = marks;
      for (const tile of filled().filter(inSight)) {
        const [image] = picturesOf([tile], true) ?? [];
        lay(tile, image && marks ? marked(image, tile.querySelector(".stage")) : null);
        const [whole] = picturesOf([tile], false) ?? [];
        if (!whole) continue;
        const counts = countsOf(whole);
        curves(tile.querySelector(".histogram"), counts);
        const clipped = text("clipped", { black: percent(counts.black / counts.all), white: percent(counts.white / counts.all) });
        const reduced = counts.all < grid().dataset.width * grid().dataset.height;
        measured(tile, reduced ? text("preview", { sentence: clipped }) : clipped);
      }
    },
  };

  /** How many pixels have each level of red, green, blue and luma, and how many are clipped. */
  function countsOf(image) {
    if (counted.has(image.src)) return counted.get(image.src);
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

  /** Luma as an area, the channels as lines. What is clipped would dwarf the rest: the ends do not set the height. */
  function curves(canvas, { levels }) {
    const { width, height } = canvas;
    const most = Math.max(1, ...levels.flatMap((counts) => [...counts.subarray(1, 255)]));
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    const line = (counts) => {
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

  /** Marks in two colours on what is in sight; nothing is averaged, since a mean of clipped and not is neither. */
  function marked(image, stage) {
    const pixels = pixelsInSight(image, stage, false);
    const { data } = pixels;
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] === 255 && atWhite(data, at)) data.set(MARKS.white, at);
      else if (data[at + 3] === 255 && atBlack(data, at)) data.set(MARKS.black, at);
      else data[at + 3] = 0;
    }
    return pixels;
  }
}
