// What the reader has chosen. It lives in the part of the address after #, so that a link brings it along.

const LONGEST = 2000;  // of a note, in characters

/** What a page starts with: the first six columns of more than two values, the two of most values against each other. */
export function fresh(data) {
  const kinds = data.columns.map((column) => column.kinds);
  const varied = data.columns.flatMap((_, k) => (kinds[k] > 2 ? [k] : []));
  const axes = (varied.length ? varied : data.columns.map((_, k) => k)).slice(0, 6);
  const [x, y = x] = [...axes].sort((a, b) => kinds[b] - kinds[a] || a - b).slice(0, 2).sort((a, b) => a - b);
  return {
    current: 0, stars: new Set(), notes: new Map(), compared: [], feasible: false, starred: false, find: "",
    ranges: new Map(), axes, x, y, sort: -1, falling: false,
  };
}

/** The designs that pass all filters, in order. */
export function shown(data, state) {
  const wanted = state.find.toLowerCase();
  const ranges = [...state.ranges].map(([k, range]) => [data.columns[k].values, ...range]);
  const rows = [];
  for (let i = 0; i < data.count; i++) {
    if (state.feasible && !data.valid[i]) continue;
    if (state.starred && !state.stars.has(i)) continue;
    if (wanted && !`${data.names[i]} ${state.notes.get(i) ?? ""}`.toLowerCase().includes(wanted)) continue;
    if (ranges.every(([values, low, high]) => within(values[i], low, high))) rows.push(i);
  }
  if (state.sort >= 0) {
    const values = data.columns[state.sort].values, sign = state.falling ? -1 : 1;
    rows.sort((a, b) => (values[a] === null) - (values[b] === null) || sign * (values[a] - values[b]) || a - b);
  }
  return rows;
}

function within(value, low, high) {
  return value !== null && (low === null || value >= low) && (high === null || value <= high);
}

/** The state as the text after #; only what differs from a fresh page. */
export function written(data, state) {
  const first = fresh(data), said = new URLSearchParams();
  const put = (key, value, usual) => String(value) !== String(usual) && said.set(key, value);
  put("at", state.current, first.current);
  put("stars", [...state.stars].sort((a, b) => a - b), "");
  if (state.notes.size) said.set("notes", JSON.stringify([...state.notes]));
  put("compare", state.compared, "");
  put("feasible", Number(state.feasible), 0);
  put("starred", Number(state.starred), 0);
  put("find", state.find, "");
  if (state.ranges.size) said.set("ranges", JSON.stringify([...state.ranges].map(([k, range]) => [k, ...range])));
  put("axes", state.axes, first.axes);
  put("xy", [state.x, state.y], [first.x, first.y]);
  put("sort", [state.sort, Number(state.falling)], [-1, 0]);
  const text = said.toString();
  return text ? `of=${data.digest}&${text}` : "";
}

/** The state that a text after # says. Whoever wrote it, what does not fit is left out; null: of another file. */
export function read(data, text) {
  const state = fresh(data), said = new URLSearchParams(text);
  if (!said.size) return state;
  if (said.get("of") !== data.digest) return null;
  const below = (limit) => (value) => Number.isInteger(value) && value >= 0 && value < limit;
  const design = below(data.count), column = below(data.columns.length);
  const list = (key) => (said.get(key) ?? "").split(",").filter(Boolean).map(Number);
  const pairs = (key) => {
    try {
      const found = JSON.parse(said.get(key) ?? "[]");
      return Array.isArray(found) ? found.filter(Array.isArray) : [];
    } catch {
      return [];
    }
  };
  const bound = (value) => value === null || Number.isFinite(value);
  [state.current = 0] = list("at").filter(design);
  state.stars = new Set(list("stars").filter(design));
  state.compared = [...new Set(list("compare").filter(design))].slice(0, 4);
  for (const [i, note] of pairs("notes")) {
    if (design(i) && typeof note === "string" && note) state.notes.set(i, note.slice(0, LONGEST));
  }
  for (const [k, low, high] of pairs("ranges")) {
    if (column(k) && bound(low) && bound(high)) state.ranges.set(k, [low, high]);
  }
  state.feasible = said.get("feasible") === "1";
  state.starred = said.get("starred") === "1";
  state.find = (said.get("find") ?? "").slice(0, LONGEST);
  if (said.has("axes")) state.axes = [...new Set(list("axes").filter(column))];
  [state.x = state.x, state.y = state.y] = list("xy").filter(column);
  const [sort = -1, falling = 0] = list("sort");
  if (column(sort)) [state.sort, state.falling] = [sort, falling === 1];
  return state;
}
