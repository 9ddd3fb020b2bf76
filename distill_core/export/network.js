// A trained network in plain JavaScript: the forward pass, and the centring of a drawn digit as in distill_core/data/drawing.py.

function halves(base64) { // float16, little-endian, to float32
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const found = new Float32Array(bytes.length / 2);
  for (let i = 0; i < found.length; i += 1) {
    const bits = bytes[2 * i] | (bytes[2 * i + 1] << 8);
    const exponent = (bits >> 10) & 31, fraction = bits & 1023;
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
    found[i] = bits & 0x8000 ? -size : size;
  }
  return found;
}

class Network {
  constructor({ layers, weights, mean, std, shape }) {
    Object.assign(this, { layers, mean, std, shape });
    const numbers = halves(weights);
    let place = 0;
    const take = (count) => numbers.subarray(place, (place += count));
    for (const layer of layers) {
      if (layer.kind === "linear") layer.weight = take(layer.inputs * layer.outputs);
      if (layer.kind === "conv") layer.weight = take(layer.inputs * layer.outputs * layer.size ** 2);
      if (layer.bias) layer.offsets = take(layer.outputs);
    }
  }

  logits(pixels) { // D x H x W numbers from 0 to 255
    const [depth, height, width] = this.shape;
    let values = { data: new Float32Array(pixels.length), depth, height, width };
    for (let i = 0; i < pixels.length; i += 1) {
      const channel = Math.floor(i / (height * width));
      values.data[i] = (pixels[i] - this.mean[channel]) / this.std[channel];
    }
    for (const layer of this.layers) values = STEPS[layer.kind](values, layer);
    return Array.from(values.data);
  }
}

const each = (change) => (values, layer) => ({ ...values, data: values.data.map((value) => change(value, layer)) });

function erf(x) { // Abramowitz and Stegun, formula 7.1.26: within 1.5e-7
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const sum = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return Math.sign(x) * (1 - sum * Math.exp(-x * x));
}

function linear({ data }, { weight, offsets, inputs, outputs }) {
  const found = new Float32Array(outputs);
  for (let o = 0; o < outputs; o += 1) {
    let sum = offsets ? offsets[o] : 0;
    for (let i = 0, row = o * inputs; i < inputs; i += 1) sum += weight[row + i] * data[i];
    found[o] = sum;
  }
  return { data: found, depth: outputs, height: 1, width: 1 };
}

function conv({ data, depth, height, width }, { weight, offsets, outputs, size, stride, padding }) {
  const rows = Math.floor((height + 2 * padding - size) / stride) + 1, columns = Math.floor((width + 2 * padding - size) / stride) + 1;
  const found = new Float32Array(outputs * rows * columns);
  for (let o = 0; o < outputs; o += 1) {
    for (let y = 0; y < rows; y += 1) {
      for (let x = 0; x < columns; x += 1) {
        let sum = offsets ? offsets[o] : 0;
        for (let d = 0; d < depth; d += 1) {
          for (let v = 0; v < size; v += 1) {
            const row = y * stride + v - padding;
            if (row < 0 || row >= height) continue;
            for (let u = 0; u < size; u += 1) {
              const column = x * stride + u - padding;
              if (column < 0 || column >= width) continue;
              sum += weight[((o * depth + d) * size + v) * size + u] * data[(d * height + row) * width + column];
            }
          }
        }
        found[(o * rows + y) * columns + x] = sum;
      }
    }
  }
  return { data: found, depth: outputs, height: rows, width: columns };
}

function pool({ data, depth, height, width }, { size }) {
  const rows = Math.floor(height / size), columns = Math.floor(width / size);
  const found = new Float32Array(depth * rows * columns).fill(-Infinity);
  for (let d = 0; d < depth; d += 1) {
    for (let y = 0; y < rows * size; y += 1) {
      for (let x = 0; x < columns * size; x += 1) {
        const place = (d * rows + Math.floor(y / size)) * columns + Math.floor(x / size);
        found[place] = Math.max(found[place], data[(d * height + y) * width + x]);
      }
    }
  }
  return { data: found, depth, height: rows, width: columns };
}

const STEPS = {
  linear, conv, pool,
  relu: each((value) => Math.max(0, value)),
  gelu: each((value) => 0.5 * value * (1 + erf(value / Math.SQRT2))),
  scale: each((value, { factor }) => factor * value),
};

function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = logits.map((z) => Math.exp(z - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

// --- a drawing as an image of the data set: ink from 0 to 255 in rows of equal length

const MIN_INK = 24, NATURAL_SLANT = 0.15;

function even(value) { // Python's round: halves go to the even number
  const down = Math.floor(value), rest = value - down;
  return rest > 0.5 || (rest === 0.5 && down % 2 !== 0) ? down + 1 : down;
}

const blank = (height, width) => Array.from({ length: height }, () => new Array(width).fill(0));
const transpose = (ink) => ink[0].map((_, x) => ink.map((row) => row[x]));
const clip = (value, low, high) => Math.min(high, Math.max(low, value));

function crop(ink) {
  const rows = ink.flatMap((row, y) => (row.some((value) => value > MIN_INK) ? [y] : []));
  const columns = transpose(ink).flatMap((column, x) => (column.some((value) => value > MIN_INK) ? [x] : []));
  return rows.length ? ink.slice(rows[0], rows.at(-1) + 1).map((row) => row.slice(columns[0], columns.at(-1) + 1)) : [];
}

function resizeRows(ink, width) { // each new pixel is the mean of the old ones whose middle it covers, as Pillow's BOX
  const scale = ink[0].length / width, filter = Math.max(scale, 1);
  return ink.map((row) => Array.from({ length: width }, (_, x) => {
    const centre = (x + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - filter / 2 + 0.5)), last = Math.min(row.length, Math.trunc(centre + filter / 2 + 0.5));
    let sum = 0, count = 0;
    for (let i = first; i < last; i += 1) {
      const place = (i - centre + 0.5) / filter;
      if (place > -0.5 && place <= 0.5) { sum += row[i]; count += 1; }
    }
    return Math.floor(sum / count + 0.5);
  }));
}

function resize(ink, height, width) {
  const [rows, columns] = [height, width].map((side) => Math.max(1, even(side)));
  const narrow = columns === ink[0].length ? ink : resizeRows(ink, columns);
  return rows === narrow.length ? narrow : transpose(resizeRows(transpose(narrow), rows));
}

function offset(mass, size) { // so that the centre of mass is in the middle and all ink stays inside
  const total = mass.reduce((a, b) => a + b, 0);
  const centre = mass.reduce((sum, value, i) => sum + value * (i + 0.5), 0) / Math.max(total, 1);
  return clip(even(size / 2 - centre), 0, size - mass.length);
}

function centre(small, size) {
  const image = blank(size, size), sums = (rows) => rows.map((row) => row.reduce((a, b) => a + b, 0));
  const top = offset(sums(small), size), left = offset(sums(transpose(small)), size);
  small.forEach((row, y) => row.forEach((value, x) => { image[top + y][left + x] = value; }));
  return image;
}

function deslant(ink) { // shear the rows until the slant, cov(x, y) / var(y), is the natural one at most
  const height = ink.length, width = ink[0].length;
  let total = 0, middle = 0, both = 0, rows = 0;
  ink.forEach((row, y) => row.forEach((value) => { total += value; middle += value * (y + 0.5); }));
  middle /= total;
  ink.forEach((row, y) => row.forEach((value, x) => {
    both += value * (y + 0.5 - middle) * (x + 0.5);
    rows += value * (y + 0.5 - middle) ** 2;
  }));
  const slant = both / total / Math.max(rows / total, 1e-9);
  const shift = Math.sign(slant) * clip(Math.abs(slant) - NATURAL_SLANT, 0, 0.5);
  if (!shift) return ink;
  const room = Math.trunc(Math.abs(shift) * height) + 2, wide = width + 2 * room;
  return ink.map((row, y) => {
    const padded = [...new Array(room).fill(0), ...row, ...new Array(room).fill(0)];
    return padded.map((_, x) => {
      const place = x + 0.5 + shift * (y + 0.5) - shift * middle;
      if (place < 0 || place >= wide) return 0;
      const left = Math.floor(place - 0.5), part = place - 0.5 - left;
      return Math.trunc((1 - part) * padded[clip(left, 0, wide - 1)] + part * padded[clip(left + 1, 0, wide - 1)]);
    });
  });
}

function likeMnist(ink) {
  const scale = 20 / Math.max(ink.length, ink[0].length);
  return centre(resize(ink, ink.length * scale, ink[0].length * scale), 28);
}

function likeScikitLearn(drawn) {
  const ink = crop(deslant(drawn)), height = ink.length, width = ink[0].length;
  let small = resize(ink, Math.min(32, (48 * height) / width), Math.min(24, (64 * width) / height));
  if (small[0].length === 24) small = small.map((row) => [0, 0, 0, 0, ...row, 0, 0, 0, 0]);
  const large = centre(small, 32);
  return blank(8, 8).map((row, y) => row.map((_, x) => {
    let sum = 0;
    for (let v = 0; v < 4; v += 1) for (let u = 0; u < 4; u += 1) sum += large[4 * y + v][4 * x + u];
    return even(sum / 16);
  }));
}

function centreDigit(drawn, size) { // rows of ink; an empty drawing gives an empty image
  const ink = crop(drawn);
  return ink.length ? { 28: likeMnist, 8: likeScikitLearn }[size](ink) : blank(size, size);
}
