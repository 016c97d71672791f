// What moves and scales a drawing: dragging, wheel, pinching, buttons. A drawing is never redrawn for it, only moved.
const STEP = 1.25;
const MARGIN = 24;
const CLICK_PX = 4;

/** The part of a drawing that is seen. `changed` is called after each move; with `true` once it has come to rest. */
export class View {
  constructor(host, stage, { least = 0.02, most = 2, changed = () => {} } = {}) {
    Object.assign(this, { host, stage, least, most, changed, x: 0, y: 0, scale: 1, moved: false });
    this.fingers = new Map();
    host.addEventListener("pointerdown", (event) => this.#down(event));
    host.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      host.addEventListener(name, (event) => this.#up(event));
    }
    host.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    // A drag that ends on a link is no click on it.
    host.addEventListener("click", (event) => this.moved && (event.preventDefault(), event.stopPropagation()), true);
    host.addEventListener("dragstart", (event) => event.preventDefault());
  }

  /** Show all of a drawing, no larger than `most`. */
  fit(width, height, most = 1) {
    const { clientWidth, clientHeight } = this.host;
    const scale = Math.min(most, (clientWidth - 2 * MARGIN) / Math.max(width, 1), (clientHeight - 2 * MARGIN) / Math.max(height, 1));
    this.scale = Math.max(this.least, scale);
    this.x = (clientWidth - width * this.scale) / 2;
    this.y = (clientHeight - height * this.scale) / 2;
    this.apply(true);
  }

  /** Show a place of the drawing in the middle. */
  centre(x, y, scale = this.scale) {
    this.scale = Math.min(this.most, Math.max(this.least, scale));
    this.x = this.host.clientWidth / 2 - x * this.scale;
    this.y = this.host.clientHeight / 2 - y * this.scale;
    this.apply(true);
  }

  /** Move so that a box of the drawing is seen, if it is not. */
  reveal(x, y, width, height) {
    const { clientWidth, clientHeight } = this.host;
    const left = this.x + x * this.scale;
    const top = this.y + y * this.scale;
    const inside = (from, size, room) =>
      from < MARGIN ? MARGIN - from : from + size > room - MARGIN ? Math.max(room - MARGIN - size, MARGIN) - from : 0;
    const byX = inside(left, width * this.scale, clientWidth);
    const byY = inside(top, height * this.scale, clientHeight);
    if (byX || byY) {
      this.x += byX;
      this.y += byY;
      this.apply(true);
    }
  }

  move(byX, byY) {
    this.x += byX;
    this.y += byY;
    this.apply();
  }

  /** Scale by steps about a place of the host, by default its middle. */
  zoom(steps, x = this.host.clientWidth / 2, y = this.host.clientHeight / 2) {
    const scale = Math.min(this.most, Math.max(this.least, this.scale * STEP ** steps));
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.apply();
  }

  /** The place of the drawing under a pointer. */
  at(event) {
    const box = this.host.getBoundingClientRect();
    return [(event.clientX - box.left - this.x) / this.scale, (event.clientY - box.top - this.y) / this.scale];
  }

  apply(rests = false) {
    this.stage.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.changed(rests);
    clearTimeout(this.rest);
    if (!rests) {
      this.rest = setTimeout(() => this.changed(true), 150);
    }
  }

  #down(event) {
    this.moved = false;
    if (event.button === 0 && !event.target.closest("button, input, select, .node-columns")) {
      this.fingers.set(event.pointerId, event);
    }
  }

  #move(event) {
    const before = this.fingers.get(event.pointerId);
    if (!before) {
      return;
    }
    const [byX, byY] = [event.clientX - before.clientX, event.clientY - before.clientY];
    if (!this.moved && Math.hypot(byX, byY) < CLICK_PX) {
      return;
    }
    if (!this.moved) {
      this.moved = true;
      this.host.setPointerCapture(event.pointerId);
    }
    const other = [...this.fingers].find(([id]) => id !== event.pointerId)?.[1];
    this.fingers.set(event.pointerId, event);
    if (other) {
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      const box = this.host.getBoundingClientRect();
      const middle = [(event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top];
      this.zoom(Math.log(apart(event) / Math.max(apart(before), 1)) / Math.log(STEP), ...middle);
    } else {
      this.move(byX, byY);
    }
  }

  #up(event) {
    this.fingers.delete(event.pointerId);
  }

  #wheel(event) {
    event.preventDefault();
    const pixels = event.deltaMode ? 20 : 1;
    if (event.ctrlKey || event.metaKey) {
      const box = this.host.getBoundingClientRect();
      this.zoom((-event.deltaY * pixels) / 60, event.clientX - box.left, event.clientY - box.top);
    } else {
      const [byX, byY] = event.shiftKey ? [event.deltaY, event.deltaX] : [event.deltaX, event.deltaY];
      this.move(-byX * pixels, -byY * pixels);
    }
  }
}
