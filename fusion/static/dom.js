// Look up elements with the type that the code needs.

/**
 * The first element below `root` that matches the selector. Throws if there is none of this type.
 * @template {Element} T
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} type
 * @returns {T}
 */
export function find(root, selector, type) {
  const found = root.querySelector(selector);
  if (found instanceof type) return found;
  throw new Error(`There is no ${type.name} at ${selector}.`);
}

/**
 * All HTML elements below `root` that match the selector.
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {HTMLElement[]}
 */
export const findAll = (root, selector) => [.../** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(selector))];

/**
 * The HTML element that matches the selector and holds the target of an event, or null.
 * @param {EventTarget | null} target
 * @param {string} selector
 * @returns {HTMLElement | null}
 */
export const holder = (target, selector) => (target instanceof Element ? target.closest(selector) : null);

/** @returns {CanvasRenderingContext2D} */
export function context2d(/** @type {HTMLCanvasElement} */ canvas, /** @type {CanvasRenderingContext2DSettings} */ settings = {}) {
  const context = canvas.getContext("2d", settings);
  if (context) return context;
  throw new Error("This browser cannot draw on a canvas.");
}
