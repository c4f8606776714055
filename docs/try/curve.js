// The curve of the losses, as lines of an SVG whose view is 100 wide and 40 high.

const FLOOR = 0.01; // losses are drawn on a logarithmic scale, and start anywhere from 0

/** Draw the losses so far, a list of [total, content, style], over the width that so many steps take. */
export function drawCurve(svg, losses, steps) {
  const top = Math.log(Math.max(1, ...losses.flatMap((each) => each.slice(1))) / FLOOR);
  const y = (loss) => 38 - (36 * Math.log(Math.max(loss, FLOOR) / FLOOR)) / top;
  for (const [name, part] of [['content', 1], ['style', 2]]) {
    const points = losses.map((each, step) => `${((100 * step) / steps).toFixed(2)},${y(each[part]).toFixed(2)}`);
    svg.querySelector(`.${name}`).setAttribute('points', points.join(' '));
  }
  const [, content, style] = losses.at(-1).map((loss) => loss.toFixed(2));
  svg.setAttribute('aria-label', `Losses by step, on a logarithmic scale; now content ${content}, style ${style}`);
}
