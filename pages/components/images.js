// What the components that show images share: an element with a text, and pixels on a canvas.

function add(parent, kind, className, text = "") {
  const element = document.createElement(kind);
  element.className = className;
  element.textContent = text;
  parent.append(element);
  return element;
}

function draw(canvas, pixels, [depth, height, width]) {
  const bytes = Uint8Array.from(atob(pixels), (letter) => letter.charCodeAt(0));
  Object.assign(canvas, { width, height });
  const picture = new ImageData(width, height);
  for (let i = 0; i < height * width; i += 1) {
    for (let d = 0; d < 3; d += 1) picture.data[4 * i + d] = bytes[Math.min(d, depth - 1) * height * width + i];
    picture.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}
