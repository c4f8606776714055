// Pictures in and out: from files to canvases, from canvases to pixels and PNGs.

const SMALLEST_SIDE = 32; // that nst_tf takes, and in pixels
const LARGEST_SIDE = 1024; // of what is kept of a picture

/** Return a canvas with the picture in a file, turned upright, laid on white and made small. */
export async function openPicture(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => Object.assign(image, { onload: resolve, onerror: reject }));
    const { width, height } = fitted(image, LARGEST_SIDE);
    const small = { resizeWidth: width, resizeHeight: height, resizeQuality: 'high', imageOrientation: 'from-image' };
    return draw(document.createElement('canvas'), await createImageBitmap(image, small));
  } catch {
    throw new Error('This file is not a picture that the browser can read; try a JPEG or a PNG.');
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

/** Return the size of a picture whose longer side has at most so many pixels; to `enlarge`, as many. */
export function fitted({ width, height }, side, { enlarge = false } = {}) {
  const scale = side / Math.max(width, height);
  const length = (from) => Math.max(SMALLEST_SIDE, Math.round(from * (enlarge ? scale : Math.min(1, scale))));
  return { width: length(width), height: length(height) };
}

/** Draw a picture on a canvas, which takes its size or the one given; return the canvas. */
export function draw(canvas, picture, { width, height } = picture) {
  Object.assign(canvas, { width, height });
  // Kept in main memory, a canvas also outlives the graphics card.
  const context = canvas.getContext('2d', { willReadFrequently: true });
  Object.assign(context, { imageSmoothingQuality: 'high', fillStyle: 'white' });
  context.fillRect(0, 0, width, height);
  context.drawImage(picture, 0, 0, width, height);
  return canvas;
}

/** Return the pixels of a canvas in a size, as the painter wants them. */
export function pixelsOf(canvas, { width, height } = canvas) {
  const context = draw(document.createElement('canvas'), canvas, { width, height }).getContext('2d');
  return { pixels: context.getImageData(0, 0, width, height).data, width, height };
}

/** Let the browser save what a canvas shows as a PNG, named after the pictures that it comes from. */
export async function savePng(canvas, names) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve));
  const link = document.createElement('a');
  Object.assign(link, { href: URL.createObjectURL(blob), download: `${names.join('__')}.png` }).click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
