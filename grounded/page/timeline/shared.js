// What all scripts of the page use. Everything that people or models wrote goes through textContent.
const find = (selector) => element.querySelector(selector);
const value = () => props.value || {};
const number = (x) => (Number.isFinite(Number(x)) ? Number(x) : 0);
const percent = (p) => (number(p) > 0 && number(p) < 0.005 ? "< 1 %" : Math.round(100 * number(p)) + " %");
const capital = (text) => { const all = String(text || ""); return all.charAt(0).toUpperCase() + all.slice(1); };
const tell = (type, detail) => document.dispatchEvent(new CustomEvent("grounded:" + type, { detail }));
const isGuess = (answer) => answer.trust === "guess";
const span = (moment) => clock(moment.start) + " – " + clock(moment.end);
const byScore = (moments) => [...(moments || [])].sort((a, b) => number(b.score) - number(a.score));

function clock(seconds) {
  const tenths = Math.round(10 * number(seconds)), minutes = Math.floor(tenths / 600);
  return minutes + ":" + ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
}

// The address bar follows, so that what is shown can be shared and survives a reload.
function followInAddress(answer) {
  const link = new URL(answer.link || "?", location.href.split("?")[0]), theme = new URLSearchParams(location.search).get("__theme");
  if (theme) link.searchParams.set("__theme", theme);
  history.replaceState(history.state, "", link);
}

function titleOf(answer) {
  const moment = answer.task === "refer" && (answer.moments || [])[0];
  return moment ? "What happens at " + span(moment) + "?" : String(answer.question || "");
}

function make(tag, name, text) {
  const node = document.createElement(tag);
  node.className = name;
  if (text !== undefined) node.textContent = text;
  if (tag === "button") node.type = "button";
  return node;
}

