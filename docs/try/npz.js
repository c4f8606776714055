// NumPy's .npz, as `savez_compressed` writes it: a zip of .npy files, unpacked with what every browser has.

const TYPES = { '|i1': Int8Array, '<f4': Float32Array };

/** Return the arrays in an .npz file (ArrayBuffer) by name, each as {values, shape}. */
export async function readNpz(buffer) {
  const view = new DataView(buffer);
  const arrays = {};
  const end = buffer.byteLength - 22;
  if (view.getUint32(end, true) !== 0x06054b50) throw new Error('The network’s file is damaged.');
  let entry = view.getUint32(end + 16, true); // in the list of contents at the zip's end
  for (let count = view.getUint16(end + 10, true); count > 0; count -= 1) {
    const size = view.getUint32(entry + 20, true);
    const nameLength = view.getUint16(entry + 28, true);
    const name = new TextDecoder().decode(new Uint8Array(buffer, entry + 46, nameLength));
    const local = view.getUint32(entry + 42, true);
    const begin = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const packed = new Blob([new Uint8Array(buffer, begin, size)]).stream();
    const file = new Response(packed.pipeThrough(new DecompressionStream('deflate-raw')));
    arrays[name.replace(/\.npy$/, '')] = readNpy(await file.arrayBuffer());
    entry += 46 + nameLength + view.getUint16(entry + 30, true) + view.getUint16(entry + 32, true);
  }
  return arrays;
}

function readNpy(buffer) {
  const headerLength = new DataView(buffer).getUint16(8, true);
  const header = new TextDecoder('latin1').decode(new Uint8Array(buffer, 10, headerLength));
  const type = TYPES[header.match(/'descr': '([^']+)'/)[1]];
  const shape = header.match(/'shape': \(([^)]*)\)/)[1].split(',').filter((side) => side.trim()).map(Number);
  const values = new type(buffer.slice(10 + headerLength));
  return { values: header.includes("'fortran_order': True") ? byRows(values, shape) : values, shape };
}

/** Return the entries of a matrix row by row that were stored column by column. */
function byRows(values, [height, width]) {
  return values.map((_, index) => values[(index % width) * height + Math.floor(index / width)]);
}
