// What computes: WebGPU where there is one, else WebGL, else WebAssembly.
import * as tf from '@tensorflow/tfjs-core';

// How those drivers call themselves that have the processor do a graphics card's work; WebAssembly is faster than they.
const IN_SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

// How each is started; one in software only for those who ask for it.
const BACKENDS = {
  async webgpu({ wanted, onLost }) {
    const adapter = await navigator.gpu?.requestAdapter();
    const inSoftware = adapter?.info?.isFallbackAdapter ?? adapter?.isFallbackAdapter;
    if (!adapter || (inSoftware && !wanted)) throw new Error('WebGPU has no adapter.');
    await import('@tensorflow/tfjs-backend-webgpu');
    await tf.setBackend('webgpu');
    tf.backend().device.lost.then(onLost);
    return inSoftware ? 'WebGPU, in software' : 'WebGPU, on your graphics card';
  },
  async webgl({ wanted, onLost }) {
    await import('@tensorflow/tfjs-backend-webgl');
    tf.env().set('SOFTWARE_WEBGL_ENABLED', Boolean(wanted));
    await tf.setBackend('webgl');
    const { gl } = tf.backend().getGPGPUContext();
    const unmasked = gl.getExtension('WEBGL_debug_renderer_info')?.UNMASKED_RENDERER_WEBGL;
    const renderer = gl.getParameter(unmasked ?? gl.RENDERER);
    if (IN_SOFTWARE.test(renderer) && !wanted) throw new Error(`WebGL is drawn by the processor: ${renderer}.`);
    // Half precision ends at 65504, and features go beyond.
    if (!tf.env().getBool('WEBGL_RENDER_FLOAT32_ENABLED')) throw new Error('WebGL has no single precision.');
    gl.canvas.addEventListener('webglcontextlost', onLost);
    return `WebGL, on ${renderer}`;
  },
  async wasm({ folder }) {
    const { getThreadsCount, setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
    setWasmPaths(folder);
    await tf.setBackend('wasm');
    // Half as many threads as the processor has where the page is isolated, else one.
    return `WebAssembly, on the processor (threads: ${getThreadsCount()})`;
  },
};

/**
 * Start the first backend that works here, or the one `wanted`, and return {name, description}.
 *
 * `folder` is where the .wasm files lie; `onLost` is called if the graphics card is taken away.
 */
export async function startDevice({ wanted, folder, onLost }) {
  for (const name of wanted ? [wanted] : Object.keys(BACKENDS)) {
    const description = await BACKENDS[name]({ wanted, folder, onLost }).catch(console.warn);
    if (description && tf.getBackend() === name) return { name, description };
  }
  throw new Error('Nothing here can compute.');
}
