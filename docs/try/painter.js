// The worker: it paints, and tells the page how far it is.
import * as tf from '@tensorflow/tfjs-core';
import { makeDescent } from './descent.js';
import { startDevice } from './device.js';
import { makeNetwork } from './network.js';
import { readNpz } from './npz.js';
import { makeObjective } from './objective.js';
import { makeScene } from './scene.js';

const SECONDS_BETWEEN_PICTURES = 0.2;

let network = null;
let run = null;
let work = Promise.resolve(); // one thing after the other

const actions = {
  async start({ folder, wanted }) {
    const device = await startDevice({ wanted, folder, onLost: () => fail('lost') });
    const answer = await fetch(`${folder}slim.npz`);
    if (!answer.ok) throw new Error(`The network’s file did not arrive (${answer.status}).`);
    network = makeNetwork(await readNpz(await answer.arrayBuffer()));
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
  if (run) run.going = false; // "stop" is nothing but this
  work = work.then(() => actions[data.do]?.(data)).catch((error) => fail(reasonFor(error), error));
};

function begin({ content, style, settings, from }) {
  const start = from ? toImage(from) : settings.start;
  const scene = makeScene(toImage(content), toImage(style), { ...settings, start });
  const tensors = [scene.content, scene.style].map(toTensor);
  const objective = makeObjective(network, ...tensors, settings);
  tf.dispose(tensors);
  const descent = makeDescent(objective, toTensor(scene.start), settings.steps, { grey: scene.grey });
  const dispose = () => [objective, descent].forEach((part) => part.dispose());
  return { descent, scene, dispose, going: true, times: [], shown: 0 };
}

async function keepPainting() {
  const { descent } = run;
  run.going = true;
  while (run.going && descent.step < descent.steps) {
    const begun = performance.now();
    await descent.advance();
    const now = performance.now();
    run.times = [...run.times.slice(-9), (now - begun) / 1000];
    if (now - run.shown >= 1000 * SECONDS_BETWEEN_PICTURES) {
      run.shown = now;
      await report('progress', descent.image);
    }
    await new Promise((resolve) => setTimeout(resolve)); // time for the page's messages
  }
  if (descent.step === descent.steps) await descent.finish();
  await report(descent.step === descent.steps ? 'done' : 'stopped', descent.best);
}

async function report(is, tensor) {
  const { descent, scene, times } = run;
  const [, height, width] = tensor.shape;
  const { values } = scene.finished({ values: await tensor.data(), width, height });
  const pixels = new Uint8ClampedArray((values.length / 3) * 4).fill(255);
  values.forEach((value, index) => (pixels[Math.floor(index / 3) * 4 + (index % 3)] = 255 * value));
  const seconds = [...times].sort((one, other) => one - other)[Math.floor(times.length / 2)];
  const { step, steps, losses } = descent;
  postMessage({ is, step, steps, losses, seconds, pixels, width, height }, [pixels.buffer]);
}

function toImage({ pixels, width, height }) {
  const values = new Float32Array((pixels.length / 4) * 3);
  values.forEach((_, index) => (values[index] = pixels[Math.floor(index / 3) * 4 + (index % 3)] / 255));
  return { values, width, height };
}

const toTensor = ({ values, width, height }) => tf.tensor(values, [1, height, width, 3]);

function reasonFor(error) {
  if (/memory|alloc|bounds|abort|unreachable|texture size/i.test(`${error?.name} ${error?.message}`)) return 'memory';
  return { 'no number': 'number' }[error?.message] ?? (network ? 'other' : 'start');
}

function fail(why, error = null) {
  postMessage({ is: 'failed', why, details: error ? String(error.message ?? error) : '' });
}
