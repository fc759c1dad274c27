// @ts-check
// What tools do to a document: pure functions. A pixel of the paint is UNSAID, 0 (air) or c + 1 (component c).

export const UNSAID = 255;
export const SIZES = [1, 2, 3, 5, 8];

/** @typedef {{mode: "free" | "target" | "range", value: number, low: number, high: number, aim: "none" | "more" | "less"}} Wish */
/** @typedef {{brief: Wish[], paint: Uint8Array, states: string[], seed: number, draws: number, like: Uint8Array | null}} Doc */

/** Pixels of a round brush around a pixel, as offsets. @param {number} size @returns {[number, number][]} */
export function footprint(size) {
  const found = /** @type {[number, number][]} */ ([]), low = -Math.floor((size - 1) / 2), middle = low + (size - 1) / 2;
  for (let dy = low; dy < low + size; dy++)
    for (let dx = low; dx < low + size; dx++)
      if ((dx - middle) ** 2 + (dy - middle) ** 2 <= size * size / 4 + 0.25) found.push([dx, dy]);
  return found;
}

/** Pixels between two, both included (Bresenham). @returns {[number, number][]} */
export function line(x0, y0, x1, y1) {
  const found = /** @type {[number, number][]} */ ([[x0, y0]]);
  const dx = Math.abs(x1 - x0), dy = -Math.abs(y1 - y0), sx = Math.sign(x1 - x0), sy = Math.sign(y1 - y0);
  let error = dx + dy;
  while (x0 !== x1 || y0 !== y1) {
    const twice = 2 * error;
    if (twice >= dy) { error += dy; x0 += sx; }
    if (twice <= dx) { error += dx; y0 += sy; }
    found.push([x0, y0]);
  }
  return found;
}

/** Indices that a brush covers along a path, within the image. */
export function covered(path, size, width, height) {
  const found = new Set(), shape = footprint(size);
  for (const [x, y] of path)
    for (const [dx, dy] of shape) {
      const px = x + dx, py = y + dy;
      if (px >= 0 && px < width && py >= 0 && py < height) found.add(py * width + px);
    }
  return [...found];
}

/** Pixels of one colour around a pixel (4-connected). @param {Uint8Array} image */
export function region(image, start, width) {
  const seen = new Uint8Array(image.length), todo = [start], found = [];
  seen[start] = 1;
  while (todo.length) {
    const at = /** @type {number} */ (todo.pop()), x = at % width;
    found.push(at);
    for (const next of [at - width, at + width, x > 0 ? at - 1 : -1, x < width - 1 ? at + 1 : -1])
      if (next >= 0 && next < image.length && !seen[next] && image[next] === image[start]) { seen[next] = 1; todo.push(next); }
  }
  return found;
}

/** Paint pixels with a part; given parts are protected unless `over`. @param {Doc} doc @returns {Doc} */
export function painted(doc, pixels, part, over = false) {
  const paint = doc.paint.slice();
  for (const at of pixels)
    if (paint[at] === UNSAID || paint[at] === part || over || !isGiven(doc, paint[at])) paint[at] = part;
  return settled({...doc, paint}, part);
}

/** Take away what is painted of a part. @param {Doc} doc @returns {Doc} */
export function erased(doc, pixels, part) {
  const paint = doc.paint.slice();
  for (const at of pixels) if (paint[at] === part) paint[at] = UNSAID;
  return settled({...doc, paint}, part);
}

export const isGiven = (doc, part) => part > 0 && part !== UNSAID && (doc.states[part - 1] === "given" || doc.states[part - 1] === "none");

/** The states that follow from what is painted; a given part that has become empty stays given, and is asked about. */
function settled(doc, part) {
  const has = new Set(doc.paint);
  const states = doc.states.map((state, c) => {
    if (state === "none") return has.has(c + 1) ? "given" : "none";
    if (state === "given") return state;
    return has.has(c + 1) ? "guided" : "free";
  });
  return {...doc, states};
}

/** A part given as it is painted. */
export const givenAsDrawn = (doc, part) => ({...doc, states: doc.states.with(part - 1, "given")});

/** A part given as a design has it. @param {Doc} doc @param {Uint8Array} shown @returns {Doc} */
export function givenAsShown(doc, part, shown) {
  const paint = doc.paint.slice();
  paint.forEach((owner, at) => {
    if (shown[at] === part && !isGiven(doc, owner)) paint[at] = part;
    else if (owner === part && shown[at] !== part) paint[at] = UNSAID;
  });
  return settled({...doc, paint, states: doc.states.with(part - 1, "given")}, part);
}

/** A part that the model draws; what was painted of it goes. @returns {Doc} */
export function freed(doc, part) {
  const paint = doc.paint.map(owner => owner === part ? UNSAID : owner);
  return {...doc, paint, states: part > 0 ? doc.states.with(part - 1, "free") : doc.states};
}

/** What is painted of a part becomes a wish. */
export const wished = (doc, part) => settled({...doc, states: doc.states.with(part - 1, "free")}, part);

/** A whole design, every part given. */
export function accepted(doc, shown) {
  const has = new Set(shown);
  return {...doc, paint: shown.map(owner => owner || UNSAID), like: null, states: doc.states.map((_, c) => has.has(c + 1) ? "given" : "none")};
}

/** Given parts without a pixel. */
export const emptyGiven = doc => doc.states.flatMap((state, c) => state === "given" && !doc.paint.includes(c + 1) ? [c + 1] : []);
