// The colours of a heat map and its outline: the same as in `bundle/src/heat.rs`, which a test compares. Pure.
// A value of the grey picture is 128 at the product's threshold and 255 at twice it.

/** The grey value at the threshold. */
export const LIMIT = 128;
/** How much of the picture the hottest spot covers. */
const OPACITY = 0.75;
const STOPS = [
  [0.25, [20, 40, 160]],
  [0.6, [30, 200, 200]],
  [0.85, [255, 220, 40]],
  [1.0, [235, 20, 20]],
];

/** The colour of a heat (value divided by threshold) as `[red, green, blue, alpha from 0 to 1]`. */
export function colour(heat) {
  const coldest = STOPS[0][0];
  if (!(heat > coldest)) return [0, 0, 0, 0];
  const warm = Math.min(heat, 1);
  const alpha = (OPACITY * (warm - coldest)) / (1 - coldest);
  const upper = Math.max(1, STOPS.findIndex((stop) => warm <= stop[0]));
  const [low, from] = STOPS[upper - 1];
  const [high, to] = STOPS[upper];
  const share = (warm - low) / (high - low);
  return [...from.map((channel, at) => channel + share * (to[at] - channel)), alpha];
}

const TABLE = Array.from({ length: 256 }, (_, value) => colour(value / LIMIT));

/** Grey RGBA pixels to coloured ones, in place. */
export function paint(pixels) {
  for (let at = 0; at < pixels.length; at += 4) {
    const [red, green, blue, alpha] = TABLE[pixels[at]];
    pixels[at] = red;
    pixels[at + 1] = green;
    pixels[at + 2] = blue;
    pixels[at + 3] = alpha * 255;
  }
}

/**
 * Line segments `[x0, y0, x1, y1]` around what lies above `level`, in pixels of the grey picture (marching squares,
 * linear between the centres of pixels; outside of the picture nothing is hot, so that every line is closed).
 */
export function outline(values, width, height, level = LIMIT) {
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : values[y * width + x]);
  const segments = [];
  for (let y = -1; y < height; y += 1) {
    for (let x = -1; x < width; x += 1) {
      const [a, b, c, d] = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)];
      const kind = (a > level) | ((b > level) << 1) | ((c > level) << 2) | ((d > level) << 3);
      if (kind === 0 || kind === 15) continue;
      const between = (from, to) => (level - from) / (to - from);
      const [cx, cy] = [x + 0.5, y + 0.5];
      const top = () => [cx + between(a, b), cy];
      const right = () => [cx + 1, cy + between(b, c)];
      const bottom = () => [cx + between(d, c), cy + 1];
      const left = () => [cx, cy + between(a, d)];
      const line = (from, to) => segments.push([...from(), ...to()]);
      switch (kind) {
        case 1: case 14: line(left, top); break;
        case 2: case 13: line(top, right); break;
        case 3: case 12: line(left, right); break;
        case 4: case 11: line(right, bottom); break;
        case 6: case 9: line(top, bottom); break;
        case 7: case 8: line(left, bottom); break;
        case 5: line(left, top); line(right, bottom); break;
        default: line(top, right); line(left, bottom);
      }
    }
  }
  return segments;
}
