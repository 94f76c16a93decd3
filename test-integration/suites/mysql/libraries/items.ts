import type { MysqlLab } from '../../support/mysql-lab.js';

/** The table that all libraries work on. */
export async function makeItems(lab: MysqlLab): Promise<void> {
  await lab.server.admin(
    'create table items (id varchar(80) primary key, owner varchar(20), n int not null default 0, note text) engine = InnoDB',
  );
  await lab.server.admin(`insert into items (id, owner) values ('counter', 'nobody')`);
}
