// How the map is drawn. A frame is [left, top, width of the whole map], in pixels; places are shares of that.

export const COLORS = [
  "#3b78c4", "#d1603d", "#4f9a58", "#8c5fb0", "#c29b2c", "#2f9c9c",
  "#b8487f", "#7a6650", "#5d7f1e", "#6b75a8", "#a83232", "#4d8f7a",
];
const [PLAIN, FAINT] = ["#5b7f9c", "#8d949c"];
const [TILE_PX, TILES] = [56, 36];

// A color as a pixel of an ImageData.
function packed(color, opacity = 255) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return ((opacity << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

// Squares written straight into the picture: 100,000 of them take a few ms. Chosen items lie above the others.
export function drawPoints(context, { x, y }, frame, { density, column, isChosen, zoom }) {
  const { width, height } = context.canvas;
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const [from, above, size] = frame.map((length) => length * density);
  const [colors, plain, faint] = [COLORS.map((color) => packed(color)), packed(PLAIN), packed(FAINT, 100)];
  const side = Math.round(Math.min(8, 1.6 + Math.log2(zoom) * 0.6 + 30 / Math.sqrt(x.length)) * density);
  for (const isAbove of [false, true]) {
    for (let number = 0; number < x.length; number++) {
      const left = Math.round(from + x[number] * size - side / 2);
      const top = Math.round(above + y[number] * size - side / 2);
      if (left < 0 || top < 0 || left + side > width || top + side > height) continue;
      if (isChosen(number) !== isAbove) continue;
      const color = isAbove ? (column ? colors[column.codes[number]] ?? faint : plain) : faint;
      for (let row = top; row < top + side; row++) pixels.fill(color, row * width + left, row * width + left + side);
    }
  }
  context.putImageData(image, 0, 0);
}

// Pictures ([number, bitmap]), rings around matches, and a cross where the Enter key would pick.
export function drawMarks(context, { x, y }, [from, above, size], pictures, found) {
  const { canvas } = context;
  const style = getComputedStyle(canvas);
  context.strokeStyle = style.borderTopColor;
  for (const [number, bitmap] of pictures) {
    if (!bitmap) continue;
    const scale = TILE_PX / Math.max(bitmap.width, bitmap.height);
    const [wide, high] = [bitmap.width * scale, bitmap.height * scale];
    const [left, top] = [from + x[number] * size - wide / 2, above + y[number] * size - high / 2];
    context.drawImage(bitmap, left, top, wide, high);
    context.strokeRect(left, top, wide, high);
  }
  context.strokeStyle = style.caretColor;
  context.lineWidth = 3;
  for (const number of found) {
    context.beginPath();
    context.arc(from + x[number] * size, above + y[number] * size, 8, 0, 7);
    context.stroke();
  }
  if (document.activeElement !== canvas) return;
  const [middle, center] = [canvas.clientWidth / 2, canvas.clientHeight / 2];
  context.fillStyle = style.color;
  context.fillRect(middle - 9, center - 1, 18, 2);
  context.fillRect(middle - 1, center - 9, 2, 18);
}

// How many items are in view, and some that have room for a picture: one for each square of a grid, nearest to the
// middle first.
export function sparse({ x, y }, [from, above, size], width, height, isChosen) {
  const squares = new Map();
  let count = 0;
  for (let number = 0; number < x.length; number++) {
    const [left, top] = [from + x[number] * size, above + y[number] * size];
    if (left < 0 || top < 0 || left > width || top > height || !isChosen(number)) continue;
    count += 1;
    const square = Math.floor(left / TILE_PX / 1.4) * 1000 + Math.floor(top / TILE_PX / 1.4);
    if (!squares.has(square)) squares.set(square, [number, Math.hypot(left - width / 2, top - height / 2)]);
  }
  const nearest = [...squares.values()].sort((one, other) => one[1] - other[1]).slice(0, TILES);
  return [count, nearest.map(([number]) => number)];
}
