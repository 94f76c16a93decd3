import type { Pool, ResultSetHeader } from 'mysql2/promise';
import type { Query } from './client.js';

/** BEGIN, `work`, COMMIT on one connection of `pool`, or ROLLBACK. */
export async function inTransaction<T>(pool: Pool, work: (query: Query) => Promise<T>): Promise<T> {
  const connection = await pool.getConnection();
  try {
    await connection.beginTransaction();
    const result = await work(async (sql, values) => {
      const [header] = await connection.query<ResultSetHeader>(sql, values);
      return header;
    });
    await connection.commit();
    connection.release();
    return result;
  } catch (error) {
    await connection.rollback().then(
      () => connection.release(),
      () => connection.destroy(),
    );
    throw error;
  }
}
