"use strict";
(() => {
  const INK = { light: "#1c2430", dark: "#e6e9ef" };
  const HOVER = { light: "#ffffff", dark: "#2a303b" };
  const CONFIG = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const scheme = () => (dark.matches ? "dark" : "light");
  const figures = [...document.querySelectorAll("figure.live")];
  const asked = new WeakMap(); // the number of the last question: an answer that was overtaken is not drawn
  let plotly = null;

  // plotly.js is large: it is fetched when the page stands already
  const library = () => {
    plotly ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = document.body.dataset.plotly;
      script.onload = resolve;
      script.onerror = () => reject(new Error("The drawing library could not be fetched."));
      document.head.append(script);
    });
    return plotly;
  };

  const values = (figure) => {
    const query = new URLSearchParams();
    for (const id of figure.dataset.forms.split(" ")) {
      for (const [name, value] of new FormData(document.getElementById(id))) if (value) query.append(name, value);
    }
    return query;
  };

  const fill = (figure, table) => {
    const place = figure.querySelector(".figure-table");
    place.replaceChildren();
    if (!table || !table.rows.length) return;
    const made = document.createElement("table");
    const row = (parent, cells, kind) => {
      const line = parent.insertRow();
      cells.forEach((text, column) => {
        const cell = document.createElement(kind === "head" || column === 0 ? "th" : "td");
        if (cell.tagName === "TH") cell.scope = kind === "head" ? "col" : "row";
        cell.textContent = text;
        line.append(cell);
      });
    };
    row(made.createTHead(), table.heads, "head");
    const body = made.createTBody();
    for (const cells of table.rows) row(body, cells, "body");
    place.append(made);
  };

  const painted = (layout) => ({
    ...layout,
    font: { ...layout.font, color: INK[scheme()] },
    hoverlabel: { bgcolor: HOVER[scheme()], font: { color: INK[scheme()] } },
  });

  const draw = async (figure) => {
    const number = (asked.get(figure) ?? 0) + 1;
    asked.set(figure, number);
    const chart = figure.querySelector(".chart");
    const problem = figure.querySelector(".figure-problem");
    figure.setAttribute("aria-busy", "true");
    chart.removeAttribute("data-drawn");
    try {
      const [response] = await Promise.all([fetch(`${figure.dataset.source}?${values(figure)}`), library()]);
      const answer = await response.json();
      if (asked.get(figure) !== number) return;
      if (!response.ok) throw new Error(answer.error);
      problem.hidden = true;
      figure.querySelector(".figure-title").textContent = answer.title;
      figure.querySelector(".figure-caption").textContent = answer.caption;
      chart.setAttribute("aria-label", `${answer.title}. ${answer.caption}`);
      if (!chart.classList.contains("js-plotly-plot")) chart.textContent = "";
      await Plotly.react(chart, answer.data, painted(answer.layout), CONFIG);
      fill(figure, answer.table);
      chart.setAttribute("data-drawn", "yes");
    } catch (error) {
      problem.textContent = error.message || "This figure could not be fetched.";
      problem.hidden = false;
    } finally {
      if (asked.get(figure) === number) figure.removeAttribute("aria-busy");
    }
  };

  const sees = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      sees.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "200px" });

  const started = (figure) => asked.has(figure);
  for (const figure of figures) figure.dataset.lazy === undefined ? draw(figure) : sees.observe(figure);

  // the address always names what is shown, so that it can be sent to somebody
  const remember = () => {
    const query = new URLSearchParams();
    const seen = new Set();
    for (const figure of figures) {
      for (const id of figure.dataset.forms.split(" ")) {
        if (seen.has(id)) continue;
        seen.add(id);
        for (const [name, value] of new FormData(document.getElementById(id))) if (value) query.append(name, value);
      }
    }
    history.replaceState(null, "", `${location.pathname}?${query}${location.hash}`);
  };

  const changed = (form) => {
    const chosen = new Set(new FormData(form).getAll("arm"));
    for (const row of document.querySelectorAll(`[data-filtered-by="${form.id}"] [data-arm]`)) {
      row.hidden = !chosen.has(row.dataset.arm);
    }
    remember();
    for (const figure of figures) {
      if (started(figure) && figure.dataset.forms.split(" ").includes(form.id)) draw(figure);
    }
  };

  for (const id of new Set(figures.flatMap((figure) => figure.dataset.forms.split(" ")))) {
    const form = document.getElementById(id);
    if (form.id === "chosen") {
      form.addEventListener("change", (event) => event.target.name === "metric" && changed(form));
      continue;
    }
    form.addEventListener("change", () => changed(form));
    form.addEventListener("submit", (event) => { event.preventDefault(); changed(form); });
    form.addEventListener("click", (event) => {
      const which = event.target.dataset.check;
      if (!which) return;
      for (const box of form.querySelectorAll('input[name="arm"]')) box.checked = which === "all";
      changed(form);
    });
  }

  for (const link of document.querySelectorAll("[data-drill]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const form = document.getElementById("axes");
      for (const box of form.querySelectorAll('input[name="arm"]')) box.checked = box.value === link.dataset.drill;
      const place = document.getElementById("h-samples");
      place.scrollIntoView();
      place.focus({ preventScroll: true });
      changed(form);
    });
  }

  dark.addEventListener("change", () => {
    for (const chart of document.querySelectorAll(".chart.js-plotly-plot")) Plotly.relayout(chart, painted({ font: chart.layout.font }));
  });
})();
