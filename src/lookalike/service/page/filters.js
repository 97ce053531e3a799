// Filters from what the columns hold, said as the service's `where`.

const byId = (id) => document.getElementById(id);
const quotedName = (name) => `"${name.replaceAll('"', '""')}"`;
const quotedText = (text) => `'${text.replaceAll("'", "''")}'`;

export class Filters {
  #conditions = []; // functions that give a condition or null

  constructor(onChange) {
    this.onChange = onChange;
    byId("clear").addEventListener("click", () => {
      for (const input of byId("filters").querySelectorAll("input, select")) {
        if (input.type === "checkbox") input.checked = false;
        else input.value = "";
      }
      byId("group").value = "";
      this.#changed();
    });
    byId("filters-part").addEventListener("change", () => this.#changed());
  }

  build(columns) {
    const place = byId("filters");
    place.replaceChildren();
    this.#conditions = [];
    const isFree = ({ kind, values }) => kind === "text" && !values;
    for (const column of [...columns].sort((a, b) => isFree(a) - isFree(b))) this.#add(place, column);
    for (const { name, kind, distinct } of columns) {
      if (name !== "item_id" && kind === "text" && distinct > 1) byId("group").append(new Option(name, name));
    }
    byId("filters-part").hidden = !columns.length;
    byId("filters-part").open = matchMedia("(min-width: 52rem)").matches;
  }

  get where() {
    return this.#conditions.map((condition) => condition()).filter(Boolean).join(" and ");
  }

  get group() {
    return byId("group").value;
  }

  #changed() {
    const count = this.#conditions.filter((condition) => condition()).length;
    byId("filters-count").textContent = count ? `${count} in use` : "";
    this.onChange();
  }

  #add(place, column) {
    if (column.distinct < 2 || column.name === "item_id") return;
    if (column.kind === "number") this.#addEnds(place, column, "number");
    else if (column.kind === "date") this.#addEnds(place, column, "date");
    else if (column.kind === "true or false") this.#addChoices(place, column, ["true", "false"], (value) => value);
    else if (column.values) this.#addChoices(place, column, column.values, quotedText);
    else if (column.kind === "text") this.#addPart(place, column);
  }

  #addChoices(place, column, values, said) {
    const choices = document.createElement("div");
    choices.className = "choices";
    const boxes = values.map((value) => {
      const label = document.createElement("label");
      const box = Object.assign(document.createElement("input"), { type: "checkbox", value });
      label.append(box, value === "" ? "(empty)" : value);
      choices.append(label);
      return box;
    });
    place.append(fieldset(column.name, choices));
    this.#conditions.push(() => {
      const chosen = boxes.filter((box) => box.checked).map((box) => said(box.value));
      if (!chosen.length) return null;
      const name = quotedName(column.name);
      if (column.kind !== "true or false") return `${name} in (${chosen.join(", ")})`;
      return chosen.length === 1 ? `${name} = ${chosen[0]}` : null;
    });
  }

  #addPart(place, column) {
    const input = Object.assign(document.createElement("input"), { type: "text", placeholder: "contains" });
    input.setAttribute("aria-label", `${column.name} contains`);
    place.append(fieldset(column.name, input));
    this.#conditions.push(() => {
      // A filter cannot quote % and \, so any character may stand there.
      const part = input.value.trim().replaceAll(/[%\\]/g, "_");
      return part ? `${quotedName(column.name)} like ${quotedText(`%${part}%`)}` : null;
    });
  }

  #addEnds(place, column, type) {
    const ends = document.createElement("div");
    ends.className = "ends-of";
    const [low, high] = ["from", "to"].map((end) => {
      const input = Object.assign(document.createElement("input"), { type, step: "any" });
      input.setAttribute("aria-label", `${column.name} ${end}`);
      return input;
    });
    low.placeholder = column.smallest;
    high.placeholder = column.largest;
    ends.append(low, "to", high);
    place.append(fieldset(column.name, ends));
    const said = type === "number" ? (value) => String(Number(value)) : quotedText;
    this.#conditions.push(() => {
      const name = quotedName(column.name);
      const parts = [];
      if (low.value !== "") parts.push(`${name} >= ${said(low.value)}`);
      if (high.value !== "") parts.push(`${name} <= ${said(high.value)}`);
      return parts.join(" and ") || null;
    });
  }
}

function fieldset(name, content) {
  const set = document.createElement("fieldset");
  const legend = document.createElement("legend");
  legend.textContent = name;
  set.append(legend, content);
  return set;
}
