// Two columns against each other. A disc can be built, a cross cannot, a star is starred: never colour alone.
import { faults, number } from "./data.mjs";
import { byId, el, surface, token } from "./dom.mjs";
import { mirrored, picture } from "./section.mjs";

const LEFT = 66, BOTTOM = 34, TOP = 10, RIGHT = 12, HEIGHT = 300, NEAR = 24;

export function scatter(app) {
  const { data } = app, canvas = byId("points"), hint = byId("hint"), colours = data.components.map((p) => p.colour);
  const choosers = ["x", "y"].map((key) => {
    const chooser = byId(`scatter-${key}`);
    chooser.append(...data.columns.map((column, k) => el("option", { value: k }, column.name)));
    chooser.addEventListener("change", () => app.change({ [key]: Number(chooser.value) }));
    return [key, chooser];
  });
  let width = 0, places = [];

  const spot = (column, value, from, to) =>
    (column.high > column.low ? from + ((value - column.low) / (column.high - column.low)) * (to - from) : (from + to) / 2);

  function mark(context, i, x, y) {
    context.beginPath();
    if (app.state.stars.has(i)) {
      for (let k = 0; k < 10; k++) {
        const r = k % 2 ? 3 : 7, a = (Math.PI * k) / 5 - Math.PI / 2;
        context.lineTo(x + r * Math.cos(a), y + r * Math.sin(a));
      }
      context.closePath();
      context.fill();
    } else if (data.valid[i]) {
      context.arc(x, y, 2.5, 0, 2 * Math.PI);
      context.fill();
    } else {
      context.moveTo(x - 3, y - 3);
      context.lineTo(x + 3, y + 3);
      context.moveTo(x + 3, y - 3);
      context.lineTo(x - 3, y + 3);
      context.stroke();
    }
  }

  function draw() {
    const { state } = app, xs = data.columns[state.x], ys = data.columns[state.y];
    for (const [key, chooser] of choosers) chooser.value = state[key];
    width = canvas.parentElement.clientWidth;
    const context = surface(canvas, width, HEIGHT);
    context.font = "12px system-ui, sans-serif";
    context.fillStyle = context.strokeStyle = token("--ink");
    if (!xs) return;
    const right = width - RIGHT, base = HEIGHT - BOTTOM;
    context.strokeRect(LEFT - 6.5, TOP - 6.5, right - LEFT + 13, base - TOP + 13);
    context.textAlign = "right";
    context.fillText(number(ys.high), LEFT - 10, TOP + 6);
    context.fillText(number(ys.low), LEFT - 10, base + 4);
    context.fillText(number(xs.high), right, HEIGHT - 8);
    context.textAlign = "left";
    context.fillText(number(xs.low), LEFT, HEIGHT - 8);
    places = [];
    const visible = new Set(app.rows);
    const at = (i) => [spot(xs, xs.values[i], LEFT, right), spot(ys, ys.values[i], base, TOP)];
    const there = (i) => xs.values[i] !== null && ys.values[i] !== null;
    context.fillStyle = context.strokeStyle = token("--faint");
    for (let i = 0; i < data.count; i++) if (!visible.has(i) && there(i)) context.fillRect(...at(i).map((p) => p - 1), 2, 2);
    context.fillStyle = context.strokeStyle = token("--accent");
    for (const i of app.rows) {
      if (!there(i)) continue;
      const [x, y] = at(i);
      places.push([x, y, i]);
      mark(context, i, x, y);
    }
    context.fillStyle = context.strokeStyle = token("--ink");
    context.lineWidth = 2;
    const ring = (i, radius) => {
      if (!there(i)) return;
      context.beginPath();
      context.arc(...at(i), radius, 0, 2 * Math.PI);
      context.stroke();
    };
    context.font = "bold 13px system-ui, sans-serif";
    state.compared.forEach((i, k) => there(i) && context.fillText("ABCD"[k], at(i)[0] + 8, at(i)[1] - 6));
    ring(state.current, 8);
  }

  function nearest(event) {
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    let best = null, least = NEAR ** 2;
    for (const [px, py, i] of places) {
      const far = (px - x) ** 2 + (py - y) ** 2;
      if (far < least) [best, least] = [{ i, x: px, y: py }, far];
    }
    return best;
  }

  canvas.addEventListener("click", (event) => {
    const found = nearest(event);
    if (found) app.go(found.i);
  });
  canvas.addEventListener("pointermove", (event) => {
    const found = nearest(event);
    hint.hidden = !found;
    if (!found) return;
    const section = mirrored(data.map(found.i), data.height, data.width, data.side);
    hint.replaceChildren(picture(section, colours, 96 / Math.max(section.width, section.height)),
      el("span", {}, data.names[found.i]), el("span", {}, faults(data, found.i)));
    hint.style.left = `${Math.min(found.x + 14, Math.max(0, width - 150))}px`;
    hint.style.top = `${found.y + 14}px`;
  });
  canvas.addEventListener("pointerleave", () => { hint.hidden = true; });
  canvas.addEventListener("keydown", (event) => {
    const [axis, by] = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, 1], ArrowUp: [1, -1] }[event.key] ?? [];
    if (axis === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const line = [...places].sort((a, b) => a[axis] - b[axis] || a[2] - b[2]).map((place) => place[2]);
    const here = line.indexOf(app.state.current);
    const to = line[here < 0 ? 0 : Math.min(line.length - 1, Math.max(0, here + by))];
    if (to === undefined) return;
    app.go(to);
    const [xs, ys] = [app.state.x, app.state.y].map((k) => data.columns[k]);
    app.say(`${data.names[to]}: ${xs.name} ${number(xs.values[to])}, ${ys.name} ${number(ys.values[to])}`);
  });
  return { draw };
}
