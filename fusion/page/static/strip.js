// One press chooses an example, and a link to the page presses for the visitor.

element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-index]");
  if (card) trigger("select", { index: Number(card.dataset.index), value: null });
});

watch("value", () => element.querySelector("[data-linked]")?.click());
