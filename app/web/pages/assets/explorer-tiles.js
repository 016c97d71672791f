// Draws squares of a whole lineage. Runs as a worker, so that moving the drawing never waits for it.
export const TILE = 512;
const LABELS_FROM = 0.45;
const CURVES_FROM = 0.3;
const OUTSIDE = 400;

let drawing = null;

/** Draw the part of a lineage that a square shows; `scale` is pixels for each pixel of the layout. */
export function paint(context, { layout, colours, emphasis }, scale, left, top, pixels) {
  const { x, y, change, kind, name, edges, edgeChanges, nodeWidth, nodeHeight } = layout;
  const [right, bottom] = [left + pixels / scale, top + pixels / scale];
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = colours.page;
  context.fillRect(0, 0, pixels, pixels);
  context.setTransform(scale, 0, 0, scale, -left * scale, -top * scale);
  const curved = scale >= CURVES_FROM;
  for (const mark of [0, 1, 2]) {
    if (mark && !edgeChanges.length) {
      break;
    }
    context.beginPath();
    for (let number = 0; number < edges.length; number += 2) {
      if ((edgeChanges.length ? edgeChanges[number / 2] : 0) !== mark) {
        continue;
      }
      const [from, to] = [edges[number], edges[number + 1]];
      const [startX, startY, endX, endY] = [x[from] + nodeWidth, y[from] + nodeHeight / 2, x[to], y[to] + nodeHeight / 2];
      if (endX < left || startX > right || Math.max(startY, endY) < top || Math.min(startY, endY) > bottom) {
        continue;
      }
      context.moveTo(startX, startY);
      if (curved) {
        const bend = Math.min((endX - startX) / 2, OUTSIDE);
        context.bezierCurveTo(startX + bend, startY, endX - bend, endY, endX, endY);
      } else {
        context.lineTo(endX, endY);
      }
    }
    context.strokeStyle = mark ? colours.marks[mark] : colours.edge;
    context.globalAlpha = mark ? 1 : Math.min(1, 0.25 + scale);
    context.lineWidth = (mark ? 2 : 1) / Math.min(1, Math.max(scale, 0.5));
    context.setLineDash(mark === 2 ? [8, 6] : []);
    context.stroke();
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
  const named = scale >= LABELS_FROM;
  context.font = "13px system-ui, sans-serif";
  context.textBaseline = "middle";
  const least = Math.max(nodeHeight, 2 / scale);
  for (let node = 0; node < x.length; node += 1) {
    if (x[node] > right || x[node] + nodeWidth < left || y[node] > bottom || y[node] + nodeHeight < top) {
      continue;
    }
    context.globalAlpha = emphasis && !emphasis[node] ? 0.2 : 1;
    context.fillStyle = colours.kinds[kind[node]].fill;
    context.fillRect(x[node], y[node], nodeWidth, least);
    const mark = change[node];
    context.strokeStyle = mark ? colours.marks[mark] : colours.kinds[kind[node]].line;
    context.lineWidth = (mark ? 3 : 1) / Math.min(1, Math.max(scale, 0.2));
    context.setLineDash(mark === 2 ? [6, 4] : []);
    context.strokeRect(x[node], y[node], nodeWidth, least);
    context.setLineDash([]);
    if (named) {
      context.save();
      context.beginPath();
      context.rect(x[node], y[node], nodeWidth, nodeHeight);
      context.clip();
      context.fillStyle = colours.text;
      context.fillText(`${["", "+ ", "\u2212 ", "~ "][mark]}${colours.kinds[kind[node]].letter} ${name[node]}`, x[node] + 8, y[node] + nodeHeight / 2);
      context.restore();
    }
  }
  context.globalAlpha = 1;
}

if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  const waiting = new Map();
  let busy = false;
  const next = () => {
    const [key, job] = waiting.entries().next().value || [];
    busy = key !== undefined;
    if (!busy) {
      return;
    }
    waiting.delete(key);
    const canvas = new OffscreenCanvas(TILE, TILE);
    paint(canvas.getContext("2d", { alpha: false }), drawing, job.scale, job.left, job.top, TILE);
    const bitmap = canvas.transferToImageBitmap();
    self.postMessage({ key, era: job.era, bitmap }, [bitmap]);
    setTimeout(next); // Messages that came meanwhile are read first: what is no longer wanted is not drawn.
  };
  self.addEventListener("message", ({ data }) => {
    if (data.drawing) {
      drawing = data.drawing;
      waiting.clear();
    } else if (data.emphasis !== undefined) {
      drawing = { ...drawing, emphasis: data.emphasis };
    } else {
      waiting.clear();
      for (const job of data.wanted) {
        waiting.set(job.key, job);
      }
      if (!busy) {
        next();
      }
    }
  });
}
