import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { looksLikeRead } from '../src/reads.js';
import { tokenise } from '../src/sql-tokens.js';
import { analyse } from '../src/statement.js';
import { carriesRawSql } from '../src/values.js';

describe('a text that only reads', () => {
  it.each([
    'select 1',
    'SELECT * FROM t WHERE id = ?',
    '(select 1) union (select 2)',
    'select a.`order`, count(*) from `my table` a group by 1;',
    'with c as (select 1 as x) select * from c',
    'with recursive c (n) as (select 1 union all select n + 1 from c where n < 5) select * from c',
    "select 'into outfile', \"for update\", 'it''s'",
    'select 1 -- into @x\n',
    'select 1 # for update',
    'select /* for update */ 1',
    'select /*+ MAX_EXECUTION_TIME(1000) */ 1',
    'select now(), uuid(), sleep(0), rand()',
    'select 5--3 as eight',
    'show tables',
    'values (1)',
    'table t',
    'select @@version, @@session.sql_mode',
    'select t.value for_what from t',
    'select json_value(j, "$.a") from t',
    'select * from t where id in (?) and x > date_sub(now(), interval 1 day)',
    'select cast(a as char(10)), if(a, 1, 2), substring(a, 1) from t left join (select 1) u using (id)',
    'select row_number() over (partition by a order by b) from t',
  ])('%s', (text) => {
    expect([text, analyse(text).kind, looksLikeRead(text)]).toEqual([text, 'read', true]);
  });
});

describe('a text that may do more than read', () => {
  it.each([
    'select * from t for update',
    'select * from t for share',
    'select * from t lock in share mode',
    'select 1 into @x',
    "select 1 into outfile '/tmp/x'",
    "select 1 into dumpfile '/tmp/x'",
    'select @x := 1',
    'select @x',
    'select next value for s',
    'select previous value for s',
    'select get_lock("a", 1)',
    'select release_lock("a")',
    'select last_insert_id(5)',
    'select last_insert_id()',
    'select row_count()',
    'select found_rows()',
    'select nextval(s)',
    "select load_file('/etc/passwd')",
    'select my_function(1)',
    'select app.now()',
    'select `now`()',
    'select ??(1)',
    'select * from t procedure analyse()',
    'show warnings',
    'show errors',
    'explain analyze select 1',
    'analyze select 1',
    'do sleep(1)',
    'call p()',
    'select 1; select 2',
    'select /*!50000 get_lock("a", 1) */ 1',
    "select 'a\\'; delete from t; -- '",
    'select "unclosed',
    'select (1',
    '',
  ])('%s', (text) => {
    expect([text, looksLikeRead(text)]).toEqual([text, false]);
  });

  it('for what the driver writes into it is not in its text', () => {
    const raw = { toSqlString: () => 'get_lock(1, 1)' };
    expect(carriesRawSql([1, 'a', null, new Date(), Buffer.from('x'), { a: [1, 2] }])).toBe(false);
    expect(carriesRawSql([raw])).toBe(true);
    expect(carriesRawSql({ a: [raw] })).toBe(true);
    expect(carriesRawSql([[[[[1]]]]])).toBe(true);
    expect(carriesRawSql(undefined)).toBe(false);
  });
});

describe('the kind of a statement', () => {
  it.each([
    ['insert into t values (1)', 'write'],
    ['replace t set a = 1', 'write'],
    ['update t set a = 1', 'write'],
    ['delete from t', 'write'],
    ['with c as (select 1) delete from t', 'write'],
    ['begin', 'begin'],
    ['BEGIN WORK;', 'begin'],
    ['start transaction read only', 'begin'],
    ['begin not atomic select 1; end', 'multiple'],
    ['start slave', 'ends-transaction'],
    ['commit', 'commit'],
    ['commit and chain', 'commit'],
    ['rollback', 'rollback'],
    ['rollback work', 'rollback'],
    ['rollback to savepoint a', 'savepoint'],
    ['rollback work to a', 'savepoint'],
    ['savepoint a', 'savepoint'],
    ['release savepoint a', 'savepoint'],
    ['create table t (a int)', 'ends-transaction'],
    ['create temporary table t (a int)', 'other'],
    ['drop temporary table t', 'other'],
    ['truncate t', 'ends-transaction'],
    ['lock tables t write', 'ends-transaction'],
    ['set autocommit = 0', 'ends-transaction'],
    ['set @@session.autocommit = 0', 'ends-transaction'],
    ['set @x = 1', 'other'],
    ["set password = 'x'", 'ends-transaction'],
    ['xa start "a"', 'ends-transaction'],
    ['select 1; commit', 'multiple'],
    [';;', 'other'],
  ])('%s is %s', (text, kind) => {
    expect([text, analyse(text).kind]).toEqual([text, kind]);
  });

  it.each([
    ['insert into t values (1)', ['t']],
    ['insert ignore into `my t` (a) values (1)', ['my t']],
    ['insert into app.t select 1', ['app', 't']],
    ['replace into t values (1)', ['t']],
    ['update t set a = 1', ['t']],
    ['update low_priority ignore app.`t` set a = 1', ['app', 't']],
    ['delete from t', ['t']],
    ['delete from t where a = 1 limit 1', ['t']],
    ['update t, u set t.a = 1', undefined],
    ['update t join u using (a) set t.a = 1', undefined],
    ['update t as x set a = 1', undefined],
    ['delete t from t join u', undefined],
    ['insert into ?? values (1)', undefined],
    ['with c as (select 1) update t set a = 1', undefined],
    ['insert into a.b.c values (1)', undefined],
  ])('of %s has the target %j', (text, target) => {
    expect(analyse(text)).toMatchObject({ kind: 'write' });
    expect(analyse(text).target).toEqual(target);
  });

  it('is told of any text without a throw, and the same again', () => {
    const piece = fc.constantFrom(
      ...'select|insert|into|from|t|(|)|;|,|.|\'|"|`|\\|--|#|/*|*/|/*!|@|@@|?|:a|=|:=|1|1e5|0x1f|_utf8|\n| '.split(
        '|',
      ),
    );
    fc.assert(
      fc.property(
        fc.array(piece).map((parts) => parts.join(' ')),
        (text) => {
          const first = analyse(text);
          expect(analyse(text)).toBe(first);
          if (tokenise(text) === undefined) expect(first.kind).toBe('other');
        },
      ),
    );
    fc.assert(fc.property(fc.string(), (text) => typeof analyse(text).kind === 'string'));
  });

  it('of a text of megabytes is left open', () => {
    expect(analyse(`select '${'x'.repeat(1024 * 1024)}'`).kind).toBe('other');
  });
});
