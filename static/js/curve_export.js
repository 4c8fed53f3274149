// Takes a curve away as a picture. Its numbers come from the server, every step of them.

/**
 * The picture as it stands, at twice its size, on the colour of its card. Drawn shape by shape onto a canvas, because
 * an SVG loaded as an image knows nothing of the page's style sheet.
 */
export function curvePng(svg, plot) {
  const { width, height } = plot.getBoundingClientRect();
  const edge = 16;
  const canvas = document.createElement("canvas");
  canvas.width = (width + 2 * edge) * 2;
  canvas.height = (height + 2 * edge) * 2;
  const pen = canvas.getContext("2d");
  pen.scale(2, 2);
  pen.fillStyle = getComputedStyle(plot.closest(".chart")).backgroundColor;
  pen.fillRect(0, 0, width + 2 * edge, height + 2 * edge);
  pen.translate(edge, edge);
  for (const node of svg.children) drawNode(pen, node, height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function drawNode(pen, node, height) {
  const style = getComputedStyle(node);
  const number = (name) => Number(node.getAttribute(name));
  pen.save();
  pen.globalAlpha = Number(style.opacity);
  if (node.localName === "text") {
    drawText(pen, node, style, number);
  } else {
    const shape = shapeOf(node, number);
    if (shape) {
      if (node.classList.contains("held-fill")) pen.fillStyle = fade(pen, node, height);
      else pen.fillStyle = style.fill;
      if (style.fill !== "none") pen.fill(shape);
      if (style.stroke !== "none") {
        pen.strokeStyle = style.stroke;
        pen.lineWidth = parseFloat(style.strokeWidth);
        pen.lineJoin = style.strokeLinejoin;
        pen.lineCap = style.strokeLinecap;
        pen.setLineDash(style.strokeDasharray === "none" ? [] : style.strokeDasharray.split(",").map(parseFloat));
        pen.stroke(shape);
      }
    }
  }
  pen.restore();
}

function shapeOf(node, number) {
  if (node.localName === "path") return new Path2D(node.getAttribute("d"));
  const shape = new Path2D();
  if (node.localName === "line") {
    shape.moveTo(number("x1"), number("y1"));
    shape.lineTo(number("x2"), number("y2"));
    return shape;
  }
  if (node.localName !== "circle") return null;
  shape.arc(number("cx"), number("cy"), number("r"), 0, 2 * Math.PI);
  return shape;
}

function drawText(pen, node, style, number) {
  pen.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  pen.textAlign = { end: "right", middle: "center" }[node.getAttribute("text-anchor")] ?? "left";
  if (style.stroke !== "none") {
    pen.strokeStyle = style.stroke;
    pen.lineWidth = parseFloat(style.strokeWidth);
    pen.lineJoin = "round";
    pen.strokeText(node.textContent, number("x"), number("y"));
  }
  pen.fillStyle = style.fill;
  pen.fillText(node.textContent, number("x"), number("y"));
}

/** The wash below the line: from the accent to nothing. */
function fade(pen, node, height) {
  const wash = pen.createLinearGradient(0, 0, 0, height);
  const accent = getComputedStyle(node.ownerSVGElement.querySelector(".held")).stroke;
  // The same colour at both ends: a canvas would blend to transparent black through grey.
  const [red, green, blue] = accent.match(/[\d.]+/g);
  wash.addColorStop(0, `rgba(${red},${green},${blue},.13)`);
  wash.addColorStop(1, `rgba(${red},${green},${blue},0)`);
  return wash;
}

export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
