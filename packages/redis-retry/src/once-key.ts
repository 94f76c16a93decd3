import { text } from './args.js';
import { CommandClass } from './driver.js';

const NAMESPACE = 'outlast:once:';

/**
 * The key of a stored reply: `<prefix>outlast:once:<id>`, and in a Cluster with a hash tag that puts it
 * into the slot of the command's first key.
 */
export function onceKey(
  prefix: string,
  id: string,
  firstKey: string | Buffer,
  cluster: boolean,
): string {
  if (!cluster) return `${prefix}${NAMESPACE}${id}`;
  // The id stands behind the tag: whatever braces it has come too late to count.
  return `${NAMESPACE}{${tagFor(firstKey)}}:${prefix}${id}`;
}

/** A hash tag with the slot of the key: what is hashed of it, unless that cannot stand in braces. */
function tagFor(key: string | Buffer): string {
  const hashed = hashedPart(text(key));
  const plain = hashed !== '' && !/[{}]/.test(hashed) && isAscii(hashed);
  return plain ? hashed : searchTag(slotOf(key));
}

/** What Redis hashes of a key: what is in its first braces, or all of it. Source: the Cluster specification. */
function hashedPart(key: string): string {
  const open = key.indexOf('{');
  const close = open < 0 ? -1 : key.indexOf('}', open + 1);
  return close > open + 1 ? key.slice(open + 1, close) : key;
}

function isAscii(value: string): boolean {
  return Buffer.byteLength(value) === value.length;
}

function slotOf(key: string | Buffer): number {
  return new CommandClass('get', [key]).getSlot() ?? 0;
}

const found = new Map<number, string>();

/** Any tag of a slot: some 16 000 tries, remembered. */
function searchTag(slot: number): string {
  let tag = found.get(slot);
  for (let n = 0; tag === undefined; n++) {
    if (slotOf(String(n)) === slot) tag = String(n);
  }
  found.set(slot, tag);
  return tag;
}
