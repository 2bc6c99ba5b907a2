"use strict";
(() => {
  const BETWEEN_MS = 2000;
  const style = () => getComputedStyle(document.documentElement);
  const colour = name => style().getPropertyValue(name).trim();
  let charts = [];

  // --- charts: what they show stands in their attribute data-chart ---------------------------------------------------

  const shown = (value, told) =>
    value == null ? "–" : value.toLocaleString("en", { maximumFractionDigits: 2 }) + (told.unit ? " " + told.unit : "");

  function marksOf(told) {
    return chart => {
      const pen = chart.ctx, box = chart.bbox, ratio = devicePixelRatio;
      pen.save();
      pen.font = `${10 * ratio}px system-ui, sans-serif`;
      pen.textBaseline = "top";
      pen.textAlign = "left";
      let free = -Infinity;
      for (const mark of told.marks) {
        const x = Math.round(chart.valToPos(mark.at, "x", true));
        if (x < box.left || x > box.left + box.width) continue;
        pen.strokeStyle = pen.fillStyle = colour("--second");
        if (mark.until) {
          const end = Math.min(box.left + box.width, Math.round(chart.valToPos(mark.until, "x", true)));
          pen.globalAlpha = 0.14;
          pen.fillRect(x, box.top, Math.max(ratio, end - x), box.height);
          pen.globalAlpha = 1;
        }
        pen.lineWidth = ratio;
        pen.setLineDash([3 * ratio, 3 * ratio]);
        pen.beginPath();
        pen.moveTo(x, box.top);
        pen.lineTo(x, box.top + box.height);
        pen.stroke();
        const text = mark.label.slice(0, 20), width = pen.measureText(text).width;
        const left = x + width + 4 * ratio > box.left + box.width ? x - width - 4 * ratio : x + 4 * ratio;
        if (left > free) {
          pen.fillText(text, left, box.top);
          free = left + width + 6 * ratio;
        }
      }
      pen.restore();
    };
  }

  function draw(place) {
    const told = JSON.parse(place.dataset.chart);
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.setAttribute("aria-hidden", "true");
    const colours = [colour("--accent"), colour("--bad")];
    const quiet = colour("--quiet"), line = colour("--line");
    const bars = uPlot.paths.bars({ size: [0.75, 28] });
    const zone = new Intl.DateTimeFormat("en-GB",
      { timeZone: told.zone, month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
    const say = chart => {
      const at = chart.cursor.idx;
      tip.textContent = at == null ? "" : zone.format(told.x[at] * 1000) + "  " +
        told.series.map(each => (told.series.length > 1 ? each.label + " " : "") + shown(each.data[at], told)).join(", ");
    };
    const options = {
      width: Math.max(120, place.clientWidth), height: place.clientHeight - 20,
      tzDate: second => uPlot.tzDate(new Date(second * 1000), told.zone),
      cursor: { y: false, sync: { key: "time" }, points: { size: 6 }, drag: { x: false, y: false } },
      legend: { show: false },
      scales: { y: { range: (chart, low, high) => [0, told.unit === "%" ? Math.max(1, Math.min(118, high * 1.18 || 1)) : (high || 1) * 1.1] } },
      axes: [
        { stroke: quiet, grid: { show: false }, ticks: { stroke: line, size: 4 }, font: "11px system-ui", size: 40, space: 60,
          values: [
            [86400 * 28, "{MMM}", null, null, null, null, null, null, 1],
            [86400, "{D} {MMM}", null, null, null, null, null, null, 1],
            [60, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
            [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1],
          ] },
        { stroke: quiet, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "11px system-ui", size: 46, space: 34,
          values: (chart, splits) => splits.map(v => v == null ? "" : Math.abs(v) >= 1e4
            ? v.toLocaleString("en", { notation: "compact" }) : v.toLocaleString("en")) },
      ],
      series: [{}, ...told.series.map((each, at) => ({
        label: each.label, stroke: colours[at], width: 1.5, spanGaps: true,
        fill: told.kind === "bars" ? colours[at] : at === 0 ? colours[at] + "1a" : undefined,
        paths: told.kind === "bars" ? bars : undefined, points: { show: told.x.length < 3 },
      }))],
      hooks: { draw: [marksOf(told)], setCursor: [say] },
    };
    place.replaceChildren();
    const chart = new uPlot(options, [told.x, ...told.series.map(each => each.data)], place);
    place.append(tip);
    charts.push([chart, place]);
  }

  function drawAll() {
    for (const [chart] of charts) chart.destroy();
    charts = [];
    for (const place of document.querySelectorAll("[data-chart]")) draw(place);
  }

  // --- live: the page is asked for again, and its figures take the place of the old ones ------------------------------

  const status = document.getElementById("live"), pause = document.getElementById("pause");
  let source = null, timer = 0, last = 0, isPaused = false, isAsking = false;

  function tell(state, text) {
    status.textContent = text;
    status.parentElement.dataset.state = state;
  }

  const opened = root => [...root.querySelectorAll("main details")];
  const names = detail => (detail.closest("section")?.id || "") + "/" + detail.querySelector("summary")?.textContent;

  async function refresh() {
    if (isPaused || isAsking || document.hidden) return;
    isAsking = true;
    last = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.redirected && new URL(answer.url).pathname === "/login") { location.assign("/login"); return; }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const main = fresh.querySelector("main"), old = document.querySelector("main");
      if (!answer.ok || !main) { tell("lost", "can't be updated: reload"); return; }
      if (old.contains(document.activeElement) && document.activeElement.matches("input, select")) return;
      const open = new Set(opened(document).filter(each => each.open).map(names));
      const focus = old.contains(document.activeElement) ? path(old, document.activeElement) : null;
      old.replaceChildren(...main.childNodes);
      for (const each of opened(document)) each.open = open.has(names(each));
      drawAll();
      if (focus) follow(old, focus)?.focus({ preventScroll: true });
      const asOf = fresh.getElementById("as-of"), here = document.getElementById("as-of");
      if (asOf && here) here.textContent = asOf.textContent;
      tell("live", "live");
    } catch {
      tell("lost", "the lens does not answer");
    } finally {
      isAsking = false;
    }
  }

  function path(root, node) {
    const steps = [];
    for (; node !== root; node = node.parentElement) steps.unshift([...node.parentElement.children].indexOf(node));
    return steps;
  }

  const follow = (root, steps) => steps.reduce((node, at) => node?.children[at], root);

  function changed() {
    clearTimeout(timer);
    timer = setTimeout(refresh, Math.max(0, last + BETWEEN_MS - Date.now()));
  }

  function listen() {
    source = new EventSource("/live");
    source.addEventListener("open", () => { tell("live", "live"); });
    source.addEventListener("change", changed);
    source.addEventListener("error", () => {
      tell("lost", source.readyState === EventSource.CLOSED ? "not live: reload the page" : "waiting for the lens");
    });
  }

  document.getElementById("enter")?.hasAttribute("data-enter") && location.replace("/");
  drawAll();
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    for (const [chart, place] of charts) chart.setSize({ width: Math.max(120, place.clientWidth), height: place.clientHeight - 20 });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  if (status && document.body.hasAttribute("data-live")) {
    listen();
    pause.hidden = false;
    pause.addEventListener("click", () => {
      isPaused = !isPaused;
      pause.textContent = isPaused ? "Go on" : "Pause";
      tell(isPaused ? "paused" : "live", isPaused ? "paused" : "live");
      if (!isPaused) refresh();
    });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) changed(); });
    addEventListener("pagehide", () => source.close());
    addEventListener("pageshow", event => { if (event.persisted) { listen(); changed(); } });
  }
})();
