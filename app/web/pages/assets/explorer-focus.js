// The nodes around one: real links that a keyboard reaches, over curves. Opened columns make room for themselves.
import { plain } from "./request.js";
import { View } from "./explorer-view.js";

const SVG = "http://www.w3.org/2000/svg";
const ROW_PX = 22;
const PAD_PX = 6;
export const MAX_ROWS = 40;

const element = (name, properties = {}, ...children) => {
  const { dataset = {}, style = {}, ...rest } = properties;
  const made = Object.assign(document.createElement(name), rest);
  Object.assign(made.dataset, dataset);
  Object.assign(made.style, style);
  made.append(...children);
  return made;
};

/** A smooth curve through points, level at each. */
const curve = (points) =>
  points.slice(1).reduce((path, [x, y], number) => {
    const [fromX, fromY] = points[number];
    const bend = Math.max((x - fromX) / 2, 12);
    return `${path}C${fromX + bend} ${fromY} ${x - bend} ${y} ${x} ${y}`;
  }, `M${points[0].join(" ")}`);

export class FocusView {
  /** `on` has what to do: `select(id)`, `open(id)`, `expand(text)`, `columns(id)`, `column(id, name)`; `href(id)` is a node's address. */
  constructor(host, on) {
    Object.assign(this, { host, on, columns: new Map(), lit: null });
    this.wires = document.createElementNS(SVG, "svg");
    this.wires.setAttribute("aria-hidden", "true");
    this.boxes = element("div", { className: "nodes" });
    this.stage = element("div", { className: "stage" }, this.wires, this.boxes);
    host.replaceChildren(this.stage);
    host.setAttribute("role", "group");
    this.stop = new AbortController();
    const { signal } = this.stop;
    this.view = new View(host, this.stage, signal, { least: 0.1, most: 2 });
    host.addEventListener("pointerdown", () => (this.pressed = true), { signal, capture: true });
    host.addEventListener("click", (event) => this.#click(event), { signal });
    host.addEventListener("dblclick", (event) => this.#double(event), { signal });
    host.addEventListener("keydown", (event) => this.#key(event), { signal });
    host.addEventListener("focusin", (event) => this.#focused(event), { signal });
    host.addEventListener("pointerover", (event) => this.#near(event.target.closest(".node")?.dataset.id), { signal });
    host.addEventListener("pointerleave", () => this.#near(this.selected), { signal });
  }

  /** Draw a layout. `keep`: it does not move, and what was selected stays so if it is still there. */
  show(layout, { keep = false } = {}) {
    const before = keep && this.layout && this.#place(this.selected);
    const focused = this.host.contains(document.activeElement);
    this.layout = layout;
    this.byId = new Map(layout.nodes.map((node) => [node.unique_id, node]));
    this.selected = keep && this.byId.has(this.selected) ? this.selected : layout.focus;
    this.host.setAttribute("aria-label", `Drawing of ${layout.nodes.length} nodes around ${this.byId.get(layout.focus).name}`);
    this.#draw();
    const after = before && this.#place(this.selected);
    if (after) {
      this.view.move((before.x - after.x) * this.view.scale, (before.y - after.y) * this.view.scale);
    } else {
      this.fit();
    }
    this.select(this.selected, { quiet: true, focus: focused });
  }

  /** Show everything, or what can be read of it around the middle; `whole`: everything, however small. */
  fit(whole = false) {
    this.view.fit();
    if (!whole && this.view.scale < 0.6) {
      const { x, y, width, height } = this.#place(this.layout.focus);
      this.view.centre(x + width / 2, y + height / 2, 0.8);
    }
  }

  /** Show these columns in a node; null: none. */
  openColumns(id, columns) {
    if (columns) {
      this.columns.set(id, columns);
    } else {
      this.columns.delete(id);
    }
    cancelAnimationFrame(this.due); // Many that are opened at once are drawn once.
    this.due = requestAnimationFrame(() => !this.stop.signal.aborted && this.#redraw());
  }

  /** Light up the way of `column` of node `of`: `{of, column, nodes: Set, columns: Map(id → Set of names), edges, pairs}`; null: nothing. */
  light(lit) {
    this.lit = lit;
    this.#redraw();
  }

  select(id, { quiet = false, focus = false } = {}) {
    this.selected = id;
    for (const box of this.boxes.children) {
      const is = box.dataset.id === id;
      box.classList.toggle("selected", is);
      box.querySelector("a").tabIndex = is ? 0 : -1;
      if (is && focus) {
        box.querySelector("a").focus({ preventScroll: true });
      }
    }
    this.#near(id);
    if (!quiet) {
      this.#reveal(id);
      this.on.select(id);
    }
  }

  /** Move the drawing so that a node is seen, and the page, if the node has the keyboard's focus in a part that is scrolled away. */
  #reveal(id) {
    const { x, y, width, height } = this.#place(id);
    this.view.reveal(x, y, width, height);
    const focused = document.activeElement;
    if (focused.closest(".node")?.dataset.id === id) {
      focused.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }

  close() {
    this.stop.abort();
    this.host.removeAttribute("role");
    this.host.removeAttribute("aria-label");
  }

  /** The rows of columns that a node shows: all if it is open, otherwise those that are lit. */
  #rows(id) {
    const open = this.columns.get(id);
    const lit = [...(this.lit?.columns.get(id) || [])];
    return open ? [...open.slice(0, MAX_ROWS), ...lit.filter((name) => open.indexOf(name) >= MAX_ROWS)] : lit;
  }

  /** Where everything is, with room for columns below the nodes that show some. */
  #place(id) {
    return this.places.get(id);
  }

  #measure() {
    const layers = new Map();
    for (const node of this.layout.nodes) {
      const rows = this.#rows(node.unique_id);
      const extra = rows.length ? rows.length * ROW_PX + PAD_PX : 0;
      const layer = layers.get(node.layer) || layers.set(node.layer, { left: node.x, right: node.x + node.width, extras: [] }).get(node.layer);
      layer.extras.push([node.y, extra]);
    }
    const shift = (layer, y) => layer.extras.reduce((sum, [top, extra]) => sum + (top < y ? extra : 0), 0);
    // A layer that grew stays in the middle of the others.
    const most = Math.max(...[...layers.values()].map((layer) => shift(layer, Infinity)));
    for (const layer of layers.values()) {
      layer.up = Math.round((most - shift(layer, Infinity)) / 2);
    }
    this.places = new Map(
      this.layout.nodes.map((node) => {
        const layer = layers.get(node.layer);
        const rows = this.#rows(node.unique_id);
        const height = node.height + (rows.length ? rows.length * ROW_PX + PAD_PX : 0);
        return [node.unique_id, { x: node.x, y: node.y + shift(layer, node.y) + layer.up, width: node.width, height, rows }];
      }),
    );
    const all = [...layers.values()];
    this.bend = ([x, y]) => {
      const layer = all.find(({ left, right }) => x >= left && x <= right);
      return [x, y + (layer ? shift(layer, y - 22) + layer.up : 0)];
    };
    Object.assign(this.view, { width: this.layout.width, height: Math.max(...[...this.places.values()].map(({ y, height }) => y + height)) });
  }

  #draw() {
    this.#measure();
    this.boxes.replaceChildren(...this.layout.nodes.map((node) => this.#node(node)));
    this.#wire();
  }

  #redraw() {
    const before = this.#place(this.selected);
    const focused = this.host.contains(document.activeElement);
    this.#draw();
    const after = this.#place(this.selected);
    this.view.move((before.x - after.x) * this.view.scale, (before.y - after.y) * this.view.scale);
    this.select(this.selected, { quiet: true, focus: focused });
  }

  #node(node) {
    const id = node.unique_id;
    const { x, y, width, height, rows } = this.#place(id);
    const facts = [node.trouble, node.materialized, node.tests && `${node.tests} ${node.tests === 1 ? "test" : "tests"}`, node.owner].filter(Boolean);
    const kind = node.resource_type.replace("_", " ");
    const mark = { added: "+", removed: "\u2212", changed: "~" }[node.change];
    const spoken = [
      node.name,
      kind,
      node.change,
      node.trouble,
      node.materialized,
      id === this.layout.focus && "in the middle",
      `${this.#beside(id, "downstream", "upstream").length + node.more_upstream} upstream`,
      `${this.#beside(id, "upstream", "downstream").length + node.more_downstream} downstream`,
    ];
    const link = element(
      "a",
      { href: this.on.href(id), title: `${node.name}\n${node.original_file_path}`, tabIndex: -1 },
      element("span", { className: "sign", ariaHidden: "true", dataset: { kind: node.resource_type } }),
      element("span", { className: "name" }, node.name),
      element("span", { className: "facts" }, facts.join(" · ") || kind),
    );
    link.setAttribute("aria-label", spoken.filter(Boolean).join(", "));
    const box = element("div", {
      className: ["node", id === this.layout.focus && "focus", node.change, node.trouble && "troubled"].filter(Boolean).join(" "),
      dataset: { id, kind: node.resource_type },
      style: { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` },
    });
    box.classList.toggle("dim", Boolean(this.lit) && !this.lit.nodes.has(id));
    box.append(link);
    if (mark) {
      box.append(element("span", { className: "mark", ariaHidden: "true" }, mark));
    }
    for (const [count, way, text, words] of [
      [node.more_upstream, "more up", `+${id}`, "upstream"],
      [node.more_downstream, "more down", `${id}+`, "downstream"],
    ]) {
      if (count) {
        const label = `Show ${count} more ${words} of ${node.name}`;
        box.append(element("button", { type: "button", className: way, tabIndex: -1, ariaLabel: label, title: label, dataset: { expand: text } }, `+${count}`));
      }
    }
    if (node.columns || this.columns.has(id)) {
      const open = this.columns.has(id);
      const label = `${open ? "Hide" : "Show"} the columns of ${node.name}`;
      box.append(
        element("button", { type: "button", className: "columns", tabIndex: -1, ariaLabel: label, title: label, dataset: { columns: id } }, open ? "\u25b4" : "\u25be"),
      );
    }
    if (rows.length) {
      const lit = this.lit?.columns.get(id);
      const list = rows.map((name) =>
        element(
          "li",
          { className: lit?.has(name) ? (this.lit.of === id && this.lit.column === name ? "lit followed" : "lit") : "" },
          element("button", { type: "button", tabIndex: -1, title: `Follow ${plain(name)}`, dataset: { column: name, of: id } }, plain(name)),
        ),
      );
      box.append(element("ul", { className: "node-columns" }, ...list));
    }
    return box;
  }

  #wire() {
    const { width, height } = this.view;
    this.wires.setAttribute("width", width);
    this.wires.setAttribute("height", height);
    const path = (points, classes, from, to) => {
      const made = document.createElementNS(SVG, "path");
      made.setAttribute("d", curve(points));
      made.setAttribute("class", classes.filter(Boolean).join(" "));
      made.dataset.from = from;
      made.dataset.to = to;
      return made;
    };
    const drawn = this.layout.edges.map((edge) => {
      const lit = this.lit?.pairs.has(`${edge.upstream} ${edge.downstream}`);
      const points = edge.points.map(this.bend);
      // The ends are where the nodes are: a step beside a node that grew can move further than it.
      points[0][1] = this.#place(edge.upstream).y + 22;
      points.at(-1)[1] = this.#place(edge.downstream).y + 22;
      return path(points, ["wire", edge.change, this.lit && !lit && "dim", lit && "lit"], edge.upstream, edge.downstream);
    });
    const between = new Map(this.layout.edges.map((edge) => [`${edge.upstream} ${edge.downstream}`, edge.points.slice(1, -1).map(this.bend)]));
    for (const { upstream, downstream, type } of this.lit?.edges || []) {
      const [from, to] = [this.#end(upstream, true), this.#end(downstream, false)];
      if (from && to) {
        const way = between.get(`${upstream.unique_id} ${downstream.unique_id}`) || [];
        drawn.push(path([from, ...way, to], ["column-wire", type === "INDIRECT" && "indirect"], upstream.unique_id, downstream.unique_id));
      }
    }
    this.wires.replaceChildren(...drawn);
  }

  #end({ unique_id: id, column }, right) {
    const place = this.#place(id);
    if (!place) {
      return null;
    }
    const row = place.rows.indexOf(column);
    return [place.x + (right ? place.width : 0), place.y + (row < 0 ? 22 : 44 + row * ROW_PX + ROW_PX / 2)];
  }

  #beside(id, end, other) {
    return this.layout.edges.filter((edge) => edge[end] === id).map((edge) => edge[other]);
  }

  #near(id) {
    for (const wire of this.wires.children) {
      wire.classList.toggle("near", Boolean(id) && (wire.dataset.from === id || wire.dataset.to === id));
    }
  }

  #click(event) {
    const button = event.target.closest("button");
    const of = button?.closest(".node").dataset.id;
    if (of && of !== this.selected) {
      this.select(of);
    }
    if (button?.dataset.expand) {
      this.on.expand(button.dataset.expand);
    } else if (button?.dataset.columns) {
      this.on.columns(button.dataset.columns);
    } else if (button?.dataset.column) {
      this.on.column(button.dataset.of, button.dataset.column);
    } else {
      const box = event.target.closest(".node");
      if (box && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
        event.preventDefault();
        // Enter on what is selected already opens it, as a link does.
        if (box.dataset.id === this.selected && event.detail === 0) {
          this.on.open(this.selected);
        } else {
          this.select(box.dataset.id, { focus: true });
        }
      }
    }
  }

  #double(event) {
    const box = event.target.closest(".node");
    if (box && !event.target.closest("button")) {
      this.on.open(box.dataset.id);
    }
  }

  #focused(event) {
    const id = event.target.closest(".node")?.dataset.id;
    // A press may be the beginning of a drag; the click says what it was.
    if (id && !this.pressed) {
      if (id !== this.selected) {
        this.select(id);
      } else {
        this.#reveal(id);
      }
    }
  }

  /** Arrow keys follow edges; between nodes above each other, they go up and down. */
  #key(event) {
    this.pressed = false;
    if (event.altKey || event.ctrlKey || event.metaKey) {
      return;
    }
    const node = this.byId.get(this.selected);
    const { y } = this.#place(this.selected);
    const nearest = (ids) => ids.map((id) => [Math.abs(this.#place(id).y - y), id]).sort((one, other) => one[0] - other[0])[0]?.[1];
    const beside = (by) => this.layout.nodes.find((one) => one.layer === node.layer && one.order === node.order + by)?.unique_id;
    const moves = {
      ArrowLeft: () => nearest(this.#beside(this.selected, "downstream", "upstream")) || (node.more_upstream && `+${this.selected}`),
      ArrowRight: () => nearest(this.#beside(this.selected, "upstream", "downstream")) || (node.more_downstream && `${this.selected}+`),
      ArrowUp: () => beside(-1),
      ArrowDown: () => beside(1),
      Home: () => this.layout.focus,
    };
    if (moves[event.key]) {
      const to = moves[event.key]();
      if (this.byId.has(to)) {
        this.select(to, { focus: true });
      } else if (to) {
        this.on.expand(to);
      }
    } else if (event.key === "+" || event.key === "=") {
      this.view.zoom(1);
    } else if (event.key === "-") {
      this.view.zoom(-1);
    } else if (event.key === "0") {
      this.fit(true);
    } else if (event.key === "c") {
      this.on.columns(this.selected);
    } else {
      return;
    }
    event.preventDefault();
  }
}
