// The search page: what is asked, what was found, and the way back.

import { ask, call, fetchPicture, sha256, tell, useKey } from "./api.js";
import { Filters } from "./filters.js";
import { CatalogMap } from "./map.js";
import { showMatches } from "./matches.js";
import { Picture } from "./picture.js";
import { PoorQueries } from "./poor.js";

const byId = (id) => document.getElementById(id);
const PAGE = 24;

let about = null;
let asked = null; // the question on show: { file, item, region, words, weight, where, group }
let shown = 0;
let running = null; // AbortController of the search under way
let waiting = 0;
let found = []; // items on show
const questions = []; // by number in the history

const picture = new Picture(() => search(), showProblem);
const filters = new Filters(() => {
  map.show(found, filters.where);
  search({ isNew: false });
});
const map = new CatalogMap(async (id) => {
  const thumbnail = await fetchPicture(`/items/${encodeURIComponent(id)}/thumbnail`);
  pick({ item_id: id, thumbnail: thumbnail && URL.createObjectURL(thumbnail) });
});
new PoorQueries({
  onPicture: (file) => {
    byId("words").value = "";
    picture.take(file);
  },
  onWords: (words) => {
    picture.show({});
    byId("words").value = words;
    search();
  },
});

start();

async function start() {
  byId("query").addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  byId("words").addEventListener("input", showWeight);
  byId("words").addEventListener("search", (event) => {
    if (!event.target.value) search(); // the cross that empties it
  });
  byId("weight").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => search({ isNew: false }), 200);
  });
  byId("more").addEventListener("click", () => search({ isMore: true }));
  byId("key-dialog").addEventListener("close", () => {
    useKey(byId("key").value);
    byId("key").value = "";
    if (about) search({ isNew: false });
    else introduce();
  });
  window.addEventListener("popstate", (event) => restore(questions[event.state?.number]));
  history.replaceState(null, "");
  await introduce();
}

async function introduce() {
  try {
    about = await call("/about");
  } catch (error) {
    return showError(error, introduce);
  }
  hideProblem();
  picture.maxBytes = about.max_body_bytes - 4096;
  byId("about").textContent = `${about.items.toLocaleString("en")} items`;
  byId("about").title = about.encoder;
  byId("words-part").hidden = !about.words;
  byId("poor-open").hidden = !about.poor_queries;
  filters.build(about.columns);
  return undefined;
}

function current() {
  const words = about?.words ? byId("words").value.trim() : "";
  const { file, item, region } = picture;
  return { file, item, region, words, weight: Number(byId("weight").value), where: filters.where, group: filters.group };
}

async function search({ isMore = false, isNew = !isMore } = {}) {
  clearTimeout(waiting);
  showWeight();
  const question = isMore ? asked : current();
  running?.abort();
  if (!question.file && !question.item && !question.words) {
    if (isNew) restore(null);
    return;
  }
  if (isNew) remember(question);
  asked = question;
  running = new AbortController();
  const { signal } = running;
  byId("results").setAttribute("aria-busy", "true");
  byId("status").textContent = "Searching…";
  hideProblem();
  try {
    const answer = await ask(spoken(question, isMore ? shown : 0), question.file, signal);
    show(answer, isMore);
    // On a phone they are below what was asked.
    if (isNew && matchMedia("(max-width: 52rem)").matches) byId("results").scrollIntoView();
  } catch (error) {
    if (error.name === "AbortError") return;
    byId("status").textContent = "";
    if (!isMore) empty();
    showError(error, () => search({ isMore, isNew: false }));
  }
  byId("results").removeAttribute("aria-busy");
}

// The question in the service's words.
function spoken({ file, item, region, words, weight, where, group }, offset) {
  const said = { k: PAGE, offset, thumbnails: true };
  if (words) said.words = words;
  if (words && (file || item)) said.words_weight = weight;
  if (item) said.item_id = item.id;
  if (file && region) said.region = region.map((share) => share.toFixed(4));
  if (where) said.where = where;
  if (group) said.group_by = group;
  return said;
}

function show({ matches, more }, isMore) {
  if (!isMore) empty();
  byId("welcome").hidden = true;
  const first = byId("matches").children.length;
  showMatches(matches, { onPick: pick, onThumb: about.feedback ? thumb : null });
  shown = first + matches.length;
  found = found.concat(matches.map((match) => match.item_id));
  map.show(found, asked.where);
  byId("more").hidden = !more;
  const count = shown === 1 ? "1 match" : `${shown} matches`;
  byId("status").textContent = shown ? `${count}${more ? ", and there are more" : ""}` : nothing();
  if (isMore) byId("matches").children[first]?.querySelector("button").focus({ preventScroll: true });
}

function nothing() {
  return asked.where ? "Nothing fulfils these filters; clear some of them." : "Nothing was found; the index is empty.";
}

function pick(match) {
  picture.show({ item: { id: match.item_id, thumbnail: match.thumbnail } });
  byId("words").value = "";
  search();
  window.scrollTo({ top: 0 });
  byId("results").focus({ preventScroll: true });
}

async function thumb(match, good) {
  const { file, item, words } = asked;
  const given = { item_id: match.item_id, good, score: match.score };
  if (words) given.words = words;
  if (item) given.query_item_id = item.id;
  try {
    const digest = await sha256(file);
    if (digest) given.picture = digest;
    await tell(given);
    byId("status").textContent = "Thank you, kept.";
    return true;
  } catch (error) {
    showError(error);
    return false;
  }
}

function remember(question) {
  questions.push(question);
  history.pushState({ number: questions.length - 1 }, "");
}

function restore(question) {
  running?.abort();
  hideProblem();
  picture.show(question ?? {});
  byId("words").value = question?.words ?? "";
  byId("weight").value = question?.weight ?? 0.5;
  showWeight();
  if (question) {
    search({ isNew: false });
    return;
  }
  asked = null;
  empty();
  byId("status").textContent = "";
  byId("welcome").hidden = false;
  byId("results").removeAttribute("aria-busy");
}

function empty() {
  byId("matches").replaceChildren();
  byId("more").hidden = true;
  shown = 0;
  found = [];
}

function showWeight() {
  byId("weight-part").hidden = !(byId("words").value.trim() && (picture.file || picture.item));
}

function showProblem(sentence) {
  byId("problem").textContent = sentence;
  byId("problem").scrollIntoView({ block: "nearest" });
}

function hideProblem() {
  byId("problem").replaceChildren();
}

function showError(error, again = null) {
  if (error.status === 401) {
    byId("key-dialog").showModal();
    return;
  }
  showProblem(error.message);
  if (again && [0, 429, 503].includes(error.status)) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Try again" });
    button.addEventListener("click", again);
    byId("problem").append(button);
  }
}
