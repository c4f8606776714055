// What computes: WebGPU where there is one, else WebGL, else WebAssembly.
import * as tf from '@tensorflow/tfjs-core';

const BACKENDS = {
  async webgpu({ wanted, onLost }) {
    // Asked for first, since TensorFlow.js takes it for granted that there is an adapter.
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) throw new Error('there is none');
    if (isSoftware(adapter) && !wanted) throw new Error('it is drawn by the processor');
    await import('@tensorflow/tfjs-backend-webgpu');
    await use('webgpu');
    tf.backend().device.lost.then(onLost);
    return `WebGPU, on ${isSoftware(adapter) ? 'the processor' : 'your graphics card'}`;
  },
  async webgl({ wanted, onLost }) {
    await import('@tensorflow/tfjs-backend-webgl');
    // Drawn by the processor it is slower than WebAssembly, so it is only for those who ask for it.
    tf.env().set('SOFTWARE_WEBGL_ENABLED', Boolean(wanted));
    await use('webgl');
    // Half precision ends at 65504, and features go beyond.
    if (!tf.env().getBool('WEBGL_RENDER_FLOAT32_ENABLED')) throw new Error('it has no single precision');
    tf.backend().getGPGPUContext().gl.canvas.addEventListener('webglcontextlost', onLost);
    return `WebGL, on ${wanted ? 'what it was given' : 'your graphics card'}`;
  },
  async wasm({ folder }) {
    const { getThreadsCount, setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
    setWasmPaths(folder);
    await use('wasm'); // in half as many threads as the processor has, up to 8, and one if the page is not isolated
    const count = (await tf.env().getAsync('WASM_HAS_MULTITHREAD_SUPPORT')) ? getThreadsCount() : 1;
    return `WebAssembly, on the processor, with ${count} thread${count === 1 ? '' : 's'}`;
  },
};

/**
 * Start the first backend that works here, or the one `wanted`, and return {name, description}.
 *
 * `folder` is where the .wasm files lie; `onLost` is called if the graphics card is taken away.
 */
export async function startDevice({ wanted, folder, onLost }) {
  const reasons = [];
  for (const name of wanted ? [wanted] : Object.keys(BACKENDS)) {
    try {
      return { name, description: await BACKENDS[name]({ wanted, folder, onLost }) };
    } catch (error) {
      reasons.push(`${name}: ${error?.message ?? error}`);
    }
  }
  throw new Error(reasons.join('; '));
}

async function use(name) {
  if (!(await tf.setBackend(name))) throw new Error('it did not start');
}

const isSoftware = (adapter) => Boolean(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
