// Draws the example videos as pictures; a click puts one on the stage.
function drawFilm(film, i) {
  const button = make("button", "film"), label = "“" + film.label + "”";
  const picture = make(film.picture ? "img" : "div", film.picture ? "" : "none");
  if (film.picture) {
    picture.src = film.picture;
    picture.alt = film.title;
  }
  button.append(picture, make("span", "", label));
  button.title = "Find " + label + " in " + film.title;
  button.onclick = () => {
    const own = document.querySelector("#timeline .timeline")?.dataset.own === "true";
    if (own && !confirm("Show this example instead of your video and what was found in it?")) return;
    props.value = { ...value(), chosen: i };
    trigger("choose", {});
  };
  return button;
}

element.querySelector(".gallery").replaceChildren(...(value().films || []).map(drawFilm));
