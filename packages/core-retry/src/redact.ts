const RULES: readonly (readonly [RegExp, string])[] = [
  // user:password@ of a URL; the password may itself hold ':' or '/', hence up to the last '@'.
  [/([a-z][a-z0-9+.-]*:\/\/[^\s:/?#@]*):[^\s]*@/gi, '$1:***@'],
  // ?sig=… &X-Amz-Signature=… and their like: a presigned query is a secret.
  [
    /([?&](?:[\w.-]*(?:signature|sig|token|password|passwd|pwd|secret|key|credential)[\w.-]*)=)[^\s&#'"]*/gi,
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

/** Takes credentials out of a text that we are about to print: URLs, headers, queries, SQL. */
export function redact(text: string): string {
  let clean = text;
  for (const [pattern, replacement] of RULES) clean = clean.replace(pattern, replacement);
  return clean;
}
