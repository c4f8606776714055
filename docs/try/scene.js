// The images of one run: as the network is to see them, where it starts, and how its result is to look.
import { clipped, isFlat, isGray, matchColors, toGray } from './colors.js';

/**
 * Return what a run is made from: {content, style, start, gray, finished}, where `finished` makes of the image that is
 * optimized the one to look at.  Images are {values, width, height}, as in colors.js.
 *
 * With `keepColors` the painting is given the photograph's colors before the run, and the result once more after it:
 * nst_tf's color="matching".  `start` is "recolored" (the photograph in the painting's colors), "content", "noise", or
 * an image.
 */
export function makeScene(photograph, painting, { keepColors, start }) {
  const style = keepColors ? matchColors(painting, photograph) : painting;
  // A painting without colors takes the photograph's away.
  const gray = !keepColors && isGray(painting);
  const content = gray ? toGray(photograph) : photograph;
  const first = startOf(start, content, style);
  const finished = (image) => (keepColors ? clipped(matchColors(image, photograph)) : image);
  return { content, style, start: gray ? toGray(first) : first, gray, finished };
}

function startOf(start, content, style) {
  const changed = (change) => ({ ...content, values: content.values.map(change) });
  let image = start;
  if (start === 'recolored') image = clipped(matchColors(content, style));
  if (start === 'content') image = content;
  if (start === 'noise') image = changed(Math.random);
  // Where nothing differs from anything, no gradient says where strokes should go.
  return isFlat(image) ? clipped(changed((value) => value + (Math.random() - 0.5) / 2)) : image;
}
