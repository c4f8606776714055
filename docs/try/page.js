// The page: what the visitor does, and what the painter answers.
import { drawCurve } from './curve.js';
import { SMALLEST_SIDE, fitted, onCanvas, openPicture, pixelsOf, savePng } from './pictures.js';

const BUNDLED = {
  content: ['pagoda.jpg', 'Photograph: Daniel Buechele, CC BY 2.0'],
  style: ['starry_night.jpg', 'Painting: Vincent van Gogh, The Starry Night, 1889'],
};
const LABELS = { painting: 'Stop', stopping: 'Stopping …', stopped: 'Go on', failed: 'Go on', done: 'Paint it again' };
const FAILURES = {
  start: 'The painter could not start here; load the page again, or try another browser.',
  memory: 'This size takes more memory than there is; the last picture is kept. Choose a smaller size and start anew.',
  lost: 'The graphics card was taken away; the last picture is kept, and you can go on from it.',
  number: 'The numbers grew out of bounds; the last picture is kept. Lower the style weight and start anew.',
  other: 'Something went wrong; the last picture is kept, and you can go on from it.',
};
// What a pixel takes of memory on the way through the network and back, roughly; and what share may go to it.
const BYTES_PER_PIXEL = 1700;
const SHARE_OF_MEMORY = 1 / 8;

const $ = (id) => document.getElementById(id);
const form = $('settings');
const pictures = {}; // by role, "content" and "style": {canvas, credit, name}
let phase = 'loading'; // then "ready", or a key of LABELS
let painter = null; // the worker
let job = null; // what it was last told to paint
let credit = '';

function enter(next, words = '') {
  phase = next;
  $('paint').textContent = LABELS[phase] ?? 'Paint it';
  $('paint').disabled = phase === 'loading' || phase === 'stopping';
  $('anew').disabled = !job || phase === 'ready' || phase === 'loading';
  $('status').textContent = words;
}

function startPainter() {
  // From a blob, since such a worker is under the page's own content security policy; one from an address is not.
  const code = `import ${JSON.stringify(new URL('painter.js', location.href))};`;
  painter = new Worker(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })), { type: 'module' });
  painter.onmessage = ({ data }) => answers[data.is](data);
  painter.onerror = () => answers.failed({ why: 'start', details: '' });
  const wanted = new URLSearchParams(location.search).get('backend');
  painter.postMessage({ do: 'start', folder: new URL('.', location.href).href, wanted });
}

const answers = {
  ready({ name, description }) {
    $('device').textContent = `It computes with ${description}.`;
    if (phase !== 'loading') return; // it was started again
    form.size.value = name === 'wasm' ? 256 : 400;
    showValues();
    enter('ready', 'Ready.');
  },
  progress({ step, steps, seconds, losses, ...picture }) {
    $('picture').width = picture.width;
    $('picture').height = picture.height;
    $('picture').getContext('2d').putImageData(new ImageData(picture.pixels, picture.width), 0, 0);
    job.left = steps - step;
    $('save').disabled = false;
    $('progress').value = step / steps;
    const pace = seconds < 10 ? seconds.toPrecision(2) : Math.round(seconds);
    $('pace').textContent = `Step ${step} of ${steps}, ${pace} s each`;
    const [, content, style] = losses.at(-1);
    $('content-loss').value = content.toFixed(2);
    $('style-loss').value = style.toFixed(2);
    drawCurve($('curve'), losses, steps);
  },
  stopped(data) {
    answers.progress(data);
    enter('stopped', 'Stopped. Go on, start anew, or save the picture.');
  },
  done(data) {
    answers.progress(data);
    $('picture').setAttribute('aria-label', 'The photograph, painted');
    enter('done', 'Done. Save it, or try other pictures and settings.');
  },
  failed({ why, details }) {
    painter.terminate();
    painter = null;
    enter(why === 'start' ? 'loading' : 'failed', FAILURES[why]);
    if (details) $('status').title = details;
  },
};

function settings() {
  const data = new FormData(form);
  return {
    styleWeight: 2 ** data.get('styleWeight'),
    steps: Number(data.get('steps')),
    keepColors: data.has('keepColors'),
    styleLayers: data.getAll('styleLayers'),
    contentLayer: data.get('contentLayer') || null,
    start: data.get('start'),
  };
}

function paintAnew() {
  const chosen = settings();
  if (!chosen.contentLayer && !chosen.styleLayers.length) {
    enter(phase, 'There is nothing to compare: turn on a style layer, or choose where content is compared.');
    return;
  }
  const size = Number(form.size.value);
  const photograph = pictures.content.canvas;
  const content = fitted(photograph.width, photograph.height, size);
  const painting = pictures.style.canvas;
  const side = Math.round(Math.max(content.width, content.height) * form.strokeSize.value);
  const style = fitted(painting.width, painting.height, side, { enlarge: true });
  if (Math.min(content.width, content.height, style.width, style.height) < SMALLEST_SIDE) {
    enter(phase, `At this size a side would have less than ${SMALLEST_SIDE} pixels; choose a larger size, or less narrow pictures.`);
    return;
  }
  paint({ content: pixelsOf(photograph, content), style: pixelsOf(painting, style), settings: chosen });
  credit = credits();
  showCredits();
}

function paint(next) {
  job = { ...next, left: next.settings.steps };
  if (!painter) startPainter();
  painter.postMessage({ do: 'paint', ...job });
  $('picture').setAttribute('aria-label', 'The photograph, being painted');
  enter('painting', 'Painting. The first step takes longest.');
}

function press() {
  if (phase === 'painting') {
    painter.postMessage({ do: 'stop' });
    enter('stopping');
  } else if (phase === 'stopped') {
    painter.postMessage({ do: 'goOn' });
    enter('painting', 'Painting.');
  } else if (phase === 'failed' && job.left) {
    paint({ ...job, from: pixelsOf($('picture')), settings: { ...job.settings, steps: job.left } });
  } else {
    paintAnew();
  }
}

const credits = () => [pictures.content, pictures.style].map((picture) => picture?.credit).filter(Boolean).join(' · ');

function showCredits() {
  $('credit').textContent = [...new Set([credit, credits()])].filter(Boolean).join(' · ');
}

async function take(role, file, known = null) {
  try {
    const canvas = await openPicture(file);
    pictures[role] = { canvas, credit: known ?? '', name: (file.name ?? role).replace(/\.[^.]*$/, '') };
    const { width, height } = fitted(canvas.width, canvas.height, 320);
    $(role).querySelector('canvas').replaceWith(describe(onCanvas(canvas, width, height), role));
  } catch (error) {
    enter(phase, error.message);
    return;
  }
  if (role === 'content' && !['painting', 'stopping'].includes(phase)) {
    const { canvas } = pictures.content;
    Object.assign($('picture'), { width: canvas.width, height: canvas.height });
    $('picture').getContext('2d').drawImage(canvas, 0, 0);
    $('save').disabled = true;
    credit = '';
    if (phase !== 'loading') enter('ready', 'Ready.');
  } else {
    changed();
  }
  showCredits();
}

function describe(canvas, role) {
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', { content: 'The photograph', style: 'The painting' }[role] + `, ${pictures[role].name}`);
  return canvas;
}

function changed() {
  if (job && phase !== 'ready') enter(phase, 'Start anew to see what comes of the change.');
}

function showValues() {
  form.querySelectorAll('output[for]').forEach((output) => {
    const { name, value } = $(output.htmlFor.value);
    output.value = name === 'styleWeight' ? Number((2 ** value).toPrecision(2)) : value;
  });
}

function listen() {
  $('paint').addEventListener('click', press);
  $('anew').addEventListener('click', paintAnew);
  $('save').addEventListener('click', () => savePng($('picture'), `${pictures.content.name}__${pictures.style.name}.png`));
  form.addEventListener('input', showValues);
  form.addEventListener('change', ({ target }) => {
    if (target.type !== 'file') changed();
    else if (target.files.length) take(target.closest('.card').id, target.files[0]);
    if (target.type === 'file') target.value = ''; // the same file may be chosen again
  });
  const dropped = (event, files) => {
    event.preventDefault();
    const card = event.target.closest?.('.card')?.id;
    if (card || files.length === 1) take(card ?? 'content', files[0]);
    else if (files.length > 1) ['content', 'style'].forEach((role, index) => take(role, files[index]));
    else enter(phase, 'That was not a picture file; save the picture first, then drop the file.');
  };
  document.addEventListener('dragover', (event) => event.preventDefault());
  document.addEventListener('drop', (event) => dropped(event, event.dataTransfer.files));
  document.addEventListener('paste', (event) => dropped(event, event.clipboardData.files));
}

async function open() {
  if (typeof DecompressionStream === 'undefined' || typeof Worker === 'undefined') {
    enter('loading', 'This browser is too old for the page; it needs one of 2023 or later.');
    return;
  }
  enter('loading', 'Getting ready …');
  const memory = navigator.deviceMemory ?? (matchMedia('(pointer: coarse)').matches ? 2 : 4);
  const largest = Math.sqrt((memory * 2 ** 30 * SHARE_OF_MEMORY) / BYTES_PER_PIXEL);
  form.size.max = Math.min(1024, 16 * Math.floor(largest / 16));
  showValues();
  listen();
  for (const [role, [name, by]] of Object.entries(BUNDLED)) {
    const answer = await fetch(name);
    await take(role, new File([await answer.blob()], name), by);
  }
  startPainter();
}

open();
