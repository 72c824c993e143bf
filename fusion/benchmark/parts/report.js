const all = (selector) => [...document.querySelectorAll(selector)];
const columns = document.head.appendChild(document.createElement("style"));

/** Only the ticked metrics, in the table and among the plots. */
function show() {
  const hidden = all("#columns input:not(:checked)").map(({ name }) => `[data-metric="${CSS.escape(name)}"]`);
  columns.textContent = hidden.length ? `${hidden.join(",")} { display: none }` : "";
  const ticked = all("#columns input:checked").map(({ name }) => name).sort().join();
  for (const button of all("[data-family]")) {
    button.ariaPressed = String(JSON.parse(button.dataset.family).sort().join() === ticked);
  }
}

function take(family) {
  for (const box of all("#columns input")) box.checked = family.includes(box.name);
  show();
}

for (const button of all("[data-family]")) {
  button.addEventListener("click", () => take(JSON.parse(button.dataset.family)));
}
document.getElementById("columns").addEventListener("change", show);
document.getElementById("filter").addEventListener("input", ({ target }) => {
  const wanted = target.value.trim().toLowerCase();
  for (const row of all("#means tbody tr[data-name]")) row.hidden = !row.dataset.name.toLowerCase().includes(wanted);
});
document.getElementById("intervals").addEventListener("change", ({ target }) =>
  document.getElementById("means").classList.toggle("plain", !target.checked),
);

const worst = document.getElementById("by");
function choose() {
  for (const table of all("[data-worst]")) table.hidden = table.dataset.worst !== worst.value;
}
worst?.addEventListener("change", choose);
if (worst) choose();
take(JSON.parse(document.querySelector("[data-family]").dataset.family));
