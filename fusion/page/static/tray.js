// The tray: photographs come by the chooser, by a drop anywhere on the page, or by paste, and go up one after another.
import { find, holder } from "../../static/dom.js";

/** @typedef {{ path: string, name: string }} Uploaded */

const MOST = 9; // exposures of one scene

/** @param {import("./types").Component} component */
export function start({ element, props, trigger, watch }) {
  const text = (/** @type {string} */ name, /** @type {import("./types").Values} */ values = {}) =>
    (props.text?.tray[name] ?? "").replace(/\{(\w+)\}/g, (_, key) => String(values[key]));
  let progress = "";
  /** @type {string[]} */
  let problems = []; // that this page found by itself
  let over = 0; // how many elements a drag is over

  function show() {
    find(element, ".uploading", HTMLElement).textContent = progress;
    const list = find(element, ".problems", HTMLElement);
    for (const own of list.querySelectorAll(".own")) own.remove();
    const items = problems.map((sentence) => Object.assign(document.createElement("li"), { textContent: sentence, className: "own" }));
    list.append(...items);
  }

  /** Upload files one after another, and hand those that have arrived to the server. @param {File[]} files */
  async function take(files) {
    problems = [];
    const here = element.querySelectorAll(".remove").length;
    if (here + files.length > MOST) return complain(text("many", { count: here + files.length }));
    const moving = files.find(({ type }) => /^(?:video|audio|text)\//.test(type));
    if (moving) return complain(text("no_picture", { name: moving.name }));
    const all = files.reduce((sum, { size }) => sum + size, 0);
    /** @type {Uploaded[]} */
    const arrived = [];
    let before = 0;
    for (const file of files) {
      try {
        arrived.push(
          await upload(file, (loaded) => {
            progress = text("progress", { percent: Math.round((100 * (before + loaded)) / Math.max(1, all)) });
            show();
          }),
        );
      } catch (error) {
        problems.push(error instanceof Error ? error.message : String(error));
      }
      before += file.size;
    }
    progress = arrived.length ? text("reading") : "";
    show();
    if (arrived.length) trigger("take", { files: arrived });
  }

  /** @param {string} sentence */
  function complain(sentence) {
    problems = [sentence];
    progress = "";
    show();
  }

  /** @param {File} file @param {(loaded: number) => void} moved @returns {Promise<Uploaded>} */
  function upload(file, moved) {
    const form = new FormData();
    form.append("files", file);
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      const refused = () => reject(new Error(text("refused", { name: file.name, reason: detail(request) })));
      request.open("POST", new URL("gradio_api/upload", document.baseURI));
      request.upload.addEventListener("progress", ({ loaded }) => moved(Math.min(loaded, file.size)));
      request.addEventListener("load", () => {
        if (request.status !== 200) return refused();
        resolve({ path: JSON.parse(request.responseText)[0], name: file.name });
      });
      request.addEventListener("error", refused);
      request.send(form);
    });
  }

  /** The server's sentence on a refused request. @param {XMLHttpRequest} request */
  function detail(request) {
    try {
      return JSON.parse(request.responseText).detail;
    } catch {
      return text("broken");
    }
  }

  /** The files of a drop or of a paste. @param {DataTransfer | null} data */
  function given(data) {
    const entries = [...(data?.items ?? [])].map((item) => item.webkitGetAsEntry?.());
    if (entries.some((entry) => entry?.isDirectory)) complain(text("folder"));
    else if (data?.files.length) take([...data.files]);
  }

  element.addEventListener("change", ({ target }) => {
    if (!(target instanceof HTMLInputElement) || !target.files) return;
    take([...target.files]);
    target.value = ""; // so that the same file can be chosen again
  });
  element.addEventListener("click", ({ target }) => {
    const index = holder(target, ".remove")?.dataset.index;
    if (index) trigger("leave", { index: Number(index) });
    if (holder(target, ".clear")) trigger("empty");
  });
  const hasFiles = (/** @type {DragEvent} */ { dataTransfer }) => Boolean(dataTransfer?.types.includes("Files"));
  const mark = (/** @type {number} */ count) => element.toggleAttribute("data-over", (over = Math.max(0, count)) > 0);
  document.addEventListener("dragenter", (event) => hasFiles(event) && mark(over + 1));
  document.addEventListener("dragleave", (event) => hasFiles(event) && mark(over - 1));
  document.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    mark(0);
    if (!hasFiles(event)) return;
    event.preventDefault();
    given(event.dataTransfer);
  });
  document.addEventListener("paste", ({ clipboardData }) => given(clipboardData));

  watch("value", () => {
    progress = "";
    show();
  });
  show();
}
