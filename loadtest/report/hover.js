// Shows the values of the instant under the pointer in a chart's legend, and those of the
// whole run when it's gone.
(() => {
  document.documentElement.dataset.hover = "on";
  for (const chart of document.querySelectorAll(".chart")) {
    const data = JSON.parse(chart.querySelector("script").textContent);
    if (!data.x) continue;
    const field = chart.querySelector("[data-field]");
    const cursor = chart.querySelector("[data-cursor]");
    const instant = chart.querySelector("[data-instant]");
    const values = [...chart.querySelectorAll("[data-value]")];
    const whole = values.map((v) => v.textContent);

    field.addEventListener("pointermove", (event) => {
      const box = field.getBoundingClientRect();
      const at = ((event.clientX - box.left) / box.width) * 100;
      let nearest = 0;
      data.x.forEach((x, i) => {
        if (Math.abs(x - at) < Math.abs(data.x[nearest] - at)) nearest = i;
      });
      cursor.hidden = false;
      cursor.style.left = data.x[nearest] + "%";
      instant.textContent = data.t[nearest];
      values.forEach((v, i) => { v.textContent = data.v[nearest][i] ?? ""; });
    });
    field.addEventListener("pointerleave", () => {
      cursor.hidden = true;
      instant.textContent = "";
      values.forEach((v, i) => { v.textContent = whole[i]; });
    });
  }
})();
