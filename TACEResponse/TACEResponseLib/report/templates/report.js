  // Folded parts are printed too, and folded again.
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details:not([open])")) { part.open = true; part.dataset.folded = ""; }
  });
  addEventListener("afterprint", () => {
    for (const part of document.querySelectorAll("details[data-folded]")) { part.open = false; delete part.dataset.folded; }
  });
  // A patient under the pointer is marked in every figure; a click keeps the mark or takes it away.
  const circles = [...document.querySelectorAll("circle[data-patient]")];
  for (const circle of circles) {
    const same = circles.filter((other) => other.dataset.patient === circle.dataset.patient);
    circle.addEventListener("mouseenter", () => same.forEach((other) => other.classList.add("seen")));
    circle.addEventListener("mouseleave", () => same.forEach((other) => other.classList.remove("seen")));
    circle.addEventListener("click", () => same.forEach((other) => other.classList.toggle("kept")));
  }
