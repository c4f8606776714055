// Pictures in and out: from files to canvases, from canvases to pixels and PNGs.

const LARGEST_SIDE = 1024; // of what is kept of a picture, in pixels
export const SMALLEST_SIDE = 32;

/** Return a canvas with the picture in a file (Blob), turned upright, laid on white and made small. */
export async function openPicture(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => Object.assign(image, { onload: resolve, onerror: reject }));
    const { width, height } = fitted(image.naturalWidth, image.naturalHeight, LARGEST_SIDE);
    const small = { resizeWidth: width, resizeHeight: height, resizeQuality: 'high', imageOrientation: 'from-image' };
    const bitmap = await createImageBitmap(image, small);
    return onCanvas(bitmap, width, height);
  } catch {
    throw new Error('This file is not a picture that the browser can read; try a JPEG or a PNG.');
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

/** Return the size of a picture whose longest side has at most so many pixels; or, to `enlarge`, just as many. */
export function fitted(width, height, side, { enlarge = false } = {}) {
  const scale = side / Math.max(width, height);
  const factor = enlarge ? scale : Math.min(1, scale);
  return { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
}

/** Return a canvas with something that can be drawn, in a size. */
export function onCanvas(source, width, height) {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.imageSmoothingQuality = 'high';
  context.fillStyle = 'white';
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return canvas;
}

/** Return the pixels of a canvas in a size, as the painter wants them. */
export function pixelsOf(canvas, { width, height } = canvas) {
  const context = onCanvas(canvas, width, height).getContext('2d');
  return { pixels: context.getImageData(0, 0, width, height).data, width, height };
}

/** Let the browser save what a canvas shows as a PNG. */
export async function savePng(canvas, name) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
