// @ts-check
// The socket: newest first, reconnects by itself. Frames are laid out in epurecli/studio/messages.py.

const PREVIEW = 1, NEAREST = 2, HEAD = 22;

/** @typedef {{seq: number, labels: Uint8Array[], numbers: number[], counts: Uint16Array | null, draws: number,
 *   preview: boolean, nearest: boolean, kept: number, ms: number}} Answer */

/** A binary frame, read. @param {ArrayBuffer} data @returns {Answer} */
export function decode(data) {
  const view = new DataView(data);
  const count = view.getUint16(4, true), pixels = view.getUint16(6, true) * view.getUint16(8, true);
  const draws = view.getUint16(10, true), parts = view.getUint8(12), flags = view.getUint8(13);
  const numbers = Array.from({length: count}, (_, i) => view.getUint32(HEAD + 4 * i, true));
  let at = HEAD + 4 * count;
  const labels = numbers.map((_, i) => new Uint8Array(data, at + i * pixels, pixels));
  at += count * pixels;
  const counts = draws ? new Uint16Array(data.slice(at, at + 2 * parts * pixels)) : null;
  return {seq: view.getUint32(0, true), labels, numbers, counts, draws, preview: (flags & PREVIEW) > 0,
    nearest: (flags & NEAREST) > 0, kept: view.getFloat32(18, true), ms: view.getFloat32(14, true)};
}

/** @param {Uint8Array} bytes */
export function base64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

/** @param {string} text */
export const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));

export class Wire {
  /** @param {{answer: (a: Answer) => void, told: (m: any) => void, up: () => void, down: (wait: number) => void}} heard */
  constructor(heard) {
    this.heard = heard;
    this.seq = 0;
    this.wait = 500;
    /** @type {any} */ this.flying = null;
    /** @type {any} */ this.next = null;
    this.leisurely = false;
    this.connect();
  }

  connect() {
    const socket = new WebSocket(`ws://${location.host}/socket`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({data}) => {
      if (typeof data !== "string") return this.answered(decode(data));
      const message = JSON.parse(data);
      if (message.kind === "hello") { this.wait = 500; this.heard.up(); }
      if (message.kind === "error" && message.seq !== null) this.landed(message.seq);
      this.heard.told(message);
    };
    socket.onclose = () => {
      this.flying = this.next = null;
      this.heard.down(this.wait);
      setTimeout(() => this.connect(), this.wait);
      this.wait = Math.min(2 * this.wait, 8000);
    };
    this.socket = socket;
  }

  /** @param {Answer} answer */
  answered(answer) {
    if (!answer.preview) this.landed(answer.seq);
    this.heard.answer(answer);
  }

  /** @param {number} seq */
  landed(seq) {
    if (this.flying !== seq) return;
    this.flying = null;
    if (this.next) { const message = this.next; this.next = null; this.fly(message); }
  }

  /** A message; false where the server is gone. @param {any} message */
  send(message) {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /** Ask for a drawing. One is on its way at a time and only the newest waits, so a flood costs two answers.
   * @param {any} message @param {boolean} interrupt what is on its way (a model that takes long) */
  draw(message, interrupt = false) {
    if (this.flying !== null && !interrupt && !this.leisurely) this.next = message;
    else this.fly(message);
  }

  fly(message) {
    this.seq += 1;
    this.leisurely = message.refine;  // a second look, which the next stroke need not wait for
    this.flying = this.seq;
    if (!this.send({...message, seq: this.seq})) this.flying = null;
  }

  /** @param {any} message @returns {number} its sequence number */
  ask(message) {
    this.seq += 1;
    this.send({...message, seq: this.seq});
    return this.seq;
  }
}
