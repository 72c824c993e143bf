/** Tables are sorted by the heading that is pressed, within each part; what has no value comes last. */
for (const heading of document.querySelectorAll("th[aria-sort]")) {
  heading.querySelector("button").addEventListener("click", () => {
    const ascending = heading.ariaSort === "ascending" ? false : heading.ariaSort === "descending" || heading.dataset.first !== "descending";
    for (const other of heading.parentElement.querySelectorAll("[aria-sort]")) other.ariaSort = "none";
    heading.ariaSort = ascending ? "ascending" : "descending";
    const column = heading.cellIndex;
    const value = (row) => {
      const { value } = row.cells[column].dataset;
      return value === undefined ? row.cells[column].textContent.trim() : value === "" ? null : Number(value);
    };
    const compare = (one, other) => (typeof one === "number" ? one - other : one.localeCompare(other));
    for (const body of heading.closest("table").tBodies) {
      const rows = [...body.rows].filter((row) => row.cells.length > column);
      rows.sort((a, b) => {
        const [one, other] = [value(a), value(b)];
        if (one === null || other === null) return (one === null) - (other === null);
        return ascending ? compare(one, other) : compare(other, one);
      });
      body.append(...rows);
    }
  });
}
