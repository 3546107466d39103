"use strict";
(() => {
  const INK = { light: "#1c2430", dark: "#e6e9ef" };
  const HOVER = { light: "#ffffff", dark: "#2a303b" };
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const config = {
    displaylogo: false,
    responsive: true,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  };
  const drawn = [];

  const colours = (scheme) => ({
    "font.color": INK[scheme],
    "hoverlabel.bgcolor": HOVER[scheme],
    "hoverlabel.font.color": INK[scheme],
  });
  const scheme = () => (dark.matches ? "dark" : "light");
  const paint = (which, size) => drawn.map((node) => Plotly.relayout(node, { ...colours(which), ...size }));

  for (const [key, figure] of Object.entries(figures)) {
    const node = document.getElementById("chart-" + key);
    node.textContent = "";
    figure.layout.font.color = INK[scheme()];
    figure.layout.hoverlabel = { bgcolor: HOVER[scheme()], font: { color: INK[scheme()] } };
    Plotly.newPlot(node, figure.data, figure.layout, config).then(() => node.setAttribute("data-drawn", "yes"));
    drawn.push(node);
  }

  dark.addEventListener("change", () => paint(scheme(), {}));

  // Paper is white and narrow, and cannot be unfolded.
  const folded = [];
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details[data-print]:not([open])")) {
      details.open = true;
      folded.push(details);
    }
    paint("light", { width: 680 });
  });
  window.addEventListener("afterprint", () => {
    while (folded.length) folded.pop().open = false;
    paint(scheme(), { width: null, autosize: true });
  });
})();
