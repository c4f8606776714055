// Colors of images, each {values: Float32Array of RGB in [0, 1], width, height}: as in nst_tf/controls/color.py.

const LUMINANCE = [0.299, 0.587, 0.114];
// Added to each variance, so that a gray or single-colored image can be matched too.
const SMALLEST_VARIANCE = 1e-5;
// Less than one level of an 8-bit image.
const SMALLEST_DIFFERENCE = 1 / 512;
const IDENTITY = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];

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
export const toGray = (image) => eachPixel(image, (rgb) => Array(3).fill(dot(LUMINANCE, rgb)));

/** Return the image with every value in [0, 1]. */
export const clipped = (image) => ({ ...image, values: image.values.map((value) => Math.min(Math.max(value, 0), 1)) });

/** Whether no pixel of the image has a color. */
export const isGray = ({ values }) => values.every((value, index) => near(value, values[index - (index % 3)]));

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
  const average = (of) => {
    let sum = 0;
    for (let index = 0; index < values.length; index += 3) sum += of(index);
    return (3 * sum) / values.length;
  };
  const mean = [0, 1, 2].map((channel) => average((index) => values[index + channel]));
  const covariance = IDENTITY.map((ones, row) => ones.map((one, column) => {
    const product = (index) => (values[index + row] - mean[row]) * (values[index + column] - mean[column]);
    return average(product) + SMALLEST_VARIANCE * one;
  }));
  return { mean, covariance };
}

const dot = (one, other) => one.reduce((sum, value, index) => sum + value * other[index], 0);
const transpose = (matrix) => matrix[0].map((_, column) => matrix.map((row) => row[column]));
const multiply = (one, other) => one.map((row) => transpose(other).map((column) => dot(row, column)));

/** Return a power of a symmetric positive 3 × 3 matrix, by Jacobi's rotations. */
function power(matrix, exponent) {
  let [vectors, diagonal] = [IDENTITY, matrix];
  for (let turn = 0; turn < 30; turn += 1) {
    const [p, q] = [[0, 1], [0, 2], [1, 2]][turn % 3];
    const angle = Math.atan2(2 * diagonal[p][q], diagonal[q][q] - diagonal[p][p]) / 2;
    const rotation = IDENTITY.map((row) => [...row]);
    Object.assign(rotation[p], { [p]: Math.cos(angle), [q]: Math.sin(angle) });
    Object.assign(rotation[q], { [p]: -Math.sin(angle), [q]: Math.cos(angle) });
    diagonal = multiply(multiply(transpose(rotation), diagonal), rotation);
    vectors = multiply(vectors, rotation);
  }
  const scaled = vectors.map((row) => row.map((value, column) => value * diagonal[column][column] ** exponent));
  return multiply(scaled, transpose(vectors));
}
