// Bilinear reading: cells outside the map are zero.

// map: { values (row by row), height, width } -> { read, corners: [{ row, column, share, value, inside }] }
function readBilinear(map, y, x) {
  const top = Math.floor(y), left = Math.floor(x), fy = y - top, fx = x - left;
  const corners = [
    [top, left, (1 - fy) * (1 - fx)],
    [top, left + 1, (1 - fy) * fx],
    [top + 1, left, fy * (1 - fx)],
    [top + 1, left + 1, fy * fx],
  ].map(([row, column, share]) => {
    const inside = row >= 0 && row < map.height && column >= 0 && column < map.width;
    return { row, column, share, value: inside ? map.values[row * map.width + column] : 0, inside };
  });
  return { read: corners.reduce((sum, { share, value }) => sum + share * value, 0), corners };
}
