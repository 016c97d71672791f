// What moves and scales a drawing: dragging, wheel, pinching, buttons. A drawing is never redrawn for it, only moved.
const STEP = 1.25;
const MARGIN = 24;
const CLICK_PX = 4;
const KEPT_PX = 48; // of a drawing stay in sight, however far it is dragged

/** The part of a drawing that is seen, until `signal`. `changed` is called after each move; with `true` once it has come to rest. */
export class View {
  constructor(host, stage, signal, { least, most, changed = () => {} }) {
    Object.assign(this, { host, stage, least, most, changed, x: 0, y: 0, scale: 1, width: 0, height: 0, moved: false });
    this.fingers = new Map();
    host.addEventListener("pointerdown", (event) => this.#down(event), { signal });
    host.addEventListener("pointermove", (event) => this.#move(event), { signal });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      host.addEventListener(name, (event) => this.#up(event), { signal });
    }
    host.addEventListener("wheel", (event) => this.#wheel(event), { passive: false, signal });
    // A drag that ends on a link is no click on it.
    host.addEventListener("click", (event) => this.moved && (event.preventDefault(), event.stopPropagation()), { capture: true, signal });
    host.addEventListener("dragstart", (event) => event.preventDefault(), { signal });
    // The browser scrolls to what gets the keyboard's focus, and everything would be drawn beside its place.
    host.addEventListener("scroll", () => host.scrollTo(0, 0), { signal });
    signal.addEventListener("abort", () => clearTimeout(this.rest));
  }

  /** Show all of a drawing, no larger than `most`. */
  fit(most = 1) {
    const { width, height } = this;
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
    const kept = (at, length, room) => Math.min(room - KEPT_PX, Math.max(KEPT_PX - length * this.scale, at));
    this.x = kept(this.x + byX, this.width, this.host.clientWidth);
    this.y = kept(this.y + byY, this.height, this.host.clientHeight);
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
    // A finger that has nothing to move here scrolls the page.
    this.host.style.touchAction = this.#fits(this.y, this.height, this.host.clientHeight) ? "pan-y" : "none";
    this.changed(rests);
    clearTimeout(this.rest);
    if (!rests) {
      this.rest = setTimeout(() => this.changed(true), 150);
    }
  }

  #down(event) {
    this.moved = false;
    if (event.isPrimary) {
      this.fingers.clear(); // The end of a touch is not heard of if what was touched has been redrawn.
    }
    if (event.button === 0 && !event.target.closest("button, input, select, .node-columns")) {
      this.fingers.set(event.pointerId, event);
    }
  }

  #move(event) {
    const before = this.fingers.get(event.pointerId);
    if (!before) {
      return;
    }
    if (!event.buttons) {
      this.#up(event); // It was released outside.
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

  /** Scales or moves the drawing. Where that shows nothing more, the page scrolls, as with anything else that scrolls in a page. */
  #wheel(event) {
    const pixels = event.deltaMode ? 20 : 1;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const box = this.host.getBoundingClientRect();
      this.zoom((-event.deltaY * pixels) / 60, event.clientX - box.left, event.clientY - box.top);
      return;
    }
    const [byX, byY] = event.shiftKey ? [event.deltaY, event.deltaX] : [event.deltaX, event.deltaY];
    const moved = [
      this.#room(this.x, this.width, this.host.clientWidth, -byX * pixels),
      this.#room(this.y, this.height, this.host.clientHeight, -byY * pixels),
    ];
    if (event.cancelable && moved.some(Boolean)) {
      event.preventDefault();
      this.move(...moved);
    }
  }

  #fits(at, length, room) {
    return at >= 0 && at + length * this.scale <= room;
  }

  /** How much of a move shows more of the drawing, in one direction. */
  #room(at, length, room, by) {
    if (this.#fits(at, length, room)) {
      return 0;
    }
    const ends = [MARGIN, room - MARGIN - length * this.scale];
    return by < 0 ? Math.min(0, Math.max(by, Math.min(...ends) - at)) : Math.max(0, Math.min(by, Math.max(...ends) - at));
  }
}
