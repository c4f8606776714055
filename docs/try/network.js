// The slim network, VGG19 with fewer channels: forward to its features, and back from them to the pixels.
import * as tf from '@tensorflow/tfjs-core';

// Every layer by Keras's name, in order: five blocks of convolutions, a pooling after each but the last.
export const LAYERS = [2, 2, 4, 4, 4].flatMap((count, block) => [
  ...(block ? [`block${block}_pool`] : []),
  ...Array.from({ length: count }, (_, index) => `block${block + 1}_conv${index + 1}`),
]);
const CAFFE_MEAN_RGB = [123.68, 116.779, 103.939];
const toTensor = ({ values, shape }) => tf.tensor(Float32Array.from(values), shape);
const POOLING = { filterSize: 2, strides: 2, pad: 'same' };

/**
 * Make the network's tensors from the arrays of slim.npz, by name.
 *
 * A layer's tap T leads from its outputs X to VGG19's features F = X T.  The losses are sums of squares of F, for which
 * the `metric` T Tᵀ is enough: Σ(X T)² = Σ X ∘ (X T Tᵀ).
 */
export function makeNetwork(arrays) {
  const network = {};
  const gains = arrays['gains/caffe/max'].values;
  LAYERS.filter((name) => name.includes('conv')).forEach((name, index) => {
    const read = (part) => toTensor(arrays[`${name}/${part}`]);
    network[name] = tf.tidy(() => {
      const scaled = tf.mul(read('kernel'), read('kernel_scale'));
      const kernel = index === 0 ? tf.reverse(scaled, 2) : scaled; // it was made for BGR
      const tap = tf.mul(tf.mul(read('tap'), read('tap_scale')), gains[index]);
      // A convolution's gradient by its input is a convolution too, with the kernel turned by 180 degrees.
      const turned = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2]);
      return { kernel, turned, bias: read('bias'), metric: tf.matMul(tap, tap, false, true) };
    });
  });
  return network;
}

/** Return what each layer puts out, down to the deepest one wanted, for an image (1, height, width, 3) in [0, 1]. */
export function forward(network, image, wanted) {
  const outputs = {};
  let x = tf.tidy(() => tf.sub(tf.mul(image, 255), CAFFE_MEAN_RGB));
  for (const name of downTo(wanted)) {
    const step = name.endsWith('pool') ? () => tf.maxPool(x, 2, 2, 'same') : () => convolve(x, network[name]);
    x = outputs[name] = tf.tidy(step);
  }
  return outputs;
}

/** Return the gradient by the image from gradients by layers' outputs, a list of [name, gradient], which it uses up. */
export function backward(network, outputs, gradients) {
  const names = downTo(gradients.map(([name]) => name));
  let gradient = null;
  for (const [index, name] of [...names.entries()].reverse()) {
    const here = gradients.filter(([layer]) => layer === name).map(([, own]) => own);
    const above = gradient ? [gradient, ...here] : here;
    gradient = tf.tidy(() => {
      const dy = tf.addN(above);
      const [input, output] = [outputs[names[index - 1]], outputs[name]];
      // TensorFlow.js has this operation, but no function for it outside of its automatic differentiation.
      if (name.endsWith('pool')) return tf.engine().runKernel('MaxPoolGrad', { dy, input, output }, POOLING);
      return foldBorder(tf.conv2d(tf.mul(dy, tf.step(output)), network[name].turned, 1, 2));
    });
    tf.dispose(above);
  }
  return tf.mul(gradient, 255);
}

const downTo = (wanted) => LAYERS.slice(0, 1 + Math.max(...wanted.map((name) => LAYERS.indexOf(name))));

function convolve(x, { kernel, bias }) {
  // Beyond the edge the convolutions see the outermost values once more: nst_tf's border="replicate".
  const padded = tf.mirrorPad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], 'symmetric');
  return tf.fused.conv2d({ x: padded, filter: kernel, strides: 1, pad: 'valid', bias, activation: 'relu' });
}

/** Add the gradient of the replicated border to the outermost rows and columns that it was copied from. */
function foldBorder(padded) {
  const [, height, width, channels] = padded.shape;
  // Seen as a matrix, rows and columns lie in long pieces, which are copied fast.
  const rows = foldEnds(tf.reshape(padded, [height, width * channels]), 0, 1);
  return tf.reshape(foldEnds(rows, 1, channels), [1, height - 2, width - 2, channels]);
}

/** Along an axis of a matrix, add its first `unit` entries to the next ones, and its last to those before. */
function foldEnds(matrix, axis, unit) {
  const length = matrix.shape[axis];
  if (length === 3 * unit) return tf.addN(tf.split(matrix, 3, axis));
  // The ends are cut off first, then in two: on WebAssembly, cutting a matrix takes as long as copying all of it.
  const sizes = [2 * unit, length - 4 * unit, 2 * unit].filter((size) => size > 0);
  const parts = tf.split(matrix, sizes, axis);
  const [first, last] = [parts[0], parts.at(-1)].map((end) => tf.add(...tf.split(end, 2, axis)));
  return tf.concat([first, ...parts.slice(1, -1), last], axis);
}
