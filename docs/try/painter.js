// The worker: it paints, and tells the page how far it is.
import * as tf from '@tensorflow/tfjs-core';
import { makeDescent } from './descent.js';
import { startDevice } from './device.js';
import { makeNetwork } from './network.js';
import { readNpz } from './npz.js';
import { makeObjective } from './objective.js';
import { makeScene } from './scene.js';

const MILLISECONDS_BETWEEN_PICTURES = 200;
const TOO_LITTLE_MEMORY = /memory|alloc|bounds|abort|unreachable|texture size/i; // in what backends say of it

let network = null;
let run = null; // {descent, scene, dispose, going, replaced, seconds}
let work = Promise.resolve(); // one thing after the other

const actions = {
  async start({ folder, wanted }) {
    const file = fetch(`${folder}slim.npz`);
    const device = await startDevice({ wanted, folder, onLost: () => fail('lost') });
    network = makeNetwork(await readNpz(await (await file).arrayBuffer()));
    postMessage({ is: 'ready', ...device });
  },
  async paint(job) {
    run?.dispose();
    run = begin(job);
    await keepPainting();
  },
  goOn: keepPainting,
};

onmessage = ({ data }) => {
  if (run) Object.assign(run, { going: false, replaced: data.do === 'paint' }); // to stop is nothing but this
  work = work.then(() => actions[data.do]?.(data)).catch((error) => {
    console.error(error);
    fail(TOO_LITTLE_MEMORY.test(error) ? 'memory' : network ? 'other' : 'start');
  });
};

const fail = (why) => postMessage({ is: 'failed', why });

function begin({ content, style, settings, from }) {
  const scene = makeScene(toImage(content), toImage(style), from ? { ...settings, start: toImage(from) } : settings);
  const objective = tf.tidy(() => makeObjective(network, toTensor(scene.content), toTensor(scene.style), settings));
  const descent = makeDescent(objective, toTensor(scene.start), settings.steps, { gray: scene.gray });
  return { descent, scene, dispose: () => [objective, descent].forEach((part) => part.dispose()) };
}

async function keepPainting() {
  const { descent } = run;
  run.going = true;
  let shown = 0;
  while (run.going && descent.step < descent.steps) {
    const begun = performance.now();
    await descent.advance();
    run.seconds = (performance.now() - begun) / 1000;
    if (performance.now() - shown >= MILLISECONDS_BETWEEN_PICTURES) {
      shown = performance.now();
      await report(descent.image);
    }
    await new Promise((resolve) => setTimeout(resolve)); // lets messages in
  }
  if (run.replaced) return;
  const done = descent.step === descent.steps;
  if (done) await descent.finish();
  await report(descent.best);
  postMessage({ is: done ? 'done' : 'stopped' });
}

async function report(tensor) {
  const { descent: { step, steps, losses }, scene, seconds } = run;
  const [, height, width] = tensor.shape;
  const { values } = scene.finished({ values: await tensor.data(), width, height });
  const pixels = new Uint8ClampedArray(4 * width * height).fill(255);
  values.forEach((value, index) => (pixels[4 * Math.floor(index / 3) + (index % 3)] = 255 * value));
  postMessage({ is: 'progress', step, steps, losses, seconds, pixels, width, height });
}

function toImage({ pixels, width, height }) {
  const values = new Float32Array(3 * width * height);
  return { values: values.map((_, index) => pixels[4 * Math.floor(index / 3) + (index % 3)] / 255), width, height };
}

const toTensor = ({ values, width, height }) => tf.tensor(values, [1, height, width, 3]);
