// One region of all pictures as a figure: lossless crops side by side, each above its name, as papers print them.
{
  const text = (name, told) => sentence("region", name, told);
  const GAP = 8; // pixels of white around every crop
  const LABEL = 28; // pixels for a name
  const WIDEST = 2400; // pixels, where one row may end
  const LARGEST = 4096 ** 2; // pixels that a canvas may have on a phone
  const FIRST = 320; // pixels of the picture, at most, that the region's longer side begins with
  const SMALLEST = 8; // pixels of the picture a side: less is a slip of the hand
  const STEP = 16; // pixels of the picture for one press of an arrow

  let region = null; // { x, y, width, height } in pixels of the picture
  let scale = 2;
  let dragging = false;
  let made = ""; // what the figure shows or will soon
  let progress = "";
  let figure = null; // { image, link } once it is made

  tools.region = {
    start() {
      const [width, height] = sides();
      const share = Math.min(1 / 4, FIRST / Math.max(width, height));
      const [wide, high] = [width, height].map((side) => Math.ceil(side * share));
      region = { x: (width - wide) >> 1, y: (height - high) >> 1, width: wide, height: high };
      forget();
    },

    choose: (_, { value }) => (scale = Number(value)),

    /** A rectangle between two points of a stage. */
    drag(from, to, stage) {
      const [start, end] = [from, to].map((point) => pixelAt(point, stage));
      const width = Math.abs(start.x - end.x);
      const height = Math.abs(start.y - end.y);
      if (Math.min(width, height) < SMALLEST) return;
      dragging = true;
      place({ x: Math.min(start.x, end.x), y: Math.min(start.y, end.y), width, height });
    },

    drop() {
      dragging = false;
      renderTools();
    },

    keys: {
      ArrowLeft: ({ shiftKey }) => nudge(-STEP, 0, shiftKey),
      ArrowRight: ({ shiftKey }) => nudge(STEP, 0, shiftKey),
      ArrowUp: ({ shiftKey }) => nudge(0, -STEP, shiftKey),
      ArrowDown: ({ shiftKey }) => nudge(0, STEP, shiftKey),
    },

    draw() {
      const [width, height] = sides();
      const box = fitted(anyStage());
      const { style } = element;
      style.setProperty("--left", box.left + (box.width * region.x) / width);
      style.setProperty("--top", box.top + (box.height * region.y) / height);
      style.setProperty("--width", (box.width * region.width) / width);
      style.setProperty("--height", (box.height * region.height) / height);
      choice("scale").value = String(scale);
      show();
      const tiles = filled();
      const wanted = JSON.stringify([region, scale, tiles.map((tile) => tile.querySelector("img").dataset)]);
      if (dragging || wanted === made) return;
      forget();
      made = wanted;
      make(tiles);
    },
  };

  const sides = () => [grid().dataset.width, grid().dataset.height].map(Number);

  function pixelAt(point, stage) {
    const box = fitted(stage);
    const [width, height] = sides();
    return {
      x: clamp(Math.round((((point.x - view.x) / view.zoom - box.left) / box.width) * width), 0, width),
      y: clamp(Math.round((((point.y - view.y) / view.zoom - box.top) / box.height) * height), 0, height),
    };
  }

  /** Move the region, or its lower right corner alone. */
  function nudge(right, down, resize) {
    const { x, y, width, height } = region;
    if (resize) place({ x, y, width: width + right, height: height + down });
    else place({ ...region, x: x + right, y: y + down });
  }

  /** A new region, brought within the picture. */
  function place({ x, y, width, height }) {
    const [across, down] = sides();
    width = clamp(width, Math.min(SMALLEST, across), across);
    height = clamp(height, Math.min(SMALLEST, down), down);
    region = { x: clamp(x, 0, across - width), y: clamp(y, 0, down - height), width, height };
    renderTools();
  }

  function forget() {
    if (figure) URL.revokeObjectURL(figure.image.src);
    figure = null;
    progress = made = "";
  }

  function show() {
    element.querySelector(".progress").replaceChildren(progress);
    element.querySelector(".figure").replaceChildren(...(figure ? [figure.image] : []));
    element.querySelector(".take").replaceChildren(...(figure ? [figure.link] : []));
  }

  async function make(tiles) {
    const mine = made;
    const say = (text) => {
      progress = text;
      if (grid()) show();
    };
    const label = (tile) => tile.dataset.label;
    const missing = tiles.filter((tile) => !lossless(tile.querySelector("img"))).map(label);
    const there = tiles.filter((tile) => lossless(tile.querySelector("img")));
    const names = there.map(label);
    const images = there.map((tile) => picture(tile.querySelector("img").dataset.full));
    const absent = missing.length ? text("missing", { names: missing.join(", ") }) : "";
    if (!there.length) return say(absent);
    const sheet = layout(names);
    if (sheet.width * sheet.height > LARGEST) return say(text("large"));
    try {
      for (const [done, image] of images.entries()) {
        say(text("loading", { done, all: images.length }));
        await image.decode();
        if (mine !== made) return;
      }
      const blob = await drawn(names, images, sheet);
      if (mine !== made) return;
      figure = shown(blob, names);
      say(`${text("made", region)} ${absent}`);
    } catch {
      if (mine === made) say(text("failed"));
    }
  }

  /** Size of the figure, and of its columns: as many as fit, rows as even as can be. */
  function layout(names) {
    scratch.font = font();
    const across = Math.ceil(Math.max(region.width * scale, ...names.map((name) => scratch.measureText(name).width)));
    const down = region.height * scale + LABEL;
    const rows = Math.ceil(names.length / Math.max(1, Math.floor((WIDEST - GAP) / (across + GAP))));
    const columns = Math.ceil(names.length / Math.max(1, rows));
    return { across, down, columns, width: GAP + columns * (across + GAP), height: GAP + rows * (down + GAP) };
  }

  const font = () => `16px ${getComputedStyle(element).fontFamily}`;

  function drawn(names, images, { across, down, columns, width, height }) {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    Object.assign(context, { fillStyle: "#000", font: font(), textAlign: "center", textBaseline: "middle" });
    context.imageSmoothingEnabled = false; // one pixel of a picture is scale × scale pixels of the figure
    const { x, y, width: wide, height: high } = region;
    images.forEach((image, index) => {
      const left = GAP + (index % columns) * (across + GAP);
      const top = GAP + Math.floor(index / columns) * (down + GAP);
      const inset = (across - wide * scale) >> 1;
      context.drawImage(image, x, y, wide, high, left + inset, top, wide * scale, high * scale);
      context.fillText(names[index], left + across / 2, top + high * scale + LABEL / 2);
    });
    return new Promise((done) => canvas.toBlob(done));
  }

  function shown(blob, names) {
    const image = Object.assign(new Image(), { src: URL.createObjectURL(blob), alt: text("figure", { names: names.join(", ") }) });
    const link = Object.assign(document.createElement("a"), { href: image.src, textContent: "PNG ↓" });
    link.download = `region-${region.x}-${region.y}-${region.width}x${region.height}-${scale}x.png`;
    link.setAttribute("aria-label", text("download"));
    return { image, link };
  }
}
