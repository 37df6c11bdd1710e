// What the columns of the picture say goes to a line below it instead of into slow tooltips. Nothing else needs this.
const line = document.getElementById("readout");
const hint = "Point at the picture to read its figures.";
for (const picture of document.querySelectorAll("svg.timeline")) {
  const texts = new Map();
  for (const column of picture.querySelectorAll(".readout")) {
    texts.set(column, column.querySelector("title").textContent);
    column.querySelector("title").remove();
  }
  const show = (event) => { line.textContent = texts.get(event.target) ?? hint; };
  picture.addEventListener("pointermove", show);
  picture.addEventListener("pointerdown", show);
  picture.addEventListener("pointerleave", () => { line.textContent = hint; });
  line.textContent = hint;
}
