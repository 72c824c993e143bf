// A blind vote: two methods' pictures without their names. Votes stay in this browser.
{
  const text = (name, told) => sentence("vote", name, told);
  const KEY = "mambamef.votes";
  const ROUNDS = 200; // of the iteration for the strengths, which has long come to rest then

  let { votes, titles } = read();
  let stored = true;
  let sure = false;
  let round = null; // the names of the two methods on show, first A, then B
  const tally = (count) => `${text(count === 1 ? "one" : "several", { count })} ${text(stored ? "kept" : "unkept")}`;

  /** Votes are [one, other, score]: methods' names, and 1, 0.5 or 0 as the first won, drew or lost. Titles are by name. */
  function read() {
    try {
      const { votes, titles } = JSON.parse(localStorage.getItem(KEY)) ?? {};
      const sound = ([one, other, score]) => [one, other].every((name) => typeof name === "string") && [0, 0.5, 1].includes(score);
      return { votes: (votes ?? []).filter(sound), titles: { ...titles } };
    } catch {
      return { votes: [], titles: {} }; // not ours, spoilt, or kept from us
    }
  }

  function keep() {
    try {
      localStorage.setItem(KEY, JSON.stringify({ votes, titles }));
      stored = true;
    } catch {
      stored = false;
    }
  }

  tools.vote = {
    start: () => (round = null),

    keys: { a: () => vote(1), b: () => vote(0), n: () => vote(0.5) },

    draw() {
      const booth = element.querySelector(".booth");
      const candidates = [...element.querySelectorAll(".tile[data-fused]")];
      if (!round?.every(tileNamed)) round = candidates.length > 1 ? next(candidates.map((tile) => tile.dataset.name)) : null;
      booth.querySelector(".few").hidden = Boolean(round);
      booth.toggleAttribute("data-closed", !round);
      booth.querySelectorAll("figure").forEach((figure, index) => hang(figure, round?.[index], text("picture", { letter: "AB"[index] })));
      booth.querySelector(".tally").replaceChildren(tally(votes.length));
      booth.querySelector(".reset").replaceChildren(text(sure ? "sure" : "forget"));
      booth.querySelector("tbody").replaceChildren(...ranking().map(row));
    },
  };

  function hang(figure, name, alt) {
    const stage = figure.querySelector(".stage");
    if (!name) return stage.replaceChildren();
    const image = stage.firstChild ?? stage.appendChild(Object.assign(new Image(), { alt, draggable: false }));
    const { preview, full } = tileNamed(name).querySelector("img").dataset;
    const url = sharp(figure) ? full : preview;
    if (image.getAttribute("src") !== url) image.src = url;
  }

  function vote(score) {
    if (!round) return;
    for (const name of round) titles[name] = tileNamed(name).dataset.label;
    votes.push([...round, score]);
    round = null;
    sure = false;
    keep();
    render();
  }

  /** The pair compared least; among those, as in a Swiss tournament, the two whose strengths are nearest. */
  function next(names) {
    const strength = strengths();
    const log = (name) => Math.log(strength.get(name) ?? 1);
    const met = (one, other) => votes.filter((vote) => vote.includes(one) && vote.includes(other)).length;
    const pairs = names.flatMap((one, index) => names.slice(index + 1).map((other) => [one, other]));
    const ranked = pairs
      .map((pair) => ({ pair, met: met(...pair), apart: Math.abs(log(pair[0]) - log(pair[1])), chance: Math.random() }))
      .sort((a, b) => a.met - b.met || a.apart - b.apart || a.chance - b.chance);
    return Math.random() < 0.5 ? ranked[0].pair : ranked[0].pair.reverse();
  }

  /** Bradley and Terry's strengths by Hunter's iteration (2004); 1 is the average method that each has drawn with once. */
  function strengths() {
    let strength = new Map(votes.flatMap(([one, other]) => [[one, 1], [other, 1]]));
    for (let count = 0; count < ROUNDS; count++) {
      const won = new Map(), weight = new Map();
      for (const [name, own] of strength) {
        won.set(name, 0.5);
        weight.set(name, 1 / (own + 1));
      }
      for (const [one, other, score] of votes) {
        const shared = 1 / (strength.get(one) + strength.get(other));
        for (const [name, points] of [[one, score], [other, 1 - score]]) {
          won.set(name, won.get(name) + points);
          weight.set(name, weight.get(name) + shared);
        }
      }
      strength = new Map([...strength.keys()].map((name) => [name, won.get(name) / weight.get(name)]));
    }
    return strength;
  }

  const ranking = () => [...strengths()].sort((a, b) => b[1] - a[1]);

  function row([name, strength]) {
    const count = votes.filter(([one, other]) => one === name || other === name).length;
    const cells = [titles[name] ?? name, `${Math.round((100 * strength) / (strength + 1))} %`, count];
    const row = document.createElement("tr");
    row.append(...cells.map((cell) => Object.assign(document.createElement("td"), { textContent: cell })));
    return row;
  }

  element.addEventListener("click", ({ target }) => {
    const score = target.closest("[data-vote]")?.dataset.vote;
    if (score) vote(Number(score));
    if (!target.closest(".reset")) return;
    if (sure) {
      votes = [];
      titles = {};
      keep();
    }
    sure = !sure;
    render();
  });
}
