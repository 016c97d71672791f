// The explorer. The address is its state: node, column, depth, sha, base, expand, resource_type.
import { FocusView } from "./explorer-focus.js";
import { Overview } from "./explorer-overview.js";
import { Problem, address, json, page, plain } from "./request.js";
import { Combobox } from "./search.js";
import { makeTree } from "./tree.js";

const area = document.getElementById("explorer");
const canvas = document.getElementById("drawing");
const panel = document.getElementById("panel");
const spoken = document.getElementById("spoken");
const { connection } = area.dataset;
const api = `/api/metadata/connections/${connection}`;
const REACHED = "a, button, input, select, summary, [tabindex]";
const LISTS = ["expand", "resource_type"];
const NAMES = ["node", "column", "depth", "sha", "base", ...LISTS];
const JOINED = ["source", "model", "seed", "snapshot"];
const MOST_NAMED = 50; // nodes that a request names beside the focus
const MOST_CHARACTERS = 1000; // of each, with its plus sign
const MOST_ADDRESS = 24000; // characters of an address; the service reads 32 KiB

let state = read();
let drawing = null;
let running = new AbortController();
const columns = new Map();

function read() {
  const query = new URLSearchParams(location.search);
  return Object.fromEntries(NAMES.map((name) => [name, LISTS.includes(name) ? query.getAll(name) : query.get(name)]));
}

const hrefOf = (changes) => address(`/connections/${connection}/lineage`, { ...state, ...changes });
const nodeHref = (id) => hrefOf({ node: id, column: null, expand: [] });
const pageHref = (id) => address(`/connections/${connection}/nodes/${encodeURIComponent(id)}`, { sha: state.sha });

function say(text) {
  spoken.textContent = text;
}

function add(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** A sentence in which names stand between backticks. */
function prose(text) {
  return plain(text).split("`").map((one, index) => (index % 2 ? add("code", {}, one) : one));
}

/** What went wrong as words, with what to do about it. */
function warning(error) {
  const text = error instanceof Problem ? error.message : "The service does not answer. Reload the page to try again.";
  const links = error.status === 401 ? [" ", add("a", { href: location.href }, "Sign in again")] : [];
  return add("p", { className: "warning" }, text, ...links);
}

/** Say it instead of the drawing. */
function tell(error) {
  if (error.name === "AbortError") {
    return;
  }
  const focused = canvas.contains(document.activeElement) || panel.contains(document.activeElement);
  const shown = warning(error);
  const ofCommits = ["sha", "base"].includes(error.field);
  const links = (error.candidates || []).map((id) => add("li", {}, add("a", { href: ofCommits ? hrefOf({ [error.field]: id }) : nodeHref(id) }, id)));
  drawing?.close();
  drawing = null;
  panel.hidden = true;
  canvas.replaceChildren(shown, add("ul", {}, ...links));
  if (focused) {
    shown.tabIndex = -1;
    shown.focus();
  }
  say(shown.textContent);
}

/** Go to another state: the address changes, and everything follows. */
function go(changes, options) {
  state = { ...state, ...changes };
  history.pushState(null, "", hrefOf({}));
  return update(options);
}

async function update({ keep = false } = {}) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  area.setAttribute("aria-busy", "true");
  try {
    const { node, depth, sha, base, expand, resource_type } = state;
    const wanted = node ? { focus: node, upstream: depth, downstream: depth, expand } : {};
    const text = drawing ? page(location.href, signal) : null;
    text?.catch(() => {});
    const layout = await json(address(`${api}/layout`, { sha, base, resource_type, ...wanted }), signal);
    signal.throwIfAborted();
    await (node ? focus : overview)(layout, keep, signal);
    const written = await text;
    signal.throwIfAborted();
    if (written) {
      replaceText(written);
    }
    area.removeAttribute("aria-busy");
  } catch (error) {
    if (error.name !== "AbortError") {
      area.removeAttribute("aria-busy");
    }
    tell(error);
  }
}

/** The part that says everything in words comes from the service, which writes it for those without scripts as well. */
function replaceText(from) {
  for (const id of ["about", "words", "tools"]) {
    const [old, made] = [document.getElementById(id), from.getElementById(id)];
    const { activeElement } = document;
    const place = [...old.querySelectorAll(REACHED)].indexOf(activeElement);
    old.replaceWith(made);
    const same = made.querySelectorAll(REACHED)[place];
    if (same?.localName === "input") {
      same.value = activeElement.value; // Somebody is writing in it.
    }
    same?.focus({ preventScroll: true });
  }
  document.title = from.title;
  listen();
}

async function focus(layout, keep, signal) {
  const focused = canvas.contains(document.activeElement);
  if (!(drawing instanceof FocusView)) {
    drawing?.close();
    drawing = new FocusView(canvas, {
      href: nodeHref,
      open: (id) => go({ node: id, column: null, expand: [] }),
      expand,
      select: (id) => {
        announce(id);
        showPanel(id);
      },
      columns: toggleColumns,
      column: follow,
    });
    columns.clear();
  }
  if (!keep) {
    drawing.columns.clear();
    drawing.lit = null;
  }
  panel.hidden = false; // It takes room from the drawing.
  drawing.show(readable(layout), { keep });
  if (focused) {
    drawing.select(drawing.selected, { quiet: true, focus: true });
  }
  say(`${layout.nodes.length} nodes around ${drawing.byId.get(layout.focus).name}.${layout.truncated ? " There are more than can be drawn." : ""}`);
  await showPanel(drawing.selected);
  signal.throwIfAborted();
  if (state.column) {
    await light(layout.focus, state.column, signal);
  }
}

/** Show more neighbours of a node: `+ID` or `ID+`. */
function expand(text) {
  if (drawing.layout.truncated) {
    say("No more nodes can be drawn. Draw around this one to see its neighbours.");
  } else if (text.length > MOST_CHARACTERS) {
    say("Its name is too long for that. Draw around it to see its neighbours.");
  } else {
    const all = fitting([...new Set([...state.expand, text])].reverse(), (some) => hrefOf({ expand: some }));
    go({ expand: all.reverse() }, { keep: true });
  }
}

/** As many of the first names as one request can have in its address. */
function fitting(names, addressOf) {
  let some = names.slice(0, MOST_NAMED);
  while (some.length > 1 && addressOf(some).length > MOST_ADDRESS) {
    some = some.slice(0, -1);
  }
  return some;
}

/** A layout with texts that cannot trick readers; ids stay as they are. */
function readable(layout) {
  const isText = ([key, value]) => typeof value === "string" && key !== "unique_id";
  for (const node of layout.nodes) {
    const texts = Object.entries(node).filter(isText).map(([key, value]) => [key, plain(value)]);
    Object.assign(node, Object.fromEntries(texts), { tags: node.tags.map(plain) });
  }
  return layout;
}

function overview(layout) {
  const focused = canvas.contains(document.activeElement) || panel.contains(document.activeElement);
  const place = history.state?.place;
  if (!(drawing instanceof Overview)) {
    drawing?.close();
    drawing = new Overview(canvas, {
      colours,
      say,
      open: (id) => {
        history.replaceState({ place: drawing.place() }, "");
        go({ node: id, column: null, expand: [] });
      },
      name: (nodes, edges) => `Drawing of all ${nodes} nodes and ${edges} edges. The table below has the same. Arrow keys move it, plus and minus scale it.`,
    });
  }
  panel.hidden = true;
  drawing.show(layout, place);
  if (focused) {
    canvas.focus({ preventScroll: true });
  }
  say(`${layout.nodes.unique_id.length} nodes.`);
}

/** The colours of the stylesheet, for a drawing that is no HTML. */
function colours(types) {
  const probe = document.body.appendChild(Object.assign(document.createElement("span"), { className: "sign" }));
  const of = (kind) => {
    probe.dataset.kind = kind;
    const look = getComputedStyle(probe);
    return { fill: look.getPropertyValue("--fill"), line: look.getPropertyValue("--ink"), letter: look.getPropertyValue("--letter").replaceAll('"', "") };
  };
  const kinds = types.map(of);
  probe.remove();
  const look = getComputedStyle(area);
  const value = (name) => look.getPropertyValue(name).trim();
  const marks = ["", value("--good"), value("--bad"), value("--busy")];
  return { kinds, marks, page: value("--page"), text: value("--text"), edge: value("--wire") };
}

function announce(id) {
  const node = drawing.byId.get(id);
  const count = (end) => drawing.layout.edges.filter((edge) => edge[end] === id).length;
  const parts = [node.name, node.resource_type.replace("_", " "), node.change, `${count("downstream") + node.more_upstream} upstream`, `${count("upstream") + node.more_downstream} downstream`];
  say(parts.filter(Boolean).join(", "));
}

/** What is known of a node, beside the drawing. */
async function showPanel(id) {
  const view = drawing;
  const node = view.byId.get(id);
  const kind = node.resource_type.replace("_", " ");
  const facts = [
    ["Kind", [kind, node.materialized].filter(Boolean).join(", ")],
    ["Owner", node.owner],
    ["Tests", node.tests || null],
    ["File", node.original_file_path],
    ["Package", node.package_name],
    ["Tags", node.tags.join(", ")],
    ["Since the base", node.change],
  ];
  const list = facts.filter(([, value]) => value).flatMap(([name, value]) => [add("dt", {}, name), add("dd", {}, String(value))]);
  const actions = add("p", { className: "actions" }, add("a", { href: pageHref(id) }, "Page of this node"));
  if (id !== view.layout.focus) {
    actions.append(" ", add("a", { href: nodeHref(id), onclick: (event) => {
      if (!event.ctrlKey && !event.metaKey && !event.shiftKey) {
        event.preventDefault();
        go({ node: id, column: null, expand: [] });
      }
    } }, "Draw around it"));
  }
  const described = node.description ? [add("p", { className: "description" }, ...prose(node.description))] : [];
  const heading = add("h2", { tabIndex: -1 }, node.name);
  const focused = panel.contains(document.activeElement) && document.activeElement;
  panel.replaceChildren(heading, ...described, add("dl", {}, ...list), actions);
  if (focused) {
    heading.focus({ preventScroll: true });
  }
  if (JOINED.includes(node.resource_type) && node.change !== "removed" && !state.sha) {
    showJoins(id, () => drawing === view && view.selected === id && actions.isConnected && actions);
  }
  const found = await columnsOf(id).catch(tellColumns);
  if (!found || drawing !== view || view.selected !== id) {
    return;
  }
  if (found.columns.length) {
    const items = found.columns.map((column) => {
      const lit = view.lit?.columns.get(id)?.has(column.name) || false;
      const button = add("button", { type: "button", className: "plain column", onclick: () => follow(id, column.name) }, plain(column.name));
      button.setAttribute("aria-pressed", String(lit));
      return add("li", {}, button, add("span", { className: "note" }, ...prose([column.data_type, column.description].filter(Boolean).join(" · "))));
    });
    panel.querySelector(".columns")?.remove();
    panel.append(add("section", { className: "columns" }, add("h3", {}, `Columns (${found.columns.length})`), add("ul", { className: "column-list" }, ...items)));
    if (focused && document.activeElement === heading) {
      [...panel.querySelectorAll("button")].find((one) => one.textContent === focused.textContent)?.focus({ preventScroll: true });
    }
  }
  if (found.status !== "exact" && found.reason) {
    panel.append(add("p", { className: "note" }, plain(found.reason)));
  }
}

/** Which projects make what a node reads, and read what it makes. */
async function showJoins(id, place) {
  const found = await json(address(`${api}/nodes/${encodeURIComponent(id)}/joins`), running.signal).catch(() => null);
  const before = found && place();
  if (!before) {
    return;
  }
  const read = `Read by ${found.projects} ${found.projects === 1 ? "project" : "projects"}`;
  for (const [title, joins] of [["Made by", found.made_by], [read, found.read_by]]) {
    if (joins.length) {
      const items = joins.map((one) => add("li", {},
        add("a", { href: address(`/connections/${one.connection_id}/lineage`, { node: one.unique_id }) }, plain(one.name)),
        ` in ${plain(one.repository)}`, ...(one.certain ? [] : [", perhaps"])));
      before.after(add("section", { className: "joins" }, add("h3", {}, title), add("ul", {}, ...items)));
    }
  }
}

function tellColumns(error) {
  if (error.name !== "AbortError") {
    const shown = warning(error);
    shown.append(...(error.candidates || []).flatMap((name) => [" ", add("a", { href: hrefOf({ column: name }) }, name)]));
    panel.querySelector("h2").after(shown);
    say(shown.textContent);
  }
  return null;
}

/** The columns of a node, asked for once. */
async function columnsOf(id) {
  const sha = drawing.byId.get(id).change === "removed" ? state.base : state.sha;
  const key = `${id} ${sha || ""}`;
  if (!columns.has(key)) {
    columns.set(key, json(address(`${api}/columns`, { node: id, depth: "0", sha }), running.signal).then(({ nodes }) => nodes.find((one) => one.unique_id === id) || { columns: [] }));
    columns.get(key).catch(() => columns.delete(key));
  }
  return columns.get(key);
}

async function toggleColumns(id) {
  if (drawing.columns.has(id)) {
    drawing.openColumns(id, null);
    say("Columns hidden.");
    return;
  }
  const view = drawing;
  const found = await columnsOf(id).catch(tellColumns);
  if (found && drawing === view && view.byId.has(id)) {
    drawing.openColumns(id, found.columns.map(({ name }) => name));
    say(`${found.columns.length} columns of ${drawing.byId.get(id).name}.`);
  }
}

/** Follow a column both ways, or stop following it. */
function follow(id, name) {
  const isFocus = drawing.layout.focus === id;
  if (isFocus && state.column === name) {
    go({ column: null, expand: [] });
  } else {
    go({ node: isFocus ? state.node : id, column: name, expand: [] }, { keep: isFocus });
  }
}

async function light(id, name, signal) {
  const found = await json(address(`${api}/columns`, { node: id, column: name, direction: "both", sha: state.sha }), signal).catch(tellColumns);
  if (!found) {
    return;
  }
  const byNode = new Map(found.nodes.map((node) => [node.unique_id, new Set()]));
  for (const { upstream, downstream } of found.edges) {
    byNode.get(upstream.unique_id)?.add(upstream.column);
    if (downstream.column) {
      byNode.get(downstream.unique_id)?.add(downstream.column);
    }
  }
  byNode.set(id, (byNode.get(id) || new Set()).add(name));
  signal.throwIfAborted();
  // Exposures are drawn with the nodes that they read.
  const isWhole = (one) => drawing.byId.get(one)?.more_downstream === 0;
  const { node, depth, sha, base, resource_type, expand } = state;
  const layoutOf = (show) => address(`${api}/layout`, { sha, base, resource_type, focus: node, upstream: depth, downstream: depth, expand, show });
  const hidden = fitting([...byNode.keys()].filter((one) => !isWhole(one) && one.length <= MOST_CHARACTERS), layoutOf);
  if (hidden.length) {
    const layout = await json(layoutOf(hidden), signal);
    signal.throwIfAborted();
    drawing.show(readable(layout), { keep: true });
  }
  const pairs = new Set(found.edges.map(({ upstream, downstream }) => `${upstream.unique_id} ${downstream.unique_id}`));
  const nodes = new Set(byNode.keys());
  // Exposures, metrics and the like have no columns, and read all that a node has.
  for (const edge of drawing.layout.edges) {
    if (byNode.get(edge.upstream)?.size && !found.nodes.some((node) => node.unique_id === edge.downstream) && drawing.byId.get(edge.downstream).columns === 0 && ["exposure", "metric", "semantic_model", "saved_query"].includes(drawing.byId.get(edge.downstream).resource_type)) {
      nodes.add(edge.downstream);
      pairs.add(`${edge.upstream} ${edge.downstream}`);
    }
  }
  drawing.light({ of: id, column: name, nodes, columns: byNode, edges: found.edges, pairs });
  drawing.fit();
  const undrawn = [...byNode.keys()].filter((one) => !drawing.byId.has(one)).length;
  await showPanel(drawing.selected);
  signal.throwIfAborted();
  say(`${name} of ${drawing.byId.get(id).name}: ${byNode.size - 1} other nodes on its way${undrawn ? `, ${undrawn} of them not drawn` : ""}.`);
}

/** Buttons and forms of the page, which also work without this script. */
function listen() {
  for (const input of document.querySelectorAll("#tools input[data-leads-to]:not([role])")) {
    new Combobox(input);
  }
  for (const tree of document.querySelectorAll("#words .tree")) {
    makeTree(tree, { say });
  }
  for (const button of document.querySelectorAll("#tools [data-do]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const step = { in: 1, out: -1 }[button.dataset.do];
      if (!drawing) {
        return;
      }
      if (step) {
        drawing.view.zoom(step);
      } else if (button.dataset.do === "fit") {
        drawing.fit(true);
      } else if (button.dataset.do === "png") {
        savePng(button.dataset.svg).catch(tell);
      }
    });
  }
  document.getElementById("folder")?.addEventListener("change", ({ target }) => {
    if (drawing instanceof Overview) {
      const { group } = drawing.layout;
      drawing.emphasise(target.value === "" ? null : (node) => group[node] === Number(target.value));
    }
  });
}

/** The picture that the service draws, as pixels. */
async function savePng(url) {
  const response = await fetch(url);
  if (!response.ok) {
    throw new Problem(response.status, await response.json().catch(() => ({})));
  }
  const source = URL.createObjectURL(await response.blob());
  const image = new Image();
  image.src = source;
  await image.decode();
  const scale = 2;
  const target = Object.assign(document.createElement("canvas"), { width: image.width * scale, height: image.height * scale });
  target.getContext("2d").drawImage(image, 0, 0, target.width, target.height);
  URL.revokeObjectURL(source);
  const blob = await new Promise((done) => target.toBlob(done));
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: "lineage.png" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href));
}

window.addEventListener("popstate", () => {
  state = read();
  update();
});
area.classList.add("scripted");
listen();
update();
