// The page's language, and links from a metric's name to how it is measured.
import { find, holder } from "../../static/dom.js";

/** @param {import("./types").Component} component */
export function start({ props }) {
  document.documentElement.lang = props.label ?? "en";
  document.addEventListener("click", (event) => {
    const link = holder(event.target, 'a[href^="#measure"]');
    const section = document.getElementById("benchmark");
    if (!(link instanceof HTMLAnchorElement) || !section) return;
    event.preventDefault();
    openAt(section, link.hash.replace(/^#measure-?/, ""));
  });
}

/** Open the benchmark's section, which is filled only then, and go to a metric there. @param {HTMLElement} section @param {string} metric */
function openAt(section, metric) {
  const arrived = () => {
    const measure = section.querySelector(`[data-measure="${CSS.escape(metric)}"]`);
    if (!(measure instanceof HTMLElement) || !measure.clientHeight) return false;
    measure.scrollIntoView();
    measure.focus({ preventScroll: true });
    return true;
  };
  if (arrived()) return;
  const waiting = new MutationObserver(() => arrived() && waiting.disconnect());
  waiting.observe(section, { attributes: true, childList: true, subtree: true });
  const button = find(section, "button", HTMLButtonElement);
  if (!button.classList.contains("open")) button.click();
}
