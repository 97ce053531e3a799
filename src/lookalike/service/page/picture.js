// The picture to search with: dropped, pasted, chosen or taken, and the part of it that counts.

const byId = (id) => document.getElementById(id);
const STEP = 0.05;
const clamp = (value) => Math.min(1, Math.max(0, value));

export class Picture {
  constructor(onChange, onProblem) {
    this.onChange = onChange;
    this.onProblem = onProblem;
    this.file = null;
    this.item = null;
    this.region = null; // [left, top, right, bottom], shares of the picture
    this.maxBytes = Infinity;
    this.#listen();
  }

  // Without telling anybody: to show an earlier question again.
  show({ file = null, item = null, region = null }) {
    this.file = file;
    this.item = item;
    this.region = region;
    const preview = byId("preview");
    if (preview.src) URL.revokeObjectURL(preview.src);
    preview.removeAttribute("src");
    if (file) {
      preview.src = URL.createObjectURL(file);
      preview.alt = `Your picture, ${file.name || "pasted"}`;
    }
    if (item) {
      byId("item-picture").src = item.thumbnail || "/page/icon.svg";
      byId("item-name").textContent = `Like ${item.id}`;
    }
    byId("invitation").hidden = Boolean(file || item);
    byId("frame").hidden = !file;
    byId("region-help").hidden = !file;
    byId("from-item").hidden = !item;
    byId("forget").hidden = !file && !item;
    byId("choose").textContent = file || item ? "Another" : "Choose a file";
    this.#draw();
  }

  take(file) {
    if (!file) return;
    if (file.type && !file.type.startsWith("image/")) {
      this.onProblem(`${file.name || "That"} is not a picture.`);
    } else if (file.size > this.maxBytes) {
      const limit = Math.round(this.maxBytes / 2 ** 20);
      this.onProblem(`${file.name || "The picture"} is too large; the limit is ${limit} MiB.`);
    } else {
      this.show({ file });
      this.onChange();
    }
  }

  #listen() {
    for (const id of ["file", "camera"]) {
      byId(id).addEventListener("change", (event) => {
        this.take(event.target.files[0]);
        event.target.value = "";
      });
    }
    byId("forget").addEventListener("click", () => {
      this.show({});
      byId("file").focus();
      this.onChange();
    });
    byId("whole").addEventListener("click", () => this.#choose(null));
    byId("preview").addEventListener("error", () => {
      if (this.file) byId("preview").alt = "Your browser cannot show this picture";
    });
    document.addEventListener("paste", (event) => {
      const file = Array.from(event.clipboardData.files).find((one) => one.type.startsWith("image/"));
      if (file) {
        event.preventDefault();
        this.take(file);
      }
    });
    // The whole page takes what is dropped: a miss would make the browser leave it.
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      byId("drop").classList.add("over");
    });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) byId("drop").classList.remove("over");
    });
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      byId("drop").classList.remove("over");
      if (event.dataTransfer.files.length) this.take(event.dataTransfer.files[0]);
      else this.onProblem("Drop a file: pictures are not fetched from addresses. Save it first, or copy and paste it.");
    });
    this.#listenToPointer(byId("frame"));
    byId("frame").addEventListener("keydown", (event) => this.#key(event));
  }

  #listenToPointer(frame) {
    let start = null;
    const place = (event) => {
      const box = frame.getBoundingClientRect();
      return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
    };
    const between = ([x, y]) => [
      Math.min(start[0], x), Math.min(start[1], y), Math.max(start[0], x), Math.max(start[1], y),
    ];
    frame.addEventListener("pointerdown", (event) => {
      start = place(event);
      frame.setPointerCapture(event.pointerId);
    });
    frame.addEventListener("pointermove", (event) => {
      if (start) this.#draw(between(place(event)));
    });
    frame.addEventListener("pointerup", (event) => {
      if (!start) return;
      const region = between(place(event));
      start = null;
      // A click is no part of anything.
      this.#choose(Math.min(region[2] - region[0], region[3] - region[1]) < 0.03 ? null : region);
    });
    frame.addEventListener("pointercancel", () => {
      start = null;
      this.#draw();
    });
  }

  #key(event) {
    const arrows = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const arrow = arrows[event.key];
    if (event.key === "Enter") this.#choose([0.25, 0.25, 0.75, 0.75]);
    else if (event.key === "Escape" && this.region) this.#choose(null);
    else if (arrow && this.region) this.#choose(moved(this.region, arrow, event.shiftKey));
    else return;
    event.preventDefault();
  }

  #choose(region) {
    const same = JSON.stringify(region) === JSON.stringify(this.region);
    this.region = region;
    this.#draw();
    if (!same) this.onChange();
  }

  #draw(region = this.region) {
    byId("region").hidden = !region;
    byId("whole").hidden = !this.region;
    const shown = this.region ? ", a part of it is marked" : "";
    byId("frame").setAttribute("aria-label", `Your picture${shown}`);
    if (!region) return;
    const style = byId("region").style;
    [style.left, style.top] = [`${region[0] * 100}%`, `${region[1] * 100}%`];
    [style.width, style.height] = [`${(region[2] - region[0]) * 100}%`, `${(region[3] - region[1]) * 100}%`];
  }
}

function moved([left, top, right, bottom], [x, y], isSize) {
  if (isSize) return [left, top, clamp(Math.max(left + STEP, right + x)), clamp(Math.max(top + STEP, bottom + y))];
  const [dx, dy] = [Math.min(1 - right, Math.max(-left, x)), Math.min(1 - bottom, Math.max(-top, y))];
  return [left + dx, top + dy, right + dx, bottom + dy];
}
