import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { analyse, type StatementKind } from '../src/statement.js';

const KINDS: Readonly<Record<StatementKind, readonly string[]>> = {
  read: [
    'select 1',
    'SELECT 1;',
    'select 1 ; ; ',
    '; select 1',
    '  \n\t select\r\n1',
    '-- insert into t\nselect 1',
    'select 1 -- ; drop table t',
    '/* delete */ select /* ; */ 1',
    '/* outer /* ; drop table t */ still a comment */ select 1',
    "select 'a; drop table t'",
    "select 'it''s; fine'",
    "select E'it\\'s; fine'",
    "select e'\\\\'",
    "select 'a\\\\b', 'back\\slash'",
    "select B'101', x'1f', N'n;', U&'d\\0061t;'",
    'select $$; insert into t values (1)$$',
    "select $a$ ; $b$ ' $a$",
    'select $é$ ; $é$',
    'select $1, $2::int',
    'select a$1 from t',
    'select "semi;colon" from "insert"',
    'select "into" from t',
    'select "quo""te; into" from t',
    'select a as into from t',
    'select t.into from t',
    'select into_, forupdate from t',
    'select for_update from t',
    'select delete, update from t',
    'select * from t where a = 1 and b in (select c from d)',
    '(select 1)',
    '((select 1))',
    '(select 1) union all (select 2) order by 1',
    'select 1 union select 2 except select 3',
    'select 1from t',
    'select 1_000, 0x1F, 1.5e-3, .5, 1.',
    'select a[1:2] from t',
    'select x-- comment\n+ 1 from t',
    'select 1/* comment */+ 2',
    'select 1*/**/2',
    'select x::numeric(10,2) from t',
    'select substring(x from 2 for 3) from t',
    "select extract(year from now()), 'x' ~~* 'y'",
    'select * from t for', // refused by the server, harmless
    'values (1), (2)',
    '(values (1))',
    'table t',
    'TABLE only_me;',
    'show search_path',
    'show transaction isolation level',
    'with x as (select 1) select * from x',
    'with recursive x(n) as (select 1 union all select n + 1 from x) select n from x',
    'with x as materialized (select 1), y as not materialized (select 2) select * from x, y',
    'with x as (select 1) values (2)',
    'with x as (select 1) table x',
    'with "delete" as (select 1) select * from "delete"',
    'with values as (select 1) select * from values',
    'with x as (select 1) (select 2) union select 3',
    '(with x as (select 1) select * from x)',
    'with recursive x as (select 1) search depth first by a set o select * from x',
    "with recursive x as (select 1) cycle a set c to 'y' default 'n' using p select * from x",
    "with x as (select 'insert') select * from x",
    'select * from (with x as (select 1) select * from x) y',
    'select * from f() with ordinality as t(a, n)',
    "select timestamp '2020-01-01' at time zone 'utc'",
  ],
  write: [
    'insert into t values (1)',
    'INSERT INTO t (a) SELECT 1;',
    "insert into t values (';')",
    'insert into t values ($1) on conflict (id) do update set v = 1 returning *',
    'update t set v = v + 1',
    'delete from t',
    'merge into t using s on t.id = s.id when matched then delete',
    'with x as (select 1) insert into t select * from x',
    'with x as (select 1) update t set v = 1',
    'with x as (delete from t returning *) select * from x',
    'with x as materialized (update t set v = 1 returning *) select * from x',
    'with x as (select 1), y as (insert into t values (1) returning *) select * from x, y',
    'with x as (delete from t returning *) insert into u select * from x',
    '/* select */ delete from t -- select',
  ],
  begin: [
    'begin',
    'BEGIN;',
    'begin work',
    'begin transaction isolation level serializable, read only',
    'start transaction',
    '/* x */ START TRANSACTION READ WRITE',
  ],
  commit: ['commit', 'COMMIT WORK;', 'commit and chain', 'end', 'end transaction and no chain'],
  rollback: ['rollback', 'ROLLBACK;', 'rollback transaction and chain', 'abort', 'abort work'],
  savepoint: [
    'savepoint a',
    'release a',
    'release savepoint "a;b"',
    'rollback to a',
    'rollback to savepoint a',
    'rollback work to a',
    'rollback transaction to savepoint a',
  ],
  'prepare-transaction': ["prepare transaction 'x'"],
  multiple: [
    'select 1; select 2',
    "select 'a' ; drop table t",
    'begin; insert into t values (1); commit',
    'select 1;;insert into t values (1)',
    "select '\\\\'; drop table t --'",
    "select 'a'';'; drop table t",
    'select $$a$$; drop table t --$$',
    'select $a$ $b$ $a$; drop table t; -- $b$',
    'select 1 /* /* */ */ ; drop table t',
    'select "a"";"; drop table t',
    "select E'\\\\'; drop table t --'",
    "select E'a''\\';'; drop table t",
    'create function f() returns int begin atomic select 1; end',
    'select 1 -- x\r; drop table t',
  ],
  other: [
    '',
    ' ; ',
    '-- nothing',
    'select * into t2 from t',
    'select into t2 from t',
    'select a as into into t2 from t',
    'select t.as into t2 from t',
    'select 1 as as into t2',
    '(select 1) union (select 2 into t)',
    'select * from t for update',
    'select * from t FOR /* x */ UPDATE skip locked',
    'select * from t for share',
    'select * from t for no key update of t',
    'select * from t for key share',
    'select * from (select * from t for update) x',
    'values (1) for update',
    'with x as (select * from t for update) select * from x',
    'with x as (select 1) select * into t from x',
    'with x as (select update from t) select * from x', // harmless, and not told apart
    '(with x as (delete from t returning *) select * from x)',
    'select * from (with x as (delete from t returning *) select * from x) y',
    'with x as (select 1)',
    'copy t from stdin',
    'copy (select 1) to stdout',
    'call p()',
    'do $$ begin end $$',
    'explain select 1',
    'explain analyze select 1',
    'explain (analyze) delete from t',
    'execute x(1)',
    'prepare x as select 1',
    'fetch all from c',
    'declare c cursor for select 1',
    'create table t (a int)',
    'create table t as select 1',
    'drop table t',
    'truncate t',
    'set search_path to x',
    'reset all',
    'listen x',
    'lock table t',
    'vacuum',
    "commit prepared 'x'",
    "rollback prepared 'x'",
    'start_replication',
    '(show search_path)',
    '(delete from t)',
    '(begin)',
    'selectx',
    '"select" 1',
    'select (1',
    'select 1)',
    'select ) 1 (',
    "select 'open",
    'select "open',
    'select $$open$',
    'select $a$ open $A$',
    'select /* open /* */',
    "select E'open\\'",
    "select 'a\\'", // its end depends on standard_conforming_strings
    "select 'a\\''; drop table t --'",
    'select U&"d\\0061ta"',
    'select 1 \0',
    'select \\ 1',
    'select $',
    `select\u00a01`, // a non-breaking space is a letter
    'hello',
  ],
};

describe('the kind of a statement', () => {
  for (const [kind, texts] of Object.entries(KINDS)) {
    it.each(texts)(`${kind}: %s`, (text) => {
      expect(analyse(text).kind).toBe(kind);
    });
  }

  it('a text of more than a megabyte is not told', () => {
    expect(analyse(`select '${'x'.repeat(1024 * 1024)}'`).kind).toBe('other');
    expect(analyse(`select '${'x'.repeat(1024 * 1000)}'`).kind).toBe('read');
  });

  it('answers with the same frozen object', () => {
    const first = analyse('select f(1) from same');
    expect(analyse('select f(1) from same')).toBe(first);
    expect(Object.isFrozen(first) && Object.isFrozen(first.functions)).toBe(true);
    for (let i = 0; i < 240; i++) analyse(`select ${i}`);
    expect(analyse('select f(1) from same')).toBe(first);
    for (let i = 0; i < 2000; i++) analyse(`select ${i}`);
    expect(analyse('select f(1) from same')).toEqual(first);
    const long = `select f(1) /* ${'x'.repeat(70_000)} */`;
    expect(analyse(long)).not.toBe(analyse(long));
  });

  it('takes time in proportion', () => {
    const megabyte = 1000 * 1000;
    const texts = ["'a', ", 'as ', '((', '/*', '$a$ $b$ ', "E'\\'' ", '"a" ', 'f(', 'with a, '];
    for (const text of texts) {
      const started = performance.now();
      analyse(`select ${text.repeat(Math.floor(megabyte / text.length))}`);
      expect(performance.now() - started, text).toBeLessThan(5000);
    }
  });
});

const samples = Object.entries(KINDS).flatMap(([kind, texts]) =>
  texts.map((text) => [kind, text] as const),
);
const fragment = fc.constantFrom(
  ...`select with as ( ) , ; ' " $$ $a$ -- /* */ \n E' U&" \\ . :: into for update delete x f( 1 over
    filter join operator @ materialized values not recursive $1`.split(/[ ]+/),
);

describe('any text', () => {
  it('is analysed without an error', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void analyse(text).kind));
    fc.assert(
      fc.property(fc.array(fragment), (parts) => void analyse(parts.join(' ')).kind),
      {
        numRuns: 500,
      },
    );
    fc.assert(
      fc.property(fc.array(fragment), (parts) => void analyse(parts.join('')).kind),
      {
        numRuns: 500,
      },
    );
  });

  it('is the same with a comment behind it', () => {
    // No quotes in them: they would close what a text left open.
    const comment = fc.constantFrom(
      '\n-- x; select',
      ' /* ; */',
      '\n/* /* delete */ */',
      '\n-- /*\n',
    );
    const text = fc.oneof(
      fc.constantFrom(...samples.map(([, sample]) => sample)),
      fc.array(fragment).map((parts) => parts.join(' ')),
    );
    fc.assert(
      fc.property(text, comment, (statement, addition) => {
        expect(analyse(statement + addition)).toEqual(analyse(statement));
      }),
      { numRuns: 1000 },
    );
  });

  it('is the same whatever stands between its tokens', () => {
    for (const [kind, text] of samples) {
      expect(analyse(`/* ; */ ${text}`).kind, text).toBe(kind);
      expect(analyse(`\n--'\n${text}\n;`).kind, text).toBe(kind);
    }
  });

  it('is never a read if a write follows it', () => {
    fc.assert(
      fc.property(fc.array(fragment), (parts) => {
        const text = parts.join(' ');
        if (analyse(text).kind === 'read') {
          expect(analyse(`${text}\n; drop table t`).kind).toBe('multiple');
        }
      }),
    );
  });
});
