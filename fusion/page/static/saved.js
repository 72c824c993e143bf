// A file that is ready to be taken home: it is downloaded at once, and a link to it stays for browsers that refuse that.

/** @param {import("./types").Component} component */
export function start({ element, watch }) {
  watch("value", () => element.querySelector("a")?.click());
}
