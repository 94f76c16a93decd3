import { describe, expect, it } from 'vitest';
import { analyse } from '../src/statement.js';

/** [text of a read, the names expected, sorted] */
const CALLS: readonly (readonly [text: string, ...names: string[]])[] = [
  ['select 1'],
  ['select f(1)', 'f'],
  ['select F (1)', 'f'],
  ['select f /* x */ (1)', 'f'],
  ['select f(g(h(1)))', 'f', 'g', 'h'],
  ['select f(1), f(2)', 'f'],
  ['select pg_catalog.now()', 'pg_catalog.now'],
  ['select db.s.f()', 'db.s.f'],
  ['select s . f (1)', 's.f'],
  ['select "f"(1)', 'f'],
  ['select "Weird"."Fn"(1)', '"Weird"."Fn"'],
  ['select "a.b"(1)', '"a.b"'],
  ['select "a""b"(1)', '"a""b"'],
  ['select "select"(1)', 'select'],
  ['select s.coalesce(1)', 's.coalesce'],
  ['select é(1)', 'é'],
  ["select 'f(1)', $$g(2)$$ /* h(3) */ -- i(4)"],
  ['select count(*) filter (where f(x)) over (partition by g(y) order by z)', 'count', 'f', 'g'],
  ['select sum(a) over w from t window w as (order by f(b))', 'f', 'sum'],
  [
    'select rank() over w, lag(a, 1) over (w rows between 1 preceding and current row) from t',
    'lag',
    'rank',
  ],
  ['select percentile_cont(0.5) within group (order by a) from t', 'percentile_cont'],
  ['select first_value(a) over (order by b) from t', 'first_value'],
  // Casts and types.
  ['select a::numeric(10,2), b::varchar(10), cast(c as numeric(10, 2)) from t'],
  ['select a::geometry(Point, 4326), b::public.vector(3), cast(c as vector(3)) from t'],
  ["select a::character varying(10), interval(3) '1', timestamp(3) with time zone '2020-01-01'"],
  ["select 'x'::regclass, 't'::regclass::oid"],
  ['select f(a)::numeric(10)', 'f'],
  // Grammar.
  ['select coalesce(a, b), greatest(1, 2), least(1, 2), nullif(a, b) from t'],
  ["select extract(year from a), position('a' in b), trim(both 'x' from c) from t"],
  ['select current_timestamp(3), localtime(0), current_date from t'],
  ['select row(1, 2), array(select 1), array[f(1)]', 'f'],
  ['select xmlelement(name a, xmlattributes(1 as b), xmlforest(c)) from t'],
  ['select exists(select 1), a in (1, 2), a = any(b), c > all (d), not (e), f and (g) from t'],
  ['select case when (a) then (b) else (c) end from t'],
  ['select 1 where a like (b) and c not ilike (d) or (e, f) overlaps (g, h)'],
  ["select 'a' like ('b' || 'c'), x ilike ($1) from t"],
  ['select a between (1) and (2), a is distinct from (b) from t'],
  ["select a at time zone ('utc') from t"],
  ['select distinct on (a, b) c from t'],
  ['select distinct on (a) f(b) from t', 'f'],
  ['select all f(b) from t', 'f'],
  ['select * from t limit (1) offset (2)'],
  ['select * from t order by (a) fetch first (2) rows only'],
  ['select a from t group by (a, b) having (count(*) > 1)', 'count'],
  ['select a from t group by grouping sets ((a), (b, c), ()), d'],
  ['select grouping(a) from t group by rollup (a, b)'],
  ['select a from t group by cube (a, b)'],
  ['select cube(1, 2)', 'cube'],
  ['values (f(1)), (2)', 'f'],
  ['table t'],
  // FROM.
  ['select * from a join b using (id) join c on (a.x = c.x) cross join (select 1) d'],
  ['select * from a left join (b natural join c) using (id)'],
  ['select * from a natural join (b join c on (true))'],
  ['select * from f(1)', 'f'],
  ['select * from f(1) g(i)', 'f'],
  ['select * from f(1) as g(i, "J")', 'f'],
  ['select * from f(1) as g(a int, b numeric(10,2), c text)', 'f'],
  ['select * from f(1) as (a int, b text)', 'f'],
  ['select * from a, f(1) as (a int)', 'f'],
  ['select * from f(1) with ordinality, g(1) as (a int)', 'f', 'g'],
  ['select * from f(1) with ordinality t(a, n)', 'f'],
  ['select * from (values (1, 2)) v(a, b), (select 1) as w(c)'],
  ['select * from lateral f(a.b) x, rows from (g(1), h(2)) y(c, d)', 'f', 'g', 'h'],
  ['select * from t tablesample system (10) repeatable (5)'],
  ['select * from t tablesample bernoulli (10)'],
  ['select * from t, unnest($1::int[], $2::text[]) u(a, b)', 'unnest'],
  ['select * from only (t)'],
  // CTEs.
  ['with x(a, b) as (select 1, 2), y (c) as (select 3) select * from x, y'],
  ['with recursive x(n) as (select f(1)) select n from x', 'f'],
  ['with x as materialized (select f(1)), y as not materialized (select 2) select 1', 'f'],
  ['select * from (with x(a) as (select 1) select a from x) y'],
  // Operators by their long name.
  ['select a operator(pg_catalog.+) b, operator(-) c from t'],
  ['select a operator(pg_catalog.+) f(a) from t', 'f'],
  // What might be a call is one.
  ['select left(a, 1), right(b, 2) from t', 'left', 'right'],
  ['select substring(a from 1 for 2), overlay(a placing b from 1) from t', 'overlay', 'substring'],
  [
    'select like(a, b), join(1), over(1), filter(2), by(3) from t',
    'by',
    'filter',
    'join',
    'like',
    'over',
  ],
  ['select current_schema(), nextval($1)', 'current_schema', 'nextval'],
  ['select json_value(a, b) from t', 'json_value'],
  ['select x from t alias(x)', 'alias'],
  ['select pg_notify($1, $2)', 'pg_notify'],
  ['(select f(1)) union (select g(1))', 'f', 'g'],
];

describe('the functions that a read calls', () => {
  it.each(CALLS)('%s', (text, ...names) => {
    const { kind, functions } = analyse(text);
    expect(kind).toBe('read');
    expect([...functions].sort()).toEqual(names);
  });

  it('are not looked for elsewhere', () => {
    for (const text of ['insert into t (a) values (f(1))', 'call p(1)', 'select f(1) into t']) {
      expect(analyse(text).functions).toEqual([]);
    }
  });
});
