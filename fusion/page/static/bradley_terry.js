// Bradley and Terry's model of pairwise choices: P(i is chosen over j) = s_i / (s_i + s_j).
//
// This is the algorithm of fusion/benchmark/bradley_terry.py, which names its sources; a test compares the two. To begin
// with, each item has one draw against an average item of strength 1, so that a finite estimate exists for any votes.

const STEPS = 100;
const SETTLED = 1e-9; // the largest change of a strength's logarithm after which the iteration ends

/**
 * Maximise the likelihood by Newton's method in the logarithms of the strengths.
 * @param {number[][]} won how often the row was chosen over the column; a draw is half a choice of each
 * @returns {number[]} the strength of each row, above 0; 1 is average
 */
export function strengths(won) {
  const logs = won.map(() => 0);
  for (let count = 0; count < STEPS; count++) {
    const curvature = won.map(() => won.map(() => 0)); // the negative second derivatives
    const slope = logs.map((own, row) => {
      const average = chance(own, 0);
      curvature[row][row] += average * (1 - average);
      let sum = 1 / 2 - average;
      logs.forEach((other, column) => {
        const met = won[row][column] + won[column][row];
        const over = chance(own, other);
        const bend = met * over * (1 - over);
        curvature[row][row] += bend;
        curvature[row][column] -= bend;
        sum += won[row][column] - met * over;
      });
      return sum;
    });
    const step = solved(curvature, slope);
    const largest = Math.max(...step.map(Math.abs));
    step.forEach((change, row) => (logs[row] += change / Math.max(1, largest))); // a longer step might overshoot
    if (largest < SETTLED) break;
  }
  return logs.map(Math.exp);
}

/** How often an item is chosen over another one, from the logarithms of their strengths. @param {number} one @param {number} other */
const chance = (one, other) => 1 / (1 + Math.exp(other - one));

/**
 * Solve a system of linear equations by Gaussian elimination. The curvature's diagonal dominates: no pivots are needed.
 * @param {number[][]} matrix @param {number[]} right
 */
function solved(matrix, right) {
  const rows = matrix.map((row, index) => [...row, right[index]]);
  rows.forEach((pivot, column) => {
    for (const row of rows) {
      if (row === pivot) continue;
      const factor = row[column] / pivot[column];
      pivot.forEach((value, index) => (row[index] -= factor * value));
    }
  });
  return rows.map((row, index) => row[rows.length] / row[index]);
}
