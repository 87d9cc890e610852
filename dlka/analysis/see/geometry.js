// Where cells, taps and samples lie: the formulas of dlka/ops/sampling.py and dlka/render/geometry.py once more, so that
// the pointer needs no answer from the server. A browser test compares the two.
//
// Positions are (y, x) in cells of the map that a stage samples; points are (x, y) in pixels of the original picture,
// measured at pixel centres. Reads are { regular, samples: Float64Array of y, x pairs, zero: Uint8Array }.

const NOT_A_NUMBER = -32768; // an offset that the network did not give as a number

// The bytes of a file that the server has compressed (zlib). Rejects where it is not there.
async function inflated(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw answer.status;
  const bytes = answer.body.pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(bytes).arrayBuffer());
}

// Offsets: the low bytes of all, then the high bytes, as such planes compress better.
async function fetchOffsets(address) {
  const bytes = await inflated(address), offsets = new Int16Array(bytes.length / 2);
  for (let i = 0; i < offsets.length; i++) offsets[i] = bytes[i] | (bytes[i + offsets.length] << 8);
  return offsets;
}

function toPicture(letterbox, stride, y, x) {
  return [
    ((x + 0.5) * stride - letterbox.left) / letterbox.scale[0] - 0.5,
    ((y + 0.5) * stride - letterbox.top) / letterbox.scale[1] - 0.5,
  ];
}

function toMap(letterbox, stride, point) {
  return [
    ((point[1] + 0.5) * letterbox.scale[1] + letterbox.top) / stride - 0.5,
    ((point[0] + 0.5) * letterbox.scale[0] + letterbox.left) / stride - 0.5,
  ];
}

// The middle of a cell's undeformed kernel along one axis (0: y, 1: x).
function cellPosition(stage, axis, cell) {
  return cell * stage.step[axis] - stage.padding[axis] + (stage.dilation[axis] * (stage.kernel[axis] - 1)) / 2;
}

// [row, column] of the cell whose centre is nearest to a point.
function cellAt(letterbox, stage, point) {
  return toMap(letterbox, stage.stride, point).map((position, axis) => {
    // Half-way between two cells the first one counts, as in numpy.argmin.
    const cell = Math.ceil((position - cellPosition(stage, axis, 0)) / stage.step[axis] - 0.5);
    return Math.min(Math.max(cell, 0), stage.size[axis] - 1);
  });
}

function cellCentre(letterbox, stage, cell) {
  return toPicture(letterbox, stage.stride, cellPosition(stage, 0, cell[0]), cellPosition(stage, 1, cell[1]));
}

function readsZero(stage, y, x) {
  return !(y > -1 && y < stage.sampled[0] && x > -1 && x < stage.sampled[1]); // NaN reads zero, too
}

// What one cell of a stage reads. offsets: Int16Array of all stages, each [rows, columns, 2K] from stage.start on;
// amount: multiplies the offsets, 1 as they are, 0 the grid.
function readsOf(stage, offsets, cell, amount = 1) {
  const taps = stage.kernel[0] * stage.kernel[1];
  const regular = new Float64Array(2 * taps), samples = new Float64Array(2 * taps), zero = new Uint8Array(taps);
  const first = stage.start + (cell[0] * stage.size[1] + cell[1]) * 2 * taps;
  for (let tap = 0; tap < taps; tap++) {
    const at = [Math.floor(tap / stage.kernel[1]), tap % stage.kernel[1]];
    for (let axis = 0; axis < 2; axis++) {
      const level = offsets[first + 2 * tap + axis], i = 2 * tap + axis;
      regular[i] = cell[axis] * stage.step[axis] - stage.padding[axis] + at[axis] * stage.dilation[axis];
      samples[i] = level === NOT_A_NUMBER ? NaN : regular[i] + amount * level * stage.unit;
    }
    zero[tap] = readsZero(stage, samples[2 * tap], samples[2 * tap + 1]);
  }
  return { regular, samples, zero, lost: 0 };
}

// What one cell of the second stage of a block reads through the first: every path that does not leave the map between
// the two. A bilinear read mixes four cells of the first stage, so their locations are mixed with the same weights.
function composedReads(inner, outer, offsets, cell, amount = 1) {
  const through = readsOf(outer, offsets, cell, amount), found = [], grid = new Map(), kept = new Map();
  const cellReads = (row, column) => {
    const key = row * inner.size[1] + column;
    if (!kept.has(key)) kept.set(key, readsOf(inner, offsets, [row, column], amount));
    return kept.get(key);
  };
  const taps = inner.kernel[0] * inner.kernel[1];
  let lost = 0;
  for (let path = 0; path < through.zero.length; path++) {
    const [y, x] = [through.samples[2 * path], through.samples[2 * path + 1]];
    if (through.zero[path]) lost += taps;
    else {
      const [row, column] = [y, x].map((v, axis) => Math.min(Math.max(v, 0), inner.size[axis] - 1));
      const [top, left] = [Math.floor(row), Math.floor(column)];
      const [bottom, right] = [Math.min(top + 1, inner.size[0] - 1), Math.min(left + 1, inner.size[1] - 1)];
      const [fy, fx] = [row - top, column - left];
      const corners = [
        [cellReads(top, left), (1 - fy) * (1 - fx)],
        [cellReads(top, right), (1 - fy) * fx],
        [cellReads(bottom, left), fy * (1 - fx)],
        [cellReads(bottom, right), fy * fx],
      ];
      for (let i = 0; i < 2 * taps; i++) {
        found.push(corners.reduce((sum, [reads, share]) => sum + reads.samples[i] * share, 0));
      }
    }
    const [ry, rx] = [through.regular[2 * path], through.regular[2 * path + 1]];
    if (!readsZero(outer, ry, rx)) {
      const { regular } = cellReads(ry, rx);
      for (let i = 0; i < 2 * taps; i += 2) grid.set(`${regular[i]} ${regular[i + 1]}`, [regular[i], regular[i + 1]]);
    }
  }
  // A path whose first stage has no number for an offset is lost as well.
  const samples = [];
  for (let i = 0; i < found.length; i += 2) {
    if (Number.isFinite(found[i]) && Number.isFinite(found[i + 1])) samples.push(found[i], found[i + 1]);
    else lost += 1;
  }
  const zero = new Uint8Array(samples.length / 2);
  for (let i = 0; i < zero.length; i++) zero[i] = readsZero(inner, samples[2 * i], samples[2 * i + 1]);
  return { regular: Float64Array.from([...grid.values()].flat()), samples: Float64Array.from(samples), zero, lost };
}
