/** How bytes that are there already may be kept; see `DownloadOptions.resume`. */
export type Resume = 'validator' | 'size' | 'auto' | false;

/** What is known of the bytes that are there. */
export interface Held {
  readonly bytes: number;
  /** The strong ETag under which they came. */
  readonly etag: string | undefined;
  /** The URL that gave it. */
  readonly etagOf: string | undefined;
  /** They were found, not received: the last of them are looked at again. */
  readonly found: boolean;
}

/** What is asked for. */
export interface Plan {
  /** The first byte that is asked for; 0 asks for the whole. */
  readonly from: number;
  /** How many bytes from there on are there already, and are compared. */
  readonly overlap: number;
  readonly ifRange?: string;
}

/** What an answer means for the bytes that are there. */
export type Answer =
  /** It goes on where they end, after the overlap. */
  | { readonly kind: 'rest'; readonly total: number | undefined }
  /** It is the whole file, from 0. */
  | { readonly kind: 'whole'; readonly total: number | undefined }
  /** They are all. */
  | { readonly kind: 'complete' }
  /** They are worth nothing: ask for the whole. */
  | { readonly kind: 'restart' };

/** So many bytes are fetched again and compared, where nothing vouches for those before. */
export const OVERLAP_BYTES = 65_536;

const WHOLE: Plan = { from: 0, overlap: 0 };

/** What to ask for, given what is there. Never an `If-Match`: servers ignore it, or send the whole file with a 412. */
export function plan(
  held: Held,
  resume: Resume,
  url: string,
  expectedSize: number | undefined,
): Plan {
  const { bytes, etag } = held;
  if (bytes === 0 || resume === false) return WHOLE;
  if (resume !== 'size' && etag !== undefined && held.etagOf === url) {
    const all = bytes === expectedSize ? 1 : 0;
    const overlap = Math.min(bytes, held.found ? OVERLAP_BYTES : all);
    return { from: bytes - overlap, overlap, ifRange: etag };
  }
  if (resume === 'validator' || expectedSize === undefined) return WHOLE;
  const overlap = Math.min(bytes, OVERLAP_BYTES);
  return { from: bytes - overlap, overlap };
}

/** Reads an answer's headers; decides by them alone, never by what the server is called. */
export function judge(
  asked: Plan,
  held: Held,
  status: number,
  headers: AnswerHeaders,
  expectedSize: number | undefined,
): Answer {
  const ranged = asked.from > 0 || asked.overlap > 0;
  if (status === 416) {
    const total = /^bytes \*\/(\d+)$/.exec(headers.contentRange ?? '')?.[1];
    const all = Number(total) === held.bytes && (expectedSize ?? held.bytes) === held.bytes;
    return { kind: ranged && all && asked.ifRange !== undefined ? 'complete' : 'restart' };
  }
  if (status !== 206) return { kind: 'whole', total: headers.length };
  const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers.contentRange ?? '');
  if (range === null || Number(range[1]) !== asked.from) return { kind: 'restart' };
  const total = range[3] === '*' ? undefined : Number(range[3]);
  if (asked.ifRange === undefined && total !== expectedSize) return { kind: 'restart' };
  if (
    asked.ifRange !== undefined &&
    (strongEtag(headers.etag) ?? asked.ifRange) !== asked.ifRange
  ) {
    return { kind: 'restart' };
  }
  return { kind: 'rest', total };
}

export interface AnswerHeaders {
  readonly contentRange: string | undefined;
  readonly etag: string | undefined;
  /** Content-Length as a number. */
  readonly length: number | undefined;
}

/** An ETag that stands for the very bytes; RFC 9110, 13.1.5 wants one for If-Range. */
export function strongEtag(etag: string | undefined): string | undefined {
  return etag !== undefined && /^"[^"]*"$/.test(etag) ? etag : undefined;
}

// Of S3 and CloudFront, of Google and of Azure: what changes each time that a URL is signed.
const SIGNING =
  /^(x-amz-.*|x-goog-.*|awsaccesskeyid|googleaccessid|expires|signature|policy|key-pair-id|s[a-z]{1,4}|token)$/i;
const AZURE: ReadonlySet<string> = new Set(
  'se sig sip skoid sktid skt ske sks skv sp spr sr st sv sdd'.split(' '),
);

/** A URL without what only signs it, and without credentials: the same file has the same. */
export function urlIdentity(url: URL): string {
  const clean = new URL(url);
  clean.username = '';
  clean.password = '';
  clean.hash = '';
  for (const name of [...clean.searchParams.keys()]) {
    const signs = /^s[a-z]{1,4}$/i.test(name) ? AZURE.has(name.toLowerCase()) : SIGNING.test(name);
    if (signs) clean.searchParams.delete(name);
  }
  return clean.href;
}
