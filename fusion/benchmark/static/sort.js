// Tables that a reader sorts by pressing a heading.
import { findAll, holder } from "../../static/dom.js";

/** Sort every table with `th[aria-sort]` by the heading that is pressed, within each `tbody`; empty values come last. */
export function sortTables() {
  for (const table of document.querySelectorAll("table")) {
    table.addEventListener("click", ({ target }) => {
      const heading = holder(target, "th[aria-sort] button")?.closest("th");
      if (heading) sortBy(table, heading);
    });
  }
}

/** @param {HTMLTableElement} table @param {HTMLTableCellElement} heading */
function sortBy(table, heading) {
  const ascending = heading.ariaSort === "none" ? heading.dataset.first !== "descending" : heading.ariaSort !== "ascending";
  for (const other of findAll(table, "th[aria-sort]")) other.ariaSort = "none";
  heading.ariaSort = ascending ? "ascending" : "descending";
  const column = heading.cellIndex;
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => row.cells.length > column);
    rows.sort((a, b) => {
      const [one, other] = [valueOf(a.cells[column]), valueOf(b.cells[column])];
      if (one === null || other === null) return Number(one === null) - Number(other === null);
      return ascending ? compare(one, other) : compare(other, one);
    });
    body.append(...rows);
  }
}

/** A cell's `data-value` as a number, null if that is empty, or the cell's text if it has none. @param {HTMLElement} cell */
function valueOf(cell) {
  const { value } = cell.dataset;
  return value === undefined ? (cell.textContent ?? "").trim() : value === "" ? null : Number(value);
}

/** @param {number | string} one @param {number | string} other */
const compare = (one, other) =>
  typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other));
