// Draws rows of moments under the player, and plays them. Everything people or models wrote goes through textContent.
const find = (selector) => element.querySelector(selector);
const player = () => document.querySelector("#player video");
const film = find(".film"), rowsBox = find(".rows"), live = find(".live");
const hidden = new Set(), removed = new Set();
let bound = null;      // the range that is being played: playback stops, or begins again, at its end
let looping = false;
let filmed = "";       // the address of the video whose thumbnails are drawn
let said = "";         // the row that was last announced

const value = () => props.value || {};
const number = (x) => (Number.isFinite(Number(x)) ? Number(x) : 0);
const duration = () => number(value().duration) || (player() && number(player().duration)) || 0;
const part = (seconds) => (duration() ? Math.min(100, Math.max(0, (100 * seconds) / duration())) : 0);
const percent = (p) => Math.round(100 * number(p)) + " %";
let shown = { film: 0, rows: [] };   // the rows of the video that is here now
const rows = () => shown.rows;
const TASKS = { ground: "Ground", refer: "Refer", choose: "Choose", caption: "Captions", ask: "Ask" };

function clock(seconds) {
  const tenths = Math.round(10 * number(seconds)), minutes = Math.floor(tenths / 600);
  return minutes + ":" + ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
}

function make(tag, name, text) {
  const node = document.createElement(tag);
  node.className = name;
  if (text !== undefined) node.textContent = text;
  if (tag === "button") node.type = "button";
  return node;
}

// Playing a range

function seek(seconds) {
  const video = player();
  if (video) video.currentTime = Math.min(Math.max(0, seconds), duration());
}

function play(start, end) {
  const video = player();
  if (!video) return;
  bound = { start, end };
  video.currentTime = start;
  video.play().catch(() => {});
}

function keepToRange() {
  const video = player();
  if (!video) return;
  if (bound && !video.seeking && video.currentTime >= bound.end - 0.005) {
    if (looping) {
      video.currentTime = bound.start;
    } else {
      const { end } = bound;
      bound = null;
      video.pause();
      video.currentTime = Math.min(end, video.duration || end);
    }
  }
  showPosition();
  if (!video.paused) requestAnimationFrame(keepToRange);
}

function showPosition() {
  const video = player(), now = video ? video.currentTime : 0;
  find(".playhead").style.left = part(now) + "%";
  find(".clock").textContent = clock(now) + " / " + clock(duration());
  film.setAttribute("aria-valuenow", now.toFixed(1));
  film.setAttribute("aria-valuetext", clock(now) + " of " + clock(duration()));
}

const onPlayer = (type, act) =>
  document.addEventListener(type, (event) => event.target === player() && act(event.target), true);
onPlayer("timeupdate", keepToRange);
onPlayer("play", () => requestAnimationFrame(keepToRange));
onPlayer("ended", (video) => {
  if (bound && looping) play(bound.start, bound.end);
  else bound = null;
});
onPlayer("seeking", (video) => {
  if (bound && (video.currentTime < bound.start - 0.3 || video.currentTime > bound.end + 0.3)) bound = null;
  showPosition();
});
onPlayer("loadedmetadata", () => { bound = null; draw(); });
document.addEventListener("grounded:play", (event) => choose(event.detail.start, event.detail.end, true));
document.addEventListener("grounded:seek", (event) => { bound = null; seek(event.detail.start); });

// The chosen range

// `shown` holds it: an answer that comes in meanwhile brings the value of when its question was asked.
function select(range) {
  shown = { ...shown, selected: range };
  props.value = { ...value(), selected: range };
}

function choose(start, end, andPlay) {
  select([start, end]);
  drawRange();
  trigger("select", { start, end });
  if (andPlay) play(start, end);
}

function drawRange() {
  const [start, end] = shown.selected || [];
  const none = !(end > start);
  find(".range").hidden = find(".selection").hidden = none;
  for (const segment of rowsBox.querySelectorAll(".segment"))
    segment.classList.toggle("chosen", !none && segment.dataset.start === String(start) && segment.dataset.end === String(end));
  if (none) return;
  find(".from-to").textContent = clock(start) + " – " + clock(end) + " (" + (end - start).toFixed(1) + " s)";
  find(".selection").style.left = part(start) + "%";
  find(".selection").style.width = part(end - start) + "%";
}

find(".play").onclick = () => play(...shown.selected);
find(".loop").onclick = (event) => {
  looping = !looping;
  event.currentTarget.setAttribute("aria-pressed", looping);
  if (looping) play(...shown.selected);
};
find(".describe").onclick = () => trigger("describe", {});
find(".cut").onclick = () => trigger("cut", {});
find(".clear").onclick = () => { select(null); bound = null; drawRange(); film.focus(); };

let dragged = null;    // where a drag over the film began, in pixels
const at = (event) => {
  const box = film.getBoundingClientRect();
  return duration() * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
};
film.addEventListener("pointerdown", (event) => {
  if (event.button || !duration()) return;
  dragged = { x: event.clientX, from: at(event) };
  film.setPointerCapture(event.pointerId);
});
film.addEventListener("pointermove", (event) => {
  if (!dragged || Math.abs(event.clientX - dragged.x) < 5) return;
  const [start, end] = [dragged.from, at(event)].sort((a, b) => a - b);
  find(".selection").hidden = false;
  find(".selection").style.left = part(start) + "%";
  find(".selection").style.width = part(end - start) + "%";
});
film.addEventListener("pointerup", (event) => {
  if (!dragged) return;
  const from = dragged.from, far = Math.abs(event.clientX - dragged.x) >= 5;
  dragged = null;
  bound = null;
  if (!far) return seek(from);
  const ends = [from, at(event)].sort((a, b) => a - b).map((x) => Math.round(100 * x) / 100);
  choose(ends[0], Math.min(ends[1], duration()), false);
});
film.addEventListener("pointercancel", () => { dragged = null; drawRange(); });
film.addEventListener("keydown", (event) => {
  const now = player() ? player().currentTime : 0, step = number(value().step) || duration() / 100;
  const [start, end] = shown.selected || [0, duration()];
  const moves = { ArrowLeft: now - step, ArrowDown: now - step, ArrowRight: now + step, ArrowUp: now + step,
    PageDown: now - 10 * step, PageUp: now + 10 * step, Home: 0, End: duration() };
  if (event.key in moves) { bound = null; seek(moves[event.key]); }
  else if (event.key === "[" && now < duration()) choose(now, end > now ? end : duration(), false);
  else if (event.key === "]" && now > 0) choose(start < now ? start : 0, now, false);
  else if (event.key === "Enter" && shown.selected) play(...shown.selected);
  else return;
  event.preventDefault();
});

// Rows

function lanes(moments) {
  const ends = [];
  return moments.map((moment) => {
    let lane = ends.findIndex((end) => end <= moment.start + 1e-6);
    if (lane < 0) lane = ends.length;
    ends[lane] = moment.end;
    return lane;
  });
}

function describe(moment) {
  return clock(moment.start) + " to " + clock(moment.end) +
    (moment.score == null ? "" : ", " + percent(moment.score) + " sure") + (moment.text ? ": " + moment.text : "");
}

function noteOf(row) {
  if (row.task === "ground" && row.absent > 0.5) return "not in this video (" + percent(row.absent) + ")";
  if (!(row.moments || []).length) return row.task === "ground" || row.task === "caption" ? "no moment found" : "";
  return "";
}

function curve(points) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const width = 100 / points.length;
  const steps = points.map((p, i) => "L" + i * width + " " + (1 - number(p)) + "L" + (i + 1) * width + " " + (1 - number(p)));
  svg.setAttribute("viewBox", "0 0 100 1");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", "M0 1" + steps.join("") + "L100 1Z");
  svg.append(path);
  return svg;
}

function drawRow(row) {
  const box = make("div", "row"), head = make("div", "head"), folded = hidden.has(row.id);
  const question = row.task === "caption" ? "All events" : String(row.question || "");
  const show = make("button", "show", folded ? "Show" : "Hide"), remove = make("button", "remove", "Remove");
  show.setAttribute("aria-expanded", !folded);
  show.setAttribute("aria-label", (folded ? "Show the row: " : "Hide the row: ") + question);
  show.onclick = () => {
    if (!hidden.delete(row.id)) hidden.add(row.id);
    draw();
    rowsBox.querySelector(`[data-id="${CSS.escape(row.id)}"] .show`).focus();
  };
  remove.setAttribute("aria-label", "Remove the row: " + question);
  remove.onclick = () => {
    removed.add(row.id);
    receive();
    film.focus();
  };
  const title = make("span", "question", question);
  title.title = question;
  head.append(make("span", "task", TASKS[row.task] || ""), title, make("span", "note", noteOf(row)), show, remove);
  box.dataset.id = row.id;
  box.append(head);
  if (folded || !((row.moments || []).length || (row.curve || []).length)) return box;
  const track = make("div", "track"), moments = row.moments || [], places = lanes(moments);
  track.setAttribute("role", "group");
  track.setAttribute("aria-label", "Moments: " + question);
  track.style.height = 32 + 28 * Math.max(0, ...places) + "px";
  if ((row.curve || []).length) track.append(curve(row.curve));
  moments.forEach((moment, i) => {
    const sure = moment.score == null ? 0.5 : number(moment.score);
    const segment = make("button", "segment");
    segment.append(make("span", "", moment.text || (moment.score == null ? "" : percent(moment.score))));
    segment.style.left = "min(" + part(moment.start) + "%, calc(100% - 24px))";
    segment.style.width = part(moment.end - moment.start) + "%";
    segment.style.top = 2 + 28 * places[i] + "px";
    segment.style.setProperty("--sure", sure);
    segment.title = describe(moment);
    segment.dataset.start = moment.start;
    segment.dataset.end = moment.end;
    segment.setAttribute("aria-label", "Play " + describe(moment));
    segment.onclick = () => choose(moment.start, moment.end, true);
    track.append(segment);
  });
  box.append(track);
  return box;
}

// The buttons are made anew; whoever is at one of them with the keyboard stays there.
function drawRows() {
  const held = document.activeElement, row = rowsBox.contains(held) ? held.closest(".row") : null;
  const place = row ? [...row.querySelectorAll("button")].indexOf(held) : -1;
  rowsBox.replaceChildren(...rows().map(drawRow).reverse());   // the latest next to the strip
  const again = row && rowsBox.querySelector(`[data-id="${CSS.escape(row.dataset.id)}"]`);
  if (again && place >= 0) again.querySelectorAll("button")[place]?.focus({ preventScroll: true });
}

rowsBox.addEventListener("keydown", (event) => {
  const segment = event.target.closest(".segment");
  const across = { ArrowLeft: -1, ArrowRight: 1 }[event.key], along = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!segment || !(across || along)) return;
  const tracks = [...rowsBox.querySelectorAll(".track")].filter((track) => track.querySelector(".segment"));
  const track = segment.closest(".track");
  const inTime = (box) => [...box.querySelectorAll(".segment")].sort((a, b) => a.dataset.start - b.dataset.start);
  const next = across
    ? inTime(track)[inTime(track).indexOf(segment) + across]
    : (tracks[tracks.indexOf(track) + along] && inTime(tracks[tracks.indexOf(track) + along])[0]);
  if (next) next.focus();
  event.preventDefault();
});

function drawTicks() {
  const box = find(".ticks"), length = duration();
  box.replaceChildren();
  if (!length) return;
  const room = Math.max(2, Math.floor(film.clientWidth / 64));
  const step = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200].find((s) => length / s <= room) || length;
  for (let seconds = 0; seconds <= length; seconds += step) {
    const tick = make("span", part(seconds) > 96 ? "last" : "", clock(seconds).replace(/\.0$/, ""));
    tick.style.left = part(seconds) + "%";
    box.append(tick);
  }
}

function drawCaptions() {
  const video = player();
  if (!video) return;
  if (!video.groundedTrack) video.groundedTrack = video.addTextTrack("captions", "grounded", "en");
  const track = video.groundedTrack;
  track.mode = "showing";
  for (const cue of [...(track.cues || [])]) track.removeCue(cue);
  const last = rows().filter((row) => row.task === "caption" && !hidden.has(row.id)).pop();
  for (const moment of last ? last.moments || [] : [])
    if (moment.end > moment.start)
      track.addCue(new VTTCue(moment.start, moment.end, String(moment.text).replace(/&/g, "&amp;").replace(/</g, "&lt;")));
}

async function drawFilm() {
  const source = player() && player().currentSrc, box = find(".thumbs");
  if (!source || source === filmed) return;
  filmed = source;
  box.replaceChildren();
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "auto";
  const once = (type) => new Promise((done, fail) => {
    video.addEventListener(type, done, { once: true });
    video.addEventListener("error", fail, { once: true });
    setTimeout(fail, 15000);
  });
  try {
    const ready = once("loadeddata");
    video.src = source;
    await ready;
    const count = Math.max(4, Math.min(16, Math.floor(film.clientWidth / 64)));
    const pictures = Array.from({ length: count }, () => document.createElement("canvas"));
    box.append(...pictures);
    for (let i = 0; i < count && filmed === source; i++) {
      const there = once("seeked");
      video.currentTime = ((i + 0.5) * video.duration) / count;
      await there;
      const canvas = pictures[i];
      canvas.height = 48;
      canvas.width = Math.max(1, Math.min(160, Math.round((48 * video.videoWidth) / (video.videoHeight || 1))));
      canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    }
  } catch {
    if (filmed === source) filmed = "";   // a strip without pictures still measures time; the next draw tries again
  } finally {
    video.removeAttribute("src");
    video.load();
  }
}

function announce() {
  const row = rows().at(-1);
  if (!row || row.id === said) return;
  said = row.id;
  const moments = row.moments || [];
  live.textContent = (TASKS[row.task] || "") + ": " + (noteOf(row) || !moments.length ? noteOf(row) || "answered" : moments.length + (moments.length === 1 ? " moment, " : " moments, the first ") + describe(moments[0]));
}

function draw() {
  film.setAttribute("aria-valuemax", duration().toFixed(1));
  find(".step").textContent = value().step ? "Finest step of time in one look: " + number(value().step).toFixed(2) + " s" : "";
  for (const [name, text] of [["message", value().note], ["error", value().error]]) {
    find("." + name).hidden = !text;
    find("." + name).textContent = String(text || "");
  }
  find(".empty").hidden = rows().length > 0;
  drawRows();
  drawTicks();
  drawRange();
  drawCaptions();
  announce();
  showPosition();
  find(".playhead").hidden = !duration();
  drawFilm();
  // Gradio's upload button carries a label that contradicts its text, which speech control cannot use.
  setTimeout(() => document.querySelector("#player button[aria-dropeffect]")?.removeAttribute("aria-label"), 300);
}

// Several answers may be under way, and each brings the rows that were here when its question was asked. So rows are
// added to those that are here, and an answer about a video that is gone is dropped.
function receive() {
  const film = number(value().film), came = value().rows || [];
  if (film < shown.film) {
    props.value = { ...shown };
    return;
  }
  const before = film === shown.film ? shown.rows : [];
  const known = new Set(before.map((row) => row.id));
  const merged = [...before, ...came.filter((row) => !known.has(row.id))].filter((row) => !removed.has(row.id)).slice(-40);
  if (film !== shown.film) {
    filmed = "";
    find(".thumbs").replaceChildren();
  }
  const selected = film === shown.film ? shown.selected || null : null;   // may have changed while the answer was made
  const changed = merged.length !== came.length || JSON.stringify(selected) !== JSON.stringify(value().selected || null);
  shown = { ...value(), rows: merged, selected };
  if (changed) props.value = { ...shown };
  draw();
}

watch("value", receive);
new ResizeObserver(() => drawTicks()).observe(film);
receive();
