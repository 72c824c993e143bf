// Blind vote: the results of two methods without their names. Votes stay in this browser.
import { find, findAll, holder } from "../../static/dom.js";
import { strengths } from "./bradley_terry.js";

/** @typedef {[string, string, number]} Vote the names of methods A and B, and 1, 0.5 or 0 if A won, drew or lost */
/** @typedef {{ votes: Vote[], titles: Record<string, string> }} Kept votes, and the methods' titles by their names */

const KEY = "mambamef.votes"; // in the browser's storage

/** @param {import("./contact_sheet.js").ContactSheet} sheet @returns {import("./types").Tool} */
export function vote(sheet) {
  const text = (/** @type {string} */ name, /** @type {import("./types").Values} */ values = {}) => sheet.text("vote", name, values);
  let { votes, titles } = read();
  let stored = true;
  let sure = false; // whether the visitor has asked once to forget the votes
  /** @type {[string, string] | null} */
  let pair = null; // the names of the two methods on show, A and B

  function keep() {
    try {
      localStorage.setItem(KEY, JSON.stringify({ votes, titles }));
      stored = true;
    } catch {
      stored = false;
    }
  }

  /** Show a method's picture in a figure, or none. @param {HTMLElement} figure @param {string} [name] @param {string} [alt] */
  function hang(figure, name, alt = "") {
    const stage = sheet.stage(figure);
    const tile = name && sheet.tile(name);
    if (!tile) return stage.replaceChildren();
    const image = stage.querySelector("img") ?? stage.appendChild(Object.assign(new Image(), { alt, draggable: false }));
    const { preview = "", full = "" } = sheet.image(tile).dataset;
    const url = sheet.needsFull(figure) ? full : preview;
    if (image.getAttribute("src") !== url) image.src = url;
  }

  /** @param {number} score 1, 0.5 or 0 if A won, drew or lost */
  function cast(score) {
    if (!pair) return;
    for (const name of pair) titles[name] = sheet.tile(name)?.dataset.label ?? name;
    votes.push([...pair, score]);
    pair = null;
    sure = false;
    keep();
    sheet.render();
  }

  /** The methods that were voted on and their strengths, the strongest first. @returns {[string, number][]} */
  function ranking() {
    const names = [...new Set(votes.flatMap(([one, other]) => [one, other]))];
    const won = names.map(() => names.map(() => 0));
    for (const [one, other, score] of votes) {
      const [row, column] = [names.indexOf(one), names.indexOf(other)];
      won[row][column] += score;
      won[column][row] += 1 - score;
    }
    const found = strengths(won);
    return names.map((name, index) => /** @type {[string, number]} */ ([name, found[index]])).sort((a, b) => b[1] - a[1]);
  }

  /**
   * The two methods that met least often; among those, as in a Swiss tournament, the two with the nearest strengths.
   * @param {string[]} names @returns {[string, string]}
   */
  function nextPair(names) {
    const strength = new Map(ranking());
    const log = (/** @type {string} */ name) => Math.log(strength.get(name) ?? 1);
    const pairs = names.flatMap((one, index) => names.slice(index + 1).map((other) => /** @type {[string, string]} */ ([one, other])));
    const [{ pair }] = pairs
      .map((pair) => ({
        pair,
        met: votes.filter((vote) => pair.every((name) => vote.includes(name))).length,
        apart: Math.abs(log(pair[0]) - log(pair[1])),
        chance: Math.random(),
      }))
      .sort((a, b) => a.met - b.met || a.apart - b.apart || a.chance - b.chance);
    return Math.random() < 0.5 ? pair : [pair[1], pair[0]];
  }

  /** A row of the ranking's table. @param {[string, number]} ranked */
  function row([name, strength]) {
    const count = votes.filter(([one, other]) => one === name || other === name).length;
    const cells = [titles[name] ?? name, `${Math.round((100 * strength) / (strength + 1))} %`, String(count)];
    const row = document.createElement("tr");
    row.append(...cells.map((cell) => Object.assign(document.createElement("td"), { textContent: cell })));
    return row;
  }

  sheet.element.addEventListener("click", ({ target }) => {
    const score = holder(target, "[data-vote]")?.dataset.vote;
    if (score) cast(Number(score));
    if (!holder(target, ".reset")) return;
    if (sure) {
      votes = [];
      titles = {};
      keep();
    }
    sure = !sure;
    sheet.render();
  });

  return {
    start() {
      pair = null;
    },

    keys: { a: () => cast(1), b: () => cast(0), n: () => cast(0.5) },

    draw() {
      const booth = find(sheet.element, ".booth", HTMLElement);
      const names = sheet.fused.map(({ dataset }) => dataset.name ?? "");
      if (!pair?.every((name) => names.includes(name))) pair = names.length > 1 ? nextPair(names) : null;
      find(booth, ".few", HTMLElement).hidden = Boolean(pair);
      booth.toggleAttribute("data-closed", !pair);
      findAll(booth, "figure").forEach((figure, index) => hang(figure, pair?.[index], text("picture", { letter: "AB"[index] })));
      const count = votes.length;
      const tally = `${text(count === 1 ? "one" : "several", { count })} ${text(stored ? "kept" : "unkept")}`;
      find(booth, ".tally", HTMLElement).textContent = tally;
      find(booth, ".reset", HTMLElement).textContent = text(sure ? "sure" : "forget");
      find(booth, "tbody", HTMLElement).replaceChildren(...ranking().map(row));
    },
  };
}

/** What this browser keeps. Entries that are damaged, or that this page did not write, are left out. @returns {Kept} */
function read() {
  try {
    const { votes, titles } = JSON.parse(localStorage.getItem(KEY) ?? "{}") ?? {};
    return { votes: (votes ?? []).filter(isVote), titles: { ...titles } };
  } catch {
    return { votes: [], titles: {} }; // it is no JSON, or this browser lets us read nothing
  }
}

/** @param {unknown} value @returns {value is Vote} */
function isVote(value) {
  const [one, other, score] = /** @type {unknown[]} */ (value);
  return typeof one === "string" && typeof other === "string" && [0, 0.5, 1].includes(Number(score)) && typeof score === "number";
}
