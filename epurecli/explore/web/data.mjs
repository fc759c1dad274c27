// What the file holds: names and numbers as deflated JSON, the label maps of all designs as deflated bytes.

async function inflated(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Names, columns (values, null where there is none; least, largest, how many differ) and `map(i)`, a design's labels. */
export async function load() {
  const [table, maps] = await Promise.all([inflated("table"), inflated("maps")]);
  const data = JSON.parse(new TextDecoder().decode(table));
  const pixels = data.height * data.width;
  for (const column of data.columns) {
    const finite = column.values.filter((value) => value !== null);
    column.low = finite.reduce((a, b) => Math.min(a, b), Infinity);
    column.kinds = new Set(finite).size;
    column.high = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  }
  return { ...data, count: data.names.length, map: (i) => maps.subarray(i * pixels, (i + 1) * pixels) };
}

/** A number for people: five significant digits. */
export function number(value) {
  if (value === null || value === undefined) return "–";
  return String(Number(value.toPrecision(5)));
}

/** Why a design cannot be built, in words; empty where it can. */
export function faults(data, i) {
  const [objects, empty, stray, gap, overlap] = data.faults[i];
  const said = [];
  if (objects !== 1) said.push(`${objects} objects`);
  if (empty) said.push(`${empty} empty part${empty > 1 ? "s" : ""}`);
  if (stray > data.stray_allowed) said.push(`${stray} stray px`);
  if (gap) said.push(`${gap} px gap`);
  if (overlap) said.push(`${overlap} px overlap`);
  return said.join(", ");
}

const FORMULA = /^'*[=+\-@\t\r]/;  // a spreadsheet would compute it: an apostrophe stands before it

/** A CSV cell. Numbers stay numbers. */
function cell(value) {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The table of some designs. */
export function csv(data, rows, stars, notes) {
  const columns = [...data.columns, ...data.words];
  const head = ["name", "star", "note", "feasible", ...columns.map((column) => column.name)];
  const lines = rows.map((i) => [
    data.names[i], stars.has(i) ? 1 : 0, notes.get(i) ?? "", data.valid[i], ...columns.map((column) => column.values[i]),
  ]);
  return [head, ...lines].map((line) => line.map(cell).join(",") + "\r\n").join("");
}
