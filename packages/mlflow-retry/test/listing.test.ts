import { describe, expect, it } from 'vitest';
import { type Listable, type ListedEntry, listFiles } from '../src/listing.js';
import { safeChild, safeName } from '../src/safe-path.js';

const same = (path: string): string => path;

/** A server's folders, and which of them it was asked for. */
function place(
  folders: Record<string, readonly ListedEntry[]> | ((folder: string) => readonly ListedEntry[]),
  nameOf: Listable['nameOf'] = safeName,
): Listable & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    nameOf,
    list: async (folder) => {
      asked.push(folder);
      return typeof folders === 'function' ? folders(folder) : (folders[folder] ?? []);
    },
  };
}

describe('a listing', () => {
  it('finds all files below a folder, with their sizes', async () => {
    const server = place({
      '': [
        { path: 'b', file_size: 2 },
        { path: 'data', is_dir: true },
        { path: 'a', is_dir: false, file_size: '9007199254740991' },
      ],
      data: [{ path: 'w', file_size: 1 }, { path: 'empty' }, { path: 'none', is_dir: true }],
    });
    expect(await listFiles(server, '', same)).toEqual([
      { path: 'a', size: 9007199254740991 },
      { path: 'b', size: 2 },
      { path: 'data/empty', size: undefined },
      { path: 'data/w', size: 1 },
    ]);
  });

  it('lists below a sub-path, under paths from the root', async () => {
    const server = place({ 'm/data': [{ path: 'm/data/w', file_size: 1 }] }, safeChild);
    expect(await listFiles(server, 'm/data', same)).toEqual([{ path: 'm/data/w', size: 1 }]);
  });

  it('finds a single file in its folder, where it lists as nothing', async () => {
    const server = place({
      m: [
        { path: 'w', file_size: 3 },
        { path: 'x', is_dir: true },
      ],
    });
    expect(await listFiles(server, 'm/w', same)).toEqual([{ path: 'm/w', size: 3 }]);
    expect(server.asked).toEqual(['m/w', 'm']);
    expect(await listFiles(server, 'm/x', same)).toEqual([]);
    expect(await listFiles(server, 'm/y', same)).toEqual([]);
    expect(await listFiles(place({ '': [{ path: 'w' }] }), 'w', same)).toEqual([
      { path: 'w', size: undefined },
    ]);
  });

  it('of nothing is empty', async () => {
    expect(await listFiles(place({}), '', same)).toEqual([]);
  });

  it('ends at the depth of 20, whatever it is shown, and after few requests', async () => {
    const loop = place(() => [
      { path: 'self', is_dir: true },
      { path: 'other', is_dir: true },
    ]);
    await expect(listFiles(loop, '', same)).rejects.toThrow('more than 20 folders deep');
    expect(loop.asked.length).toBeLessThan(100);
    const deep = place((folder) =>
      folder.split('/').length < 20 || folder === ''
        ? [{ path: 'd', is_dir: true }]
        : [{ path: 'w', file_size: 1 }],
    );
    expect(await listFiles(deep, '', same)).toHaveLength(1);
  });

  it('ends with more entries than can be believed', async () => {
    const many = Array.from({ length: 60_000 }, (_, n) => ({ path: `f${n}`, file_size: 1 }));
    const server = place({ '': [...many, { path: 'd', is_dir: true }], d: many });
    await expect(listFiles(server, '', same)).rejects.toThrow('more than 100000 entries');
  });

  it.each([-1, 1.5, Number.NaN, 'x', '-1', '', {}, true, 2 ** 60])(
    'refuses a size of %j',
    async (file_size) => {
      await expect(listFiles(place({ '': [{ path: 'a', file_size }] }), '', same)).rejects.toThrow(
        'whole number',
      );
    },
  );

  it('refuses an unsafe name wherever it stands', async () => {
    const server = place({ '': [{ path: 'd', is_dir: true }], d: [{ path: '..' }] });
    await expect(listFiles(server, '', same)).rejects.toThrow('leads out of its folder');
    await expect(
      listFiles(place({ '': [{ path: '../d', is_dir: true }] }), '', same),
    ).rejects.toThrow("holds a '/'");
    await expect(
      listFiles(place({ '': [{ path: 'a' }, { path: 'a' }] }), '', same),
    ).rejects.toThrow('appears twice');
    await expect(
      listFiles(
        place({ '': [{ path: 'a' }, { path: 'a', is_dir: true }], a: [{ path: 'b' }] }),
        '',
        same,
      ),
    ).rejects.toThrow('appears twice');
    await expect(
      listFiles(place({ m: [{ path: 'w' }, { path: 'w' }] }), 'm/w', same),
    ).rejects.toThrow('appears twice');
  });
});
