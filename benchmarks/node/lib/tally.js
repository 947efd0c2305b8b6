/** Counts how often each job ran. */
export class Tally {
  #runs = new Map();

  ran(id) {
    this.#runs.set(id, (this.#runs.get(id) ?? 0) + 1);
  }

  /** What ran, held against the ids that were added. */
  against(ids) {
    const runs = [...this.#runs.values()].reduce((sum, count) => sum + count, 0);
    const known = ids.filter((id) => this.#runs.has(id)).length;
    return { expected: ids.length, ran: known, runs };
  }
}
