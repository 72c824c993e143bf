// A metric's name leads to how it measures, in a section that may be closed, and is filled as it opens.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#measure"]');
  const section = document.getElementById("benchmark");
  if (!link || !section) return;
  event.preventDefault();
  const name = CSS.escape(link.hash.replace(/^#measure-?/, ""));
  const arrived = () => {
    const measure = section.querySelector(`[data-measure="${name}"]`);
    if (!measure?.clientHeight) return false;
    measure.scrollIntoView();
    measure.focus({ preventScroll: true });
    return true;
  };
  if (arrived()) return;
  const waiting = new MutationObserver(() => arrived() && waiting.disconnect());
  waiting.observe(section, { attributes: true, childList: true, subtree: true });
  const button = section.querySelector("button");
  if (!button.classList.contains("open")) button.click();
});
