// The report's index: choose columns, filter methods, and choose whose worst cases are listed.
import { find, findAll } from "../../static/dom.js";
import { sortTables } from "./sort.js";

const rules = document.head.appendChild(document.createElement("style")); // hides the columns that are not ticked
const boxes = () => /** @type {HTMLInputElement[]} */ (findAll(document, "#columns input"));
const familyOf = (/** @type {HTMLElement} */ button) => /** @type {string[]} */ (JSON.parse(button.dataset.family ?? "[]"));

/** Show the ticked metrics alone, in the table and among the plots. */
function showColumns() {
  const hidden = boxes().filter(({ checked }) => !checked);
  const selectors = hidden.map(({ name }) => `[data-metric="${CSS.escape(name)}"]`);
  rules.textContent = selectors.length ? `${selectors.join(",")} { display: none }` : "";
  const ticked = boxes().filter(({ checked }) => checked).map(({ name }) => name);
  for (const button of findAll(document, "[data-family]")) {
    button.ariaPressed = String(familyOf(button).sort().join() === ticked.sort().join());
  }
}

/** Tick the metrics of a family, and no others. @param {HTMLElement} button */
function tick(button) {
  const family = familyOf(button);
  for (const box of boxes()) box.checked = family.includes(box.name);
  showColumns();
}

const families = findAll(document, "[data-family]");
for (const button of families) button.addEventListener("click", () => tick(button));
find(document, "#columns", HTMLElement).addEventListener("change", showColumns);

const filter = find(document, "#filter", HTMLInputElement);
filter.addEventListener("input", () => {
  const wanted = filter.value.trim().toLowerCase();
  for (const row of findAll(document, "#means tbody tr[data-name]")) {
    row.hidden = !row.dataset.name?.toLowerCase().includes(wanted);
  }
});

const intervals = find(document, "#intervals", HTMLInputElement);
intervals.addEventListener("change", () => find(document, "#means", HTMLElement).classList.toggle("plain", !intervals.checked));

const metric = document.querySelector("#by"); // where every method failed, there are no worst cases
if (metric instanceof HTMLSelectElement) {
  const showWorst = () => {
    for (const table of findAll(document, "[data-worst]")) table.hidden = table.dataset.worst !== metric.value;
  };
  metric.addEventListener("change", showWorst);
  showWorst();
}

sortTables();
tick(families[0]);
