// The map of the catalog: all items as points on a canvas, those that are sparse in view as pictures.

import { call, fetchPicture } from "./api.js";
import { COLORS, drawMarks, drawPoints, sparse } from "./map_drawing.js";

const byId = (id) => document.getElementById(id);
const SIDE = 65535;
const [MOST_ZOOM, STEP, NEAR_PX, NAMED, AT_ONCE, KEPT] = [4000, 1.5, 24, 12, 4, 400];

export class CatalogMap {
  #items = null; // { ids, x, y, columns }
  #chosen = null; // which items fulfil the filters: bytes, eight items each
  #found = new Set(); // numbers of the items that are matches
  #view = { x: 0.5, y: 0.5, zoom: 1 }; // what is in the middle, and by how much it is larger than the whole
  #tiles = []; // numbers of the items that have room for their picture
  #pictures = new Map(); // number -> ImageBitmap, or null where there is none (yet)
  #drawn = 0;
  #resting = 0;

  constructor(onPick) {
    this.onPick = onPick;
    this.canvas = byId("map");
    byId("map-open").addEventListener("click", () => this.#open(byId("map-part").hidden));
    byId("map-color").addEventListener("change", () => {
      this.#name();
      this.#draw();
    });
    for (const [id, by] of [["map-in", STEP], ["map-out", 1 / STEP]]) {
      byId(id).addEventListener("click", () => this.#zoom(by));
    }
    byId("map-whole").addEventListener("click", () => this.#go({ x: 0.5, y: 0.5, zoom: 1 }));
    this.#listenToPointer();
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const kind of ["focus", "blur"]) this.canvas.addEventListener(kind, () => this.#draw());
    new ResizeObserver(() => this.#draw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  // Which items the question on show has found, and which its filters leave.
  async show(ids, where) {
    const wanted = new Set(ids);
    this.matches = wanted;
    this.where = where;
    if (!this.#items || byId("map-part").hidden) return;
    this.#found = new Set(this.#items.ids.flatMap((id, number) => (wanted.has(id) ? [number] : [])));
    this.#chosen = null;
    if (where) {
      try {
        const { bits } = await call(`/map/items?where=${encodeURIComponent(where)}`);
        if (this.where === where) this.#chosen = bytes(bits);
      } catch (error) {
        this.#say(error.message);
      }
    }
    this.#draw();
  }

  async #open(isOpen) {
    byId("map-part").hidden = !isOpen;
    byId("map-open").setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) return;
    byId("map-part").scrollIntoView({ block: "nearest" });
    if (!this.#items) await this.#load();
    if (this.#items) this.show(this.matches ?? [], this.where ?? "");
  }

  async #load() {
    for (;;) {
      let said;
      try {
        said = await call("/map");
      } catch (error) {
        return this.#say(error.message);
      }
      if (said.state === "ready") return this.#take(said);
      if (said.state === "none") return this.#say(said.problem);
      this.#say(`The map is being made, since ${Math.round(said.seconds)} s. You can search meanwhile.`);
      await new Promise((done) => setTimeout(done, 1000));
      if (byId("map-part").hidden) return undefined;
    }
  }

  #take({ ids, items, of, places, columns }) {
    const steps = new Uint16Array(bytes(places).buffer);
    const [x, y] = [new Float32Array(items), new Float32Array(items)];
    for (let number = 0; number < items; number++) {
      x[number] = steps[2 * number] / SIDE;
      y[number] = steps[2 * number + 1] / SIDE;
    }
    this.#items = { ids, x, y, of, columns: columns.map((one) => ({ ...one, codes: bytes(one.codes) })) };
    for (const [number, { name }] of columns.entries()) byId("map-color").append(new Option(name, number));
    byId("map-color-part").hidden = !columns.length;
  }

  #say(sentence) {
    byId("map-status").textContent = sentence;
  }

  // --- where things are ---

  // Pixels of the canvas: [left, top, pixels by which the whole map is wide].
  #frame() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const size = Math.min(width, height) * 0.94 * this.#view.zoom;
    return [width / 2 - this.#view.x * size, height / 2 - this.#view.y * size, size];
  }

  #near(left, top, most = NEAR_PX) {
    const [from, above, size] = this.#frame();
    const { x, y } = this.#items;
    let [best, least] = [-1, most * most];
    for (let number = 0; number < x.length; number++) {
      const across = from + x[number] * size - left;
      const down = above + y[number] * size - top;
      const away = across * across + down * down;
      if (away < least && this.#isChosen(number)) [best, least] = [number, away];
    }
    return best;
  }

  #isChosen(number) {
    return !this.#chosen || Boolean((this.#chosen[number >> 3] >> (number & 7)) & 1);
  }

  #go(view) {
    const zoom = Math.min(MOST_ZOOM, Math.max(1, view.zoom));
    const within = (place) => Math.min(1, Math.max(0, place));
    this.#view = { x: within(view.x), y: within(view.y), zoom };
    this.#draw();
  }

  // Around the middle, or around a point of the canvas, which stays where it is.
  #zoom(by, left = this.canvas.clientWidth / 2, top = this.canvas.clientHeight / 2) {
    const [from, above, size] = this.#frame();
    const [x, y] = [(left - from) / size, (top - above) / size];
    const real = Math.min(MOST_ZOOM, Math.max(1, this.#view.zoom * by)) / this.#view.zoom;
    this.#go({ x: x + (this.#view.x - x) / real, y: y + (this.#view.y - y) / real, zoom: this.#view.zoom * real });
  }

  #listenToPointer() {
    const touching = new Map(); // pointers that are down
    let moved = 0;
    const place = (event) => [event.offsetX, event.offsetY];
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      touching.set(event.pointerId, place(event));
      if (touching.size === 1) moved = 0;
    });
    this.canvas.addEventListener("pointermove", (event) => {
      const before = touching.get(event.pointerId);
      if (!this.#items) return;
      if (!before) {
        const number = this.#near(...place(event));
        this.canvas.title = number < 0 ? "" : this.#items.ids[number];
        this.canvas.style.cursor = number < 0 ? "grab" : "pointer";
        return;
      }
      const now = place(event);
      moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
      const other = [...touching].find(([id]) => id !== event.pointerId)?.[1];
      touching.set(event.pointerId, now);
      const size = this.#frame()[2];
      const share = other ? 2 : 1;
      const { x, y, zoom } = this.#view;
      this.#go({ x: x - (now[0] - before[0]) / size / share, y: y - (now[1] - before[1]) / size / share, zoom });
      if (other) {
        const apart = (one) => Math.max(10, Math.hypot(one[0] - other[0], one[1] - other[1]));
        this.#zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      }
    });
    this.canvas.addEventListener("pointerup", (event) => {
      touching.delete(event.pointerId);
      if (this.#items && moved < 5 && !touching.size) this.#pick(this.#near(...place(event)));
    });
    this.canvas.addEventListener("pointercancel", (event) => touching.delete(event.pointerId));
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (this.#items) this.#zoom(1.0015 ** -event.deltaY, ...place(event));
    }, { passive: false });
  }

  #key(event) {
    const aside = 0.15 / this.#view.zoom;
    const arrows = { ArrowLeft: [-aside, 0], ArrowRight: [aside, 0], ArrowUp: [0, -aside], ArrowDown: [0, aside] };
    const { x, y, zoom } = this.#view;
    if (!this.#items || event.ctrlKey || event.metaKey || event.altKey) return;
    if (arrows[event.key]) this.#go({ x: x + arrows[event.key][0], y: y + arrows[event.key][1], zoom });
    else if (event.key === "+" || event.key === "=") this.#zoom(STEP);
    else if (event.key === "-") this.#zoom(1 / STEP);
    else if (event.key === "0") this.#go({ x: 0.5, y: 0.5, zoom: 1 });
    else if (event.key === "Enter") this.#pick(this.#near(this.canvas.clientWidth / 2, this.canvas.clientHeight / 2, 1e9));
    else return;
    event.preventDefault();
  }

  #pick(number) {
    if (number >= 0) this.onPick(this.#items.ids[number]);
  }

  // --- what is to be seen ---

  #draw() {
    cancelAnimationFrame(this.#drawn);
    this.#drawn = requestAnimationFrame(() => {
      const { clientWidth: width, clientHeight: height } = this.canvas;
      if (!this.#items || !width || !height) return;
      const density = Math.min(2, devicePixelRatio || 1);
      const [wide, high] = [Math.round(width * density), Math.round(height * density)];
      if (this.canvas.width !== wide || this.canvas.height !== high) {
        Object.assign(this.canvas, { width: wide, height: high });
      }
      const context = this.canvas.getContext("2d");
      const column = this.#items.columns[byId("map-color").value];
      const isChosen = (number) => this.#isChosen(number);
      drawPoints(context, this.#items, this.#frame(), { density, column, isChosen, zoom: this.#view.zoom });
      const pictures = this.#tiles.map((number) => [number, this.#pictures.get(number)]);
      context.save();
      context.scale(density, density);
      drawMarks(context, this.#items, this.#frame(), pictures, this.#found);
      context.restore();
      clearTimeout(this.#resting);
      this.#resting = setTimeout(() => this.#tell(), 250);
    });
  }

  // When it rests: pictures where there is room, and the same in words.
  async #tell() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    const [count, tiles] = sparse(this.#items, this.#frame(), width, height, (number) => this.#isChosen(number));
    const { ids, of } = this.#items;
    const more = of > ids.length ? ` (of ${of.toLocaleString("en")} in the index)` : "";
    const matched = this.#found.size ? `, ${this.#found.size} matches ringed` : "";
    this.#say(`${count.toLocaleString("en")} of ${ids.length.toLocaleString("en")} items in view${more}${matched}`);
    const buttons = tiles.slice(0, NAMED).map((number) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: ids[number] });
      button.addEventListener("click", () => this.#pick(number));
      const entry = document.createElement("li");
      entry.append(button);
      return entry;
    });
    if (!byId("map-list").contains(document.activeElement)) byId("map-list").replaceChildren(...buttons);
    const same = tiles.length === this.#tiles.length && tiles.every((number, place) => number === this.#tiles[place]);
    this.#tiles = tiles;
    const missing = tiles.filter((number) => !this.#pictures.has(number));
    const fetching = Array.from({ length: AT_ONCE }, () => this.#fetch(missing));
    if (!same) this.#draw();
    await Promise.all(fetching);
  }

  async #fetch(missing) {
    for (let number = missing.shift(); number !== undefined; number = missing.shift()) {
      if (!this.#tiles.includes(number)) continue; // out of view by now
      this.#pictures.set(number, null);
      if (this.#pictures.size > KEPT) this.#pictures.delete(this.#pictures.keys().next().value);
      const blob = await fetchPicture(`/items/${encodeURIComponent(this.#items.ids[number])}/thumbnail`);
      if (!blob) continue;
      this.#pictures.set(number, await createImageBitmap(blob).catch(() => null));
      this.#draw();
    }
  }

  // What the colors mean.
  #name() {
    const column = this.#items.columns[byId("map-color").value];
    const entries = (column?.values ?? []).slice(0, COLORS.length).map((value, place) => {
      const entry = document.createElement("li");
      const mark = document.createElement("span");
      mark.className = "mark";
      mark.style.background = COLORS[place];
      entry.append(mark, value || "(empty)");
      return entry;
    });
    byId("map-names").replaceChildren(...entries);
  }
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}
