// Parallel coordinates: an axis a column, a line a design, a range on each axis by dragging or by two numbers.
import { number } from "./data.mjs";
import { byId, el, surface, token } from "./dom.mjs";

const HEIGHT = 190, PAD = 8;
const DASHES = [[], [9, 4], [3, 3], [9, 3, 2, 3]];

export function parallel(app) {
  const { data } = app, home = byId("axes"), back = byId("all-lines"), front = byId("lines"), chooser = byId("axis-list");
  let built = "", drawn = "";

  const share = (column, value) => (column.high > column.low ? (value - column.low) / (column.high - column.low) : 0.5);
  const place = (column, value) => PAD + (1 - share(column, value)) * (HEIGHT - 2 * PAD);

  function axis(k) {
    const column = data.columns[k], strip = el("div", { class: "strip" }), brush = el("div", { class: "brush" });
    strip.append(brush);
    strip.style.height = `${HEIGHT}px`;
    const field = (end, word) => el("input", { type: "number", step: "any", "aria-label": `${column.name}, ${word}`,
      placeholder: number(end ? column.high : column.low), "data-axis": k, "data-end": end,
      onchange: (event) => {
        const range = [...(app.state.ranges.get(k) ?? [null, null])];
        range[end] = event.target.value === "" ? null : event.target.valueAsNumber;
        limit(k, range);
      } });
    let from = null;
    const value = (event) => {
      const at = (event.clientY - strip.getBoundingClientRect().top - PAD) / (HEIGHT - 2 * PAD);
      return Math.min(1, Math.max(0, 1 - at));
    };
    const to = (part) => (part <= 0 || part >= 1 ? null
      : Number((column.low + part * (column.high - column.low)).toPrecision(4)));
    strip.addEventListener("pointerdown", (event) => {
      from = value(event);
      strip.setPointerCapture(event.pointerId);
    });
    strip.addEventListener("pointermove", (event) => {
      if (from === null) return;
      const [low, high] = [from, value(event)].sort((a, b) => a - b);
      if ((high - low) * HEIGHT > 3) limit(k, [to(low), to(high)]);
    });
    strip.addEventListener("pointerup", (event) => {
      if (Math.abs(value(event) - from) * HEIGHT <= 3) limit(k, [null, null]);
      from = null;
    });
    strip.addEventListener("pointercancel", () => { from = null; });
    const title = el("span", { class: "axis-name", title: column.name }, column.name);
    const moves = app.state.axes.length < 2 ? [] : [
      el("button", { type: "button", "aria-label": `${column.name} to the left`, onclick: (e) => move(k, -1, e) }, "‹"), title,
      el("button", { type: "button", "aria-label": `${column.name} to the right`, onclick: (e) => move(k, 1, e) }, "›")];
    return el("div", { class: "axis", role: "group", "aria-label": column.name },
      el("div", { class: "axis-head" }, ...(moves.length ? moves : [title])), strip, field(1, "at most"), field(0, "at least"));
  }

  function move(k, by, event) {
    const axes = [...app.state.axes], at = axes.indexOf(k), to = at + by;
    if (to < 0 || to >= axes.length) return;
    [axes[at], axes[to]] = [axes[to], axes[at]];
    const label = event.currentTarget.getAttribute("aria-label");
    app.change({ axes });
    home.querySelector(`[aria-label="${CSS.escape(label)}"]`)?.focus();
  }

  function limit(k, range) {
    const ranges = new Map(app.state.ranges);
    if (range[0] === null && range[1] === null) ranges.delete(k);
    else ranges.set(k, range);
    app.change({ ranges });
  }

  function build() {
    home.replaceChildren(...app.state.axes.map(axis));
    chooser.replaceChildren(...data.columns.map((column, k) => {
      const box = el("input", { type: "checkbox", onchange: () => {
        const { axes } = app.state;
        app.change({ axes: box.checked ? [...axes, k] : axes.filter((other) => other !== k) });
      } });
      box.checked = app.state.axes.includes(k);
      return el("label", {}, box, ` ${column.name}`);
    }));
  }

  function trace(context, i, wide) {
    let pen = false;
    app.state.axes.forEach((k, at) => {
      const column = data.columns[k], value = column.values[i];
      if (value === null) {
        pen = false;
        return;
      }
      const x = (at + 0.5) * wide, y = place(column, value);
      if (pen) context.lineTo(x, y);
      else context.moveTo(x, y);
      pen = true;
    });
  }

  function lines(context, rows, wide) {
    context.beginPath();
    for (const i of rows) trace(context, i, wide);
    context.stroke();
  }

  function draw() {
    const { state } = app;
    if (built !== String(state.axes)) {
      built = String(state.axes);
      build();
      drawn = "";
    }
    const width = home.clientWidth, wide = width / Math.max(1, state.axes.length);
    const top = home.querySelector(".strip")?.offsetTop ?? 0;
    const look = `${width} ${state.axes} ${token("--faint")} ${window.devicePixelRatio}`;
    if (look !== drawn) {
      drawn = look;
      back.style.top = front.style.top = `${top}px`;
      const context = surface(back, width, HEIGHT);
      context.strokeStyle = token("--faint");
      context.globalAlpha = Math.min(1, 400 / data.count + 0.15);
      lines(context, data.names.keys(), wide);
    }
    const context = surface(front, width, HEIGHT);
    context.strokeStyle = token("--accent");
    context.globalAlpha = Math.min(0.9, 60 / Math.max(1, app.rows.length) + 0.03);
    lines(context, app.rows, wide);
    context.globalAlpha = 1;
    context.fillStyle = context.strokeStyle = token("--ink");
    state.axes.forEach((_, at) => context.fillRect((at + 0.5) * wide - 0.5, PAD, 1, HEIGHT - 2 * PAD));
    context.lineWidth = 2;
    state.compared.forEach((i, at) => {
      context.setLineDash(DASHES[at]);
      lines(context, [i], wide);
    });
    context.setLineDash([]);
    context.lineWidth = 3;
    lines(context, [state.current], wide);
    state.axes.forEach((k, at) => ranges(k, home.children[at]));
  }

  function ranges(k, group) {
    const column = data.columns[k], [low, high] = app.state.ranges.get(k) ?? [null, null];
    const brush = group.querySelector(".brush"), ends = [low, high];
    for (const field of group.querySelectorAll("input")) {
      const value = ends[Number(field.dataset.end)];
      if (document.activeElement !== field) field.value = value ?? "";
    }
    brush.hidden = low === null && high === null;
    const from = high === null ? PAD : Math.max(0, place(column, high)), to = low === null ? HEIGHT - PAD : place(column, low);
    brush.style.top = `${from}px`;
    brush.style.height = `${Math.max(2, Math.min(HEIGHT, to) - from)}px`;
  }

  return { draw };
}
