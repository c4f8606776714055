// The descent: Adam on the pixels, at four resolutions at once, as nst_tf/engine/adam.py explains it.
import * as tf from '@tensorflow/tfjs-core';

const LEARNING_RATE = 0.018;
const FINAL_FRACTION = 0.2;
const [BETA_1, BETA_2] = [0.9, 0.99];
const EPSILON = 1e-15;
const SMALLEST_GRADIENT = 1e-30;
const RESOLUTIONS = 4;
const FINEST_COLOR = 0.25;
// A loss this many times the lowest so far has climbed too far, and so has one that is not a number.
const CLIMB = 2;

/**
 * Begin a descent of so many steps at an image (1, height, width, 3), RGB in [0, 1], which it disposes of.
 *
 * With `gray`, an image without colors stays without.  `advance` takes a step; `finish` notes the last image's losses.
 */
export function makeDescent(objective, start, steps, { gray = false } = {}) {
  const finish = async () => note(objective.evaluate(descent.image, { withGradient: false }).losses);
  const dispose = () => tf.dispose([descent.image, descent.best, moments]);
  const descent = { image: start, best: tf.clone(start), losses: [], step: 0, steps, advance, finish, dispose };
  let [bestLoss, caution, moves, moments] = [Infinity, 1, 0, null];

  function replace(name, next) {
    descent[name].dispose();
    descent[name] = next;
  }

  async function note(losses) {
    const values = [...(await losses.data())];
    losses.dispose();
    descent.losses.push(values);
    if (values[0] < bestLoss) {
      bestLoss = values[0];
      replace('best', tf.clone(descent.image));
    }
    if (bestLoss === Infinity) throw new Error('The loss was never a number.');
    return values[0];
  }

  /** Take one step; throw if the loss was never a number. */
  async function advance() {
    const { losses, gradient } = objective.evaluate(descent.image);
    const loss = await note(losses);
    const falling = FINAL_FRACTION + ((1 - FINAL_FRACTION) * (1 + Math.cos((Math.PI * descent.step) / steps))) / 2;
    descent.step += 1;
    let next = null;
    if (loss <= CLIMB * bestLoss) {
      moves += 1;
      let direction;
      [direction, ...next] = tf.tidy(() => adam(gray ? withoutColors(gradient) : gradient, moves, moments));
      const rate = LEARNING_RATE * falling * caution;
      replace('image', tf.tidy(() => tf.clipByValue(tf.sub(descent.image, tf.mul(direction, rate)), 0, 1)));
      direction.dispose();
    } else {
      replace('image', tf.clone(descent.best));
      [moves, caution] = [0, caution / 2];
    }
    tf.dispose([gradient, moments]);
    moments = next;
  }
  return descent;
}

/** Return the sum of Adam's steps at all resolutions, and for each of these its new moments. */
function adam(gradient, time, moments) {
  const unit = tf.div(gradient, tf.maximum(tf.max(tf.abs(gradient)), SMALLEST_GRADIENT));
  const levels = [unit];
  while (levels.length < RESOLUTIONS) levels.push(tf.avgPool(levels.at(-1), 4, 2, 'same'));
  const gray = tf.mean(unit, 3, true);
  levels[0] = tf.add(gray, tf.mul(tf.sub(unit, gray), FINEST_COLOR));
  const [steps, next] = [[], []];
  levels.forEach((level, index) => {
    const [first, second] = moments?.[index] ?? [tf.zerosLike(level), tf.zerosLike(level)];
    const newFirst = tf.add(tf.mul(first, BETA_1), tf.mul(level, 1 - BETA_1));
    const newSecond = tf.add(tf.mul(second, BETA_2), tf.mul(tf.square(level), 1 - BETA_2));
    const deviation = tf.add(tf.sqrt(tf.div(newSecond, 1 - BETA_2 ** time)), EPSILON);
    const step = tf.div(tf.div(newFirst, 1 - BETA_1 ** time), deviation);
    steps.push(tf.image.resizeBilinear(step, gradient.shape.slice(1, 3), false, true));
    next.push([newFirst, newSecond]);
  });
  return [tf.addN(steps), ...next];
}

const withoutColors = (gradient) => tf.tile(tf.mean(gradient, 3, true), [1, 1, 1, 3]);
