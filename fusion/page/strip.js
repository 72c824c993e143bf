// One press chooses an example.

element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-index]");
  if (card) trigger("select", { index: Number(card.dataset.index), value: null });
});
