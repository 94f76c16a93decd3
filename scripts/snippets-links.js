// Links of markdown files to files of the repository, and to headings in them.

import fs from 'node:fs';
import path from 'node:path';

/** A sentence for each link that leads nowhere. */
export function brokenLinks(root, files) {
  const problems = [];
  for (const file of files) {
    for (const [at, line] of prose(path.join(root, file)).entries()) {
      for (const [, target] of line.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        const [to, anchor] = target.split('#');
        const full = to === '' ? path.join(root, file) : path.join(root, path.dirname(file), to);
        const where = `${file}:${at + 1}`;
        if (!fs.existsSync(full)) problems.push(`${where}: ${to} does not exist`);
        else if (anchor !== undefined && !anchorsOf(full).includes(anchor)) {
          problems.push(`${where}: there is no heading #${anchor} in ${to || file}`);
        }
      }
    }
  }
  return problems;
}

/** Lines, without what stands in fences. */
function prose(file) {
  let fenced = false;
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => {
      if (/^\s*```/.test(line)) fenced = !fenced;
      return fenced ? '' : line;
    });
}

/** As GitHub makes them of headings. */
function anchorsOf(file) {
  return prose(file)
    .filter((line) => /^#+ /.test(line))
    .map((line) =>
      line
        .replace(/^#+ /, '')
        .trim()
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    );
}
