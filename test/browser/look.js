// Looks at a report as a person would, and returns what package browser calls seen.
(() => {
  const seen = {Verdict: "", Contrast: 0, Overflow: 0, Pictures: 0, Lines: 0, Faults: 0, Cases: 0, Bars: 0, Wrong: []};
  const box = (e) => e.getBoundingClientRect();
  const displayed = (e) => box(e).width > 0 && box(e).height > 0;
  const inside = (b, c) => b.left >= c.left - 1 && b.right <= c.right + 1 && b.top >= c.top - 1 && b.bottom <= c.bottom + 1;

  const heading = document.querySelector("h1");
  const h = box(document.querySelector("h1 .word"));
  if (h.width > 0 && h.top >= 0 && h.bottom <= innerHeight && h.left >= 0 && h.right <= innerWidth) {
    seen.Verdict = heading.innerText.trim();
  }
  const luminance = (colour) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = colour.match(/[\d.]+/g).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const both = [getComputedStyle(document.querySelector("h1 .word")).color,
    getComputedStyle(document.querySelector("header")).backgroundColor].map(luminance).sort((a, b) => b - a);
  seen.Contrast = (both[0] + 0.05) / (both[1] + 0.05);
  seen.Overflow = document.documentElement.scrollWidth - innerWidth;

  for (const svg of document.querySelectorAll("svg")) {
    if (!displayed(svg)) {
      continue;
    }
    const frame = box(svg);
    for (const e of svg.querySelectorAll("text, rect, path")) {
      if (!inside(box(e), frame)) {
        seen.Wrong.push(`${e.tagName} ${e.getAttribute("class")} ${e.textContent.slice(0, 60)} sticks out of its picture`);
      }
    }
    const scale = frame.width / svg.viewBox.baseVal.width;
    for (const e of svg.querySelectorAll("text")) {
      if (parseFloat(getComputedStyle(e).fontSize) * scale < 8) {
        seen.Wrong.push(`"${e.textContent}" is ${parseFloat(getComputedStyle(e).fontSize) * scale} pixels high`);
      }
    }
    const labels = [...svg.querySelectorAll("text")].map((e) => [e.textContent, box(e)]);
    labels.forEach(([text, b], i) => labels.slice(i + 1).forEach(([other, c]) => {
      const wide = Math.min(b.right, c.right) - Math.max(b.left, c.left);
      const high = Math.min(b.bottom, c.bottom) - Math.max(b.top, c.top);
      if (wide > 1 && high > 3) {
        seen.Wrong.push(`"${text}" and "${other}" overlap by ${wide.toFixed(1)} × ${high.toFixed(1)} pixels`);
      }
    }));
    if (svg.classList.contains("timeline")) {
      seen.Pictures++;
      seen.Lines += [...svg.querySelectorAll("path.writes, path.reads, path.p50, path.p99")].filter((e) =>
        e.getTotalLength() > 0 || e.getBBox().width === 0 && e.getAttribute("d").includes("L")).length;
      seen.Faults += [...svg.querySelectorAll("rect.fault")].filter((e) => displayed(e) && inside(box(e), frame)).length;
    } else {
      seen.Cases++;
      seen.Bars += [...svg.querySelectorAll("rect.op")].filter(displayed).length;
    }
  }
  return seen;
})()
