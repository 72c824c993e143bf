// The strip of examples: a press chooses one, and a link to the page presses for the visitor.
import { findAll, holder } from "../../static/dom.js";

/** @param {import("./types").Component} component */
export function start({ element, trigger, watch }) {
  let followed = false; // whether the link's example was pressed

  element.addEventListener("click", ({ target }) => {
    const card = holder(target, "[data-index]");
    if (card) trigger("select", { index: Number(card.dataset.index), value: null });
  });

  function follow() {
    const [linked] = findAll(element, "[data-linked]");
    if (!linked || followed) return;
    followed = true;
    linked.click();
  }

  watch("value", follow);
  follow(); // the cards may have come before this module
}
