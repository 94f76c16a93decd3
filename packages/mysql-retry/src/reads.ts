import { errnoOf, isServerError } from './classify.js';
import { analyse } from './statement.js';
import { HARMLESS, HARMLESS_IF_BUILT_IN } from './statement-functions.js';

/** The answer to one statement: rows and fields. */
export type Answer = readonly [rows: unknown, fields: unknown];

/** Runs one statement of ours on the connection of a replay. */
export type Run = (sql: string, values?: unknown[]) => Promise<Answer>;

/** The replay of what looked like a read was refused: it is, or calls, something that writes. */
export class NotARead extends Error {}

const STORED =
  "SELECT COUNT(*) AS n FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'FUNCTION' AND ROUTINE_SCHEMA = DATABASE() AND LOWER(ROUTINE_NAME) IN (?)";

/**
 * Whether a text is, by its grammar, one statement that only reads, and calls nothing but what is known to
 * compute only. READ ONLY alone permits too much: GET_LOCK, user variables, INTO OUTFILE, functions of
 * somebody's own.
 */
export function looksLikeRead(text: string): boolean {
  const { kind, functions } = analyse(text);
  return (
    kind === 'read' &&
    functions.every((name) => HARMLESS.has(name) || HARMLESS_IF_BUILT_IN.has(name))
  );
}

/**
 * Replays a read whose answer was lost, inside a READ ONLY transaction; where it calls what is built in on
 * some servers only, the catalogue is asked first whether it is somebody's own here.
 *
 * @throws NotARead if it is none; then nothing of it stands
 */
export async function replayRead(
  run: Run,
  text: string,
  read: () => Promise<Answer>,
): Promise<Answer> {
  const doubtful = analyse(text).functions.filter((name) => !HARMLESS.has(name));
  await run('START TRANSACTION READ ONLY');
  if (doubtful.length > 0) {
    const [rows] = await run(STORED, [doubtful]);
    if (Number((rows as { n: unknown }[])[0]?.n) > 0) {
      await run('ROLLBACK');
      throw new NotARead('it calls a stored function');
    }
  }
  let answer: Answer;
  try {
    answer = await read();
  } catch (error) {
    if (!isServerError(error)) throw error;
    await run('ROLLBACK');
    throw errnoOf(error) === 1792 ? new NotARead('refused by READ ONLY') : error;
  }
  await run('COMMIT');
  return answer;
}
