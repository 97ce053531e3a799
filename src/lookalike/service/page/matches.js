// The grid of matches. Everything a catalog says is put in as text, never as markup.

const byId = (id) => document.getElementById(id);
const MOST_SHOWN = 3;

export function showMatches(matches, { onPick, onThumb }) {
  for (const match of matches) byId("matches").append(card(match, onPick, onThumb));
}

function card(match, onPick, onThumb) {
  const entry = element("li", "match");
  entry.append(picture(match, onPick), bar(match), facts(match));
  if (onThumb) entry.append(thumbs(match, onThumb));
  return entry;
}

function picture(match, onPick) {
  const button = element("button", "search");
  button.type = "button";
  button.setAttribute("aria-label", `Match ${match.rank}, ${match.item_id}: search for what is like it`);
  if (match.thumbnail) {
    const image = element("img");
    image.alt = "";
    image.src = match.thumbnail;
    button.append(image);
  } else {
    button.append(element("span", "nothing", "no picture"));
  }
  button.addEventListener("click", () => onPick(match));
  return button;
}

function bar(match) {
  const outer = element("div", "bar");
  const inner = element("div");
  inner.style.setProperty("--share", Math.max(0, match.probability ?? match.score));
  outer.append(inner);
  return outer;
}

function facts(match) {
  const list = element("dl");
  const title = element("dd", "name");
  const name = element("span", "", match.item_id);
  name.title = match.item_id;
  const score = element("span", "score", percent(match) ?? match.score.toFixed(2));
  score.title = percent(match) ? `probability; similarity ${match.score.toFixed(3)}` : "similarity, 1 is the same";
  title.append(name, score);
  list.append(title);
  const known = Object.entries(match.attributes).filter(
    ([column, value]) => value !== null && typeof value !== "object" && column !== "split",
  );
  for (const [column, value] of known.slice(0, MOST_SHOWN)) {
    const said = element("dd", "", String(value));
    said.title = String(value);
    list.append(element("dt", "", column), said);
  }
  return list;
}

function percent(match) {
  return match.probability === null ? null : `${Math.round(match.probability * 100)} %`;
}

function thumbs(match, onThumb) {
  const row = element("div", "thumbs");
  const buttons = [[true, "up", "a good match"], [false, "down", "no match"]].map(([good, kind, about]) => {
    const button = element("button", kind);
    button.type = "button";
    button.setAttribute("aria-label", `${match.item_id} is ${about}`);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", async () => {
      if (!(await onThumb(match, good))) return;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
    });
    return button;
  });
  row.append(...buttons);
  return row;
}

function element(name, kind = "", text = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text) made.textContent = text;
  return made;
}
