// Draws what is being done and the answers. Everything people or models wrote goes through textContent.
const find = (selector) => element.querySelector(selector);
const value = () => props.value || {};
const number = (x) => (Number.isFinite(Number(x)) ? Number(x) : 0);
const percent = (p) => Math.round(100 * number(p)) + " %";
const TIMES = /(\d+(?:\.\d+)?) s(?: to (\d+(?:\.\d+)?) s)?/g;   // as an answer's times are written

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

const tell = (type, detail) => document.dispatchEvent(new CustomEvent("grounded:" + type, { detail }));

function timeButton(text, start, end) {
  const button = make("button", "time", text);
  button.title = end === undefined ? "Go there" : "Play this moment";
  button.onclick = () => (end > start ? tell("play", { start, end }) : tell("seek", { start }));
  return button;
}

function readable(text, duration) {
  const box = make("p", "text");
  let from = 0;
  for (const match of text.matchAll(TIMES)) {
    const start = Number(match[1]), end = match[2] === undefined ? undefined : Number(match[2]);
    if (start > duration || end > duration + 0.1) continue;
    box.append(text.slice(from, match.index), timeButton(match[0], start, end));
    from = match.index + match[0].length;
  }
  box.append(text.slice(from));
  return box;
}

function momentItem(moment, said) {
  const item = make("li", "moment"), button = make("button", "play", "▶ " + clock(moment.start) + " – " + clock(moment.end));
  button.onclick = () => tell("play", { start: number(moment.start), end: number(moment.end) });
  item.append(button);
  if (moment.score != null) item.append(make("span", "sure", percent(moment.score) + " sure"));
  if (moment.text && moment.text !== said) item.append(make("span", "caption", moment.text));
  return item;
}

function optionItem(option, chosen) {
  const item = make("li", "option" + (chosen ? " chosen" : ""));
  const gauge = make("div", "gauge"), bar = make("div", "");
  bar.style.width = 100 * Math.min(1, number(option.score)) + "%";
  gauge.setAttribute("aria-hidden", "true");
  gauge.append(bar);
  item.append(make("span", "label", (chosen ? "✓ " : "") + "(" + option.letter + ") " + option.text));
  item.append(make("span", "sure", percent(option.score)), gauge);
  return item;
}

function list(items, label) {
  const box = make("ul", "");
  box.setAttribute("aria-label", label);
  box.tabIndex = 0;    // a long list scrolls, also by keyboard
  box.append(...items);
  return box;
}

function speed(answer) {
  const took = number(answer.seconds).toFixed(2) + " s";
  if (answer.windows) return answer.model + " answered in " + took + ", after searching " + number(answer.windows) +
    " parts of the video. They are kept for the next question.";
  if (answer.cached) return answer.model + " answered in " + took + ": this video was already watched.";
  return answer.model + " watched the video in " + number(answer.watch_seconds).toFixed(2) + " s and answered in " +
    Math.max(0, number(answer.seconds) - number(answer.watch_seconds)).toFixed(2) + " s. The next question will skip the watching.";
}

function drawAnswer(answer) {
  const box = make("article", "answer"), moments = answer.moments || [], options = answer.options || [];
  box.append(make("p", "asked", answer.task === "caption" ? "All events" : answer.question));
  if (answer.task === "ground" && answer.absent > 0.5)
    box.append(make("p", "absent", "Not in this video: the model is " + percent(answer.absent) + " sure that nothing in it fits."));
  else if (answer.task === "ground" && answer.absent != null && moments.length)
    box.append(make("p", "", "Probability that it is not in this video: " + percent(answer.absent)));
  if (options.length) box.append(list(options.map((option) => optionItem(option, option.letter === answer.choice)), "Options"));
  if (answer.task !== "caption" || !moments.length) box.append(readable(String(answer.text || ""), number(answer.duration)));
  if (moments.length) {
    if (options.length) box.append(make("p", "", "Where it shows:"));
    box.append(list(moments.map((moment) => momentItem(moment, answer.text)), "Moments"));
  }
  box.append(make("p", "made", speed(answer)));
  if (answer.link) {
    const copy = make("button", "copy", "Copy a link to this question");
    copy.onclick = async () => {
      const link = new URL(answer.link, location.href.split("?")[0]).href;
      try { await navigator.clipboard.writeText(link); copy.textContent = "Copied"; } catch { copy.textContent = link; }
    };
    const line = make("p", "");
    line.append(copy);
    box.append(line);
  }
  const details = make("details", ""), data = make("pre", "");
  data.tabIndex = 0;
  details.append(make("summary", "", "As data (JSON)"), data);
  details.ontoggle = () => { data.textContent = JSON.stringify(answer, null, 2); };
  box.append(details);
  return box;
}

let drawn = "";    // answers as last drawn: progress alone does not draw them again

function draw() {
  const { doing, writing, error, note, answers } = value();
  find(".doing").hidden = !doing;
  if (doing) {
    const what = String(doing.what), fraction = number(doing.fraction);
    if (find(".what").textContent !== what) find(".what").textContent = what;
    if (fraction > 0) find("progress").value = fraction;
    else find("progress").removeAttribute("value");
  }
  for (const [name, text] of [["error", error], ["note", note], ["writing", writing]]) {
    const box = find("." + name + ":not(.answers *)");
    box.hidden = !text;
    if (box.textContent !== String(text || "")) box.textContent = String(text || "");
  }
  const now = JSON.stringify(answers || []);
  if (now === drawn) return;
  drawn = now;
  find(".answers").replaceChildren(...(answers || []).map(drawAnswer));
}

find(".cancel").onclick = () => trigger("cancel", {});
watch("value", draw);
draw();
