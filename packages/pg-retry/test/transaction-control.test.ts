import { describe, expect, it } from 'vitest';
import { controlsTransaction } from '../src/transaction-control.js';

describe('controlsTransaction', () => {
  it.each([
    'commit',
    'END',
    '-- so\nrollback',
    'insert into t values (1); commit',
    'insert into t values (1); commit; begin',
    ';; begin; select 1',
    'select 1; start transaction isolation level serializable; select 2',
    'select 1; abort',
    'select 1; rollback work',
    `select 1; prepare transaction 'x'`,
    `select ';'; /* ; */ commit and chain`,
  ])('sees what begins or ends one: %s', (text) => {
    expect(controlsTransaction(text)).toBe(true);
  });

  it.each([
    'select 1',
    `select '; commit'`,
    'select 1; select 2',
    'select case when true then 1 end; select 2',
    `select $$; commit; $$; select 'commit; '`,
    'savepoint a; rollback to a; release a',
    'savepoint a; rollback work to savepoint a',
    'prepare p as select 1; execute p',
    'create table "commit" (x int); select commit from t',
    'create function f() returns int begin atomic select 1; select 2; end; select 3',
    'do $$ begin perform 1; end $$; select 1',
    '',
  ])('is not misled by %s', (text) => {
    expect(controlsTransaction(text)).toBe(false);
  });
});
