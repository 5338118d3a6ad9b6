// Draws the film, the chosen range and rows of moments under the player, and plays them.
const player = () => document.querySelector("#player video");
const film = find(".film"), rowsBox = find(".rows"), live = find(".live");
const removed = new Set();   // the rows that answers under way must not bring back
const TASKS = { ground: "Find", refer: "Describe", choose: "Choice", caption: "Events", ask: "Ask" };
let bound = null;      // the range that is being played: playback stops, or begins again, at its end
let looping = false;
let filmed = "";       // the address of the video whose thumbnails are drawn
let latest = "";       // the row that was last announced
let lost = null;       // the row that was removed last, and its place
let given = "";        // the address of the file that was last exported
let zoomed = null;     // the part of the video that the strip and the rows show, in seconds; null is all of it
let now = 0;           // where the player was last
let shown = { film: 0, rows: [] };   // what is here of the video that is here now
const duration = () => number(value().duration) || (player() && number(player().duration)) || 0;
const frame = () => number(value().frame) || 0.04;
const view = () => zoomed || { from: 0, length: duration() };
const place = (seconds) => (view().length ? (100 * (seconds - view().from)) / view().length : 0);   // in percent of the strip
const part = (seconds) => Math.min(100, Math.max(0, place(seconds)));
const rows = () => shown.rows;
const isHidden = (row) => (shown.hidden || []).includes(row.id);

// What changes here holds against answers under way, which bring the value of when their question was asked.
function change(parts) {
  shown = { ...shown, ...parts };
  props.value = { ...value(), ...parts };
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
  video.playbackRate = number(find(".speed select").value) || 1;
  video.play().catch(() => {});
}

function toggle() {
  const video = player();
  if (!video) return;
  if (video.paused) video.play().catch(() => {});
  else video.pause();
}

find(".speed select").onchange = (event) => { if (player()) player().playbackRate = number(event.target.value) || 1; };

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
  const before = now, isInView = () => now >= view().from && now <= view().from + view().length;
  now = Math.min(player()?.currentTime || 0, duration());
  if (now !== before && !isInView() && !dragged) show(now - view().length / 2, view().length);   // the view follows the player
  find(".playhead").hidden = !duration() || !isInView();
  find(".playhead").style.left = part(now) + "%";
  find(".clock").textContent = clock(now) + " / " + clock(duration());
  film.setAttribute("aria-valuenow", now.toFixed(1));
  film.setAttribute("aria-valuetext", clock(now) + " of " + clock(duration()));
}

const onPlayer = (type, act) =>
  document.addEventListener(type, (event) => event.target === player() && act(event.target, event), true);
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
onPlayer("loadedmetadata", (video) => {
  bound = null;
  draw();
  const [start, end] = shown.selected || [];
  if (start > 0 && video.currentTime === 0) seek(start + (end - start) / 10);
});
onPlayer("error", (video, event) => {
  event.stopImmediatePropagation();   // Gradio would say so over the sentence below
  draw();
});
document.addEventListener("grounded:play", (event) => choose(event.detail.start, event.detail.end, true));
document.addEventListener("grounded:picture", (event) => { pictures.push(event.detail); setTimeout(drawFilm); });
document.addEventListener("grounded:seek", (event) => { bound = null; seek(event.detail.start); });

// Zoom

function show(from, length) {
  length = Math.min(duration(), Math.max(length, 50 * frame(), 2));
  zoomed = length < duration() ? { from: Math.min(Math.max(0, from), duration() - length), length } : null;
  draw();
  pictures = [...pictures.filter(({ canvas }) => !canvas.closest(".thumbs")), ...(filmed ? cutStrip() : [])];
  drawFilm();
}

function zoom(factor, at) {
  if (duration()) show(at - (at - view().from) * factor, view().length * factor);
}

const middle = () => (now >= view().from && now <= view().from + view().length ? now : view().from + view().length / 2);
find(".in").onclick = () => zoom(0.5, middle());
find(".out").onclick = () => zoom(2, middle());
find(".pan").oninput = (event) => show(number(event.target.value), view().length);

function drawZoom() {
  const pan = find(".pan");
  find(".zoom").hidden = !(duration() > 60);
  find(".out").disabled = pan.disabled = !zoomed;
  pan.max = duration() - view().length;
  pan.value = view().from;
}

// The chosen range

function choose(start, end, andPlay) {
  change({ selected: [start, end], clip: null });
  drawRange();
  trigger("select", { start, end });
  if (andPlay) play(start, end);
}

function showRange(start, end) {
  find(".from-to").textContent = span({ start, end }) + " (" + (end - start).toFixed(1) + " s)";
  find(".selection").hidden = part(end) <= part(start);
  find(".selection").style.left = part(start) + "%";
  find(".selection").style.width = part(end) - part(start) + "%";
}

function drawRange() {
  const [start, end] = shown.selected || [], none = !(end > start), { clip } = value();
  find(".range").classList.toggle("none", none);
  find(".selection").hidden = none;
  for (const button of find(".range").querySelectorAll("button")) button.disabled = none;
  for (const segment of rowsBox.querySelectorAll(".segment"))
    segment.classList.toggle("chosen", !none && segment.dataset.start === String(start) && segment.dataset.end === String(end));
  if (none) find(".from-to").textContent = "Drag over the strip to choose a range.";
  else showRange(start, end);
  offer(find(".clip"), !none && clip?.start === start && clip?.end === end ? clip : null, "clip");
  const cut = find(".cut"), held = document.activeElement === cut;
  cut.hidden = !find(".clip").hidden;   // the link takes its place
  if (held && cut.hidden) find(".clip").focus();
}

function offer(link, download, name) {
  link.hidden = !download;
  if (!download) return;
  link.href = new URL(download.address, location.href.split("?")[0]);
  link.download = download.name;
  link.title = download.name;
  link.textContent = "Download " + (name || download.name);
}

find(".play").onclick = () => play(...shown.selected);
find(".loop").onclick = (event) => {
  looping = !looping;
  event.currentTarget.setAttribute("aria-pressed", looping);
  if (looping) play(...shown.selected);
};
find(".describe").onclick = () => trigger("describe", {});
find(".cut").onclick = () => {
  change({ clip: null, error: "" });
  busy(find(".cut"), "Cutting…");
  trigger("cut", {});
};
find(".export").onclick = () => {
  change({ file: null, error: "", form: find(".form select").value });
  busy(find(".export"), "Writing…");
  trigger("export", {});
};
function busy(button, text) {
  button.dataset.idle ||= button.textContent;
  button.textContent = text || button.dataset.idle;
}
function clear() {
  bound = null;
  change({ selected: null, clip: null });
  drawRange();
}
find(".clear").onclick = () => { clear(); film.focus(); };

let dragged = null;    // where a drag over the film began
const at = (event) => {
  const box = film.getBoundingClientRect();
  return Math.round(100 * (view().from + view().length * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)))) / 100;
};
film.addEventListener("pointerdown", (event) => {
  if (event.button || !duration()) return;
  const [start, end] = shown.selected || [], near = (8 * view().length) / film.clientWidth, here = at(event);
  const other = Math.abs(here - start) < near ? end : Math.abs(here - end) < near ? start : here;   // an end is held
  dragged = { x: event.clientX, from: other };
  film.setPointerCapture(event.pointerId);
});
film.addEventListener("pointermove", (event) => {
  if (!dragged || Math.abs(event.clientX - dragged.x) < 5) return;
  dragged.far = true;
  bound = null;
  showRange(...[dragged.from, at(event)].sort((a, b) => a - b));
  if (player() && !player().seeking) seek(at(event));
});
film.addEventListener("pointerup", (event) => {
  if (!dragged) return;
  const { from, far } = dragged, here = at(event);
  dragged = null;
  bound = null;
  if (!far) return seek(here);
  const [start, end] = [from, here].sort((a, b) => a - b);
  if (end > start) choose(start, Math.min(end, duration()), false);
});
film.addEventListener("pointercancel", () => { dragged = null; drawRange(); });
film.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;   // as browsers tell a pinch
  zoom(event.deltaY > 0 ? 1.25 : 0.8, at(event));
  event.preventDefault();
}, { passive: false });
film.addEventListener("keydown", (event) => {
  const now = player() ? player().currentTime : 0, step = event.shiftKey ? 1 : frame();
  const [start, end] = shown.selected || [0, duration()];
  const moves = { ArrowLeft: now - step, ArrowDown: now - step, ArrowRight: now + step, ArrowUp: now + step,
    PageDown: now - 10, PageUp: now + 10, Home: 0, End: duration() };
  if (event.key in moves) { bound = null; seek(moves[event.key]); }
  else if (event.key === "[" && now < duration()) choose(now, end > now ? end : duration(), false);
  else if (event.key === "]" && now > 0) choose(start < now ? start : 0, now, false);
  else if (event.key === "Enter" && shown.selected) play(...shown.selected);
  else if ("+=-".includes(event.key)) zoom(event.key === "-" ? 2 : 0.5, middle());
  else return;
  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if (!element.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, button, summary, a, video, [role=tab], [contenteditable]")) {
    if (event.key === "Escape" && element.contains(event.target)) clear();
    return;
  }
  if (event.key === " ") { toggle(); event.preventDefault(); }
  else if (event.key === "Escape") clear();
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

function describe(moment, guess) {
  return clock(moment.start) + " to " + clock(moment.end) +
    (moment.score == null || guess ? "" : ", " + percent(moment.score) + " sure") + (moment.text ? ": " + moment.text : "");
}

function noteOf(row) {
  if (row.task === "ground" && row.absent > 0.5) return "not in this video" + (isGuess(row) ? "" : " (" + percent(row.absent) + ")");
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
  svg.style.left = place(0) + "%";
  svg.style.width = place(duration()) - place(0) + "%";
  path.setAttribute("d", "M0 1" + steps.join("") + "L100 1Z");
  svg.append(path);
  return svg;
}

function rowButton(name, icon, label, act) {
  const button = make("button", name, icon);
  button.setAttribute("aria-label", label);
  button.title = label;
  button.onclick = act;
  return button;
}

function remove(row) {
  removed.add(row.id);
  lost = { row, place: rows().indexOf(row) };
  change({ rows: rows().filter((other) => other !== row) });
  draw();
  find(".bring-back").focus();
}

find(".bring-back").onclick = () => {
  const back = [...rows()];
  removed.delete(lost.row.id);
  back.splice(lost.place, 0, lost.row);
  lost = null;
  change({ rows: back });
  draw();
  film.focus();
};

function drawHead(row) {
  const head = make("div", "head"), folded = isHidden(row), title = make("span", "question", titleOf(row));
  title.title = titleOf(row);
  const show = rowButton("show", folded ? "+" : "–", (folded ? "Show the row: " : "Hide the row: ") + titleOf(row), () => {
    change({ hidden: folded ? shown.hidden.filter((id) => id !== row.id) : [...(shown.hidden || []), row.id] });
    draw();
    rowsBox.querySelector(`[data-id="${CSS.escape(row.id)}"] .show`).focus();
  });
  show.setAttribute("aria-expanded", !folded);
  const note = [noteOf(row), isGuess(row) ? "a guess" : ""].filter(Boolean).join(", ");
  head.append(make("span", "task", TASKS[row.task] || ""), title, make("span", "note", note), show,
    rowButton("remove", "×", "Remove the row: " + titleOf(row), () => remove(row)));
  return head;
}

function drawRow(row) {
  const box = make("div", "row" + (isGuess(row) ? " guess" : ""));
  box.dataset.id = row.id;
  box.append(drawHead(row));
  if (isHidden(row) || !((row.moments || []).length || (row.curve || []).length)) return box;
  const track = make("div", "track"), moments = row.moments || [], places = lanes(moments);
  track.setAttribute("role", "group");
  track.setAttribute("aria-label", "Moments: " + titleOf(row));
  track.style.height = 32 + 28 * Math.max(0, ...places) + "px";
  if ((row.curve || []).length) track.append(curve(row.curve));
  moments.forEach((moment, i) => {
    const sure = moment.score == null ? 0.5 : number(moment.score);
    const segment = make("button", "segment");
    segment.append(make("span", "", moment.text || (moment.score == null || isGuess(row) ? "" : percent(moment.score))));
    segment.style.left = "min(" + part(moment.start) + "%, calc(100% - 24px))";
    segment.style.width = part(moment.end) - part(moment.start) + "%";
    segment.hidden = moment.end < view().from || moment.start > view().from + view().length;
    segment.style.top = 2 + 28 * places[i] + "px";
    segment.style.setProperty("--sure", sure);
    segment.title = describe(moment, isGuess(row));
    segment.dataset.start = moment.start;
    segment.dataset.end = moment.end;
    segment.setAttribute("aria-label", "Play " + segment.title);
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
  const box = find(".ticks"), { from, length } = view();
  box.replaceChildren();
  if (!length) return;
  const room = Math.max(2, Math.floor(film.clientWidth / 64));
  const step = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200].find((s) => length / s <= room) || length;
  for (let seconds = Math.ceil(from / step) * step; seconds <= from + length; seconds += step) {
    const tick = make("span", part(seconds) > 96 ? "last" : part(seconds) < 4 ? "first" : "", clock(seconds).replace(/\.0$/, ""));
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
  const last = rows().filter((row) => row.task === "caption" && !isHidden(row)).pop();
  for (const moment of last ? last.moments || [] : [])
    if (moment.end > moment.start)
      track.addCue(new VTTCue(moment.start, moment.end, String(moment.text).replace(/&/g, "&amp;").replace(/</g, "&lt;")));
}

// One hidden copy of the video draws the strip and the pictures of moments, one after the other.
let pictures = [], drawing = false;
const copy = document.createElement("video");
copy.muted = true;
copy.preload = "auto";

const once = (type) => new Promise((done, fail) => {
  copy.addEventListener(type, done, { once: true });
  copy.addEventListener("error", fail, { once: true });
  setTimeout(fail, 15000);
});

// A frame may come to be drawn a while after its seek is done; none comes where it is the same.
const painted = () => new Promise((done) => {
  copy.requestVideoFrameCallback?.(done);
  setTimeout(done, 250);
});

function cutStrip() {
  const count = Math.max(4, Math.min(16, Math.floor(film.clientWidth / 64)));
  const strip = Array.from({ length: count }, () => document.createElement("canvas"));
  find(".thumbs").replaceChildren(...strip);
  return strip.map((canvas, i) => ({ canvas, at: view().from + ((i + 0.5) * view().length) / count }));
}

async function drawFilm() {
  const source = player() && player().currentSrc;
  if (!source || drawing || (source === filmed && !pictures.length)) return;
  drawing = true;
  try {
    if (source !== filmed) {
      const ready = once("loadeddata");
      copy.src = source;
      await ready;
      filmed = source;
      pictures = [...pictures, ...cutStrip()];
    }
    while (pictures.length && player()?.currentSrc === filmed) {
      const { canvas, at } = pictures.shift();
      if (!canvas.isConnected) continue;
      const there = once("seeked"), frame = painted();
      copy.currentTime = Math.min(at + 0.001 * Math.random(), copy.duration);   // no event where nothing changes
      await there;
      await frame;
      canvas.height = 48;
      canvas.width = Math.max(1, Math.min(160, Math.round((48 * copy.videoWidth) / (copy.videoHeight || 1))));
      canvas.getContext("2d").drawImage(copy, 0, 0, canvas.width, canvas.height);
    }
  } catch {
    filmed = "";   // a strip without pictures still measures time; the next draw tries again
    pictures = [];
  } finally {
    drawing = false;
  }
}

// The newest answer is told, and the player stands at its best moment.
function announce() {
  const row = rows().at(-1);
  if (!row || row.id + row.seconds === latest) return;
  latest = row.id + row.seconds;
  const moments = row.moments || [], best = byScore(moments)[0], note = noteOf(row);
  live.textContent = (TASKS[row.task] || "") + ": " + (note || !best ? note || "answered" :
    moments.length + (moments.length === 1 ? " moment, " : " moments, the best ") + describe(best, isGuess(row)));
  if (!best || note || row.task === "caption" || !player()?.paused) return;
  bound = null;
  choose(best.start, best.end, false);
  seek(best.start + (best.end - best.start) / 10);   // the first frame may be the last one before it
}

function draw() {
  const unplayable = value().duration && player()?.error ? "This browser does not play the file; it can be asked about all the same." : "";
  film.setAttribute("aria-valuemax", duration().toFixed(1));
  find(".timeline").dataset.own = Boolean(value().duration && !value().example);
  find(".step").textContent = value().step >= 0.05 ? "Finest step in one look: " + number(value().step).toFixed(2) + " s" : "";
  for (const [name, text] of [["message", value().note || unplayable], ["error", value().error]]) {
    find("." + name).hidden = !text;
    find("." + name).textContent = capital(text);
  }
  find(".undo").hidden = !lost;
  if (lost) find(".removed").textContent = "Removed “" + titleOf(lost.row) + "”.";
  busy(find(".cut"));
  busy(find(".export"));
  offer(find(".file"), value().file);
  if (value().file && value().file.address !== given) {
    given = value().file.address;
    find(".file").click();
  }
  drawZoom();
  drawRows();
  drawTicks();
  announce();
  drawRange();
  drawCaptions();
  showPosition();
  drawFilm();
  // Gradio's upload button carries a label that contradicts its text, which speech control cannot use.
  setTimeout(() => document.querySelector("#player button[aria-dropeffect]")?.removeAttribute("aria-label"), 300);
}

const kept = () => "grounded:" + value().example;   // where the rows of an example survive a reload; "own" is a visitor's video

function remembered() {
  try { return value().example ? JSON.parse(sessionStorage.getItem(kept()) || "[]") : []; } catch { return []; }
}

// Several answers may be under way, and each brings the rows that were here when its question was asked. So rows are
// added to those that are here, and an answer about a video that is gone is dropped. A question on an example that is
// asked again takes the place of its earlier row.
function receive() {
  const film = number(value().film), came = value().rows || [];
  if (film < shown.film) {
    props.value = { ...shown };
    return;
  }
  const isNew = film !== shown.film, before = isNew ? remembered() : shown.rows;
  const known = new Set(before.map((row) => row.id)), later = (row) => (other) => other.id === row.id && other.seconds > row.seconds;
  const all = [...before.map((row) => came.find(later(row)) || row), ...came.filter((row) => !known.has(row.id) && !removed.has(row.id))];
  const merged = all.filter((row, i) => !row.link || !all.some((other, k) => k > i && other.link === row.link)).slice(-40);
  if (isNew) {
    filmed = "";
    zoomed = null;
    lost = null;
    find(".thumbs").replaceChildren();
    if (value().source) followInAddress({});
    if (!came.length) latest = merged.length ? merged.at(-1).id + merged.at(-1).seconds : "";
  }
  const selected = isNew ? null : shown.selected || null, hiddenRows = isNew ? [] : shown.hidden || [];
  shown = { ...value(), rows: merged, selected, hidden: hiddenRows };
  if (JSON.stringify(shown) !== JSON.stringify(value())) props.value = { ...shown };
  draw();
  try {
    const { example, source } = value();
    if (example) sessionStorage.setItem(kept(), JSON.stringify(merged));
    if (source) sessionStorage.setItem("grounded:own", JSON.stringify({ source, rows: merged }));
    else if (film) sessionStorage.removeItem("grounded:own");
  } catch { /* no room */ }
}

watch("value", receive);
new ResizeObserver(() => drawTicks()).observe(film);
receive();
