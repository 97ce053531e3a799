// Queries that found nothing much like them, and how well queries are answered day by day.

import { call, fetchPicture } from "./api.js";

const byId = (id) => document.getElementById(id);

export class PoorQueries {
  constructor({ onPicture, onWords }) {
    this.onPicture = onPicture;
    this.onWords = onWords;
    byId("poor-open").addEventListener("click", () => this.#open(byId("poor-part").hidden));
  }

  async #open(isOpen) {
    byId("poor-part").hidden = !isOpen;
    byId("poor-open").setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) return;
    byId("poor-part").scrollIntoView({ block: "nearest" });
    try {
      const { kept, queries, drift } = await call("/poor-queries");
      byId("poor-status").textContent = kept ? `The last ${queries.length} of ${kept}.` : "None so far.";
      byId("poor-drift").replaceChildren(...drift.days.map((day) => row(day, drift)));
      byId("poor-days").hidden = !drift.days.length;
      byId("poor-expected").textContent = drift.poor_below === null
        ? "How alike the items of the index are is not known yet."
        : `Poor: below ${drift.poor_below.toFixed(2)}, as ${share(drift.expected_poor)} of the index's own items are; `
          + `half of those have a best match above ${drift.own_median.toFixed(2)}.`;
      byId("poor-list").replaceChildren(...queries.map((query) => this.#card(query)));
    } catch (error) {
      byId("poor-status").textContent = error.message;
    }
  }

  #card(query) {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    const about = `${query.time.slice(0, 10)}, best score ${query.best.toFixed(2)}`;
    button.append(query.words ?? "", small(about));
    button.setAttribute("aria-label", `${query.words ?? "A picture"}, ${about}: search again`);
    let blob = null;
    if (query.kind === "picture") {
      fetchPicture(`/poor-queries/${query.name}/picture`).then((fetched) => {
        if (!fetched) return;
        blob = fetched;
        const image = Object.assign(document.createElement("img"), { alt: "", src: URL.createObjectURL(blob) });
        image.addEventListener("load", () => URL.revokeObjectURL(image.src));
        button.prepend(image);
      });
    }
    button.addEventListener("click", () => {
      if (query.words) this.onWords(query.words);
      else if (blob) this.onPicture(new File([blob], `${query.name}.jpg`, { type: "image/jpeg" }));
    });
    const entry = document.createElement("li");
    entry.append(button);
    return entry;
  }
}

function row(day, drift) {
  const cells = [day.day, day.kind === "picture" ? "pictures" : "words", day.queries, day.median.toFixed(2)];
  cells.push(day.poor === null ? "not known yet" : share(day.poor));
  const line = document.createElement("tr");
  for (const said of cells) line.append(Object.assign(document.createElement("td"), { textContent: said }));
  // Five times what is usual, among enough of them, is worth a look.
  line.classList.toggle("drift", day.kind === "picture" && day.queries >= 20 && day.poor > 5 * drift.expected_poor);
  return line;
}

function share(part) {
  return `${Math.round(100 * part)} %`;
}

function small(text) {
  return Object.assign(document.createElement("small"), { textContent: text });
}
