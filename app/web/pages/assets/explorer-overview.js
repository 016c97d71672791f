// The whole lineage: squares that a worker draws, and that are only moved while somebody drags.
import { TILE } from "./explorer-tiles.js";
import { plain } from "./request.js";
import { View } from "./explorer-view.js";

const KEPT = 160;
const STEP_PX = 80;
const MAX_NAME = 100;

export class Overview {
  /** `open` is called with the unique_id of a node that was chosen, `say` with what is under the pointer. */
  constructor(host, { open, say, colours, name }) {
    Object.assign(this, { host, open, colours, name });
    this.stage = Object.assign(document.createElement("div"), { className: "tiles" });
    this.tip = Object.assign(document.createElement("p"), { className: "tip", hidden: true });
    host.replaceChildren(this.stage, this.tip);
    host.setAttribute("role", "group");
    host.tabIndex = 0;
    this.tiles = new Map();
    this.era = 0;
    this.worker = new Worker(new URL("./explorer-tiles.js", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => this.#drawn(data));
    this.stop = new AbortController();
    const { signal } = this.stop;
    this.view = new View(host, this.stage, signal, { least: 0.005, most: 2, changed: (rests) => this.#look(rests) });
    host.addEventListener("pointermove", (event) => this.#hover(event), { signal });
    host.addEventListener("pointerleave", () => (this.tip.hidden = true), { signal });
    host.addEventListener("click", (event) => this.#click(event), { signal });
    host.addEventListener("keydown", (event) => this.#key(event, say), { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#send(), { signal });
    this.resized = new ResizeObserver(() => this.layout && this.#look(true));
    this.resized.observe(host);
  }

  /** Draw a layout. `place` is what `place()` returned before, if anything. */
  show(layout, place) {
    const { nodes } = layout;
    this.layout = {
      ids: nodes.unique_id,
      name: nodes.name.map((name) => plain(name.slice(0, MAX_NAME))),
      x: Int32Array.from(nodes.x),
      y: Int32Array.from(nodes.y),
      kind: Uint8Array.from(nodes.resource_type),
      change: Uint8Array.from(nodes.change),
      group: nodes.group,
      edges: Int32Array.from(layout.edges),
      edgeChanges: Uint8Array.from(layout.edge_changes),
      nodeWidth: layout.node_width,
      nodeHeight: layout.node_height,
    };
    // Nodes that are above each other, from top to bottom, by their left side: tall layers have several such lanes.
    this.lanes = new Map();
    for (const [node, left] of nodes.x.entries()) {
      const lane = this.lanes.get(left) || this.lanes.set(left, []).get(left);
      lane.push(node);
    }
    for (const lane of this.lanes.values()) {
      lane.sort((one, other) => nodes.y[one] - nodes.y[other]);
    }
    Object.assign(this, { types: layout.resource_types, width: layout.width, height: layout.height, emphasis: null });
    Object.assign(this.view, { width: layout.width, height: layout.height });
    this.host.setAttribute("aria-label", this.name(nodes.unique_id.length, layout.edges.length / 2));
    this.#send();
    if (place) {
      [this.view.x, this.view.y, this.view.scale] = place;
      this.view.apply(true);
    } else {
      this.fit();
    }
  }

  fit() {
    this.view.fit();
  }

  /** Draw only nodes for which `test` of their place is true with full colour; null: all. */
  emphasise(test) {
    const { ids } = this.layout;
    this.emphasis = test && Uint8Array.from(ids, (_, node) => Number(test(node)));
    this.worker.postMessage({ emphasis: this.emphasis });
    this.#forget();
    this.#look(true);
  }

  place() {
    return [this.view.x, this.view.y, this.view.scale].map((one) => Math.round(one * 1e4) / 1e4);
  }

  close() {
    this.stop.abort();
    this.resized.disconnect();
    this.worker.terminate();
    this.host.removeAttribute("tabindex");
    this.host.removeAttribute("role");
    this.host.removeAttribute("aria-label");
  }

  #send() {
    const { ids, group, ...layout } = this.layout;
    this.worker.postMessage({ drawing: { layout, colours: this.colours(this.types), emphasis: this.emphasis } });
    this.#forget();
    this.#look(true);
  }

  #forget() {
    this.era += 1;
    for (const tile of this.tiles.values()) {
      tile.era = -1; // It stays until its successor is drawn.
    }
  }

  /** Ask for the squares that are seen, the nearest to the middle first; at rest also those around them. */
  #look(rests) {
    if (!this.layout) {
      return;
    }
    const { x, y, scale } = this.view;
    const sharp = scale * (window.devicePixelRatio || 1);
    const level = Math.ceil(Math.log2(sharp) - 0.25);
    const size = TILE / 2 ** level; // of a square, in pixels of the layout
    const { clientWidth, clientHeight } = this.host;
    const margin = rests ? size / 2 : 0;
    const range = (from, room, length) => [
      Math.max(0, Math.floor((-from / scale - margin) / size)),
      Math.min(Math.floor(length / size), Math.floor(((room - from) / scale + margin) / size)),
    ];
    const [firstX, lastX] = range(x, clientWidth, this.width);
    const [firstY, lastY] = range(y, clientHeight, this.height);
    const wanted = [];
    for (let row = firstY; row <= lastY; row += 1) {
      for (let column = firstX; column <= lastX; column += 1) {
        const key = `${level}/${column}/${row}`;
        const tile = this.tiles.get(key);
        if (tile) {
          this.tiles.delete(key);
          this.tiles.set(key, tile);
        }
        if (tile?.era !== this.era) {
          const away = Math.hypot(column * size + size / 2 - (clientWidth / 2 - x) / scale, row * size + size / 2 - (clientHeight / 2 - y) / scale);
          wanted.push({ key, era: this.era, scale: TILE / size, left: column * size, top: row * size, size, away });
        }
      }
    }
    if (level !== this.level) {
      this.level = level;
      for (const [key, tile] of this.tiles) {
        tile.canvas.style.zIndex = key.startsWith(`${level}/`) ? 1 : 0;
      }
    }
    const asked = wanted.map((one) => one.key).join(" ") + this.era;
    if (asked !== this.asked) {
      this.asked = asked;
      wanted.sort((one, other) => one.away - other.away);
      this.worker.postMessage({ wanted });
    }
  }

  #drawn({ key, era, bitmap }) {
    if (era !== this.era) {
      bitmap.close();
      return;
    }
    const [level, column, row] = key.split("/").map(Number);
    const size = TILE / 2 ** level;
    let tile = this.tiles.get(key);
    if (!tile) {
      const canvas = Object.assign(document.createElement("canvas"), { width: TILE, height: TILE });
      Object.assign(canvas.style, {
        left: `${column * size}px`,
        top: `${row * size}px`,
        width: `${size}px`,
        height: `${size}px`,
        zIndex: level === this.level ? 1 : 0,
      });
      tile = { canvas };
      this.tiles.set(key, tile);
      this.stage.append(canvas);
    }
    tile.era = era;
    tile.canvas.getContext("bitmaprenderer").transferFromImageBitmap(bitmap);
    for (const [oldest, old] of this.tiles) {
      if (this.tiles.size <= KEPT) {
        break;
      }
      old.canvas.remove();
      this.tiles.delete(oldest);
    }
    this.host.dataset.drawn = String(Number(this.host.dataset.drawn || 0) + 1);
  }

  /** The node at a place, or -1. */
  find(x, y) {
    const { nodeWidth, nodeHeight, y: tops } = this.layout;
    for (const [left, nodes] of this.lanes) {
      if (x < left || x > left + nodeWidth) {
        continue;
      }
      let [low, high] = [0, nodes.length - 1];
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (tops[nodes[middle]] <= y) {
          low = middle;
        } else {
          high = middle - 1;
        }
      }
      if (y >= tops[nodes[low]] && y <= tops[nodes[low]] + nodeHeight) {
        return nodes[low];
      }
    }
    return -1;
  }

  #hover(event) {
    const node = this.layout && !event.buttons ? this.find(...this.view.at(event)) : -1;
    this.tip.hidden = node < 0;
    this.host.classList.toggle("on-node", node >= 0);
    if (node >= 0) {
      const box = this.host.getBoundingClientRect();
      this.tip.textContent = `${this.layout.name[node]} (${this.types[this.layout.kind[node]].replace("_", " ")})`;
      this.tip.style.left = `${Math.min(event.clientX - box.left + 12, box.width - this.tip.offsetWidth - 4)}px`;
      this.tip.style.top = `${event.clientY - box.top + 16}px`;
    }
  }

  #click(event) {
    const node = this.layout ? this.find(...this.view.at(event)) : -1;
    if (node >= 0) {
      this.open(this.layout.ids[node]);
    }
  }

  #key(event, say) {
    const moves = { ArrowLeft: [STEP_PX, 0], ArrowRight: [-STEP_PX, 0], ArrowUp: [0, STEP_PX], ArrowDown: [0, -STEP_PX] };
    if (event.altKey || event.ctrlKey || event.metaKey) {
      return;
    }
    if (moves[event.key]) {
      this.view.move(...moves[event.key]);
    } else if (event.key === "+" || event.key === "=") {
      this.view.zoom(1);
    } else if (event.key === "-") {
      this.view.zoom(-1);
    } else if (event.key === "0") {
      this.fit();
      say("Everything is shown.");
    } else {
      return;
    }
    event.preventDefault();
  }
}
