"use strict";
(function () {
  const store = JSON.parse(document.getElementById("figures").textContent);
  const config = {
    responsive: true, displaylogo: false, displayModeBar: "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };
  // What is long and equal is stored once: a number stands in its place.
  const whole = (holder) => {
    for (const key of store.keys) {
      if (typeof holder[key] === "number") holder[key] = store.shared[holder[key]];
    }
    return holder;
  };
  const link = (panels) => {
    let busy = false;
    for (const panel of panels) {
      panel.on("plotly_relayout", (change) => {
        const moved = Object.keys(change).some((key) => key.startsWith("xaxis."));
        if (busy || !moved) return;
        busy = true;
        const range = panel.layout.xaxis.range.slice();
        const others = panels.filter((other) => other !== panel);
        Promise.all(others.map((other) => Plotly.relayout(other, { "xaxis.range": range.slice() }))).then(() => { busy = false; });
      });
    }
  };
  const toggles = (figure, panels) => {
    for (const item of figure.querySelectorAll(".legend li")) {
      const flip = () => {
        const off = item.classList.toggle("off");
        item.setAttribute("aria-pressed", String(!off));
        for (const panel of panels) {
          const at = panel.data.map((trace, index) => (trace.meta === item.dataset.name ? index : -1)).filter((index) => index >= 0);
          if (at.length) Plotly.restyle(panel, { visible: !off }, at);
        }
      };
      item.addEventListener("click", flip);
      item.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); flip(); } });
    }
  };
  const draw = async () => {
    for (const figure of document.querySelectorAll("figure[data-key]")) {
      const panels = [...figure.querySelectorAll(".panel")];
      for (const panel of panels) {
        const spec = store.panels[panel.id];
        whole(spec.layout.xaxis);
        await Plotly.newPlot(panel, spec.data.map(whole), spec.layout, config);
      }
      if (figure.dataset.linked) link(panels);
      toggles(figure, panels);
    }
    document.body.dataset.drawn = "yes";
  };
  // On paper everything is open, and as wide as a page.
  const fit = (wide, narrow) => {
    for (const panel of document.querySelectorAll(".panel")) {
      Plotly.relayout(panel, { width: panel.closest(".three") ? narrow : wide });
    }
  };
  addEventListener("beforeprint", () => {
    for (const item of document.querySelectorAll("details")) item.open = true;
    fit(680, 330);
  });
  addEventListener("afterprint", () => fit(null, null));
  draw();
})();
