// A file that somebody chose to a canvas, or one sentence that says why not.
import { count, megabytes } from "./about.js";

const MOST_PIXELS = 50e6; // of a picture: 200 MB once it is decoded
const MOST_BYTES = 100e6;
const MOST_ASPECT = 100; // the short side is scaled to the encoder's: a hair's breadth would become gigabytes
const LARGEST = 2048; // pixels, the long side of what goes to the image processor

/** The picture in a canvas, and a remark on it; throws an Error that names what does not fit. */
export async function decode(name, blob) {
  if (blob.size > MOST_BYTES) throw new Error(`${name} has ${megabytes(blob.size)} MB: at most ${megabytes(MOST_BYTES)} are read.`);
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  try {
    await new Promise((loaded, failed) => Object.assign(image, { onload: loaded, onerror: failed }));
    const { naturalWidth: width, naturalHeight: height } = image; // of the header: nothing is decoded yet
    const [short, long] = [Math.min(width, height), Math.max(width, height)];
    if (width * height > MOST_PIXELS) throw new Error(`${name} has ${count(width)} x ${count(height)} pixels: at most ${MOST_PIXELS / 1e6} million are read.`);
    if (long > MOST_ASPECT * short) throw new Error(`${name} has ${count(width)} x ${count(height)} pixels: one side may be at most ${MOST_ASPECT} times the other.`);
    const canvas = document.createElement("canvas");
    const scale = Math.min(1, LARGEST / long);
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.imageSmoothingQuality = "high";
    pen.fillStyle = "white"; // under what is transparent
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    return { canvas, remark: (await isAnimated(blob)) ? `${name} is animated: its first frame is used.` : "" };
  } catch (error) {
    throw error instanceof Error ? error : new Error(`${name} is no picture that this browser can read.`);
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

/** Whether a GIF, PNG or WebP has more than one frame. */
async function isAnimated(blob) {
  const bytes = new TextDecoder("latin1").decode(await blob.arrayBuffer());
  if (bytes.startsWith("GIF8")) return (bytes.match(/\x21\xf9\x04[^]{4}\x00[\x21\x2c]/g) ?? []).length > 1;
  if (bytes.slice(1, 4) === "PNG") return bytes.slice(0, bytes.indexOf("IDAT")).includes("acTL");
  return bytes.startsWith("RIFF") && bytes.slice(8, 16) === "WEBPVP8X" && (bytes.charCodeAt(20) & 2) > 0;
}
