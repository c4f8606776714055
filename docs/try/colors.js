// Colors of images, each {values: Float32Array of RGB in [0, 1], width, height}: as in nst_tf/controls/color.py.

const LUMINANCE = [0.299, 0.587, 0.114];
// Added to each variance, so that a grey or single-colored image can be matched too.
const SMALLEST_VARIANCE = 1e-5;
// Less than one level of an 8-bit image.
const SMALLEST_DIFFERENCE = 1 / 512;

/**
 * Give an image the mean color and the colors' covariance of another, by the linear map that moves colors the least
 * (the optimal transport between two Gaussians): A = Σ^−½ (Σ^½ Σ' Σ^½)^½ Σ^−½.
 */
export function matchColors(image, reference) {
  const [own, wanted] = [moments(image), moments(reference)];
  const [root, inverseRoot] = [power(own.covariance, 0.5), power(own.covariance, -0.5)];
  const between = power(multiply(multiply(root, wanted.covariance), root), 0.5);
  const map = multiply(multiply(inverseRoot, between), inverseRoot);
  return eachPixel(image, (rgb) => {
    const centered = rgb.map((value, channel) => value - own.mean[channel]);
    return map.map((row, channel) => dot(row, centered) + wanted.mean[channel]);
  });
}

/** Return the image without colors: its luminance three times. */
export const toGrey = (image) => eachPixel(image, (rgb) => Array(3).fill(dot(LUMINANCE, rgb)));

/** Return the image with every value in [0, 1]. */
export function clipped(image) {
  return { ...image, values: image.values.map((value) => Math.min(Math.max(value, 0), 1)) };
}

/** Whether no pixel of the image has a color. */
export const isGrey = ({ values }) => values.every((value, index) => near(value, values[index - (index % 3)]));

/** Whether all pixels of the image are alike. */
export const isFlat = ({ values }) => values.every((value, index) => near(value, values[index % 3]));

const near = (one, other) => Math.abs(one - other) < SMALLEST_DIFFERENCE;

function eachPixel(image, change) {
  const values = new Float32Array(image.values.length);
  for (let index = 0; index < values.length; index += 3) {
    values.set(change([...image.values.subarray(index, index + 3)]), index);
  }
  return { ...image, values };
}

function moments({ values }) {
  const count = values.length / 3;
  const mean = [0, 0, 0];
  const covariance = [0, 1, 2].map(() => [0, 0, 0]);
  values.forEach((value, index) => (mean[index % 3] += value / count));
  for (let index = 0; index < values.length; index += 3) {
    for (let row = 0; row < 3; row += 1) {
      const centered = (values[index + row] - mean[row]) / count;
      for (let column = 0; column < 3; column += 1) {
        covariance[row][column] += centered * (values[index + column] - mean[column]);
      }
    }
  }
  covariance.forEach((row, index) => (row[index] += SMALLEST_VARIANCE));
  return { mean, covariance };
}

const dot = (one, other) => one.reduce((sum, value, index) => sum + value * other[index], 0);
const transpose = (matrix) => matrix[0].map((_, column) => matrix.map((row) => row[column]));
const multiply = (one, other) => one.map((row) => transpose(other).map((column) => dot(row, column)));

/** Return a power of a symmetric positive 3 × 3 matrix, by Jacobi's rotations. */
function power(matrix, exponent) {
  let vectors = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
  let diagonal = matrix;
  for (let sweep = 0; sweep < 10; sweep += 1) {
    for (const [p, q] of [[0, 1], [0, 2], [1, 2]]) {
      const angle = Math.atan2(2 * diagonal[p][q], diagonal[q][q] - diagonal[p][p]) / 2;
      const rotation = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
      rotation[p][p] = rotation[q][q] = Math.cos(angle);
      rotation[p][q] = Math.sin(angle);
      rotation[q][p] = -Math.sin(angle);
      diagonal = multiply(multiply(transpose(rotation), diagonal), rotation);
      vectors = multiply(vectors, rotation);
    }
  }
  const scaled = vectors.map((row) => row.map((value, column) => value * diagonal[column][column] ** exponent));
  return multiply(scaled, transpose(vectors));
}
