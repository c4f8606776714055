// What test_page.py asks the page's modules, in the page: everything goes in and comes out as plain lists.
import * as tf from '@tensorflow/tfjs-core';
import { makeDescent } from '../docs/try/descent.js';
import { startDevice } from '../docs/try/device.js';
import { makeNetwork } from '../docs/try/network.js';
import { readNpz } from '../docs/try/npz.js';
import { makeObjective } from '../docs/try/objective.js';
import { makeScene } from '../docs/try/scene.js';

const folder = new URL('.', location.href).href;
const tensor = ({ values, width, height }) => tf.tensor(values, [1, height, width, 3]);
const image = ({ values, ...size }) => ({ values: Float32Array.from(values), ...size });
let network;

window.probe = {
  async start(wanted) {
    const device = await startDevice({ wanted, folder, onLost: () => {} });
    network = makeNetwork(await readNpz(await (await fetch(`${folder}slim.npz`)).arrayBuffer()));
    return device.name;
  },

  async evaluate({ content, style, at, settings }) {
    const objective = makeObjective(network, tensor(content), tensor(style), settings);
    const { losses, gradient } = objective.evaluate(tensor(at));
    return { losses: [...(await losses.data())], gradient: [...(await gradient.data())] };
  },

  scene({ content, style, settings }) {
    const scene = makeScene(image(content), image(style), settings);
    const finished = scene.finished(scene.start);
    return { start: [...scene.start.values], style: [...scene.style.values], finished: [...finished.values], gray: scene.gray };
  },

  async descend({ content, style, settings }) {
    const scene = makeScene(image(content), image(style), settings);
    const images = [scene.content, scene.style];
    const objective = tf.tidy(() => makeObjective(network, ...images.map(tensor), settings));
    const descent = makeDescent(objective, tensor(scene.start), settings.steps, { gray: scene.gray });
    const tensors = [];
    while (descent.step < descent.steps) {
      await descent.advance();
      tensors.push(tf.memory().numTensors);
    }
    await descent.finish();
    const best = [...(await descent.best.data())];
    [descent, objective].forEach((part) => part.dispose());
    return { losses: descent.losses, best, tensors, left: tf.memory().numTensors };
  },
};
