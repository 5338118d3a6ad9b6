// Draws what is being done and the answers.
const TIMES = /(\d+(?:\.\d+)?) s(?: to (\d+(?:\.\d+)?) s)?/g;   // as an answer's times are written

function timeButton(start, end) {
  const button = make("button", "time", clock(start) + (end === undefined ? "" : " – " + clock(end)));
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
    box.append(text.slice(from, match.index), timeButton(start, end));
    from = match.index + match[0].length;
  }
  box.append(text.slice(from));
  return box;
}

function momentItem(moment, answer) {
  const item = make("li", "moment"), button = make("button", "play"), picture = make("canvas", "");
  button.append(picture, make("span", "", span(moment)));
  button.setAttribute("aria-label", "Play " + span(moment));
  button.onclick = () => tell("play", { start: number(moment.start), end: number(moment.end) });
  item.append(button);
  tell("picture", { canvas: picture, at: (number(moment.start) + number(moment.end)) / 2 });
  if (moment.score != null && !isGuess(answer)) item.append(make("span", "sure", percent(moment.score) + " sure"));
  if (moment.text && moment.text !== answer.text) item.append(make("span", "caption", moment.text));
  return item;
}

function optionItem(option, answer) {
  const chosen = option.letter === answer.choice, item = make("li", "option" + (chosen ? " chosen" : ""));
  const gauge = make("div", "gauge"), bar = make("div", "");
  bar.style.width = 100 * Math.min(1, number(option.score)) + "%";
  gauge.setAttribute("aria-hidden", "true");
  gauge.append(bar);
  item.append(make("span", "label", (chosen ? "✓ " : "") + "(" + option.letter + ") " + option.text));
  item.append(make("span", "sure", isGuess(answer) ? "" : percent(option.score)), gauge);
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

function copyLink(answer) {
  const copy = make("button", "copy", "Copy a link to this question");
  copy.onclick = async () => {
    const link = new URL(answer.link, location.href.split("?")[0]).href;
    try { await navigator.clipboard.writeText(link); copy.textContent = "Copied"; } catch { copy.textContent = link; }
  };
  return copy;
}

function details(answer) {
  const box = make("details", ""), data = make("pre", "");
  data.tabIndex = 0;
  box.append(make("summary", "", "Details"), make("p", "made", speed(answer)));
  if (answer.trust_reason) box.append(make("p", "made", answer.trust_reason));
  if (answer.link) box.append(copyLink(answer));
  box.append(data);
  box.ontoggle = () => { data.textContent = JSON.stringify(answer, null, 2); };
  return box;
}

function drawAnswer(answer) {
  const box = make("article", "answer" + (isGuess(answer) ? " guess" : "")), moments = byScore(answer.moments), options = answer.options || [];
  box.append(make("p", "asked", titleOf(answer)));
  if (isGuess(answer)) box.append(make("p", "band", answer.trust_reason));
  const absent = answer.task === "ground" && answer.absent > 0.5;
  if (absent) box.append(make("p", "absent", "Not in this video" +
    (isGuess(answer) ? ", as far as this model can tell." : ": the model is " + percent(answer.absent) + " sure that nothing in it fits.")));
  if (options.length) {
    if (!answer.choice) box.append(make("p", "text", answer.text));
    box.append(list(options.map((option) => optionItem(option, answer)), "Options"));
  } else if (!absent && !(moments.length && ["ground", "caption"].includes(answer.task))) {
    box.append(readable(capital(answer.text), number(answer.duration)));
  }
  if (moments.length && !absent && answer.task !== "ask") {
    if (options.length) box.append(make("p", "", "Where it shows:"));
    const inTime = answer.task === "caption" ? answer.moments : moments;
    box.append(list(inTime.map((moment) => momentItem(moment, answer)), "Moments"));
  }
  box.append(details(answer));
  return box;
}

let drawn = "[]";    // answers as last drawn: progress alone does not draw them again

function draw() {
  const { doing, writing, error, note, closer, answers } = value();
  const panel = element.closest("[role=tabpanel]")?.id;
  document.querySelector(`[role=tab][aria-controls="${panel}"]`)?.toggleAttribute("data-working", Boolean(doing));
  find(".closer").hidden = !closer;
  find(".doing").hidden = !doing;
  if (doing) {
    const what = capital(doing.what), fraction = number(doing.fraction);
    if (find(".what").textContent !== what) find(".what").textContent = what;
    if (fraction > 0) find("progress").value = fraction;
    else find("progress").removeAttribute("value");
  }
  for (const [name, text] of [["error", error], ["note", note], ["writing", writing]]) {
    const box = find("." + name + ":not(.answers *)");
    box.hidden = !text;
    if (box.textContent !== capital(text)) box.textContent = capital(text);
  }
  const now = JSON.stringify(answers || []), thread = element.closest(".thread");
  if (now !== drawn) {
    drawn = now;
    find(".answers").replaceChildren(...(answers || []).map(drawAnswer));
    if ((answers || []).length) followInAddress(answers.at(-1));
  }
  find(".reply").classList.toggle("turns", Boolean(thread));
  if (thread) thread.scrollTop = thread.scrollHeight;    // the newest in view
}

find(".closer").onclick = () => trigger("closer", {});
find(".cancel").onclick = () => trigger("cancel", {});
watch("value", draw);
draw();
