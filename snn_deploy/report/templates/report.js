"use strict";
// The page is whole without this: it opens panels of layers and moves through the steps of a recording.
(() => {
  const $ = id => document.getElementById(id);
  for (const box of document.querySelectorAll("[data-panel]")) {
    box.addEventListener("click", () => {
      const panel = $(box.dataset.panel);
      for (const other of document.querySelectorAll(".panels details")) other.open = other === panel;
      panel.scrollIntoView({block: "nearest"});
      panel.querySelector("summary").focus();
    });
  }
  const player = $("player");
  if (!player) return;
  const {kind} = player.dataset;
  const steps = Number(player.dataset.steps), frames = Number(player.dataset.frames), merged = Number(player.dataset.merged);
  const [channels, height, width] = player.dataset.shape.split(",").map(Number);
  const names = player.dataset.names ? player.dataset.names.split("\t") : null;
  const samples = [...document.querySelectorAll("figure.sample")], rasters = [...document.querySelectorAll("figure.raster")];
  const decoded = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const values = samples.map(s => decoded(s.dataset.values));
  const decided = samples.map(s => s.dataset.decided ? s.dataset.decided.split(",").map(Number) : []);
  const now = $("now"), pickSample = $("pick-sample"), pickLayer = $("pick-layer"), pickStep = $("pick-step");
  const opened = player.dataset.open ? player.dataset.open.split(",").map(Number) : null;
  const svg = (parent, tag, attributes) => {
    const element = parent.appendChild(document.createElementNS(now.namespaceURI, tag));
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  // Pixels (x, y) with colour(x, y) as one path of horizontal runs per colour; "" is no colour.
  const paint = (parent, columns, rows, colour, attribute) => {
    const paths = new Map();
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; ) {
        const found = colour(x, y);
        let end = x + 1;
        while (end < columns && colour(end, y) === found) end++;
        if (found) paths.set(found, (paths.get(found) || "") + `M${x} ${y}.5h${end - x}`);
        x = end;
      }
    }
    parent.replaceChildren();
    for (const [name, d] of paths) svg(parent, "path", {[attribute]: name, d});
  };

  const frame = (sample, step) => {
    const at = Math.min(Math.floor(step / merged), frames - 1) * channels * height * width;
    const value = (c, x, y) => values[sample][at + (c * height + y) * width + x];
    if (kind === "colour") {
      const hex = (c, x, y) => (value(c, x, y) >> 4).toString(16);
      return [(x, y) => "#" + hex(0, x, y) + hex(1, x, y) + hex(2, x, y), "stroke"];
    }
    if (kind === "events") return [(x, y) => value(1, x, y) ? "on-event" : value(0, x, y) ? "off-event" : "", "class"];
    return [(x, y) => value(0, x, y) ? "g" + Math.ceil(value(0, x, y) * 8 / 255) : "", "class"];
  };

  const layers = rasters.map(figure => {
    const bits = figure.dataset.bits.split(" ").map(decoded);
    const rows = Number(figure.dataset.rows);
    const numbers = figure.dataset.numbers ? figure.dataset.numbers.split(",").map(Number) : [...Array(rows).keys()];
    const fired = (sample, step, row) => bits[sample][(step * rows + row) >> 3] >> (7 - ((step * rows + row) & 7)) & 1;
    const drawing = figure.querySelector("svg");
    const spikes = svg(drawing, "g", {class: "spikes"}), mark = svg(drawing, "rect", {class: "mark", width: 1, height: 1, visibility: "hidden"});
    const cursor = svg(drawing, "rect", {class: "cursor", width: 1, height: rows, y: 0});
    drawing.querySelector("path").remove();
    return {figure, rows, numbers, fired, drawing, spikes, mark, cursor};
  });

  let drawn = "";
  const show = () => {
    const sample = Number(pickSample.value), number = Number(pickLayer.value), step = Number(pickStep.value) - 1;
    const layer = layers[number];
    layers.forEach((other, i) => { other.figure.hidden = i !== number; });
    samples.forEach((figure, i) => figure.classList.toggle("chosen", i === sample));
    if (layer && drawn !== `${sample} ${number}`) {
      drawn = `${sample} ${number}`;
      paint(layer.spikes, steps, layer.rows, (x, y) => layer.fired(sample, x, y) ? "spikes" : "", "class");
      layer.figure.querySelector("svg").setAttribute("aria-label", `Spikes of ${layer.figure.dataset.layer} over ${steps} steps, ${pickSample.selectedOptions[0].text}`);
      const here = opened && opened[0] === sample && player.dataset.layer === layer.figure.dataset.layer;
      layer.mark.setAttribute("visibility", here ? "visible" : "hidden");
      if (here) {
        layer.mark.setAttribute("x", opened[1] - 1);
        layer.mark.setAttribute("y", layer.numbers.indexOf(opened[2]));
      }
    }
    if (kind !== "channels") paint(now, width, height, ...frame(sample, step));
    let said = `Step ${step + 1} of ${steps}.`;
    if (layer) {
      layer.cursor.setAttribute("x", step);
      let count = 0;
      for (let row = 0; row < layer.rows; row++) count += layer.fired(sample, step, row);
      said += ` ${count} of ${layer.rows} neurons shown fire.`;
    }
    const decision = decided[sample][step];
    if (decision !== undefined) said += ` Decided so far: ${names ? names[decision] : decision}.`;
    $("said").textContent = said;
  };

  player.querySelector(".controls").hidden = false;
  player.classList.add("scripted");
  if (kind !== "channels") {
    now.removeAttribute("hidden");
    now.setAttribute("viewBox", `0 0 ${width} ${height}`);
  }
  for (const control of [pickSample, pickLayer, pickStep]) control.addEventListener("input", show);
  samples.forEach((figure, i) => figure.addEventListener("click", () => { pickSample.value = i; show(); }));
  layers.forEach(layer => layer.drawing.addEventListener("click", event => {
    const {left, width: wide} = layer.drawing.getBoundingClientRect();
    pickStep.value = Math.min(Math.floor((event.clientX - left) / wide * steps) + 1, steps);
    show();
  }));
  if (opened) {
    pickSample.value = opened[0];
    pickStep.value = opened[1];
    pickLayer.value = layers.findIndex(layer => layer.figure.dataset.layer === player.dataset.layer);
    player.scrollIntoView();
  }
  show();
})();
