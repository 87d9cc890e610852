// Maps of a whole stage or block, one value a cell, and their colour scales: the formulas of dlka/render/offsets.py,
// gates.py and density.py once more. A browser test compares the two.

const SMALLEST_SCALE = 0.25; // cells; an automatic scale never goes below, so that noise stays pale
const ROUND = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];

// What the offsets of a stage are in every cell: { dy, dx } of the mean over taps, { length } the mean of their lengths.
// tap: from 1 on, of that one alone; 0: all.
function fieldOf(stage, offsets, tap) {
  const cells = stage.size[0] * stage.size[1], taps = stage.kernel[0] * stage.kernel[1];
  const [first, count] = tap ? [tap - 1, 1] : [0, taps];
  const field = { dy: new Float32Array(cells), dx: new Float32Array(cells), length: new Float32Array(cells) };
  for (let cell = 0; cell < cells; cell++) {
    let dy = 0, dx = 0, length = 0;
    for (let i = stage.start + 2 * (cell * taps + first), end = i + 2 * count; i < end; i += 2) {
      const y = offsets[i] === NOT_A_NUMBER ? NaN : offsets[i], x = offsets[i + 1] === NOT_A_NUMBER ? NaN : offsets[i + 1];
      dy += y;
      dx += x;
      length += Math.sqrt(y * y + x * x);
    }
    field.dy[cell] = (dy / count) * stage.unit;
    field.dx[cell] = (dx / count) * stage.unit;
    field.length[cell] = (length / count) * stage.unit;
  }
  return field;
}

// A gate's values, [H, W, channels] of Int8 levels, as one number a cell.
function gateMap(gate, levels, reduction, channel) {
  const map = new Float32Array(gate.size[0] * gate.size[1]);
  for (let cell = 0; cell < map.length; cell++) {
    const from = gate.start + cell * gate.channels;
    if (reduction === "channel") map[cell] = levels[from + channel] * gate.unit;
    else {
      let sum = 0, most = 0;
      for (let i = from; i < from + gate.channels; i++) {
        sum += reduction === "mean" ? levels[i] : Math.abs(levels[i]);
        most = Math.max(most, Math.abs(levels[i]));
      }
      map[cell] = (reduction === "max abs" ? most : sum / gate.channels) * gate.unit;
    }
  }
  return map;
}

// Reads per cell of the map that a stage samples, every read shared among the cells that it mixes. amount 0: of the grid.
// times: how often the taps of each cell are read, once by default.
function countReads(stage, offsets, amount, times) {
  const [height, width] = stage.sampled, counts = new Float64Array(height * width);
  const add = (y, x, share) => {
    if (y >= 0 && y < height && x >= 0 && x < width) counts[y * width + x] += share;
  };
  for (let row = 0; row < stage.size[0]; row++)
    for (let column = 0; column < stage.size[1]; column++) {
      const { samples } = readsOf(stage, offsets, [row, column], amount);
      const often = times ? times[row * stage.size[1] + column] : 1;
      for (let i = 0; i < samples.length; i += 2) {
        const y = samples[i], x = samples[i + 1];
        if (readsZero(stage, y, x)) continue;
        const top = Math.floor(y), left = Math.floor(x), fy = y - top, fx = x - left;
        add(top, left, (1 - fy) * (1 - fx) * often);
        add(top, left + 1, (1 - fy) * fx * often);
        add(top + 1, left, fy * (1 - fx) * often);
        add(top + 1, left + 1, fy * fx * often);
      }
    }
  return counts;
}

// log2 of samples over the grid's reads, one read added to both. inner: the first stage of the block, for paths.
function densityOf({ stage, inner }, offsets) {
  const of = (amount) => {
    const counts = countReads(stage, offsets, amount);
    return inner ? countReads(inner, offsets, amount, counts) : counts;
  };
  const learned = of(1), grid = of(0);
  return Float32Array.from(learned, (reads, i) => Math.log2((reads + 1) / (grid[i] + 1)));
}

// As numpy.percentile, of the finite values of several maps together.
function percentile(maps, share) {
  const values = Float32Array.from(maps.flatMap((map) => [...map].filter(Number.isFinite))).sort();
  if (!values.length) return 0;
  const place = (share / 100) * (values.length - 1), below = Math.floor(place);
  return values[below] + (values[Math.min(below + 1, values.length - 1)] - values[below]) * (place - below);
}

// The next number up that reads well on a legend.
function friendly(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return ROUND.find((step) => step * power >= value * (1 - 1e-9)) * power;
}

// One scale in cells for several maps: their 99th percentile, rounded up.
const fieldScale = (maps) => friendly(Math.max(percentile(maps, 99), SMALLEST_SCALE));

// [low, high] of several gate maps: all but the least and the largest hundredth.
function gateScale(maps) {
  const low = percentile(maps, 1), high = percentile(maps, 99);
  return high - low > 1e-6 ? [low, high] : [low - 0.5, high + 0.5];
}

// Colours are [r, g, b]; a table is 256 of them as one string of hexadecimal digits.
const entry = (table, i) => [0, 2, 4].map((at) => parseInt(table.slice(6 * i + at, 6 * i + at + 2), 16));
const readTable = (table) => Array.from({ length: 256 }, (_, i) => entry(table, i));

const sequential = (table, share) => table[Math.min(Math.floor(Math.min(Math.max(share || 0, 0), 1) * 256), 255)];

// value from -1 to 1; zero is exactly the neutral colour, which lies between the two in the middle.
function diverging(table, value) {
  const place = (Math.min(Math.max(value || 0, -1), 1) + 1) * 127.5, below = Math.floor(place), above = Math.min(below + 1, 255);
  return table[below].map((colour, i) => Math.round(colour + (table[above][i] - colour) * (place - below)));
}

function gateColour(tables, value, [low, high]) {
  if (low < 0 && high > 0) return diverging(tables.gate, value / Math.max(-low, high));
  return sequential(tables.one_sign, ((Number.isFinite(value) ? value : low) - low) / (high - low));
}

// Hue by direction, paler towards zero. stops: the wheel's colours, right first, then on clockwise.
function wheelColour({ stops, zero }, dy, dx, scale) {
  const y = dy || 0, x = dx || 0, turn = (((Math.atan2(y, x) / (2 * Math.PI)) % 1) + 1) % 1 * stops.length;
  const below = Math.min(Math.floor(turn), stops.length - 1), length = Math.min(Math.hypot(y, x) / scale, 1);
  const [from, to] = [stops[below], stops[(below + 1) % stops.length]];
  return from.map((colour, i) => Math.round((colour + (to[i] - colour) * (turn - below)) * length + zero[i] * (1 - length)));
}
