// Draws the moments of several films as cards; a click opens the film at the moment.
function drawCard(film, i) {
  const answer = film.answer || {}, moment = (answer.moments || [])[0] || {}, item = make("li", ""), button = make("button", "card");
  const picture = make(film.picture ? "img" : "div", film.picture ? "" : "none");
  if (film.picture) {
    picture.src = film.picture;
    picture.alt = "";
  }
  const sure = isGuess(answer) ? "a guess" : percent(moment.score);
  button.append(picture, make("span", "when", span(moment) + " · " + sure + (film.kind === "spoken" ? " · said" : "")));
  button.append(make("span", "name", film.title));
  if (moment.text) button.append(make("span", "words", "“" + moment.text.slice(0, 300) + "”"));
  button.title = "Open " + film.title + " at " + span(moment);
  button.onclick = () => {
    props.value = { ...value(), chosen: i };
    trigger("choose", {});
  };
  item.append(button);
  return item;
}

function draw() {
  const { films, note, error } = value();
  for (const [name, text] of [["note", note], ["error", error]]) {
    find("." + name).hidden = !text;
    find("." + name).textContent = text || "";
  }
  find(".cards").replaceChildren(...(films || []).map(drawCard));
}

watch("value", draw);
draw();
