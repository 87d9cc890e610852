// Step 1: taps and dilation on a grid of cells.

const SIDE = 25; // 7x7 with dilation 4 reaches all of it
const MIDDLE = (SIDE - 1) / 2;
const cells = addCells(part("taps-grid"), SIDE, SIDE);

function drawTaps() {
  const k = Number(part("taps-kernel").value), d = Number(part("taps-dilation").value);
  const half = (k - 1) / 2, reach = (k - 1) * d + 1;
  cells.forEach((cell, i) => {
    const away = [Math.floor(i / SIDE) - MIDDLE, (i % SIDE) - MIDDLE];
    const tap = away.every((v) => v % d === 0 && Math.abs(v) <= half * d);
    cell.classList.toggle("tap", tap);
    cell.classList.toggle("reached", away.every((v) => Math.abs(v) <= half * d) && !tap);
    cell.classList.toggle("middle", away.every((v) => v === 0));
  });
  part("taps-k").textContent = `${k}×${k}`;
  part("taps-d").textContent = d;
  const [taps, area] = [k * k, reach * reach];
  part("taps-told").textContent = say("told", { k, d, taps, reach, area, skipped: area - taps });
}

for (const name of ["taps-kernel", "taps-dilation"]) part(name).addEventListener("input", drawTaps);
drawTaps();
