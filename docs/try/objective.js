// What is minimized: how far the image's features are from the photograph's, and its Gram matrices from the painting's.
import * as tf from '@tensorflow/tfjs-core';
import { backward, forward } from './network.js';

// Dividing by less would turn rounding errors into a loss.
const SMALLEST_ENERGY = 1e-8;

/**
 * Return the objective for two images (1, height, width, 3), RGB in [0, 1]: nst_tf's recipe "gram".
 *
 *     content = Σ(F − P)² / ΣP²        style = weight · mean over layers of Σ(G − A)² / ΣA²
 *
 * F and P are the features of the image and of the photograph at the content layer ("" for none), G and A the Gram
 * matrices of the image and of the painting at each style layer.  `makeNetwork` and `throughGram` explain how the sums
 * of squares follow from the network's outputs X, of which F = X T.
 */
export function makeObjective(network, content, style, { contentLayer, styleLayers, styleWeight }) {
  const wanted = [...styleLayers, contentLayer].filter(Boolean);
  const targets = {};
  tf.tidy(() => {
    const ofStyle = styleLayers.length ? forward(network, style, styleLayers) : {};
    for (const name of styleLayers) {
      const gram = gramMatrix(ofStyle[name]);
      const energy = tf.maximum(tf.sum(tf.mul(gram, throughGram(gram, network[name].metric))), SMALLEST_ENERGY);
      targets[name] = { gram: tf.keep(gram), scale: tf.keep(tf.div(styleWeight / styleLayers.length, energy)) };
    }
    if (!contentLayer) return;
    const features = forward(network, content, [contentLayer])[contentLayer];
    const energy = tf.sum(tf.mul(features, times(features, network[contentLayer].metric)));
    const scale = tf.div(1, tf.maximum(energy, SMALLEST_ENERGY * features.size));
    targets.content = { features: tf.keep(features), scale: tf.keep(scale) };
  });

  /** Return the losses [total, content, style] of an image, and the gradient of the total by it if wanted. */
  function evaluate(image, { withGradient = true } = {}) {
    return tf.tidy(() => {
      const outputs = forward(network, image, wanted);
      const gradients = []; // by outputs: [name, gradient]
      let [contentLoss, styleLoss] = [tf.scalar(0), tf.scalar(0)];
      for (const name of styleLayers) {
        const [{ gram, scale }, { metric }, x] = [targets[name], network[name], outputs[name]];
        const difference = tf.sub(gramMatrix(x), gram);
        const through = throughGram(difference, metric);
        styleLoss = tf.add(styleLoss, tf.mul(tf.sum(tf.mul(difference, through)), scale));
        gradients.push([name, times(x, tf.mul(through, tf.mul(scale, 4 / positions(x))))]);
      }
      if (contentLayer) {
        const [{ features, scale }, { metric }] = [targets.content, network[contentLayer]];
        const difference = tf.sub(outputs[contentLayer], features);
        const through = times(difference, metric);
        contentLoss = tf.mul(tf.sum(tf.mul(difference, through)), scale);
        gradients.push([contentLayer, tf.mul(through, tf.mul(scale, 2))]);
      }
      const losses = tf.stack([tf.add(contentLoss, styleLoss), contentLoss, styleLoss]);
      return withGradient ? { losses, gradient: backward(network, outputs, gradients) } : { losses };
    });
  }
  return { evaluate, dispose: () => tf.dispose(targets) };
}

const positions = (x) => x.shape[1] * x.shape[2];

/** Multiply the channels of x (1, height, width, channels) by a square matrix. */
const times = (x, matrix) => tf.reshape(tf.matMul(tf.reshape(x, [positions(x), x.shape[3]]), matrix), x.shape);

/** Return S D S for a difference D of Gram matrices of X and the metric S = T Tᵀ.  Σ(Tᵀ D T)² is Σ D ∘ (S D S). */
const throughGram = (difference, metric) => tf.matMul(tf.matMul(metric, difference), metric);

/** Return XᵀX / M for x (1, height, width, channels), where M is height × width. */
function gramMatrix(x) {
  const [, height, width, channels] = x.shape;
  const flat = tf.reshape(x, [height * width, channels]);
  // WebAssembly's product of two matrices is fast only where it need not transpose one of them on the way.
  if (tf.getBackend() === 'wasm') return tf.div(tf.matMul(tf.transpose(flat), flat), height * width);
  // A product for each row of the image, then their sum: one product with few columns and very many rows would leave
  // a graphics card idle, and its long sums would lose digits.
  const rows = tf.reshape(x, [height, width, channels]);
  return tf.div(tf.sum(tf.matMul(rows, rows, true, false), 0), height * width);
}
