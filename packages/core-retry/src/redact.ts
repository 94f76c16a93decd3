const RULES: readonly (readonly [RegExp, string])[] = [
  // ?sig=… &X-Amz-Signature=… and their like: a presigned query is a secret.
  [
    /([?&][\w.-]{0,64}(?:signature|sig|token|password|passwd|pwd|secret|key|credential)[\w.-]{0,64}=)[^\s&#'"]*/gi,
    '$1***',
  ],
  [
    /\b(authorization|proxy-authorization|cookie|x-api-key)(["']?\s*[:=]\s*["']?)[^\r\n"']+/gi,
    '$1$2***',
  ],
  [/\b(bearer|basic)\s+[a-z0-9._~+/=-]{6,}/gi, '$1 ***'],
  [/\b(password|passwd|pwd|secret|token)(["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,;&]+)/gi, '$1$2***'],
  [/\b(password)(\s+)'(?:[^']|'')*'/gi, "$1$2'***'"],
];

const SCHEME_AND_USER = /(?<![a-z0-9+.-])[a-z0-9+.-]+:\/\/[^:/?#]*:/i;

/**
 * Takes credentials out of a text that we are about to print: URLs, headers, queries, SQL. In time that
 * grows with the text and no faster, for the text may be another's.
 */
export function redact(text: string): string {
  let clean = text.includes('://') ? text.replace(/\S+/g, withoutPassword) : text;
  for (const [pattern, replacement] of RULES) clean = clean.replace(pattern, replacement);
  return clean;
}

/** user:password@ of a URL; the password may itself hold ':' or '/', hence up to the last '@'. */
function withoutPassword(word: string): string {
  const end = word.lastIndexOf('@');
  if (end < 0) return word;
  const start = SCHEME_AND_USER.exec(word.slice(0, end));
  return start === null ? word : `${word.slice(0, start.index)}${start[0]}***${word.slice(end)}`;
}
