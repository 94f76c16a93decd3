import { crc32 } from 'node:zlib';

/** What a segment file begins with. */
export const MAGIC: Buffer = Buffer.from('OUTSPL1\n');
/** Length and CRC-32 of the payload that follows. */
export const FRAME_HEADER: number = 8;
/** No record is longer: a length above it was never written by us. */
const MOST_FRAME = 512 * 1024 * 1024;

export function frameOf(payload: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER + payload.length);
  frame.writeUInt32BE(payload.length, 0);
  frame.writeUInt32BE(crc32(payload), 4);
  payload.copy(frame, FRAME_HEADER);
  return frame;
}

/** What was found in the bytes of a segment, from `start` on. */
interface Scanned {
  /** Where each record begins; -1 for one whose bytes have changed since they were written. */
  readonly places: number[];
  /** Up to where the bytes are ours; what follows was not written to its end. */
  readonly end: number;
}

/** Reads frames until one is not whole. One whose CRC is wrong is passed over, if a sound one follows. */
export function scan(bytes: Buffer, start: number = MAGIC.length): Scanned {
  const places: number[] = [];
  let at = start;
  for (let size = sizeAt(bytes, at); size !== undefined; size = sizeAt(bytes, at)) {
    const sound = isSound(bytes, at, size);
    if (!sound) {
      const next = sizeAt(bytes, at + size);
      if (next === undefined || !isSound(bytes, at + size, next)) break;
    }
    places.push(sound ? at : -1);
    at += size;
  }
  return { places, end: at };
}

/** The length of the frame at this place, header included; undefined if it is not whole. */
export function sizeAt(bytes: Buffer, at: number): number | undefined {
  if (at + FRAME_HEADER > bytes.length) return undefined;
  const length = bytes.readUInt32BE(at);
  if (length === 0 || length > MOST_FRAME) return undefined;
  const size = FRAME_HEADER + length;
  return at + size > bytes.length ? undefined : size;
}

export function isSound(bytes: Buffer, at: number, size: number): boolean {
  return crc32(bytes.subarray(at + FRAME_HEADER, at + size)) === bytes.readUInt32BE(at + 4);
}
