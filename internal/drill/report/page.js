// What the columns of the picture say goes to a line above it instead of into slow tooltips. Nothing else needs this.
for (const picture of document.querySelectorAll("svg.timeline")) {
  const line = document.getElementById("readout");
  const rest = line.textContent;
  const texts = new Map();
  for (const column of picture.querySelectorAll(".readout")) {
    texts.set(column, column.querySelector("title").textContent);
    column.querySelector("title").remove();
  }
  const show = (event) => { line.textContent = texts.get(event.target) ?? rest; };
  picture.addEventListener("pointermove", show);
  picture.addEventListener("pointerdown", show);
  picture.addEventListener("pointerleave", () => { line.textContent = rest; });
}
