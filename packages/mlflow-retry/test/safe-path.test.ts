import { isAbsolute, join as joinPath, normalize, sep, win32 } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isUnsafeListingError } from '../src/fetch-model-errors.js';
import { checkDistinct, isSafePath, join, safeChild, safeName } from '../src/safe-path.js';

const same = (path: string): string => path;
const caseless = (path: string): string => path.normalize('NFC').toLowerCase();

const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '..',
        '.',
        '/',
        '\\',
        '\0',
        'C:',
        'c:\\',
        '//',
        '%2e%2e',
        '..%2f',
        '~',
        'a',
        ' ',
        'é',
        '',
      ),
      fc.string({ maxLength: 4 }),
    ),
    { maxLength: 5 },
  )
  .map((parts) => parts.join(''));

describe('listed names', () => {
  it.each([
    '',
    '.',
    '..',
    '/',
    '/etc/passwd',
    '//host/x',
    'a/b',
    '../a',
    'a/..',
    '..\\a',
    '\\\\host\\x',
    'a\\b',
    'a\0',
    'C:',
    'c:x',
    'Z:\\x',
  ])('%j is refused', (name) => {
    expect(() => safeName('f', name)).toThrow('Nothing was downloaded');
    expect(isSafePath(`a/${name}`) && !name.includes('/')).toBe(false);
  });

  it.each([
    'a',
    'a b',
    '100%.txt',
    '%2e%2e',
    'q?m.txt',
    'a+b',
    'a;b',
    '...',
    '..a',
    'ab:c',
    'Ünïcödé',
    '"',
    '~',
    '-rf',
  ])('%j is a name', (name) => {
    expect(safeName('f', name)).toBe(name);
  });

  it.each([undefined, null, 1, {}, ['a']])('%j is no name', (name) => {
    expect(() => safeName('', name)).toThrow('is no text');
  });

  it('cannot lead out of the folder, on any system', () => {
    fc.assert(
      fc.property(hostile, hostile, (folder, name) => {
        let safe: string;
        try {
          safe = join(safeName('', folder), safeName('', name));
        } catch (error) {
          expect(isUnsafeListingError(error)).toBe(true);
          return;
        }
        expect(isSafePath(safe)).toBe(true);
        const root = `${sep}cache${sep}files${sep}`;
        expect(normalize(joinPath(root, safe)).startsWith(root)).toBe(true);
        expect(isAbsolute(safe)).toBe(false);
        const windows = 'D:\\cache\\files\\';
        expect(win32.normalize(win32.join(windows, safe)).startsWith(windows)).toBe(true);
        expect(win32.isAbsolute(safe)).toBe(false);
        expect(win32.resolve(windows, safe).startsWith(windows)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('listed with their path must lie in the folder that was asked for', () => {
    expect(safeChild('', 'a')).toBe('a');
    expect(safeChild('model/data', 'model/data/a')).toBe('a');
    for (const listed of [
      'a',
      'model',
      'model/data',
      'model/data/',
      'model/database',
      'model/data/a/b',
      'model/data/..',
      '/model/data/a',
      'model/data//a',
    ]) {
      expect(() => safeChild('model/data', listed)).toThrow('Nothing was downloaded');
    }
    fc.assert(
      fc.property(hostile, (listed) => {
        try {
          expect(safeChild('x', listed)).toBe(listed.slice(2));
          expect(isSafePath(listed)).toBe(true);
        } catch (error) {
          expect(isUnsafeListingError(error)).toBe(true);
        }
      }),
    );
  });
});

describe('a listing as a whole', () => {
  it('is refused if a path appears twice, or as file and folder', () => {
    expect(() => checkDistinct(['a', 'b'], ['c'], same)).not.toThrow();
    expect(() => checkDistinct(['a', 'a'], [], same)).toThrow('appears twice');
    expect(() => checkDistinct(['a'], ['a'], same)).toThrow('appears twice');
    expect(() => checkDistinct([], ['a', 'a'], same)).toThrow('appears twice');
  });

  it('is refused for names that this file system takes for one', () => {
    expect(() => checkDistinct(['README', 'readme'], [], same)).not.toThrow();
    expect(() => checkDistinct(['README', 'readme'], [], caseless)).toThrow('file system');
    expect(() => checkDistinct(['a/x'], ['A', 'a'], caseless)).toThrow('file system');
    expect(() => checkDistinct(['\u00e9', 'e\u0301'], [], caseless)).toThrow('file system');
  });

  it('shows a listed name bounded, and without control characters', () => {
    const name = `\u001b[2J${'x'.repeat(5_000)}/`;
    expect(() => safeName('', name)).toThrow(/^\P{Cc}{0,700}$/su);
  });
});
