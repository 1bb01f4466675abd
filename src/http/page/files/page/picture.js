// A picture with its heat map on a canvas. Owns decoding and drawing; the colours are heat.js. Knows no verdicts.

import * as heat from "./heat.js";

/** Bytes of base64 as a blob of that type. */
export const blob = (base64, type) =>
  new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type });

/** A picture and its heat map (a grey PNG, or `null`), decoded. */
export async function decode(picture, grey) {
  const [image, layer] = await Promise.all([createImageBitmap(picture), grey ? warm(grey) : null]);
  return { image, layer };
}

async function warm(grey) {
  const bitmap = await createImageBitmap(grey, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const image = context.getImageData(0, 0, width, height);
  const values = Uint8Array.from({ length: width * height }, (_, at) => image.data[at * 4]);
  heat.paint(image.data);
  context.putImageData(image, 0, 0);
  return { canvas, width, height, lines: heat.outline(values, width, height) };
}

/** Draws it as large as the canvas lets it be, in the middle. `opacity` is 0 to 1. */
export function show(canvas, decoded, { opacity, hasOutline }) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (width === 0 || height === 0) return;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  if (!decoded) return;
  const { image, layer } = decoded;
  const scale = Math.min(width / image.width, height / image.height);
  const [w, h] = [image.width * scale, image.height * scale];
  const [x, y] = [(width - w) / 2, (height - h) / 2];
  context.imageSmoothingQuality = "high";
  context.drawImage(image, x, y, w, h);
  if (!layer) return;
  if (opacity > 0) {
    context.globalAlpha = opacity;
    context.drawImage(layer.canvas, x, y, w, h);
    context.globalAlpha = 1;
  }
  if (!hasOutline || layer.lines.length === 0) return;
  context.beginPath();
  const [sx, sy] = [w / layer.width, h / layer.height];
  for (const [x0, y0, x1, y1] of layer.lines) {
    context.moveTo(x + x0 * sx, y + y0 * sy);
    context.lineTo(x + x1 * sx, y + y1 * sy);
  }
  context.lineCap = "round";
  // White on any part: a dark line under it.
  for (const [style, thickness] of [["rgb(0 0 0 / 60%)", 4], ["#fff", 2]]) {
    context.strokeStyle = style;
    context.lineWidth = thickness * ratio;
    context.stroke();
  }
}
