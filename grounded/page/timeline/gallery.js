// Draws the example videos as pictures, and first a place for an own one; a click puts one on the stage.
const keeps = () => document.querySelector("#timeline .timeline")?.dataset.own === "true" &&
  !confirm("Leave your video and what was found in it?");

document.addEventListener("click", (event) => {
  if (event.isTrusted && element.isConnected && event.target.closest("#player button[aria-label='Clear']") && keeps())
    event.stopImmediatePropagation();
}, true);

async function upload() {
  if (keeps()) return;
  document.querySelector("#player button[aria-label='Clear']")?.click();
  for (let i = 0; i < 60; i++) {
    const input = document.querySelector("#player input[type=file]");
    if (input) return input.click();
    await new Promise((done) => setTimeout(done, 50));
  }
}

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
    if (keeps()) return;
    props.value = { ...value(), chosen: i };
    trigger("choose", {});
  };
  return button;
}

const own = make("button", "own", "+ Your own video");
own.onclick = upload;
element.querySelector(".gallery").replaceChildren(own, ...(value().films || []).map(drawFilm));
