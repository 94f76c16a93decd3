import type { PostgresLab } from '../../support/postgres-lab.js';

/** The table that all libraries work on. */
export async function makeItems(lab: PostgresLab): Promise<void> {
  await lab.server.admin(
    'create table items (id text primary key, owner text, n int not null default 0, note text)',
  );
  await lab.server.admin('alter table items owner to app');
  await lab.server.admin(`insert into items (id, owner) values ('counter', 'nobody')`);
}
