// A blind study: two pictures of one scene at a time. The page knows a picture's file name only, and no method's name.
import { find, findAll, holder } from "../../static/dom.js";
import { zoomable } from "../../static/zoom.js";
import { questionsFor } from "./questions.js";

/** @typedef {{ left: string, right: string, chosen: string, seconds: number }} Vote */
/** @typedef {{ study: string, participant: string, votes: Vote[] }} Session as it is kept and downloaded */

const element = (/** @type {string} */ id) => find(document, `#${id}`, HTMLElement);
const button = (/** @type {string} */ id) => find(document, `#${id}`, HTMLButtonElement);

/** @type {import("./questions.js").Study} */
const study = JSON.parse(element("data").textContent);
const booth = element("booth");
const participantField = find(document, "#participant", HTMLInputElement);
const zoom = zoomable(booth);
/** @type {Record<string, string>} */
const CHOICES = { a: "left", b: "right", n: "neither" };

/** @type {Session} */
let session = { study: study.study, participant: "", votes: [] };
/** @type {import("./questions.js").Question[]} */
let questions = [];
let shownAt = 0; // when both pictures were shown, in milliseconds; 0 before that

const storageKey = () => `mambamef.study.${study.study}.${session.participant}`;

/** Start, or go on where this participant stopped. @param {string} participant */
function begin(participant) {
  questions = questionsFor(study, participant);
  session = { study: study.study, participant, votes: [] };
  try {
    /** @type {Partial<Session> | null} */
    const kept = JSON.parse(localStorage.getItem(storageKey()) ?? "null");
    const isAnswer = (/** @type {Vote} */ vote, /** @type {number} */ index) =>
      vote.left === questions[index]?.[0] && vote.right === questions[index]?.[1];
    if (kept?.votes?.every(isAnswer)) session.votes = kept.votes;
  } catch {
    // The browser kept nothing, or does not let the page read it: the participant starts anew.
  }
  show();
}

function keep() {
  try {
    localStorage.setItem(storageKey(), JSON.stringify(session));
  } catch {
    // This browser keeps nothing; the download at the end has all votes.
  }
}

const address = (/** @type {string} */ name) => `pictures/${name}.png`;

/** Show the next question, or the end. */
async function show() {
  const at = session.votes.length;
  const done = at === questions.length;
  element("start").hidden = true;
  booth.hidden = done;
  element("end").hidden = !done;
  button("back").disabled = !at;
  if (done) return find(element("end"), "h1", HTMLElement).focus();
  element("place").textContent = `${at + 1} of ${questions.length}`;
  Object.assign(find(document, "progress", HTMLProgressElement), { max: questions.length, value: at });
  const pictures = questions[at].map((name, side) =>
    Object.assign(new Image(), { src: address(name), alt: `Picture ${"AB"[side]}`, draggable: false }),
  );
  shownAt = 0;
  booth.ariaBusy = "true";
  findAll(booth, ".stage").forEach((stage, side) => stage.replaceChildren(pictures[side]));
  zoom.fit();
  booth.focus();
  await Promise.allSettled(pictures.map((picture) => picture.decode()));
  if (session.votes.length !== at) return;
  shownAt = performance.now();
  booth.ariaBusy = "false";
  zoom.fit();
  for (const name of questions[at + 1] ?? []) new Image().src = address(name); // loads before it is asked about
}

/** @param {string} chosen left, right or neither */
function vote(chosen) {
  if (!shownAt) return; // nobody can choose before both pictures are shown
  const [left, right] = questions[session.votes.length];
  session.votes.push({ left, right, chosen, seconds: Math.round((performance.now() - shownAt) / 100) / 10 });
  keep();
  show();
}

function back() {
  if (!session.votes.length) return;
  session.votes.pop();
  keep();
  show();
}

function download() {
  const file = new Blob([JSON.stringify(session, null, 1)], { type: "application/json" });
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(file),
    download: `votes-${session.participant.replace(/[^\p{L}\p{N}]+/gu, "-")}.json`,
  });
  link.click();
  URL.revokeObjectURL(link.href);
}

participantField.value = crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
document.forms[0].addEventListener("submit", (event) => {
  event.preventDefault();
  begin(participantField.value.trim());
});
booth.addEventListener("click", ({ target }) => {
  const chosen = holder(target, "[data-chosen]")?.dataset.chosen;
  if (chosen) vote(chosen);
});
addEventListener("keydown", (event) => {
  if (booth.hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const chosen = CHOICES[event.key.toLowerCase()];
  if (event.key === "Backspace") back();
  else if (chosen) vote(chosen);
});
for (const id of ["back", "again"]) button(id).addEventListener("click", back);
button("download").addEventListener("click", download);
