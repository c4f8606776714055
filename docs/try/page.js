// The page: what the visitor does, and what the painter answers.
import { drawCurve } from './curve.js';
import { draw, fitted, openPicture, pixelsOf, savePng } from './pictures.js';

const BUNDLED = {
  content: ['pagoda.jpg', 'Photograph: Daniel Buechele, CC BY 2.0'],
  style: ['starry_night.jpg', 'Painting: Vincent van Gogh, The Starry Night, 1889'],
};
const LABELS = { painting: 'Stop', stopped: 'Go on', failed: 'Go on', done: 'Paint again' };
const FAILURES = {
  start: 'The painter could not start here; load the page again, or try another browser.',
  memory: 'This size takes more memory than there is; the last picture is kept. Choose a smaller size and start anew.',
  old: 'This browser is too old; the page needs one of 2023 or later.',
  lost: 'The graphics card was taken away; the last picture is kept, and you can go on from it.',
  nothing: 'Turn on a style layer, or choose where content is compared.',
  other: 'Something went wrong; the last picture is kept, and you can go on from it.',
};
// A pixel takes about 1,700 bytes on the way through the network and back, and an eighth of the memory may go to that.
const MEMORY_PER_PIXEL = 8 * 1700;

const $ = (id) => document.getElementById(id);
const form = $('settings');
const pictures = {}; // by role, "content" and "style": {canvas, name, credit}
let phase = 'loading'; // then "ready", or a key of LABELS
let painter = null; // the worker
let job = null; // what it was last told to paint

function enter(next, words) {
  phase = next;
  $('paint').textContent = LABELS[phase] ?? 'Paint it';
  $('paint').disabled = phase === 'loading';
  $('save').disabled = $('anew').disabled = !(phase in LABELS);
  $('anew').hidden = phase === 'done'; // then the other button does it
  $('status').textContent = words;
}

function startPainter() {
  // From a blob, since such a worker is under the page's own content security policy; one from an address is not.
  const code = `import ${JSON.stringify(new URL('painter.js', location.href))};`;
  painter = new Worker(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })), { type: 'module' });
  painter.onmessage = ({ data }) => answers[data.is](data);
  painter.onerror = () => answers.failed({ why: 'start' });
  const folder = new URL('.', location.href).href;
  painter.postMessage({ do: 'start', folder, wanted: new URLSearchParams(location.search).get('backend') });
}

const answers = {
  ready({ name, description }) {
    $('device').textContent = `It computes with ${description}.`;
    if (phase !== 'loading') return; // it was started again
    form.size.value = name === 'wasm' ? 256 : 400;
    showValues();
    enter('ready', 'Ready.');
  },
  progress({ step, steps, seconds, losses, pixels, width, height }) {
    Object.assign($('picture'), { width, height });
    $('picture').getContext('2d').putImageData(new ImageData(pixels, width), 0, 0);
    job.left = steps - step;
    $('progress').value = step / steps;
    $('pace').textContent = `Step ${step} of ${steps}, ${Number(seconds.toPrecision(2))} s each`;
    [, $('content-loss').value, $('style-loss').value] = losses.at(-1).map((loss) => loss.toFixed(2));
    drawCurve($('curve'), losses, steps);
  },
  stopped: () => enter('stopped', 'Stopped. Go on, start anew, or save the picture.'),
  done: () => enter('done', 'Done. Save it, or try other pictures, or a larger size under Settings.'),
  failed({ why }) {
    painter.terminate();
    painter = null;
    enter(why === 'start' ? 'loading' : 'failed', FAILURES[why]);
  },
};

function paintAnew() {
  const data = new FormData(form);
  const { contentLayer, start, steps, styleWeight, size, strokeSize } = Object.fromEntries(data);
  const [styleLayers, keepColors] = [data.getAll('styleLayers'), data.has('keepColors')];
  if (!contentLayer && !styleLayers.length) return enter(phase, FAILURES.nothing);
  const settings = { styleLayers, contentLayer, keepColors, start, steps: +steps, styleWeight: +styleWeight };
  const content = pixelsOf(pictures.content.canvas, fitted(pictures.content.canvas, size));
  const side = strokeSize * Math.max(content.width, content.height);
  const style = pixelsOf(pictures.style.canvas, fitted(pictures.style.canvas, side, { enlarge: true }));
  paint({ content, style, settings });
}

function paint(next) {
  job = next;
  if (!painter) startPainter();
  painter.postMessage({ do: 'paint', ...job });
  $('pace').textContent = 'The first step takes longest.';
  enter('painting', 'Painting …');
}

function press() {
  if (phase === 'painting') {
    painter.postMessage({ do: 'stop' });
    $('paint').disabled = true; // until it has taken the step it is at
  } else if (phase === 'stopped') {
    painter.postMessage({ do: 'goOn' });
    enter('painting', 'Painting …');
  } else if (phase === 'failed' && job.left) {
    paint({ ...job, from: pixelsOf($('picture')), settings: { ...job.settings, steps: job.left } });
  } else {
    paintAnew();
  }
}

/** Take a picture file as the photograph or the painting. */
async function take(role, file, credit = '') {
  try {
    const canvas = await openPicture(file);
    pictures[role] = { canvas, credit, name: file.name.replace(/\.[^.]*$/, '') };
    draw($(role).querySelector('canvas'), canvas, fitted(canvas, 320));
  } catch (error) {
    return enter(phase, error.message);
  }
  $('credit').textContent = Object.values(pictures).map((picture) => picture.credit).filter(Boolean).join(' · ');
  if (role === 'content' && phase !== 'painting') {
    draw($('picture'), pictures.content.canvas);
    $('progress').value = 0;
    $('pace').textContent = '\u00a0';
    for (const line of $('curve').children) line.removeAttribute('points');
    if (phase !== 'loading') enter('ready', 'Ready.');
  }
  changed();
}

const changed = () => phase in LABELS && enter(phase, 'Start anew to see what comes of the change.');

function takeFiles(event, files) {
  event.preventDefault();
  const near = (event.type === 'paste' ? document.activeElement : event.target).closest('.card');
  const roles = near ? [near.id] : ['content', 'style'];
  if (!files.length) enter(phase, 'That was no picture file; save the picture first, then drop the file.');
  roles.slice(0, files.length).forEach((role, index) => take(role, files[index]));
}

const outputs = form.querySelectorAll('output[for]');
const showValues = () => outputs.forEach((output) => (output.value = $(output.htmlFor.value).value));

async function open() {
  if (!self.DecompressionStream) return enter('loading', FAILURES.old);
  enter('loading', 'Getting ready …');
  const memory = navigator.deviceMemory ?? (matchMedia('(pointer: coarse)').matches ? 2 : 4);
  const largest = Math.sqrt((memory * 2 ** 30) / MEMORY_PER_PIXEL);
  form.size.max = Math.min(1024, 16 * Math.floor(largest / 16));
  showValues();
  for (const [role, [name, credit]] of Object.entries(BUNDLED)) {
    const answer = await fetch(name);
    await take(role, new File([await answer.blob()], name), credit);
  }
  startPainter();
}

$('paint').addEventListener('click', press);
$('anew').addEventListener('click', paintAnew);
$('save').addEventListener('click', () => savePng($('picture'), [pictures.content.name, pictures.style.name]));
form.addEventListener('input', showValues);
form.addEventListener('change', ({ target }) => {
  if (target.type !== 'file') return changed();
  if (target.files.length) take(target.closest('.card').id, target.files[0]);
  target.value = ''; // so that the same file can be chosen again
});
document.addEventListener('dragover', (event) => event.preventDefault());
document.addEventListener('drop', (event) => takeFiles(event, event.dataTransfer.files));
document.addEventListener('paste', (event) => takeFiles(event, event.clipboardData.files));
open();
