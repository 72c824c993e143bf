// A blind study: two pictures of one scene at a time. Of a picture, the page knows its file and nothing else; at the same
// place of every scene's list stands the same method's, which is never named here.
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const CHOICES = { a: "left", b: "right", n: "neither" };
const zoom = zoomable($("booth"));

let session = null; // { study, participant, votes }, as it is kept and exported
let questions = []; // [left, right], file names
let seen = 0; // when both pictures were there

/** Numbers from 0 to 1 that follow from a text: FNV-1a starts Mulberry32. */
function seeded(text) {
  let state = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) state = Math.imul(state ^ byte, 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** In random order (Fisher and Yates). */
function shuffled(list, random) {
  const mixed = [...list];
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [mixed[last], mixed[other]] = [mixed[other], mixed[last]];
  }
  return mixed;
}

/** A participant's questions: round by round every two methods once, each time in another scene, in random order and
 * on random sides. */
function ask(participant) {
  const random = seeded(`${data.study} ${participant}`);
  const places = [...data.scenes[0].keys()];
  const pairs = places.flatMap((one) => places.slice(one + 1).map((other) => [one, other]));
  const decks = pairs.map(([one, other]) =>
    shuffled(data.scenes.map((scene) => [scene[one], scene[other]]).filter(([a, b]) => a && b), random),
  );
  const asked = [];
  while (decks.some((deck) => deck.length)) {
    for (const deck of shuffled(decks, random)) {
      const pair = deck.pop();
      if (pair) asked.push(random() < 0.5 ? pair : pair.reverse());
    }
  }
  return asked.slice(0, data.comparisons);
}

const kept = () => `mambamef.study.${data.study}.${session.participant}`;

function begin(participant) {
  questions = ask(participant);
  session = { study: data.study, participant, votes: [] };
  try {
    const { votes } = JSON.parse(localStorage.getItem(kept())) ?? {};
    const same = (vote, index) => vote.left === questions[index]?.[0] && vote.right === questions[index]?.[1];
    if (votes?.every(same)) session.votes = votes;
  } catch {
    // nothing was kept, or it is kept from us: from the beginning
  }
  show();
}

function keep() {
  try {
    localStorage.setItem(kept(), JSON.stringify(session));
  } catch {
    // this browser keeps nothing; the download has it all
  }
}

const address = (name) => `pictures/${name}.png`;

/** The question that comes next, or the end. */
async function show() {
  const at = session.votes.length;
  const done = at === questions.length;
  $("start").hidden = true;
  $("booth").hidden = done;
  $("end").hidden = !done;
  $("back").disabled = !at;
  if (done) return $("end").querySelector("h1").focus();
  $("place").textContent = `${at + 1} of ${questions.length}`;
  Object.assign(document.querySelector("progress"), { max: questions.length, value: at });
  const pictures = questions[at].map((name, side) =>
    Object.assign(new Image(), { src: address(name), alt: `Picture ${"AB"[side]}`, draggable: false }),
  );
  seen = 0;
  document.querySelectorAll(".stage").forEach((stage, side) => stage.replaceChildren(pictures[side]));
  zoom.fit();
  $("booth").focus();
  await Promise.allSettled(pictures.map((picture) => picture.decode()));
  if (session.votes.length !== at) return;
  seen = performance.now();
  zoom.fit();
  for (const name of questions[at + 1] ?? []) new Image().src = address(name); // ready when it is asked for
}

function vote(chosen) {
  if (!seen) return; // not before both pictures are seen
  const [left, right] = questions[session.votes.length];
  session.votes.push({ left, right, chosen, seconds: Math.round((performance.now() - seen) / 100) / 10 });
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

$("participant").value = crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
document.forms[0].addEventListener("submit", (event) => {
  event.preventDefault();
  begin($("participant").value.trim());
});
$("booth").addEventListener("click", ({ target }) => target.dataset.chosen && vote(target.dataset.chosen));
addEventListener("keydown", (event) => {
  if ($("booth").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Backspace") back();
  else if (CHOICES[event.key.toLowerCase()]) vote(CHOICES[event.key.toLowerCase()]);
});
for (const id of ["back", "again"]) $(id).addEventListener("click", back);
$("download").addEventListener("click", download);
