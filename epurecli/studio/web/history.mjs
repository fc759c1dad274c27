// @ts-check
// Whole-document snapshots. Documents are never changed in place, so a snapshot costs what differs.

/** @template T */
export class History {
  constructor(limit = 500) {
    this.limit = limit;
    /** @type {T[]} */ this.past = [];
    /** @type {T[]} */ this.future = [];
    /** @type {string | null} */ this.key = null;
  }

  /** Note what stood before a change; changes of one key in a row (a stroke, a slider's drag) are one step.
   * @param {T} before @param {string | null} key */
  note(before, key = null) {
    if (key === null || key !== this.key) this.past.push(before);
    if (this.past.length > this.limit) this.past.shift();
    this.future = [];
    this.key = key;
  }

  /** The next change is a step of its own. */
  seal() { this.key = null; }

  /** @param {T} now @returns {T} */
  undo(now) { return this.#move(this.past, this.future, now); }

  /** @param {T} now @returns {T} */
  redo(now) { return this.#move(this.future, this.past, now); }

  /** @param {T[]} from @param {T[]} to @param {T} now @returns {T} */
  #move(from, to, now) {
    this.key = null;
    const there = from.pop();
    if (there === undefined) return now;
    to.push(now);
    return there;
  }
}
