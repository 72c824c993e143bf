// Which pairs of pictures a participant compares, and in which order.

/**
 * @typedef {object} Study
 * @property {string} study its name
 * @property {number} comparisons how many pairs a participant compares at most
 * @property {(string | null)[][]} scenes the pictures of each scene: at one place of every list stands one method
 */
/** @typedef {[string, string]} Question the files on the left and on the right */

/** Numbers from 0 to 1 that follow from a text: FNV-1a of the text is the seed of Mulberry32. @param {string} text */
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

/**
 * A copy in random order, by Fisher and Yates.
 * @template T
 * @param {T[]} list @param {() => number} random
 */
function shuffled(list, random) {
  const mixed = [...list];
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [mixed[last], mixed[other]] = [mixed[other], mixed[last]];
  }
  return mixed;
}

/**
 * A participant's questions, which follow from the participant's code. In each round, every two methods meet once, in
 * random order and on random sides; each time in another scene.
 * @param {Study} study @param {string} participant
 * @returns {Question[]}
 */
export function questionsFor(study, participant) {
  const random = seeded(`${study.study} ${participant}`);
  const methods = [...study.scenes[0].keys()];
  const pairs = methods.flatMap((one) => methods.slice(one + 1).map((other) => [one, other]));
  const decks = pairs.map(([one, other]) => shuffled(withBoth(study.scenes, one, other), random));
  /** @type {Question[]} */
  const asked = [];
  while (decks.some((deck) => deck.length)) {
    for (const deck of shuffled(decks, random)) {
      const pair = deck.pop();
      if (pair) asked.push(random() < 0.5 ? pair : [pair[1], pair[0]]);
    }
  }
  return asked.slice(0, study.comparisons);
}

/**
 * Two methods' pictures of every scene that has both.
 * @param {Study["scenes"]} scenes @param {number} one @param {number} other
 */
function withBoth(scenes, one, other) {
  /** @type {Question[]} */
  const pairs = [];
  for (const scene of scenes) {
    const [left, right] = [scene[one], scene[other]];
    if (left && right) pairs.push([left, right]);
  }
  return pairs;
}
