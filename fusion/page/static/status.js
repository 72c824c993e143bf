// The status, whose notes offer another way to do what was done.
import { holder } from "../../static/dom.js";

/** @param {import("./types").Component} component */
export function start({ element, trigger }) {
  element.addEventListener("click", ({ target }) => {
    const name = holder(target, "[data-offer]")?.dataset.offer;
    if (name) trigger("offer", { name });
  });
}
